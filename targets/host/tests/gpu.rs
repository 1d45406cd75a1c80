//! ONNX Runtime on a part of a GPU. Needs a device, `ORT_DYLIB_PATH` with the provider for CUDA beside it, and two models in the cache
//! (`aegis fetch`); where one is missing each test says so and passes.
// Tests fill and read planned memory directly.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

mod common;

use aegis_core::desc::{MemoryControl, Waiting};
use aegis_cuda::{Neighbour, Part};
use aegis_host::backend::{BoundSegment as _, Engine as _};
use aegis_host::gpu::Seat;
use aegis_host::onnx::OnnxEngine;
use common::on_gpu::{divisible, engine, with_models};

/// Fills the inputs from a seed, runs once, and returns all outputs.
fn outputs(engine: &mut OnnxEngine, seed: u64) -> Vec<f32> {
    let mut rng = fastrand::Rng::with_seed(seed);
    for input in engine.inputs() {
        // SAFETY: nothing runs, and only this thread knows the memory.
        unsafe { input.write::<f32>() }.unwrap().fill_with(|| rng.f32());
    }
    engine.run().unwrap();
    // SAFETY: the run has ended.
    engine.outputs().iter().flat_map(|output| unsafe { output.read::<f32>() }.unwrap().to_vec()).collect()
}

/// One test, because a process has one runtime.
#[test]
fn a_captured_model_says_what_it_says_on_the_cpu_also_beside_a_neighbour() {
    let Some((device, units, _alone)) = divisible() else { return };
    let Some((runtime, models)) = with_models() else { return };
    let rest = units.sms * (units.count - 1);
    for file in &models {
        let mut on_cpu = engine(&runtime, file, None);
        let mut parts = Part::divide(&device, &[units.sms, rest]).unwrap();
        let neighbour = Neighbour::start(parts.pop().unwrap()).unwrap();
        let seat = Seat::new(parts.pop().unwrap(), Waiting::Polling).unwrap();
        let mut on_gpu = engine(&runtime, file, Some(&seat));
        let mut before: Option<Vec<f32>> = None;
        // Warmed up, captured, and launched as a graph.
        for seed in 0..12 {
            let (expected, found) = (outputs(&mut on_cpu, seed), outputs(&mut on_gpu, seed));
            let scale = expected.iter().fold(0.0_f32, |scale, value| scale.max(value.abs()));
            let worst = expected.iter().zip(&found).fold(0.0_f32, |worst, (one, two)| worst.max((one - two).abs()));
            assert!(expected.len() == found.len() && worst <= scale * 1e-2, "run {seed}: {worst} of {scale}");
            let changed = before.replace(found.clone()).is_none_or(|before| before != found);
            assert!(changed, "run {seed} says what the one before it said, of other inputs");
        }
        assert_eq!(on_gpu.why_not_captured(), None);
        assert_eq!(on_gpu.control(), MemoryControl::Capped, "first fit, as this test asked for");
        println!("{}: scratch {} bytes on the device", file.display(), on_gpu.scratch_use().height);
        assert!(neighbour.stop().unwrap() > 0);
        // Before its memory, of which the graph holds addresses.
        drop(on_gpu);
    }
}

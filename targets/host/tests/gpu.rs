//! ONNX Runtime on a part of a GPU. Needs a device, `ORT_DYLIB_PATH` with the provider for CUDA beside it, and two models in the cache
//! (`aegis fetch`); where one is missing each test says so and passes.
// Tests fill and read planned memory directly.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

mod common;

use aegis_core::desc::{FileDesc, MemoryControl, Waiting};
use aegis_cuda::{Device, Neighbour, Part};
use aegis_host::arena::{Arena, BoundTensor};
use aegis_host::backend::{BoundSegment as _, Engine as _, LoadedSegment as _, PlannedMemory, Port, Region, Sequence};
use aegis_host::cache::Cache;
use aegis_host::gpu::Seat;
use aegis_host::onnx::{OnnxEngine, OnnxModel, OnnxRuntime};
use common::{FACE, ORIENTATION};
use std::path::PathBuf;
use std::sync::Arc;

const MIB: u64 = 1 << 20;

/// What all of this needs, or `None` with a printed reason.
fn setting() -> Option<(Arc<Device>, OnnxRuntime, Vec<PathBuf>)> {
    let device = common::gpu()?;
    let Some(library) = std::env::var_os("ORT_DYLIB_PATH") else {
        println!("skipped: ORT_DYLIB_PATH names no ONNX Runtime with CUDA");
        return None;
    };
    let cache = Cache::of_user().unwrap();
    let find = |sha256| cache.find("a model", &FileDesc { name: "model", sha256, version: "" });
    let models = [FACE, ORIENTATION].into_iter().map(find).collect::<Result<Vec<_>, _>>();
    let models = models.map_err(|error| println!("skipped: {error}")).ok()?;
    let runtime = OnnxRuntime::open(library.as_ref()).unwrap();
    runtime.serve_device(0).unwrap();
    Some((device, runtime, models))
}

fn whole(arena: &Arc<Arena>, sequence: Sequence) -> Region {
    Region { span: arena.span(0, arena.length()).unwrap(), sequence }
}

/// A model on the CPU, or on a part of the device, with first fit in arenas of its own.
fn engine(runtime: &OnnxRuntime, file: &std::path::Path, seat: Option<&Arc<Seat>>) -> OnnxEngine {
    let memory = |bytes| match seat {
        Some(seat) => Arena::of_device(seat.device(), bytes).unwrap(),
        None => Arena::map(bytes, true).unwrap(),
    };
    let load = whole(&memory(64 * MIB), if seat.is_some() { Sequence::Free } else { Sequence::Heap });
    let model = OnnxModel::load(runtime, file, load, seat.cloned()).unwrap();
    let tensor = |port: &Port| {
        // The orientation model leaves its sides open; it was trained for 224.
        let open = port.shape.iter().any(|side| *side < 0);
        let shape: Vec<i64> = match port.shape.as_slice() {
            [_, _, _, _] if open => vec![1, 3, 224, 224],
            other => other.iter().map(|side| (*side).max(1)).collect(),
        };
        let elements = shape.iter().map(|side| u64::try_from(*side).unwrap()).product::<u64>();
        let bytes = elements * port.element.size().0;
        let host = seat.map(|seat| Arena::pinned(seat.device(), bytes).unwrap().span(0, bytes).unwrap());
        let span = memory(bytes).span(0, bytes).unwrap();
        BoundTensor { name: port.name.clone(), element: port.element, shape, span, host }
    };
    let inputs = model.inputs().iter().map(tensor).collect();
    let outputs = model.outputs().iter().map(tensor).collect();
    let persistent = whole(&memory(1), Sequence::Heap);
    let scratch = whole(&memory(256 * MIB), Sequence::Free);
    OnnxEngine::bind(model, PlannedMemory { inputs, outputs, persistent, scratch, seat: seat.cloned() }).unwrap()
}

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
    let Some((device, runtime, models)) = setting() else { return };
    let Some(units) = device.facts().units.filter(|units| units.count > 1) else {
        return println!("skipped: {} cannot be divided in two", device.facts().name);
    };
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

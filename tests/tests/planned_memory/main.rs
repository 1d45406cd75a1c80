//! Models in one planned arena compute, bit for bit, what each computes in an arena of its own: also where every byte that
//! is not kept is overwritten before each run.

// Overwrites and reads planned memory directly.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

mod local;

use aegis_codegen::fetch::Kind;
use aegis_core::desc::{ALIGNMENT, MemoryControl, ModelDesc, SystemDesc, TensorLife, occupied};
use aegis_host::arena::{Arena, BoundTensor};
use aegis_host::backend::{Engine, Place, PlannedMemory, RuntimeBackend as _};
use aegis_host::onnx::{OnnxRuntime, unattributed};
use local::Local;
use std::sync::Arc;

/// The bits of all outputs of a run on inputs of this series.
fn run(engine: &mut dyn Engine, series: u32) -> Vec<u8> {
    let mut state = 0x2545_f491_u32 ^ series.wrapping_mul(0x9e37_79b9);
    for tensor in engine.inputs() {
        // SAFETY: one thread uses the arenas.
        for value in unsafe { tensor.write::<f32>() }.unwrap() {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            *value = f32::from(u16::try_from(state >> 16).unwrap()) / 65_536.0;
        }
    }
    engine.run().unwrap();
    // SAFETY: as above; the span is mapped and has this length.
    let bits =
        |tensor: &BoundTensor| unsafe { std::slice::from_raw_parts(tensor.span.base(), tensor.span.length()).to_vec() };
    engine.outputs().iter().flat_map(bits).collect()
}

/// Overwrites all of an arena but what the plan keeps: persistent regions and kept tensors.
fn poison(system: &SystemDesc, arena: &Arc<Arena>, byte: u8) {
    let mut kept: Vec<(u64, u64)> = Vec::new();
    for model in system.models {
        let loaded = model.segments.iter();
        kept.extend(loaded.map(|part| (part.persistent_at.0, part.persistent_at.0 + part.persistent.0)));
        if model.tensors == TensorLife::Kept {
            let tensors = model.inputs.iter().chain(model.outputs);
            kept.extend(tensors.map(|tensor| (tensor.at.0, tensor.at.0 + tensor.size.0)));
        }
    }
    kept.sort_unstable();
    kept.push((system.pools[0].height.0, u64::MAX));
    let mut at = 0;
    for (start, end) in kept {
        if let Some(length) = start.checked_sub(at).filter(|length| *length > 0) {
            let span = arena.span(at, length).unwrap();
            // SAFETY: nothing runs, and the plan keeps nothing here.
            unsafe { span.base().write_bytes(byte, span.length()) };
        }
        at = at.max(end);
    }
}

fn engine(runtime: &OnnxRuntime, local: &Local, model: &ModelDesc, arena: &Arc<Arena>) -> Box<dyn Engine> {
    let memory = PlannedMemory::of(model, &model.segments[0], true, &Place::of(arena)).unwrap();
    runtime.load(&local.file(Kind::Model, model.name), memory).unwrap()
}

/// The end of everything that was handed out.
fn highest(system: &SystemDesc, engines: &[Box<dyn Engine>]) -> u64 {
    let ends = system.models.iter().zip(engines).flat_map(|(model, engine)| {
        let (load, run) = (engine.persistent_use().height, engine.scratch_use().height);
        let ends = model.inputs.iter().chain(model.outputs);
        let tensors = ends.map(|tensor| tensor.at.0 + occupied(tensor.size, ALIGNMENT).unwrap());
        let segment = &model.segments[0];
        let regions = [(segment.persistent_at.0, load), (segment.scratch_at.0, run)];
        tensors.chain(regions.into_iter().filter(|(_, height)| *height > 0).map(|(at, height)| at + height))
    });
    ends.max().unwrap()
}

/// Compares all models of a plan. Of some the outputs are known to be the same for all inputs, because their weights are
/// generated: there only the overwritten bytes, which are no numbers, would show.
fn compare(runtime: &OnnxRuntime, local: &Local, same_for_all_inputs: &[&str]) {
    let system = local.system;
    let arena = || Arena::map(system.pools[0].height.0, true).unwrap();
    let mut alone: Vec<_> = system.models.iter().map(|model| engine(runtime, local, model, &arena())).collect();
    let shared = arena();
    let mut together: Vec<_> = system.models.iter().map(|model| engine(runtime, local, model, &shared)).collect();
    // What each model computed of the inputs before: outputs that never change would show nothing.
    let mut before: Vec<Option<Vec<u8>>> = vec![None; system.models.len()];
    let mut changed = vec![false; system.models.len()];
    for series in 0..4 {
        for (at, model) in system.models.iter().enumerate() {
            let (alone, together) = (&mut alone[at], &mut together[at]);
            poison(system, &shared, [0x00, 0xa5, 0xff, 0x7f][usize::try_from(series).unwrap()]);
            let (expected, found) = (run(alone.as_mut(), series), run(together.as_mut(), series));
            assert!(expected == found, "{} computes something else in shared memory", model.name);
            changed[at] |= before[at].as_ref().is_some_and(|before| *before != found);
            before[at] = Some(found);
        }
    }
    let constant = system.models.iter().zip(&changed).filter(|(_, changed)| !**changed).map(|(model, _)| model.name);
    let constant: Vec<&str> = constant.collect();
    assert_eq!(constant, *same_for_all_inputs, "outputs that do not depend on the inputs");
    for (engine, model) in together.iter().zip(system.models) {
        assert_eq!(
            (engine.control(), model.memory()),
            (MemoryControl::Planned, MemoryControl::Planned),
            "{}",
            model.name
        );
        assert_eq!(engine.scratch_use().refused, 0, "{}", model.name);
    }
    assert_eq!(highest(system, &together), system.pools[0].height.0, "the highest byte is the plan's");
}

#[test]
fn models_that_share_one_arena_compute_what_they_compute_alone() {
    let (Some(sorter), Some(courier)) = (local::plan("examples/sorter/system.toml"), local::plan("system.toml")) else {
        return;
    };
    let runtime = OnnxRuntime::open(&sorter.file(Kind::Library, "onnxruntime")).unwrap();
    let before = unattributed();
    compare(&runtime, &sorter, &["coarse", "shape", "surface", "fine"]);
    compare(&runtime, &courier, &[]);
    assert_eq!(unattributed(), before, "every request has a model");
    // Four models that never run at once: at least 60 % less for activations than private arenas take.
    let pool = &sorter.system.pools[0];
    let persistent: u64 = sorter.system.models.iter().map(|model| model.segments[0].persistent.0).sum();
    let (shared, private) = (pool.height.0 - persistent, pool.private.0 - persistent);
    println!("activations: {shared} bytes shared, {private} private, {} % less", 100 - shared * 100 / private);
    assert!(shared * 100 <= private * 40, "{shared} of {private}");
    assert_eq!(pool.height, pool.lower_bound, "and no layout is lower");
}

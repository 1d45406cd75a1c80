//! ONNX Runtime inside planned memory: same results, nothing outside, and no crash where it does not fit.
//!
//! The tests fetch the library and two models; where there is no network each says so and passes.
// Tests fill and read planned memory directly.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "clippy knows test functions only, not their helpers")]

mod common;

use aegis_core::desc::ElementType;
use aegis_host::arena::{Arena, BoundTensor};
use aegis_host::backend::{BackendError, Engine, MemoryControl, PlannedMemory, RuntimeBackend};
use aegis_host::onnx::{OnnxModel, OnnxRuntime, Port};
use common::{FACE, LIBRARY, ORIENTATION, cached};
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// The one runtime of this process.
fn runtime() -> Option<&'static OnnxRuntime> {
    static RUNTIME: OnceLock<Option<OnnxRuntime>> = OnceLock::new();
    RUNTIME.get_or_init(|| Some(OnnxRuntime::open(&cached(LIBRARY)?).unwrap())).as_ref()
}

fn bytes(port: &Port) -> u64 {
    port.shape.iter().map(|side| u64::try_from(*side).unwrap()).product::<u64>() * port.element.size().0
}

/// Loads a model with its tensors at `at` and its scratch in `[0, scratch)` of the arena.
fn load(runtime: &OnnxRuntime, file: &Path, arena: &Arc<Arena>, scratch: u64, at: u64) -> Box<dyn Engine> {
    let model = OnnxModel::load(runtime, file).unwrap();
    let mut at = at;
    let mut place = |port: &Port| {
        let shape: Vec<i64> = port.shape.iter().map(|side| (*side).max(1)).collect();
        let port = Port { shape, ..port.clone() };
        let span = arena.span(at, bytes(&port)).unwrap();
        at += bytes(&port).next_multiple_of(64);
        BoundTensor { name: port.name, element: port.element, shape: port.shape, span }
    };
    // The orientation model leaves its sides open; it was trained for 224.
    let inputs = model.inputs().iter().map(|port| {
        let fixed = [1, 3, 224, 224];
        let open = port.shape.iter().any(|side| *side < 0);
        place(&if open { Port { shape: fixed.to_vec(), ..port.clone() } } else { port.clone() })
    });
    let inputs = inputs.collect();
    let outputs = model.outputs().iter().map(&mut place).collect();
    let memory = PlannedMemory { inputs, outputs, scratch: arena.span(0, scratch).unwrap() };
    drop(model);
    runtime.load(file, memory).unwrap()
}

/// Fills the inputs, runs once and returns all outputs.
fn outputs(engine: &mut dyn Engine) -> Vec<f32> {
    for tensor in engine.inputs() {
        // SAFETY: each test uses its arena on one thread.
        let values = unsafe { tensor.write::<f32>() }.unwrap();
        for (value, number) in values.iter_mut().zip(0_u16..=u16::MAX) {
            *value = f32::from(number % 256) / 256.0;
        }
    }
    engine.run().unwrap();
    // SAFETY: as above.
    engine.outputs().iter().flat_map(|tensor| unsafe { tensor.read::<f32>() }.unwrap().to_vec()).collect()
}

const MIB: u64 = 1 << 20;

#[test]
fn two_models_that_share_their_scratch_compute_what_each_computes_alone() {
    let (Some(runtime), Some(face), Some(orientation)) = (runtime(), cached(FACE), cached(ORIENTATION)) else { return };
    assert_eq!(runtime.describe().memory, MemoryControl::Capped);
    let alone: Vec<Vec<f32>> = [&face, &orientation]
        .map(|file| outputs(load(runtime, file, &Arena::map(32 * MIB, true).unwrap(), 16 * MIB, 16 * MIB).as_mut()))
        .into();
    assert!(alone.iter().all(|values| values.iter().any(|value| *value != 0.0)), "the models compute something");

    let arena = Arena::map(32 * MIB, true).unwrap();
    let mut face = load(runtime, &face, &arena, 16 * MIB, 16 * MIB);
    let mut orientation = load(runtime, &orientation, &arena, 16 * MIB, 24 * MIB);
    let mut heights = Vec::new();
    for _ in 0..5 {
        assert_eq!(outputs(face.as_mut()), alone[0]);
        assert_eq!(outputs(orientation.as_mut()), alone[1]);
        heights.push([face.scratch_use().height, orientation.scratch_use().height]);
    }
    heights.dedup();
    assert_eq!(heights.len(), 1, "every run needs the same scratch: {heights:?}");
    assert!(heights[0].iter().all(|height| *height > 0 && *height < 16 * MIB));

    // Exactly that much is enough.
    let exact = heights[0];
    let file = cached(FACE).unwrap();
    let mut engine = load(runtime, &file, &Arena::map(32 * MIB, true).unwrap(), exact[0], 16 * MIB);
    assert_eq!(outputs(engine.as_mut()), alone[0]);
    assert_eq!((engine.scratch_use().beyond, engine.scratch_use().height), (0, exact[0]));
}

#[test]
fn what_does_not_fit_is_served_counted_and_computed_all_the_same() {
    let (Some(runtime), Some(face)) = (runtime(), cached(FACE)) else { return };
    let large = outputs(load(runtime, &face, &Arena::map(32 * MIB, true).unwrap(), 16 * MIB, 16 * MIB).as_mut());
    let mut small = load(runtime, &face, &Arena::map(32 * MIB, true).unwrap(), 65_536, 16 * MIB);
    assert_eq!(outputs(small.as_mut()), large);
    let usage = small.scratch_use();
    assert!(usage.beyond > 0 && usage.beyond_bytes > 65_536 && usage.height <= 65_536, "{usage:?}");
    let first = usage.beyond;
    assert_eq!(outputs(small.as_mut()), large);
    assert_eq!(small.scratch_use().beyond, 2 * first);
}

#[test]
fn what_cannot_be_loaded_or_bound_is_refused_in_words() {
    let (Some(runtime), Some(face)) = (runtime(), cached(FACE)) else { return };
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.onnx");
    let whole = std::fs::read(&face).unwrap();
    std::fs::write(&broken, &whole[..whole.len() / 2]).unwrap();
    let error = OnnxModel::load(runtime, &broken).unwrap_err();
    assert!(matches!(&error, BackendError::Load { path, .. } if *path == broken), "{error}");
    assert!(OnnxModel::load(runtime, Path::new("/nowhere.onnx")).is_err());

    let arena = Arena::map(MIB, true).unwrap();
    let tensor = |name: &str, shape: &[i64]| BoundTensor {
        name: name.into(),
        element: ElementType::F32,
        shape: shape.into(),
        span: arena.span(0, 64).unwrap(),
    };
    let bind = |tensor| {
        let memory = PlannedMemory { inputs: vec![tensor], outputs: vec![], scratch: arena.span(0, 0).unwrap() };
        runtime.load(&face, memory).err().unwrap()
    };
    let error = bind(tensor("other", &[16]));
    assert!(matches!(&error, BackendError::Bind { tensor, .. } if tensor == "other"), "{error}");
    let error = bind(tensor("input:0", &[1, 128, 128, 3]));
    assert!(matches!(&error, BackendError::Bind { .. }), "64 bytes are too few: {error}");
    // A second environment would be shared with the first behind our back.
    assert!(OnnxRuntime::open(&cached(LIBRARY).unwrap()).is_err());
}

//! ONNX Runtime inside planned memory: same results, recorded and replayed, and a clean refusal of anything else.
//!
//! The tests fetch the library and two models; where there is no network each says so and passes.
// Tests fill and read planned memory directly.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "clippy knows test functions only, not their helpers")]

mod common;

use aegis_core::desc::{ALIGNMENT, ElementType, MemoryControl, Recording};
use aegis_host::arena::{Arena, BoundTensor};
use aegis_host::backend::{
    BackendError, BoundSegment as _, Engine, LoadedSegment as _, PlannedMemory, Port, Region, RuntimeBackend, Sequence,
};
use aegis_host::first_fit::replayable;
use aegis_host::onnx::{OnnxEngine, OnnxModel, OnnxRuntime, unattributed};
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

/// Where a model's things go.
struct Place<'a> {
    arena: &'a Arc<Arena>,
    /// Its persistent region, then its tensors.
    at: u64,
    load: Sequence,
    /// The length of its scratch, from the arena's start.
    scratch: u64,
    run: Sequence,
}

impl<'a> Place<'a> {
    fn free(arena: &'a Arc<Arena>, scratch: u64, at: u64) -> Self {
        Self { arena, at, load: Sequence::Free, scratch, run: Sequence::Free }
    }
}

const fn planned(runs: &'static [Recording]) -> Sequence {
    Sequence::Planned { runs, owns_region: true }
}

fn load(runtime: &OnnxRuntime, file: &Path, place: &Place<'_>) -> Result<OnnxEngine, BackendError> {
    let span = place.arena.span(place.at, MIB).unwrap();
    let model = OnnxModel::load(runtime, file, Region { span, sequence: place.load }, None)?;
    let mut at = place.at + MIB;
    let mut bound = |port: &Port| {
        let shape: Vec<i64> = port.shape.iter().map(|side| (*side).max(1)).collect();
        let port = Port { shape, ..port.clone() };
        let span = place.arena.span(at, bytes(&port)).unwrap();
        at += bytes(&port).next_multiple_of(64);
        BoundTensor { name: port.name, element: port.element, shape: port.shape, span, host: None }
    };
    // The orientation model leaves its sides open; it was trained for 224.
    let inputs = model.inputs().iter().map(|port| {
        let fixed = [1, 3, 224, 224];
        let open = port.shape.iter().any(|side| *side < 0);
        bound(&if open { Port { shape: fixed.to_vec(), ..port.clone() } } else { port.clone() })
    });
    let inputs = inputs.collect();
    let outputs = model.outputs().iter().map(&mut bound).collect();
    let persistent = Region { span: place.arena.span(0, 0).unwrap(), sequence: Sequence::Heap };
    let scratch = Region { span: place.arena.span(0, place.scratch).unwrap(), sequence: place.run };
    OnnxEngine::bind(model, PlannedMemory { inputs, outputs, persistent, scratch, seat: None })
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
    assert_eq!(runtime.describe().memory, MemoryControl::Planned);
    let arena = || Arena::map(32 * MIB, true).unwrap();
    let alone: Vec<Vec<f32>> = [&face, &orientation]
        .map(|file| outputs(&mut load(runtime, file, &Place::free(&arena(), 16 * MIB, 16 * MIB)).unwrap()))
        .into();
    assert!(alone.iter().all(|values| values.iter().any(|value| *value != 0.0)), "the models compute something");

    let arena = arena();
    let mut face = load(runtime, &face, &Place::free(&arena, 16 * MIB, 16 * MIB)).unwrap();
    let mut orientation = load(runtime, &orientation, &Place::free(&arena, 16 * MIB, 24 * MIB)).unwrap();
    let mut heights = Vec::new();
    for _ in 0..5 {
        assert_eq!(outputs(&mut face), alone[0]);
        assert_eq!(outputs(&mut orientation), alone[1]);
        heights.push([face.scratch_use().height, orientation.scratch_use().height]);
    }
    heights.dedup();
    assert_eq!(heights.len(), 1, "every run needs the same scratch: {heights:?}");
    assert!(heights[0].iter().all(|height| *height > 0 && *height < 16 * MIB));

    // Exactly that much is enough.
    let exact = heights[0];
    let file = cached(FACE).unwrap();
    let arena = Arena::map(32 * MIB, true).unwrap();
    let mut engine = load(runtime, &file, &Place::free(&arena, exact[0], 16 * MIB)).unwrap();
    assert_eq!(outputs(&mut engine), alone[0]);
    assert_eq!((engine.scratch_use().refused, engine.scratch_use().height), (0, exact[0]));
}

/// A refusal is an error of the one call: the process, the model and the others go on.
#[test]
fn what_does_not_fit_is_refused_and_nothing_else_is_touched() {
    let (Some(runtime), Some(face)) = (runtime(), cached(FACE)) else { return };
    let arena = Arena::map(64 * MIB, true).unwrap();
    let mut large = load(runtime, &face, &Place::free(&arena, 16 * MIB, 16 * MIB)).unwrap();
    let expected = outputs(&mut large);
    let small = Place { scratch: 65_536, ..Place::free(&arena, 0, 32 * MIB) };
    let mut small = load(runtime, &face, &small).unwrap();
    for round in 1..=3 {
        let error = small.run().unwrap_err();
        assert!(
            matches!(&error, BackendError::Refused(why) if why.contains("do not fit the region of 65536")),
            "{error}"
        );
        assert!(small.scratch_use().refused >= round && small.scratch_use().height <= 65_536);
        assert_eq!(outputs(&mut large), expected, "another model runs on");
    }
    // Loading is refused likewise, and the model can be loaded when there is room.
    let full = Place { load: Sequence::Load(&[]), ..Place::free(&arena, 16 * MIB, 48 * MIB) };
    let error = load(runtime, &face, &full).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, BackendError::Refused(_)), "{text}");
    assert!(text.contains("event 1 requests") && text.contains("recorded is nothing more"), "{text}");
    assert_eq!(outputs(&mut load(runtime, &face, &Place::free(&arena, 16 * MIB, 48 * MIB)).unwrap()), expected);
}

/// Records a model's loading and one run.
fn recorded(runtime: &OnnxRuntime, file: &Path) -> (Recording, Recording, u64, Vec<f32>) {
    let arena = Arena::map(64 * MIB, true).unwrap();
    let place = Place { load: Sequence::Recorded, run: Sequence::Recorded, ..Place::free(&arena, 16 * MIB, 16 * MIB) };
    let mut engine = load(runtime, file, &place).unwrap();
    let expected = outputs(&mut engine);
    let (run, height) = (engine.recorded_run(), engine.scratch_use().height);
    let mut model = Box::new(engine).unbind();
    let load = replayable(&model.recorded_load(), MIB, ALIGNMENT).unwrap();
    (load, replayable(&run, height, ALIGNMENT).unwrap(), height, expected)
}

#[test]
fn a_recorded_model_is_replayed_and_another_models_record_is_not_taken_for_its_own() {
    let (Some(runtime), Some(face), Some(orientation)) = (runtime(), cached(FACE), cached(ORIENTATION)) else { return };
    let before = unattributed();
    let (loading, run, height, expected) = recorded(runtime, &face);
    let (other_loading, other, ..) = recorded(runtime, &orientation);
    let arena = Arena::map(64 * MIB, true).unwrap();
    // The other model's record first: it is given up within the first run.
    let runs: &'static [Recording] = vec![other, run].leak();
    let place =
        Place { load: Sequence::Load(loading.steps), run: planned(runs), ..Place::free(&arena, height, 32 * MIB) };
    let mut engine = load(runtime, &face, &place).unwrap();
    for _ in 0..4 {
        assert_eq!(outputs(&mut engine), expected);
        // Whatever lies there between two runs means nothing.
        // SAFETY: nothing runs on the arena.
        unsafe { arena.span(0, height).unwrap().base().write_bytes(0xa5, usize::try_from(height).unwrap()) };
    }
    assert_eq!((engine.control(), engine.scratch_use().height), (MemoryControl::Planned, height));
    // No record is its own: it keeps to its region by first fit, and says that it is only that.
    let none: &'static [Recording] = &[][..];
    let place = Place { run: planned(none), load: Sequence::Load(loading.steps), ..place };
    let mut engine = load(runtime, &face, &place).unwrap();
    assert_eq!((outputs(&mut engine), engine.control()), (expected, MemoryControl::Capped));
    // Where live tensors lie inside the region, first fit is no way out, and the error says so.
    let run = Sequence::Planned { runs: vec![other].leak(), owns_region: false };
    let mut engine = load(runtime, &face, &Place { run, ..place }).unwrap();
    for _ in 0..2 {
        let error = engine.run().unwrap_err();
        let told = "no recording fits, and first fit is not tried, because live tensors lie inside the region";
        assert!(matches!(&error, BackendError::Refused(why) if why.ends_with(told)), "{error}");
    }
    // Loading has one record, and another one is refused.
    let place = Place { load: Sequence::Load(other_loading.steps), ..place };
    let error = load(runtime, &face, &place).unwrap_err().to_string();
    assert!(error.contains("recorded is a request of"), "{error}");
    assert_eq!(unattributed(), before, "every request has a model");
}

#[test]
fn what_cannot_be_loaded_or_bound_is_refused_in_words() {
    let (Some(runtime), Some(face)) = (runtime(), cached(FACE)) else { return };
    let none = Arena::map(1, true).unwrap();
    let heap = || Region { span: none.span(0, 0).unwrap(), sequence: Sequence::Heap };
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.onnx");
    let whole = std::fs::read(&face).unwrap();
    std::fs::write(&broken, &whole[..whole.len() / 2]).unwrap();
    let error = OnnxModel::load(runtime, &broken, heap(), None).unwrap_err();
    assert!(matches!(&error, BackendError::Load { path, .. } if *path == broken), "{error}");
    assert!(OnnxModel::load(runtime, Path::new("/nowhere.onnx"), heap(), None).is_err());

    let arena = Arena::map(MIB, true).unwrap();
    let nothing = || Region { span: arena.span(0, 0).unwrap(), sequence: Sequence::Heap };
    let tensor = |name: &str, shape: &[i64]| BoundTensor {
        name: name.into(),
        element: ElementType::F32,
        shape: shape.into(),
        span: arena.span(0, 64).unwrap(),
        host: None,
    };
    let bind = |tensor| {
        let memory = PlannedMemory {
            inputs: vec![tensor],
            outputs: vec![],
            persistent: nothing(),
            scratch: nothing(),
            seat: None,
        };
        runtime.load(&face, memory).err().unwrap()
    };
    let error = bind(tensor("other", &[16]));
    assert!(matches!(&error, BackendError::Bind { tensor, .. } if tensor == "other"), "{error}");
    let error = bind(tensor("input:0", &[1, 128, 128, 3]));
    assert!(matches!(&error, BackendError::Bind { .. }), "64 bytes are too few: {error}");
    // A second environment would be shared with the first behind our back.
    assert!(OnnxRuntime::open(&cached(LIBRARY).unwrap()).is_err());
}

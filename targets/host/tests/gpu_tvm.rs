//! What TVM compiled, on a part of a GPU. Needs a device, and TVM with modules for it (`common::tvm_on_gpu::room`); where one is
//! missing each test says so and passes.
// Tests fill and read planned memory directly.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

mod common;

use aegis_core::desc::{GPU_ALIGNMENT, MemoryControl, Recording, Waiting};
use aegis_cuda::{Neighbour, Part, SmUnits};
use aegis_host::backend::{BackendError, BoundSegment as _, Engine as _, LoadedSegment as _, Region, Sequence};
use aegis_host::first_fit::replayable;
use aegis_host::gpu::Seat;
use aegis_host::onnx::unattributed;
use aegis_host::tvm::{TvmEngine, TvmModel};
use aegis_host::{Runtime, Vehicle};
use aegis_linux::args::Args;
use aegis_tests::tvm::{VERSION, device_profile, planned_on};
use common::on_gpu::{divisible, whole};
use common::tvm_on_gpu::{Room, bind, bind_to, engine, load, memory, room};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

const MIB: u64 = 1 << 20;

fn fill(engine: &mut TvmEngine, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    for input in engine.inputs() {
        // SAFETY: nothing runs, and only this thread knows the memory.
        unsafe { input.write::<f32>() }.unwrap().fill_with(|| rng.f32());
    }
}

/// Fills the inputs from a seed, runs once, and returns all outputs.
fn outputs(engine: &mut TvmEngine, seed: u64) -> Vec<f32> {
    fill(engine, seed);
    engine.run().unwrap();
    // SAFETY: the run has ended.
    engine.outputs().iter().flat_map(|output| unsafe { output.read::<f32>() }.unwrap().to_vec()).collect()
}

/// A part of one unit of the device.
fn seat(device: &Arc<aegis_cuda::Device>, units: SmUnits) -> Arc<Seat> {
    Seat::new(Part::divide(device, &[units.sms]).unwrap().remove(0), Waiting::Polling).unwrap()
}

#[test]
fn a_captured_module_says_what_it_says_on_the_cpu_also_beside_a_neighbour() {
    let Some((device, units, _alone)) = divisible() else { return };
    let Some(room) = room(&device) else { return };
    let rest = units.sms * (units.count - 1);
    for model in &room.models {
        let mut on_cpu = engine(room, &model.for_cpu, None);
        let mut parts = Part::divide(&device, &[units.sms, rest]).unwrap();
        let neighbour = Neighbour::start(parts.pop().unwrap()).unwrap();
        let seat = Seat::new(parts.pop().unwrap(), Waiting::Polling).unwrap();
        let mut on_gpu = engine(room, &model.for_device, Some(&seat));
        let mut before: Option<Vec<f32>> = None;
        // Warmed up, captured, and launched as a graph.
        for seed in 0..12 {
            let (expected, found) = (outputs(&mut on_cpu, seed), outputs(&mut on_gpu, seed));
            let scale = expected.iter().fold(0.0_f32, |scale, value| scale.max(value.abs()));
            let worst = expected.iter().zip(&found).fold(0.0_f32, |worst, (one, two)| worst.max((one - two).abs()));
            println!("{}, run {seed}: {worst} of {scale}", model.name);
            assert!(expected.iter().chain(&found).all(|value| value.is_finite()), "run {seed}");
            assert!(expected.len() == found.len() && worst <= scale * 1e-2, "run {seed}: {worst} of {scale}");
            let changed = before.replace(found.clone()).is_none_or(|before| before != found);
            assert!(changed, "run {seed} says what the one before it said, of other inputs");
        }
        assert_eq!(on_gpu.why_not_captured(), None, "{}", model.name);
        assert_eq!(on_gpu.control(), MemoryControl::Capped, "first fit, as this test asked for");
        let (weights, scratch) = (on_gpu.persistent_use().height, on_gpu.scratch_use().height);
        let began = std::time::Instant::now();
        (0..100).for_each(|_| on_gpu.run().unwrap());
        println!("{}: weights {weights}, scratch {scratch} bytes, {:?} for 100 runs", model.name, began.elapsed());
        assert!(neighbour.stop().unwrap() > 0);
        // Before its memory, of which the graph holds addresses.
        drop(on_gpu);
    }
}

/// What loading and the runs of a module request, with the height of the runs.
fn recorded(room: &Room, file: &Path, seat: &Arc<Seat>) -> (Recording, Recording, [u64; 2]) {
    let mut model = load(room, file, Some(seat), Sequence::Recorded);
    let (loaded, persistent) = (model.recorded_load(), model.persistent_use().height);
    assert_eq!(loaded.len(), 1, "weights are one block: {loaded:?}");
    let mut engine = bind(model, Some(seat), (256 * MIB, Sequence::Recorded));
    let mut record = || {
        outputs(&mut engine, 3);
        engine.recorded_run()
    };
    let events = record();
    assert_eq!(events, record(), "every run requests the same");
    let taken = events.iter().filter(|event| **event > 0).count();
    assert!(taken > 0 && taken * 2 == events.len(), "every block comes back within its run");
    let height = engine.scratch_use().height;
    let replay = |events: &[i64], height| replayable(events, height, GPU_ALIGNMENT).unwrap();
    (replay(&loaded, persistent), replay(&events, height), [persistent, height])
}

#[test]
fn all_that_it_takes_of_the_device_is_recorded_and_replayed_in_planned_memory() {
    let Some((device, units, _alone)) = divisible() else { return };
    let Some(room) = room(&device) else { return };
    let before = unattributed();
    let seat = seat(&device, units);
    for model in &room.models {
        let (weights, run, [persistent, height]) = recorded(room, &model.for_device, &seat);
        let weights: &'static Recording = Box::leak(Box::new(weights));
        let runs: &'static [Recording] = vec![run].leak();
        let region = whole(&memory(Some(&seat), persistent), Sequence::LoadInAnyOrder(weights.steps));
        let loaded = TvmModel::load(&room.runtime, &model.for_device, region, Some(Arc::clone(&seat))).unwrap();
        let scratch = memory(Some(&seat), height);
        let planned =
            Region { span: scratch.span(0, height).unwrap(), sequence: Sequence::Planned { runs, owns_region: false } };
        let mut engine = bind_to(loaded, Some(&seat), planned);
        let expected = outputs(&mut engine, 9);
        // Past the capture, for which the driver may take some.
        (0..6).for_each(|_| engine.run().unwrap());
        let free = device.free_bytes().unwrap();
        for _ in 0..20 {
            assert_eq!(outputs(&mut engine, 9), expected, "{}", model.name);
        }
        assert_eq!(device.free_bytes().unwrap(), free, "a captured run takes nothing of the device's memory");
        let used = engine.scratch_use();
        assert_eq!((engine.control(), used.height, used.refused), (MemoryControl::Planned, height, 0));
        assert_eq!((engine.persistent_use().refused, engine.why_not_captured()), (0, None));
    }
    assert_eq!(unattributed(), before, "every request has a model");
}

#[test]
fn what_is_not_planned_or_for_another_device_is_refused_and_nothing_else_is_touched() {
    let Some((device, units, _alone)) = divisible() else { return };
    let Some(room) = room(&device) else { return };
    let seat = seat(&device, units);
    let file = &room.models[0].for_device;
    let mut other = engine(room, file, Some(&seat));
    let expected = outputs(&mut other, 1);
    let region = |bytes| {
        let arena = memory(Some(&seat), bytes);
        Region { span: arena.span(0, bytes).unwrap(), sequence: Sequence::Free }
    };
    let mut small = bind_to(load(room, file, Some(&seat), Sequence::Free), Some(&seat), region(1_024));
    for _ in 0..2 {
        fill(&mut small, 1);
        let error = small.run().unwrap_err();
        assert!(matches!(&error, BackendError::Refused(why) if why.contains("do not fit the region")), "{error}");
        assert_eq!(outputs(&mut other, 1), expected, "another module runs on");
    }
    let open = |file, bytes| TvmModel::load(&room.runtime, file, region(bytes), Some(Arc::clone(&seat))).unwrap_err();
    let error = open(file, 256);
    assert!(matches!(error, BackendError::Refused(_)), "weights that do not fit: {error}");
    let error = open(&room.models[0].for_cpu, MIB).to_string();
    assert!(error.contains("compiled for the CPU, and its lane is a part of a GPU"), "{error}");
    let heap = whole(&memory(None, 1), Sequence::Heap);
    let error = TvmModel::load(&room.runtime, file, heap, None).unwrap_err().to_string();
    assert!(error.contains("compiled for a CUDA device (sm_"), "{error}");
    assert_eq!(outputs(&mut other, 1), expected);
}

static RUNTIME: Runtime<2, 2, 2> = Runtime::new();

/// Two lanes, with a module each.
fn manifest(units: SmUnits) -> String {
    let (sms, second) = (units.sms, units.sms * 2);
    format!(
        "system = {{ name = \"compiled\", policy = \"rate-monotonic\", waiting = \"polling\" }}\n\
         device.gpu0 = {{ kind = \"gpu\", memory = \"4GiB\", profile = \"device.toml\" }}\n\
         lane.near = {{ device = \"gpu0\", sms = {sms}, core = 1, dispatch-overhead = \"1ms\", wakeup-latency = \"5ms\" }}\n\
         lane.far = {{ device = \"gpu0\", sms = {second}, core = 2, dispatch-overhead = \"1ms\", wakeup-latency = \"5ms\" }}\n\
         [runtime.tvm]\nversion = \"{VERSION}\"\nfile = \"libtvm_runtime.so\"\n\
         [model.face]\nbackend = \"tvm\"\nfile = \"face.so\"\n\
         [model.orientation]\nbackend = \"tvm\"\nfile = \"orientation.so\"\n\
         [task.face]\nmodel = \"face\"\nlane = \"near\"\nperiod = \"100ms\"\nprofile = \"face.toml\"\n\
         [task.orientation]\nmodel = \"orientation\"\nlane = \"far\"\nperiod = \"200ms\"\nprofile = \"orientation.toml\"\n"
    )
}

#[test]
fn a_vehicle_is_measured_planned_and_run() {
    let Some((device, units, _alone)) = divisible() else { return };
    let Some(room) = room(&device) else { return };
    if std::env::var_os("AEGIS_TVM_LIBRARY").is_none() {
        println!(
            "skipped: AEGIS_TVM_LIBRARY names no TVM, and this process has opened another one than the vehicle would"
        );
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let link = |from: &Path, name: &str| {
        std::os::unix::fs::symlink(std::path::absolute(from).unwrap(), folder.path().join(name)).unwrap();
    };
    link(&room.library, "libtvm_runtime.so");
    for model in &room.models {
        link(&model.for_device, &format!("{}.so", model.name));
    }
    let answer = |mut request: Value| {
        for library in request.get_mut("libraries").and_then(Value::as_array_mut).into_iter().flatten() {
            library["path"] = json!(room.library);
        }
        aegis_host::probe::answer(&request.to_string(), None).unwrap()
    };
    let asked = answer(json!({ "schema": "aegis.probe/4", "command": "device", "device": 0 }));
    std::fs::write(folder.path().join("device.toml"), device_profile(&serde_json::from_str(&asked).unwrap())).unwrap();
    let sms = u16::try_from(units.sms).unwrap();
    let parts = [("face", sms), ("orientation", sms * 2)];
    let system = planned_on(folder.path(), &manifest(units), Some(&parts), |request| {
        serde_json::from_str(&answer(serde_json::to_value(request).unwrap())).unwrap()
    });
    let Some(system) = system else { return };
    for model in system.models {
        assert_eq!(model.memory(), MemoryControl::Planned, "{}", model.name);
        let segment = &model.segments[0];
        println!("{}: weights {}, scratch {}", model.name, segment.persistent.0, segment.scratch.0);
        assert!(segment.load.len() == 1 && segment.persistent.0 > 0 && !segment.runs.is_empty());
    }
    assert_eq!(aegis_core::verify::verify(system), Ok(()));
    let summary = folder.path().join("summary.json");
    let run_for = Some(aegis_core::Duration::from_ns(3_000_000_000));
    let args = Args { run_for, summary: Some(summary.clone()), ..Args::default() };
    let status = Vehicle::new(system, &RUNTIME).run_with(&args).unwrap();
    let summary: Value = serde_json::from_str(&std::fs::read_to_string(summary).unwrap()).unwrap();
    println!("status {status}: {summary}");
    for task in summary["tasks"].as_array().unwrap() {
        assert!(task["jobs"].as_u64().unwrap() >= 14, "{summary}");
    }
    let memory = &summary["memory"][0];
    assert_eq!((&memory["refused_requests"], &memory["unattributed_requests"]), (&json!(0), &json!(0)), "{summary}");
    for model in memory["models"].as_array().unwrap() {
        assert_eq!((&model["planned"], &model["control"]), (&json!("planned"), &json!("planned")), "{summary}");
    }
}

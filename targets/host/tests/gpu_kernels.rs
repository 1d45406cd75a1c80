//! Kernels of one's own on a part of a GPU. Needs a device; where there is none each test says so and passes.
// Tests fill and read planned memory directly.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

mod common;

use aegis_core::desc::{ElementType, GPU_ALIGNMENT, MemoryControl, Waiting};
use aegis_cuda::{Neighbour, Part, Shape};
use aegis_host::backend::{BackendError, BoundSegment as _, Engine as _, Port, Sequence};
use aegis_host::first_fit::replayable;
use aegis_host::gpu::Seat;
use aegis_host::kernels::{Argument, KernelsEngine, KernelsSegment, Launch, Program};
use common::on_gpu::{divisible, memory};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

const PTX: &str = include_str!("fixtures/kernels.ptx");
const COUNT: u32 = 1_000;

fn file(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("kernels.ptx");
    std::fs::write(&path, text).unwrap();
    path
}

fn port(name: &str) -> Port {
    Port { name: name.into(), element: ElementType::F32, shape: vec![i64::from(COUNT)] }
}

fn launch(kernel: &str, blocks: u32, arguments: Vec<Argument>) -> Launch {
    Launch { kernel: kernel.into(), shape: Shape { grid: [blocks, 1, 1], block: [128, 1, 1], shared: 0 }, arguments }
}

/// `between = 3 x`, then `y = between + x`.
fn four_times() -> Program {
    let (x, y, between, count) = (Argument::Tensor(0), Argument::Tensor(1), Argument::Buffer(0), Argument::Word(COUNT));
    let three = Argument::Word(3.0_f32.to_bits());
    Program {
        inputs: vec![port("x")],
        outputs: vec![port("y")],
        run: vec![i64::from(COUNT) * 4, -1],
        launches: vec![
            launch("scale", 8, vec![x, between, count, three]),
            launch("add", 8, vec![between, x, y, count]),
        ],
    }
}

fn load(seat: &Arc<Seat>, program: &Program, path: &Path) -> Result<KernelsSegment, BackendError> {
    KernelsSegment::load(&Arc::new(program.clone()), path, Some(Arc::clone(seat)))
}

/// Fills the input, runs once, and returns the output.
fn output(engine: &mut KernelsEngine, first: f32) -> Vec<f32> {
    for input in engine.inputs() {
        let mut value = first;
        // SAFETY: nothing runs, and only this thread knows the memory.
        unsafe { input.write::<f32>() }.unwrap().fill_with(|| {
            value += 1.0;
            value
        });
    }
    engine.run().unwrap();
    // SAFETY: the run has ended.
    engine.outputs().iter().flat_map(|output| unsafe { output.read::<f32>() }.unwrap().to_vec()).collect()
}

#[test]
fn launches_with_a_buffer_between_compute_what_they_say_also_as_a_graph_beside_a_neighbour() {
    let Some((device, units, _alone)) = divisible() else { return };
    let folder = tempfile::tempdir().unwrap();
    let rest = units.sms * (units.count - 1);
    let program = four_times();
    for completion in [Waiting::Polling, Waiting::Blocking] {
        let mut parts = Part::divide(&device, &[units.sms, rest]).unwrap();
        let neighbour = Neighbour::start(parts.pop().unwrap()).unwrap();
        let seat = Seat::new(parts.pop().unwrap(), completion).unwrap();
        let segment = load(&seat, &program, &file(&folder, PTX)).unwrap();
        let runs = vec![replayable(&program.run, 4_096, GPU_ALIGNMENT).unwrap()].leak();
        let planned = Sequence::Planned { runs, owns_region: true };
        let mut engine = KernelsEngine::bind(segment, memory(&seat, &program, 4_096, planned)).unwrap();
        // Submitted, captured, and launched as a graph.
        for run in 0_u8..12 {
            let first = f32::from(run) * 10.0;
            let mut value = first;
            for (at, found) in output(&mut engine, first).into_iter().enumerate() {
                value += 1.0;
                assert!((found - 4.0 * value).abs() < 1e-3, "run {run}, element {at}: {found} of {value}");
            }
        }
        assert_eq!(engine.why_not_captured(), None);
        assert_eq!((engine.control(), engine.scratch_use().height), (MemoryControl::Planned, 4_096));
        assert!(neighbour.stop().unwrap() > 0);
        drop(engine);
    }
}

#[test]
fn a_file_that_is_no_kernels_and_kernels_that_it_has_not_are_refused_by_name() {
    let Some((device, units, _alone)) = divisible() else { return };
    let folder = tempfile::tempdir().unwrap();
    let part = Part::divide(&device, &[units.sms]).unwrap().pop().unwrap();
    let seat = Seat::new(part, Waiting::Polling).unwrap();
    let program = four_times();
    let error = |program: &Program, text: &str| load(&seat, program, &file(&folder, text)).unwrap_err().to_string();
    let told = error(&program, ".version 6.0\n.target sm_50\n.address_size 64\nnonsense");
    assert!(told.contains("kernels.ptx") && told.contains("INVALID_PTX") && told.contains("line 4"), "{told}");
    let told = error(&program, &PTX.replace(".target sm_50", ".target sm_999"));
    assert!(told.contains("kernels.ptx") && told.contains("CUDA_ERROR_"), "{told}");
    let told = error(&program, &PTX.replace("entry add", "entry plus"));
    assert!(told.contains("kernels.ptx") && told.contains("kernel \"add\""), "{told}");
    let mut wrong = program.clone();
    wrong.launches[1].arguments.pop();
    let told = error(&wrong, PTX);
    let expected =
        "launch 2: kernel \"add\" takes parameters of [8, 8, 8, 4] bytes, and is given arguments of [8, 8, 8] bytes";
    assert!(told.ends_with(expected), "{told}");
    let gone = load(&seat, &program, &folder.path().join("gone.ptx")).unwrap_err().to_string();
    assert!(gone.contains("gone.ptx"), "{gone}");
    let nowhere = KernelsSegment::load(&Arc::new(program.clone()), &file(&folder, PTX), None).unwrap_err();
    assert!(nowhere.to_string().contains("run on a part of a GPU"), "{nowhere}");
    // Less than its buffers need.
    let segment = load(&seat, &program, &file(&folder, PTX)).unwrap();
    let small = KernelsEngine::bind(segment, memory(&seat, &program, 2_048, Sequence::Free)).unwrap_err();
    assert!(matches!(&small, BackendError::Refused(text) if text.contains("2048 bytes")), "{small}");
    // The part goes on.
    let segment = load(&seat, &program, &file(&folder, PTX)).unwrap();
    let mut engine = KernelsEngine::bind(segment, memory(&seat, &program, 4_096, Sequence::Free)).unwrap();
    assert!((output(&mut engine, 0.0)[0] - 4.0).abs() < 1e-3);
}

/// A load of so many turns.
fn busy(turns: u32) -> Program {
    let arguments = vec![Argument::Tensor(0), Argument::Tensor(1), Argument::Word(turns)];
    Program {
        inputs: vec![port("x")],
        outputs: vec![port("y")],
        run: Vec::new(),
        launches: vec![launch("busy", 8, arguments)],
    }
}

#[test]
fn the_load_takes_longer_the_more_turns_it_has() {
    let Some((device, units, _alone)) = divisible() else { return };
    let folder = tempfile::tempdir().unwrap();
    let part = Part::divide(&device, &[units.sms]).unwrap().pop().unwrap();
    let seat = Seat::new(part, Waiting::Polling).unwrap();
    let mut shortest = [5_500, 22_000].map(|turns| {
        let program = busy(turns);
        let segment = load(&seat, &program, &file(&folder, PTX)).unwrap();
        let mut engine = KernelsEngine::bind(segment, memory(&seat, &program, 1, Sequence::Free)).unwrap();
        let times = (0..200).map(|_| {
            let began = Instant::now();
            engine.run().unwrap();
            began.elapsed()
        });
        let shortest = times.min().unwrap();
        println!("{turns} turns: {shortest:?}");
        shortest
    });
    shortest[0] *= 2;
    assert!(shortest[0] < shortest[1], "four times as many turns take more than twice as long: {shortest:?}");
}

#[test]
fn a_probe_tells_what_the_driver_takes_or_nothing() {
    let Some((_, _, _alone)) = divisible() else { return };
    let request = json!({ "schema": "aegis.probe/4", "command": "device", "device": 0 });
    let answer: Value = serde_json::from_str(&aegis_host::probe::answer(&request.to_string(), None).unwrap()).unwrap();
    let device = &answer["devices"][0];
    println!("context {}, part {}", device["context_bytes"], device["part_bytes"]);
    // The process has had the device open before, so only that it is told, or not told at all, can be seen.
    assert_eq!(device["context_bytes"].is_u64(), device["part_bytes"].is_u64(), "{device}");
}

#[test]
fn a_probe_sizes_and_measures_them_alone_and_beside_a_neighbour() {
    let Some((_, units, _alone)) = divisible() else { return };
    let folder = tempfile::tempdir().unwrap();
    let tensor = |name: &str| json!({ "name": name, "dtype": "f32", "shape": [COUNT] });
    let launch = |kernel: &str, arguments: Value| json!({ "kernel": kernel, "grid": [8, 1, 1], "block": [128, 1, 1], "shared": 0, "arguments": arguments });
    let (x, y, between, count) =
        (json!(["tensor", 0]), json!(["tensor", 1]), json!(["buffer", 0]), json!(["word", COUNT]));
    let launches = json!([
        launch("scale", json!([x, between, count, ["word", 3.0_f32.to_bits()]])),
        launch("add", json!([between, x, y, count])),
    ]);
    let model = |name: &str, text: &str| {
        let folder = folder.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("kernels.ptx");
        std::fs::write(&path, text).unwrap();
        json!({
            "name": name, "files": [path], "backend": "kernels", "core": 0,
            "gpu": { "ordinal": 0, "before": 0, "sms": units.sms, "completion": "polling" },
            "kernels": { "inputs": [tensor("x")], "outputs": [tensor("y")], "run": [4_000, -1], "launches": launches },
        })
    };
    let request = json!({
        "schema": "aegis.probe/4", "command": "profile", "models": [model("good", PTX), model("none", "no kernel")],
        "min_runs": 20, "min_seconds": 0, "warmup_runs": 5,
    });
    let answer: Value = serde_json::from_str(&aegis_host::probe::answer(&request.to_string(), None).unwrap()).unwrap();
    assert_eq!(answer["runtimes"], json!([]));
    let [good, none] = answer["models"].as_array().unwrap().as_slice() else { panic!("{answer}") };
    let segment = &good["segments"][0];
    assert_eq!((&segment["memory"], &segment["graded_down"]), (&json!("planned"), &Value::Null), "{good}");
    assert_eq!((&segment["load"], &segment["runs"]), (&json!([]), &json!([[4_000, -1]])));
    assert_eq!((&segment["reads"], &segment["writes"]), (&json!(["x"]), &json!(["y"])));
    assert_eq!(segment["not_captured"], Value::Null);
    assert_eq!((&good["inputs"][0]["bytes"], &good["outputs"][0]["bytes"]), (&json!(4_000), &json!(4_000)));
    assert!(segment["execution"]["p50_ns"].as_u64().unwrap() > 0 && segment["alone"]["runs"].as_u64().unwrap() >= 20);
    let told = none["error"].as_str().unwrap();
    assert!(told.contains("none/kernels.ptx") && told.contains("CUDA_ERROR_"), "{told}");
}

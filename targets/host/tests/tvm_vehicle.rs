//! A whole vehicle with TVM: compiled, fetched, measured, planned, proven and run, beside a model that ONNX Runtime executes.
//!
//! The test installs TVM's compiler with pip and fetches both runtimes; where that cannot be it says so and passes.
#![allow(clippy::unwrap_used, reason = "clippy knows test functions only, not their helpers")]

mod common;

use aegis_core::TaskId;
use aegis_core::desc::{Backend, MemoryControl};
use aegis_host::{Inputs, JobContext, Outputs, Runtime, TaskHooks, Vehicle};
use aegis_linux::args::Args;
use aegis_tests::tvm::{VERSION, planned, tvm};
use common::two_models::{MS, ns, probe, request};
use common::{FACE, cached, tiny};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// `tvm/lib/libtvm_runtime.so` of pip apache-tvm 0.27.0.post1.
#[cfg(target_arch = "x86_64")]
const RUNTIME_SHA256: &str = "43544bbeaea3cd3ffa919f7eac77244753aff28d1440c42f1ba8df03fa6e3948";
/// `tvm_ffi/lib/libtvm_ffi.so` of pip apache-tvm-ffi 0.1.15.post2.
#[cfg(target_arch = "x86_64")]
const INTERFACE_SHA256: &str = "c33ef5349896abfd0c5d6994e028ce3b72a343e3e7a29c1030fe093054b656ea";

static JOBS: AtomicU64 = AtomicU64::new(0);

/// Gives other numbers to each job, and knows what the model makes of them.
struct Doubling;

impl TaskHooks for Doubling {
    fn input(&mut self, _job: &JobContext, inputs: &mut Inputs<'_>) {
        let number = u16::try_from(JOBS.load(Ordering::Relaxed)).unwrap();
        inputs.f32(0).unwrap().fill(f32::from(number));
    }

    fn output(&mut self, _job: &JobContext, outputs: &Outputs<'_>) {
        let number = u16::try_from(JOBS.fetch_add(1, Ordering::Relaxed)).unwrap();
        let expected = f32::from(number) * 2.0;
        assert!(outputs.f32(0).unwrap().iter().all(|value| *value == expected));
    }
}

static RUNTIME: Runtime<2, 1, 2> = Runtime::new();

/// The manifest of a vehicle in a folder where `double.so` lies.
fn manifest(face: &Path) -> String {
    format!(
        "system = {{ name = \"both\", policy = \"rate-monotonic\" }}\n\
         device.cpu0 = {{ kind = \"cpu\", memory = \"256MiB\" }}\n\
         lane.main = {{ device = \"cpu0\", core = 1, dispatch-overhead = \"1ms\", wakeup-latency = \"5ms\" }}\n\
         [runtime.onnxruntime]\nversion = \"1.32.0\"\n\
         source = {{ pip = \"onnxruntime\", version = \"1.32.0\", path = \"onnxruntime/capi/libonnxruntime.so.1.32.0\", \
         sha256 = \"{onnx}\" }}\n\
         [runtime.tvm]\nversion = \"{VERSION}\"\n\
         source = {{ pip = \"apache-tvm\", version = \"{VERSION}\", path = \"tvm/lib/libtvm_runtime.so\", \
         sha256 = \"{RUNTIME_SHA256}\" }}\n\
         beside = [{{ pip = \"apache-tvm-ffi\", version = \"0.1.15.post2\", path = \"tvm_ffi/lib/libtvm_ffi.so\", \
         sha256 = \"{INTERFACE_SHA256}\" }}]\n\
         [model.double]\nbackend = \"tvm\"\nfile = \"double.so\"\n\
         [model.face]\nbackend = \"onnxruntime\"\nfile = {face:?}\n\
         [task.double]\nmodel = \"double\"\nlane = \"main\"\nperiod = \"100ms\"\nprofile = \"double.toml\"\n\
         [task.face]\nmodel = \"face\"\nlane = \"main\"\nperiod = \"200ms\"\nprofile = \"face.toml\"\n",
        onnx = common::LIBRARY
    )
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_vehicle_of_two_runtimes_runs_in_one_planned_memory() {
    let (Some(tvm), Some(face)) = (tvm(), cached(FACE)) else { return };
    let folder = tempfile::tempdir().unwrap();
    let nodes: [tiny::Node<'_>; 3] = [("Relu", &["x"], "a"), ("Relu", &["a"], "b"), ("Add", &["a", "b"], "y")];
    let file = folder.path().join("double.onnx");
    std::fs::write(&file, tiny::model(&["x"], &nodes, &["y"])).unwrap();
    tvm.compile(&file, &folder.path().join("double.so"), &[]).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_aegis-host-probe"));
    let Some(system) = planned(folder.path(), &manifest(&face), program) else { return };

    let names: Vec<&str> = system.libraries.iter().map(|library| library.name).collect();
    assert_eq!(names, ["onnxruntime", "tvm", "libtvm_ffi.so"]);
    assert_eq!(system.libraries_of(Backend::Tvm).len(), 2);
    let double = system.models.iter().find(|model| model.name == "double").unwrap();
    assert_eq!((double.backend, double.memory()), (Backend::Tvm, MemoryControl::Planned));
    assert!(double.segments[0].scratch.0 >= tiny::BYTES && !double.segments[0].runs.is_empty());
    assert_eq!(aegis_core::verify::verify(system), Ok(()));

    let summary = folder.path().join("summary.json");
    let args = Args { run_for: Some(ns(1_000 * MS)), summary: Some(summary.clone()), ..Args::default() };
    let task = system.tasks.iter().position(|task| task.name == "double").unwrap();
    let task = TaskId(u16::try_from(task).unwrap());
    Vehicle::new(system, &RUNTIME).hooks(task, Doubling).run_with(&args).unwrap();
    let summary: Value = serde_json::from_str(&std::fs::read_to_string(summary).unwrap()).unwrap();
    let jobs = summary["tasks"][task.index()]["jobs"].as_u64().unwrap();
    assert!(jobs >= 9 && JOBS.load(Ordering::Relaxed) == jobs, "{summary}");
    let memory = &summary["memory"][0];
    assert_eq!((&memory["refused_requests"], &memory["unattributed_requests"]), (&json!(0), &json!(0)), "{summary}");
    let told = memory["models"].as_array().unwrap().iter().find(|model| model["name"] == "double").unwrap();
    assert_eq!(told, &json!({"name": "double", "backend": "tvm", "planned": "planned", "control": "planned"}));

    // Two segments, of which one reads what the other writes.
    let segments = [("x", "h"), ("h", "y")].map(|(input, output)| {
        let (file, module) = (folder.path().join("part.onnx"), folder.path().join(format!("{output}.so")));
        std::fs::write(&file, tiny::model(&[input], &[("Relu", &[input], output)], &[output])).unwrap();
        tvm.compile(&file, &module, &[]).unwrap();
        module
    });

    // The probe says of each model what is wrong with it, and of a library before anything else.
    let library = system.libraries_of(Backend::Tvm);
    let cache = aegis_host::cache::Cache::of_user().unwrap();
    let library = cache.together(library).unwrap().unwrap();
    let runtime = |path: &Path| json!([{"name": "tvm", "path": path, "version": VERSION}]);
    let models = json!([{"name": "broken", "files": [&file], "backend": "tvm", "core": 1},
        {"name": "none", "files": [&file], "backend": "onnxruntime", "core": 1},
        {"name": "cut", "files": segments, "backend": "tvm", "core": 1}]);
    let (status, answer) = probe(&request("profile", &runtime(&library), &models));
    let error = |model: usize| answer["models"][model]["error"].as_str().unwrap();
    assert_eq!((status, &answer["runtimes"][0]["version"]), (Some(0), &json!(VERSION)));
    assert!(error(0).contains("double.onnx") && error(0).contains("invalid ELF header"), "{answer}");
    assert!(error(1).contains("no library of the runtime \"onnxruntime\" was given"), "{answer}");
    let cut = &answer["models"][2];
    let name = |tensors: &str| cut[tensors][0]["name"].as_str().unwrap();
    assert_eq!((name("inputs"), name("carried"), name("outputs")), ("x", "h", "y"), "{answer}");
    assert!(cut["segments"].as_array().unwrap().iter().all(|segment| segment["memory"] == "planned"), "{answer}");
    assert_eq!(probe(&request("profile", &runtime(Path::new("/nowhere.so")), &models)).0, Some(3));
}

//! What is asked and answered of GPUs, by its names in JSON.

use super::{Answer, EnginesRequest, GpuRequest, KernelsRequest, ModelRequest, Request, SCHEMA};
use crate::engines::Engines;
use crate::launches::{Argument, ArgumentKind, Form, Kernels, Launch};
use aegis_core::desc::{ElementType, EngineLibrary, Precision};
use aegis_core::units::Bytes;
use serde_json::{Value, json};

fn model(gpu: Option<GpuRequest>) -> ModelRequest {
    ModelRequest {
        name: "face".to_owned(),
        files: vec!["face.onnx".into()],
        backend: "onnxruntime",
        core: 1,
        inputs: Vec::new(),
        gpu,
        kernels: None,
        engines: None,
    }
}

fn part(ordinal: u16) -> GpuRequest {
    GpuRequest { ordinal, before: 8, sms: 32, completion: "blocking" }
}

fn answer() -> Value {
    let times = json!({ "runs": 5, "min_ns": 1, "mean_ns": 2, "p50_ns": 2, "p99_ns": 3, "p999_ns": 3, "max_ns": 4 });
    json!({
        "schema": SCHEMA,
        "machine": { "arch": "x86_64", "cpu_model": "Lab", "cores": 4, "governor": "", "kernel": "6" },
        "state": {
            "power_mode": "MAXN",
            "cores": [{ "core": 1, "readings": { "least_clock_khz": 1_000, "most_clock_khz": 2_000, "clock_khz": null } }],
            "gpus": [{ "ordinal": 2, "readings": { "clock_khz": 1_980_000, "temperature_mc": 41_000 } }],
            "changed": ["the power mode went from \"15W\" to \"MAXN\""],
        },
        "realtime": { "fifo": true, "memory_locked": true },
        "runtimes": [{ "name": "onnxruntime", "version": "1.32.0" }],
        "devices": [{
            "ordinal": 2, "name": "NVIDIA H200", "driver": "13.0", "compute_capability": "9.0", "sms": 132, "unit": 8,
            "units": 15, "memory_bytes": 1_000, "integrated": false, "exports": true, "l2_bytes": 100,
            "clock_khz": 10, "memory_clock_khz": 20,
        }],
        "models": [{
            "name": "face", "error": null, "threads": 1, "inputs": [], "outputs": [],
            "segments": [{
                "sha256": "0", "weights_bytes": 0, "scratch_bytes": 0, "memory": "planned", "graded_down": null,
                "load": [], "runs": [[]], "reads": [], "writes": [], "execution": times, "alone": times,
                "not_captured": "it waits for the CPU",
            }],
        }],
    })
}

#[test]
fn a_part_of_a_gpu_is_asked_with_its_device_and_how_it_is_waited_for() {
    let request = Request {
        schema: SCHEMA,
        command: "device",
        device: Some(2),
        libraries: Vec::new(),
        orchestration_core: 0,
        lanes: Vec::new(),
        models: vec![model(Some(part(2))), model(None)],
        min_runs: 1,
        min_seconds: 0,
        warmup_runs: 0,
    };
    let asked = serde_json::to_value(&request).unwrap();
    assert_eq!((&asked["schema"], &asked["command"], &asked["device"]), (&json!(SCHEMA), &json!("device"), &json!(2)));
    assert_eq!(asked["models"][0]["gpu"], json!({ "ordinal": 2, "sms": 32, "completion": "blocking", "before": 8 }));
    assert!(asked["models"][1].get("gpu").is_none());
}

fn kernels() -> Kernels {
    let form =
        |name: &str| Form { name: name.to_owned(), element: ElementType::F32, shape: vec![2, 8], size: Bytes(64) };
    let arguments = [
        (ArgumentKind::Tensor, 1),
        (ArgumentKind::Buffer, 0),
        (ArgumentKind::Word, 7),
        (ArgumentKind::Long, -1),
        (ArgumentKind::Tensor, 0),
    ];
    let arguments = arguments.map(|(kind, number)| Argument(kind, number)).to_vec();
    let launch = Launch { kernel: "blur".to_owned(), grid: [4, 2, 1], block: [32, 1, 1], shared: 1_024, arguments };
    Kernels { inputs: vec![form("x")], outputs: vec![form("y")], buffers: vec![Bytes(100)], launches: vec![launch] }
}

#[test]
fn launches_are_asked_with_the_requests_of_a_run_and_their_digest_is_in_the_profile() {
    let own = kernels();
    let asked = ModelRequest {
        backend: "kernels",
        kernels: Some(KernelsRequest::of(&own, "5f".to_owned())),
        ..model(Some(part(2)))
    };
    let form = |name: &str| json!({ "name": name, "dtype": "f32", "shape": [2, 8] });
    let arguments = json!([["tensor", 1], ["buffer", 0], ["word", 7], ["long", -1], ["tensor", 0]]);
    let launch =
        json!({ "kernel": "blur", "grid": [4, 2, 1], "block": [32, 1, 1], "shared": 1024, "arguments": arguments });
    let expected = json!({ "inputs": [form("x")], "outputs": [form("y")], "run": [100, -1], "launches": [launch] });
    assert_eq!(serde_json::to_value(&asked).unwrap()["kernels"], expected);
    let answer: Answer = serde_json::from_value(answer()).unwrap();
    let profile = answer.model_profile(&asked).unwrap();
    assert_eq!(profile.segments[0].launches_sha256, Some("5f".to_owned()));
    assert_eq!(profile.conditions.runtime, "", "no library takes part");
    let other = answer.model_profile(&model(Some(part(2)))).unwrap();
    assert_eq!(
        (other.segments[0].launches_sha256.clone(), other.conditions.runtime.as_str()),
        (None, "onnxruntime 1.32.0")
    );
}

#[test]
fn a_measured_part_is_in_the_profiles_conditions_with_its_device() {
    let answer: Answer = serde_json::from_value(answer()).unwrap();
    let profile = answer.model_profile(&model(Some(part(2)))).unwrap();
    let text = toml::to_string(&profile).unwrap();
    for part in [
        "[conditions.gpu]\nname = \"NVIDIA H200\"\ndriver = \"13.0\"\ncompute-capability = \"9.0\"\nsms = 32\ncompletion = \"blocking\"\n",
        "not-captured = \"it waits for the CPU\"\n",
        "[segment.alone]\nruns = 5\n",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(toml::from_str::<crate::profile::ModelProfile>(&text).unwrap(), profile);
    assert_eq!(answer.model_profile(&model(None)).unwrap().conditions.gpu, None);
    assert!(!text.contains("after ="), "{text}");
    let mut told = self::answer();
    told["models"][0]["after"] = json!(["lines", "voice"]);
    let later: Answer = serde_json::from_value(told).unwrap();
    let text = toml::to_string(&later.model_profile(&model(Some(part(2)))).unwrap()).unwrap();
    assert!(text.contains("completion = \"blocking\"\nafter = [\"lines\", \"voice\"]\n"), "{text}");
    let error = answer.model_profile(&model(Some(part(0)))).unwrap_err();
    assert!(error.contains("device 0"), "{error}");
}

#[test]
fn clocks_power_and_heat_are_in_the_profiles_conditions_and_what_nobody_tells_is_not() {
    let told: Answer = serde_json::from_value(answer()).unwrap();
    let profile = told.model_profile(&model(Some(part(2)))).unwrap();
    let text = toml::to_string(&profile).unwrap();
    let expected = "[conditions.state]\npower-mode = \"MAXN\"\n\
                    changed = ['the power mode went from \"15W\" to \"MAXN\"']\n\n\
                    [conditions.state.core]\nleast-clock-khz = 1000\nmost-clock-khz = 2000\n\n\
                    [conditions.state.gpu]\nclock-khz = 1980000\ntemperature-mc = 41000\n\n";
    assert!(text.contains(expected), "{text}");
    assert_eq!(toml::from_str::<crate::profile::ModelProfile>(&text).unwrap(), profile);
    let on_cpu = told.model_profile(&model(None)).unwrap().conditions.state.unwrap();
    assert!(on_cpu.gpu.is_empty() && !on_cpu.core.is_empty());
    let mut silent = answer();
    silent["state"] = json!({ "power_mode": null, "cores": [], "gpus": [], "changed": [] });
    let told: Answer = serde_json::from_value(silent).unwrap();
    assert_eq!(told.model_profile(&model(None)).unwrap().conditions.state, None);
}

#[test]
fn the_largest_of_a_series_become_its_tail_where_they_are_of_it() {
    let mut told = answer();
    let segment = &mut told["models"][0]["segments"][0];
    segment["upper"] = json!({ "observations": 5, "at": [3, 1], "times_ns": [4, 3] });
    let read: Answer = serde_json::from_value(told.clone()).unwrap();
    let profile = read.model_profile(&model(Some(part(2)))).unwrap();
    let tail = profile.segments[0].tail.clone().unwrap();
    assert!(!tail.accepted && tail.is_consistent(5) && tail.exceedances == 1, "{tail:?}");
    let text = toml::to_string(&profile).unwrap();
    assert!(text.contains("[segment.tail]\naccepted = false\nwhy = \"1 observations"), "{text}");
    assert_eq!(toml::from_str::<crate::profile::ModelProfile>(&text).unwrap(), profile);
    assert_eq!(read.samples("face").len(), 1);
    for (key, value) in [("observations", json!(6)), ("at", json!([1, 1])), ("times_ns", json!([3, 3]))] {
        let mut other = told.clone();
        other["models"][0]["segments"][0]["upper"][key] = value;
        let read: Answer = serde_json::from_value(other).unwrap();
        assert_eq!(read.model_profile(&model(Some(part(2)))).unwrap().segments[0].tail, None, "{key}");
    }
}

#[test]
fn a_device_that_was_asked_has_a_profile() {
    let read: Answer = serde_json::from_value(answer()).unwrap();
    let profile = read.device_profile(2).unwrap();
    assert_eq!(crate::device::parse(&toml::to_string(&profile).unwrap()).unwrap(), profile);
    assert_eq!((profile.unit, profile.units, profile.facts().unwrap().divisible), (Some(8), Some(15), 120));
    assert!(read.device_profile(0).unwrap_err().contains("device 0"));
    assert_eq!((profile.context_bytes, profile.part_bytes), (None, None), "what nobody tells is not zero");
    let mut told = answer();
    told["devices"][0]["context_bytes"] = json!(500);
    told["devices"][0]["part_bytes"] = json!(0);
    let told: Answer = serde_json::from_value(told).unwrap();
    let told = told.device_profile(2).unwrap();
    assert_eq!((told.context_bytes, told.part_bytes), (Some(500), Some(0)));
    assert_eq!((told.domain_switch_ns, told.blackout_hang_ns), (None, None), "it was asked in one process");
    let mut shared = answer();
    let ends = ["crash", "kill", "hang", "memory"]
        .map(|end| json!({ "end": end, "rounds": 8, "shortest_ns": 1, "longest_ns": 1_000 + end.len() }));
    shared["devices"][0]["sharing"] =
        json!({ "switch_ns": 150, "starting": { "end": "starting", "longest_ns": 7 }, "blackouts": ends[..3] });
    let shared: Answer = serde_json::from_value(shared).unwrap();
    let shared = shared.device_profile(2).unwrap();
    assert_eq!(crate::device::parse(&toml::to_string(&shared).unwrap()).unwrap(), shared);
    let facts = shared.facts().unwrap();
    let expected = [Some(1_005), Some(1_004), Some(1_004), None];
    assert_eq!((facts.domain_switch_ns, facts.blackouts_ns), (Some(150), expected), "what was not tried is not zero");
    let mut undivided = answer();
    undivided["devices"][0]["unit"] = Value::Null;
    undivided["devices"][0]["units"] = json!(0);
    let read: Answer = serde_json::from_value(undivided).unwrap();
    let profile = read.device_profile(2).unwrap();
    assert_eq!((profile.unit, profile.units), (None, None));
}

#[test]
fn an_answer_without_gpus_is_as_it_was() {
    let mut without = answer();
    without.as_object_mut().unwrap().remove("devices");
    let segment = without["models"][0]["segments"][0].as_object_mut().unwrap();
    segment.remove("alone");
    segment.remove("not_captured");
    let read: Answer = serde_json::from_value(without).unwrap();
    let profile = read.model_profile(&model(None)).unwrap();
    let text = toml::to_string(&profile).unwrap();
    assert!(!text.contains("alone") && !text.contains("not-captured") && !text.contains("gpu"), "{text}");
}

#[test]
fn engines_are_asked_by_their_names_and_how_they_were_built_is_in_the_profile() {
    let engines = Engines { library: EngineLibrary::TensorRt, precision: Precision::Half, workspace: Bytes(1 << 20) };
    let asked = ModelRequest { engines: Some(EnginesRequest::of(engines)), ..model(Some(part(2))) };
    let expected = json!({ "library": "tensorrt", "precision": "fp16", "workspace_bytes": 1 << 20, "built": [] });
    assert_eq!(serde_json::to_value(&asked).unwrap()["engines"], expected);
    let without: Answer = serde_json::from_value(answer()).unwrap();
    assert_eq!(without.model_profile(&asked).unwrap_err(), "the probe measured it without engines");
    let mut told = answer();
    told["models"][0]["engines_version"] = json!("10.14.1");
    told["models"][0]["segments"][0]["engine_sha256"] = json!("ab");
    let told: Answer = serde_json::from_value(told).unwrap();
    let profile = told.model_profile(&asked).unwrap();
    assert_eq!(profile.conditions.engines, Some(engines.built_by("10.14.1")));
    assert_eq!(profile.segments[0].engine_sha256.as_deref(), Some("ab"));
}

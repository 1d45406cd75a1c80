//! A vehicle of the reference's models, cut into segments, measured and planned on this machine.

use crate::local::{Local, probe_program};
use aegis_codegen::check::{Options, check_loaded, load};
use aegis_codegen::fetch::Kind;
use aegis_codegen::manifest::Execution;
use aegis_codegen::onnx::cut::Cutter;
use aegis_codegen::onnx::read;
use aegis_codegen::onnx::shapes::{Dimensions, Shapes};
use aegis_codegen::probe::{self, Library, ModelRequest, Request, ShapeRequest};
use aegis_codegen::tables;
use aegis_core::desc::SystemDesc;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A model with the shape of its open input, its period, and the nodes or values after which it is cut.
struct Part {
    name: &'static str,
    dimensions: &'static [(&'static str, &'static str)],
    period: &'static str,
    cuts: &'static [&'static str],
}

/// The most important first.
const PARTS: [Part; 3] = [
    Part { name: "orientation", dimensions: &[("x", "1,3,224,224")], period: "500ms", cuts: &["p2o.pd_op.relu.0.0"] },
    Part {
        name: "voice",
        dimensions: &[],
        period: "600ms",
        cuts: &[
            "F0::If_0_then_branch__Inline_0__/encoder/1/reparam_conv/Conv_output_0",
            "F2::If_0_then_branch__Inline_0__/decoder/rnn/Concat_2_output_0",
        ],
    },
    Part {
        name: "face",
        dimensions: &[],
        period: "700ms",
        cuts: &[
            "StatefulPartitionedCall/functional_1/re_lu/Relu:0",
            "StatefulPartitionedCall/functional_1/max_pooling2d/MaxPool:0",
            "StatefulPartitionedCall/functional_1/conv2d_4/BiasAdd:0",
            "StatefulPartitionedCall/functional_1/re_lu_11/Relu:0",
        ],
    },
];

/// The files of a model: its own, or its segments'.
pub(crate) fn files(whole: &Local, folder: &Path, name: &str) -> Vec<PathBuf> {
    let part = PARTS.iter().find(|part| part.name == name).unwrap();
    match part.cuts {
        [] => vec![whole.file(Kind::Model, name)],
        cuts => (0..=cuts.len()).map(|number| folder.join(format!("{name}.{}.onnx", number + 1))).collect(),
    }
}

/// Cuts a model and writes its segments.
fn cut(whole: &Local, folder: &Path, part: &Part) {
    // The segments are named after the file.
    let original = folder.join(format!("{}.onnx", part.name));
    std::fs::copy(whole.file(Kind::Model, part.name), &original).unwrap();
    let model = read(&original).unwrap().unwrap();
    let dimensions: Vec<String> = part.dimensions.iter().map(|(input, shape)| format!("{input}={shape}")).collect();
    let shapes = Shapes::of(&model, &Dimensions::parse(&dimensions).unwrap(), None).unwrap();
    let cutter = Cutter::new(&model);
    let cut = cutter.cut(&cutter.after(part.cuts).unwrap(), &shapes, None).unwrap();
    assert_eq!(cut.write(folder).unwrap(), files(whole, folder, part.name));
}

/// The vehicle's plan. All of it, manifest, segments and profiles, is written into `folder`.
pub(crate) fn plan(whole: &Local, folder: &Path) -> &'static SystemDesc {
    let library = whole.file(Kind::Library, "onnxruntime");
    let mut text = format!(
        "system = {{ name = \"cut\", policy = \"rate-monotonic\" }}\n\
         runtime.onnxruntime = {{ version = \"1.32.0\", file = {library:?} }}\n\
         device.cpu0 = {{ kind = \"cpu\", memory = \"1GiB\" }}\n\
         lane.main = {{ device = \"cpu0\", core = 1, preemption = \"segments\", dispatch-overhead = \"1ms\", \
         wakeup-latency = \"5ms\" }}\n"
    );
    for part in &PARTS {
        if !part.cuts.is_empty() {
            cut(whole, folder, part);
        }
        let files = files(whole, folder, part.name);
        let files = if part.cuts.is_empty() { format!("file = {:?}", files[0]) } else { format!("files = {files:?}") };
        let inputs: Vec<String> = part.dimensions.iter().map(|(name, shape)| format!("{name} = [{shape}]")).collect();
        let Part { name, period, .. } = part;
        writeln!(
            text,
            "[model.{name}]\nbackend = \"onnxruntime\"\n{files}\ntensors = \"job\"\ninputs = {{ {} }}\n\
             [task.{name}]\nmodel = \"{name}\"\nlane = \"main\"\nperiod = \"{period}\"\nprofile = \"{name}.toml\"",
            inputs.join(", ")
        )
        .unwrap();
    }
    let file = folder.join("system.toml");
    std::fs::write(&file, &text).unwrap();
    let (loaded, findings) = load(&file.to_string_lossy(), text);
    let loaded = loaded.unwrap_or_else(|| panic!("{findings:#?}"));
    let models = loaded.manifest.tasks.iter().map(|task| {
        let model = &loaded.manifest.models[task.model.unwrap()];
        let shapes = model.inputs.iter();
        ModelRequest {
            name: model.name.get_ref().clone(),
            files: files(whole, folder, model.name.get_ref()),
            backend: "onnxruntime",
            core: 1,
            inputs: shapes
                .map(|(name, shape)| ShapeRequest { name: name.get_ref().clone(), shape: shape.clone() })
                .collect(),
            gpu: None,
            kernels: None,
            engines: None,
        }
    });
    let request = Request {
        schema: probe::SCHEMA,
        command: "profile",
        device: None,
        libraries: vec![Library { name: "onnxruntime".to_owned(), path: library, version: "1.32.0".to_owned() }],
        orchestration_core: 0,
        lanes: Vec::new(),
        models: models.collect(),
        min_runs: 3,
        min_seconds: 0,
        warmup_runs: 1,
    };
    let answer = probe::ask(&probe_program(), &request, |_, _, _| {}).unwrap();
    for (model, task) in request.models.iter().zip(&loaded.manifest.tasks) {
        let profile = answer.model_profile(model).unwrap();
        assert!(profile.segments.iter().all(|segment| segment.memory == "planned"), "{profile:#?}");
        let Execution::Profile(path) = &task.execution else { panic!("every task has a profile") };
        std::fs::write(loaded.profile_file(path.get_ref(), None), toml::to_string(&profile).unwrap()).unwrap();
    }
    let checked = check_loaded(&loaded, findings, Options::default()).unwrap();
    let lock = checked.lock.unwrap_or_else(|| panic!("{:#?}", checked.findings));
    tables::leak(&lock).unwrap()
}

//! `aegis init`: a crate of a user's own, which builds and runs outside this workspace.

use crate::{aegis, root, status, taplo, text};
use aegis_codegen::manifest::{Source, parse};
use aegis_codegen::onnx::proto::tensor_shape_proto::{Dimension, dimension};
use aegis_codegen::onnx::proto::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto, type_proto,
};
use prost::Message as _;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

fn value(name: &str, element: i32, sides: &[i64]) -> ValueInfoProto {
    let open = || dimension::Value::DimParam("batch".to_owned());
    let side = |side: &i64| if *side > 0 { dimension::Value::DimValue(*side) } else { open() };
    let dim = sides.iter().map(|one| Dimension { value: Some(side(one)), denotation: None }).collect();
    let tensor = type_proto::Tensor { elem_type: Some(element), shape: Some(TensorShapeProto { dim }) };
    let of = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), denotation: None };
    ValueInfoProto { name: Some(name.to_owned()), r#type: Some(of), ..ValueInfoProto::default() }
}

/// A model of one node, whose input has this type and these dimensions.
fn model(path: &Path, element: i32, sides: &[i64]) {
    let node = NodeProto {
        op_type: Some("Relu".to_owned()),
        input: vec!["x:0".to_owned()],
        output: vec!["y".to_owned()],
        ..NodeProto::default()
    };
    let graph = GraphProto {
        name: Some("small".to_owned()),
        node: vec![node],
        input: vec![value("x:0", element, sides)],
        output: vec![value("y", element, sides)],
        ..GraphProto::default()
    };
    let opset = OperatorSetIdProto { domain: None, version: Some(17) };
    let model =
        ModelProto { ir_version: Some(8), opset_import: vec![opset], graph: Some(graph), ..ModelProto::default() };
    std::fs::write(path, model.encode_to_vec()).unwrap();
}

/// What lies in a folder, but for what begins with a dot.
fn names(folder: &Path) -> BTreeSet<String> {
    let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    all.collect()
}

/// Whether `rustfmt` would change nothing.
fn is_formatted(folder: &Path) {
    for file in ["build.rs", "src/main.rs"] {
        let checked =
            Command::new("rustfmt").args(["--check", "--edition", "2024"]).arg(folder.join(file)).output().unwrap();
        assert!(checked.status.success(), "{file}: {}", text(&checked.stdout));
    }
}

#[test]
fn a_new_vehicle_has_a_sound_manifest_and_nothing_is_overwritten() {
    let outside = tempfile::tempdir().unwrap();
    let made = aegis(outside.path(), &["init", "rover"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    assert_eq!(names(outside.path()), BTreeSet::from(["rover".to_owned()]), "nothing is left beside it");
    let folder = outside.path().join("rover");
    let written = [
        ".github",
        ".gitignore",
        "Cargo.lock",
        "Cargo.toml",
        "README.md",
        "build.rs",
        "src",
        "system.schema.json",
        "system.toml",
    ];
    assert_eq!(names(&folder), written.map(str::to_owned).into());
    is_formatted(&folder);
    let manifest = std::fs::read_to_string(folder.join("system.toml")).unwrap();
    assert!(manifest.starts_with("#:schema ./system.schema.json\n"), "{manifest}");
    let (parsed, findings) = parse("system.toml", &manifest);
    assert!(findings.is_empty(), "{findings:?}");
    let reference = std::fs::read_to_string(root().join("system.toml")).unwrap();
    let reference = parse("system.toml", &reference).0.unwrap();
    let parsed = parsed.unwrap();
    // What a source says, without its place in the file.
    let told = |source: &Source| match source {
        Source::File { path } => path.get_ref().clone(),
        Source::Package { package, version, path, sha256, .. } => {
            [package, version, path, sha256].map(|part| part.get_ref().as_str()).join(" ")
        }
    };
    let runtime = |all: &[aegis_codegen::manifest::Runtime]| {
        all.iter().map(|one| (one.version.get_ref().clone(), told(&one.source))).collect::<Vec<_>>()
    };
    assert_eq!(runtime(&parsed.runtimes), runtime(&reference.runtimes), "the runtime is the reference vehicle's");
    let face = reference.models.iter().find(|model| model.name.get_ref() == "face").unwrap();
    assert_eq!(
        told(&parsed.models[0].sources[0]),
        told(&face.sources[0]),
        "the model is one of the reference vehicle's"
    );
    if let Some(taplo) = taplo() {
        let checked = Command::new(taplo).args(["check", "system.toml"]).current_dir(&folder).output().unwrap();
        assert!(checked.status.success(), "{}", text(&checked.stderr));
    }
    // A folder of this name is left as it is.
    std::fs::write(folder.join("mine"), "mine").unwrap();
    let again = aegis(outside.path(), &["init", "rover"]);
    assert_eq!(status(&again), 2);
    assert_eq!(text(&again.stderr), "aegis: `rover` is there already: choose another name, or remove it\n");
    assert!(folder.join("mine").is_file() && names(outside.path()).len() == 1);
    for name in ["Rover", "../rover", "test"] {
        let refused = aegis(outside.path(), &["init", name]);
        assert_eq!(status(&refused), 2, "{name}");
        assert!(
            text(&refused.stderr).contains(&format!("`{name}` cannot be a vehicle's name")),
            "{}",
            text(&refused.stderr)
        );
    }
    assert_eq!(names(outside.path()).len(), 1);
}

#[test]
fn models_become_tasks_and_what_they_leave_open_is_asked_for() {
    let outside = tempfile::tempdir().unwrap();
    model(&outside.path().join("Sign Text.onnx"), 1, &[0, 3, 8]);
    model(&outside.path().join("sign_text.onnx"), 7, &[1, 8]);
    let made = aegis(outside.path(), &["init", "rover", "--from", "Sign Text.onnx", "sign_text.onnx"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let folder = outside.path().join("rover");
    is_formatted(&folder);
    let of = |name: &str| std::fs::read(outside.path().join(name)).unwrap();
    assert_eq!(of("rover/models/sign-text.onnx"), of("Sign Text.onnx"));
    assert_eq!(of("rover/models/sign-text-2.onnx"), of("sign_text.onnx"));
    let manifest = std::fs::read_to_string(folder.join("system.toml")).unwrap();
    assert!(manifest.contains("\n# inputs = { \"x:0\" = [batch, 3, 8] }\n"), "{manifest}");
    assert_eq!(manifest.matches("# inputs = ").count(), 1, "the other file fixes all");
    let (parsed, findings) = parse("system.toml", &manifest);
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!(parsed.unwrap().tasks.len(), 2);
    let main = std::fs::read_to_string(folder.join("src/main.rs")).unwrap();
    for line in [
        ".hooks(plan::task::SIGN_TEXT_2, SignText2Task::default())",
        "// x:0: f32 [batch, 3, 8]",
        "if let Some(values) = inputs.i64(\"x:0\") {",
        "let _values = outputs.i64(\"y\").unwrap_or(&[]);",
    ] {
        assert!(main.contains(line), "{line}: {main}");
    }

    // Half precision is nothing that hooks fill; what is no model is none; and then nothing is written.
    model(&outside.path().join("half.onnx"), 10, &[1, 8]);
    std::fs::write(outside.path().join("text.onnx"), "no model").unwrap();
    for (file, code, words) in [
        ("half.onnx", 2, "its input `x:0` is of float16, and hooks fill inputs of float, int64, int32 and uint8"),
        ("text.onnx", 1, "text.onnx"),
        ("none.onnx", 2, "cannot read `none.onnx`"),
    ] {
        let refused = aegis(outside.path(), &["init", "other", "--from", "sign_text.onnx", file]);
        assert_eq!(status(&refused), code, "{file}");
        assert!(text(&refused.stderr).contains(words), "{}", text(&refused.stderr));
        assert!(!outside.path().join("other").exists(), "{file}: nothing half written");
    }
    // Neither is one whose weights lie beside it: only the file itself would be copied.
    let mut parts = ModelProto::decode(&*of("sign_text.onnx")).unwrap();
    let entry = |key: &str, value: &str| StringStringEntryProto { key: Some(key.into()), value: Some(value.into()) };
    let tensor = TensorProto {
        name: Some("w".to_owned()),
        data_type: Some(1),
        dims: vec![2],
        data_location: Some(1),
        external_data: vec![entry("location", "weights.bin")],
        ..TensorProto::default()
    };
    parts.graph.as_mut().unwrap().initializer.push(tensor);
    std::fs::write(outside.path().join("parts.onnx"), parts.encode_to_vec()).unwrap();
    std::fs::write(outside.path().join("weights.bin"), [0; 8]).unwrap();
    let refused = aegis(outside.path(), &["init", "other", "--from", "parts.onnx"]);
    assert_eq!(status(&refused), 2);
    assert!(text(&refused.stderr).contains("in other files, `weights.bin`"), "{}", text(&refused.stderr));
    assert!(!outside.path().join("other").exists());
    let refused = aegis(outside.path(), &["init", "other", "--aegis", "."]);
    assert_eq!(status(&refused), 2);
    assert!(text(&refused.stderr).contains("there are no sources of AegisRT at `.`"), "{}", text(&refused.stderr));
}

/// A vehicle of one small model, so that measuring it takes seconds.
#[test]
fn a_new_vehicle_builds_and_runs_outside_this_workspace() {
    if aegis_tests::fetched::reference_files().is_none() {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    assert_eq!(status(&aegis(outside.path(), &["init", "newcomer"])), 0);
    let folder = outside.path().join("newcomer");
    let summary = folder.join("summary.json");
    // Builds share the repository's target folder, so that only the vehicle's crate is compiled anew.
    let ran = Command::new(env!("CARGO_BIN_EXE_aegis"))
        .args(["run", "--fit", "--for", "1s", "--allow-void", "--summary", "summary.json"])
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", root().join("target"))
        .env_remove("AEGIS_LOCK")
        .output()
        .unwrap();
    let words = format!("{}{}", text(&ran.stdout), text(&ran.stderr));
    // Status 1 where the machine was too busy for a deadline meanwhile.
    assert!(matches!(ran.status.code(), Some(0 | 1)), "{words}");
    assert!(words.contains("face: ") && words.contains(" jobs\n"), "{words}");
    let summary = std::fs::read_to_string(&summary).unwrap_or_else(|error| panic!("{error}: {words}"));
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["vehicle"], "newcomer");
    assert!(summary["tasks"][0]["jobs"].as_u64() > Some(0), "{summary}");
}

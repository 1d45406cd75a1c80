//! `aegis model` and `aegis model cut` as a user starts them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use aegis_codegen::onnx::proto::tensor_shape_proto::{Dimension, dimension};
use aegis_codegen::onnx::proto::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};
use prost::Message as _;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn aegis(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aegis")).args(arguments).current_dir(folder).output().unwrap()
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn value(name: &str, batch: Option<i64>) -> ValueInfoProto {
    let symbol = || dimension::Value::DimParam("batch".to_owned());
    let sides = [batch.map_or_else(symbol, dimension::Value::DimValue), dimension::Value::DimValue(8)];
    let dim = sides.into_iter().map(|side| Dimension { value: Some(side), denotation: None }).collect();
    let tensor = type_proto::Tensor { elem_type: Some(1), shape: Some(TensorShapeProto { dim }) };
    let of = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), denotation: None };
    ValueInfoProto { name: Some(name.to_owned()), r#type: Some(of), ..ValueInfoProto::default() }
}

fn node(operator: &str, name: &str, input: &str, output: &str) -> NodeProto {
    NodeProto {
        op_type: Some(operator.to_owned()),
        name: Some(name.to_owned()),
        input: vec![input.to_owned()],
        output: vec![output.to_owned()],
        ..NodeProto::default()
    }
}

/// `x -> Relu -> Conv -> Relu -> y`, whose batch is open, as `chain.onnx` in a folder of its own.
fn chain() -> tempfile::TempDir {
    let graph = GraphProto {
        name: Some("chain".to_owned()),
        node: vec![node("Relu", "r1", "x", "a"), node("Conv", "c", "a", "b"), node("Relu", "r2", "b", "y")],
        input: vec![value("x", None)],
        output: vec![value("y", None)],
        value_info: vec![value("a", None), value("b", None)],
        ..GraphProto::default()
    };
    let model = ModelProto {
        ir_version: Some(8),
        opset_import: vec![OperatorSetIdProto { domain: None, version: Some(17) }],
        graph: Some(graph),
        ..ModelProto::default()
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("chain.onnx"), model.encode_to_vec()).unwrap();
    folder
}

const PROFILE: &str = r#"[
{"cat":"Session","name":"model_loading_uri","dur":9,"ts":0,"args":{}},
{"cat":"Node","name":"r1_kernel_time","dur":9,"args":{"op_name":"Relu","node_index":"0","output_size":"64","output_type_shape":[{"float":[2,8]}]}},
{"cat":"Node","name":"c_kernel_time","dur":19,"args":{"op_name":"Conv","node_index":"1","output_size":"64","output_type_shape":[{"float":[2,8]}]}},
{"cat":"Node","name":"r2_kernel_time","dur":9,"args":{"op_name":"Relu","node_index":"2","output_size":"64","output_type_shape":[{"float":[2,8]}]}},
{"cat":"Session","name":"model_run","dur":40,"args":{}}
]"#;

#[test]
fn a_model_is_summarized_the_same_way_every_time() {
    let folder = chain();
    let shown = aegis(folder.path(), &["model", "chain.onnx", "--dim", "x=2,8"]);
    assert_eq!(status(&shown), 0, "{}", stderr(&shown));
    let expected = "\
chain.onnx: 3 nodes; IR 8, operators ai.onnx 17
|        | name | type  | shape  | bytes |
|--------|------|-------|--------|-------|
| input  | x    | float | [2, 8] |    64 |
| output | y    | float | [2, 8] |    64 |
| operator | nodes | time |
|----------|-------|------|
| Relu     |     2 |    - |
| Conv     |     1 |    - |
| memory                                 | bytes |       | at node      |
|----------------------------------------|-------|-------|--------------|
| weights                                |     0 |   0 B |              |
| 4 activations                          |   256 | 256 B |              |
| peak, nothing shared                   |   128 | 128 B | 0: Relu `r1` |
| lower bound                            |   128 | 128 B | 1: Conv `c`  |
| lower bound without inputs and outputs |     0 |   0 B | 0: Relu `r1` |
";
    assert_eq!(stdout(&shown), expected);
    std::fs::write(folder.path().join("p.json"), PROFILE).unwrap();
    let arguments = ["model", "chain.onnx", "--dim", "x=2,8", "--profile", "p.json", "--format", "json"];
    let [one, other] = [(); 2].map(|()| aegis(folder.path(), &arguments).stdout);
    assert_eq!(one, other);
    let json: Value = serde_json::from_slice(&one).unwrap();
    assert_eq!(json["schema"], "aegis.model/1");
    assert_eq!(json["lower_bound"]["bytes"], 128);
    assert_eq!(json["measured"]["whole_graph"], true);
    assert_eq!(json["measured"]["time_ns"], 40_000);
    assert_eq!(json["activations"][1]["upper"], 2);
}

#[test]
fn the_recorded_peak_comes_from_a_model_profile() {
    let folder = chain();
    let of_face = Path::new(env!("CARGO_MANIFEST_DIR")).join("../profiles/dev-vm/face.toml");
    let with =
        |profile: &str| aegis(folder.path(), &["model", "chain.onnx", "--dim", "x=2,8", "--model-profile", profile]);
    // The profile of another model says nothing.
    let foreign = with(of_face.to_str().unwrap());
    assert_eq!(status(&foreign), 2);
    assert!(String::from_utf8_lossy(&foreign.stderr).contains("it is of a file with SHA-256"));
    let text = std::fs::read_to_string(of_face).unwrap();
    let own = aegis_codegen::lock::sha256(&std::fs::read(folder.path().join("chain.onnx")).unwrap());
    let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap();
    let text = text.replace(line("sha256"), &format!("sha256 = \"{own}\""));
    let text = text.replace(line("runs = [["), "runs = [[100, 50, -1, 60, -2, -3], [100, 60, -1, -2, 50, -3]]");
    std::fs::write(folder.path().join("own.toml"), text).unwrap();
    let shown = with("own.toml");
    assert!(stdout(&shown).contains("0 of 3 recorded requests have a name"), "{}", stdout(&shown));
    let told = stdout(&shown).lines().find(|line| line.contains("recorded peak without inputs and outputs"));
    assert!(told.is_some_and(|line| line.contains(" 160 ")), "{}", stdout(&shown));
    let wrong = aegis(folder.path(), &["model", "chain.onnx", "--dim", "x=2,8", "--model-profile", "chain.onnx"]);
    assert_eq!(status(&wrong), 2);
}

#[test]
fn faults_are_findings_and_what_cannot_be_read_is_status_2() {
    let folder = chain();
    let whole = std::fs::read(folder.path().join("chain.onnx")).unwrap();
    std::fs::write(folder.path().join("half.onnx"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(folder.path().join("p.json"), "[]").unwrap();
    for (arguments, code) in [
        (&["model", "half.onnx"][..], "AEG505"),
        (&["model", "chain.onnx"], "AEG513"),
        (&["model", "chain.onnx", "--dim", "x=2,9"], "AEG514"),
        (&["model", "chain.onnx", "--dim", "x=2,8", "--profile", "p.json"], "AEG516"),
        (&["model", "cut", "chain.onnx", "--dim", "x=2,8", "--at", "r3"], "AEG517"),
    ] {
        let output = aegis(folder.path(), arguments);
        assert_eq!(status(&output), 1, "{arguments:?}");
        assert!(
            stderr(&output).contains(&format!("error[{code}]")) && stdout(&output).is_empty(),
            "{}",
            stderr(&output)
        );
    }
    for arguments in [
        &["model"][..],
        &["model", "gone.onnx"],
        &["model", "chain.onnx", "--dim", "x"],
        &["model", "chain.onnx", "--dim", "x=2,8", "--profile", "gone.json"],
        &["model", "cut", "chain.onnx"],
        &["model", "cut", "chain.onnx", "--max-segment", "3ms"],
        &["model", "cut", "chain.onnx", "--profile", "p.json", "--max-segment", "3"],
        &["model", "cut", "chain.onnx", "--dim", "x=2,8", "--at", "c", "-o", "chain.onnx"],
    ] {
        let output = aegis(folder.path(), arguments);
        assert_eq!(status(&output), 2, "{arguments:?}: {}", stderr(&output));
        assert!(!stderr(&output).is_empty());
    }
}

#[test]
fn segments_are_written_beside_the_model_and_printed() {
    let folder = chain();
    std::fs::write(folder.path().join("p.json"), PROFILE).unwrap();
    let fixed = ["model", "cut", "chain.onnx", "--dim", "x=2,8", "--profile", "p.json"];
    let all = aegis(folder.path(), &[&fixed[..], &["--at", "a", "c"]].concat());
    assert_eq!(status(&all), 0, "{}", stderr(&all));
    assert!(
        stdout(&all).contains("2 -> 3, after `c`: 1 value carried, 64 bytes\n    b float [2, 8] 64\n"),
        "{}",
        stdout(&all)
    );
    let fewer = aegis(folder.path(), &[&fixed[..], &["--max-segment", "30us", "--format", "json"]].concat());
    assert_eq!(status(&fewer), 0, "{}", stderr(&fewer));
    assert!(
        stderr(&fewer).contains("`./chain.3.onnx` is of an earlier cut") || stderr(&fewer).contains("chain.3.onnx")
    );
    let json: Value = serde_json::from_slice(&fewer.stdout).unwrap();
    assert_eq!((&json["schema"], json["segments"].as_array().unwrap().len()), (&"aegis.cut/1".into(), 2));
    assert!(json["segments"].as_array().unwrap().iter().all(|segment| segment["time_ns"].as_u64().unwrap() <= 30_000));
    // Each segment is a model with every dimension fixed.
    for segment in ["chain.1.onnx", "chain.2.onnx"] {
        assert_eq!(status(&aegis(folder.path(), &["model", segment])), 0);
    }
    let short = aegis(folder.path(), &[&fixed[..], &["--max-segment", "15us"]].concat());
    assert_eq!(status(&short), 1);
    assert!(stderr(&short).contains("error[AEG518]: node `c` takes 20.000 us, a segment may take 15.000 us"));
}

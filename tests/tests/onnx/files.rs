//! What is wrong with a file is found, all of it, and nothing that a file can contain stops the reader.

use crate::build::{changed, check, node, ones, real, small, value};
use aegis_codegen::finding::{Code, Finding};
use aegis_codegen::onnx::proto::{AttributeProto, GraphProto, ModelProto, StringStringEntryProto, TensorProto};
use aegis_codegen::onnx::shapes::{Dimensions, Shapes};
use aegis_codegen::onnx::summary::Summary;
use aegis_codegen::onnx::{Checked, Model, decode, read};
use prost::Message as _;
use std::path::Path;

fn refused(model: &ModelProto) -> Vec<Finding> {
    check(model).map(|_| ()).unwrap_err()
}

/// The only finding against a model.
fn only(model: &ModelProto, code: Code) -> String {
    let findings = refused(model);
    assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [code], "{findings:#?}");
    assert!(findings[0].help.is_some() && findings[0].labels[0].file == "small.onnx");
    findings[0].message.clone()
}

#[test]
fn the_small_model_is_sound() {
    assert!(check(&small()).is_ok());
}

#[test]
fn a_cycle_is_named_node_by_node() {
    let model = changed(|graph| {
        graph.node.push(node("Add", "p", &["x", "r"], &["q"]));
        graph.node.push(node("Relu", "s", &["q"], &["r"]));
        graph.node.push(node("Relu", "behind", &["r"], &["z"]));
    });
    let message = only(&model, Code::GraphCycle);
    assert!(message.contains("`p` waits for `s` waits for `p`"), "{message}");
    assert!(!message.contains("behind"));
}

#[test]
fn a_cycle_in_a_subgraph_is_found_where_it_is() {
    let body = GraphProto {
        name: Some("then".to_owned()),
        node: vec![node("Add", "inner", &["a", "b"], &["b"])],
        output: vec![value("b", 1, &[2, 3])],
        ..GraphProto::default()
    };
    let model = changed(|graph| graph.node.push(with_subgraph(body)));
    let message = only(&model, Code::GraphCycle);
    assert!(message.contains("subgraph `then` of node `if`") && message.contains("`inner`"), "{message}");
}

fn with_subgraph(body: GraphProto) -> aegis_codegen::onnx::proto::NodeProto {
    let attribute = AttributeProto {
        name: Some("then_branch".to_owned()),
        r#type: Some(5),
        g: Some(body),
        ..AttributeProto::default()
    };
    let mut branch = node("If", "if", &["x"], &["branched"]);
    branch.attribute.push(attribute);
    branch
}

#[test]
fn a_subgraph_uses_the_values_around_it_and_only_what_exists() {
    let body = |inner: &str| GraphProto {
        node: vec![node("Add", "inner", &["a", inner], &["b"])],
        output: vec![value("b", 1, &[2, 3])],
        ..GraphProto::default()
    };
    assert!(check(&changed(|graph| graph.node.push(with_subgraph(body("w"))))).is_ok());
    let message = only(&changed(|graph| graph.node.push(with_subgraph(body("lost")))), Code::UndefinedValue);
    assert!(message.contains("node `if` uses `lost`"), "{message}");
    // The use inside the subgraph orders the graph: the If comes before what it needs, and is sorted behind it.
    let model = check(&changed(|graph| graph.node.insert(0, with_subgraph(body("w"))))).unwrap();
    assert!(!model.was_sorted());
    let order: Vec<&str> = model.graph().node.iter().map(|node| node.name()).collect();
    assert_eq!(order, ["first", "if", "second"]);
}

#[test]
fn an_undefined_input_and_an_undefined_output_are_found() {
    let message = only(&changed(|graph| graph.node[1].input[0] = "lost".to_owned()), Code::UndefinedValue);
    assert!(message.contains("`second` uses `lost`"), "{message}");
    let message = only(&changed(|graph| graph.output.push(value("gone", 1, &[1]))), Code::UndefinedValue);
    assert!(message.contains("`gone`"), "{message}");
}

#[test]
fn a_value_given_twice_is_found_with_both_producers() {
    let message = only(&changed(|graph| graph.node.push(node("Relu", "again", &["x"], &["a"]))), Code::DuplicateValue);
    assert!(message.contains("node `first`") && message.contains("node `again`"), "{message}");
    let message = only(&changed(|graph| graph.initializer.push(ones("a", &[1]))), Code::DuplicateValue);
    assert!(message.contains("an initializer") && message.contains("node `first`"), "{message}");
    let twice = changed(|graph| graph.input.push(value("x", 1, &[2, 3])));
    assert!(only(&twice, Code::DuplicateValue).contains("another input"));
    // An initializer is an input's default: that is one value, as files of early versions have it.
    assert!(check(&changed(|graph| graph.input.push(value("w", 1, &[2, 3])))).is_ok());
}

#[test]
fn an_unknown_element_type_is_found_in_tensors_and_values() {
    let message = only(&changed(|graph| graph.initializer[0].data_type = Some(99)), Code::UnknownElement);
    assert!(message.contains("`w`") && message.contains("99"), "{message}");
    let message = only(&changed(|graph| graph.initializer[0].data_type = None), Code::UnknownElement);
    assert!(message.contains("element type 0"), "{message}");
    let message = only(&changed(|graph| graph.value_info[0] = value("a", -3, &[2, 3])), Code::UnknownElement);
    assert!(message.contains("`a`") && message.contains("-3"), "{message}");
}

#[test]
fn data_of_another_length_than_the_shape_are_found() {
    only(&changed(|graph| graph.initializer[0].float_data.truncate(5)), Code::TensorLength);
    only(&changed(|graph| graph.initializer[0].dims = vec![i64::MAX, i64::MAX]), Code::TensorLength);
    only(&changed(|graph| graph.initializer[0].dims = vec![-2, -3]), Code::TensorLength);
    only(&changed(|graph| graph.initializer[0].raw_data = Some(vec![0; 23])), Code::TensorLength);
    assert!(check(&changed(|graph| graph.initializer[0].raw_data = Some(vec![0; 24]))).is_ok());
}

#[test]
fn an_empty_graph_and_missing_parts_are_found_at_once() {
    only(
        &changed(|graph| {
            graph.node.clear();
            graph.output.clear()
        }),
        Code::EmptyGraph,
    );
    let codes: Vec<Code> = refused(&ModelProto::default()).iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [Code::NotOnnx; 3], "no version, no operator set, no graph");
}

#[test]
fn all_faults_are_reported_at_once() {
    let model = changed(|graph| {
        graph.node.push(node("Add", "loop", &["c"], &["c"]));
        graph.node.push(node("Relu", "lost", &["nothing"], &["a"]));
        graph.initializer[0].data_type = Some(77);
    });
    let mut codes: Vec<&str> = refused(&model).iter().map(|finding| finding.code.id()).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["AEG507", "AEG508", "AEG509", "AEG510"]);
}

/// The small model with its weight in a file.
fn external(location: &str, offset: Option<&str>, length: Option<&str>) -> ModelProto {
    changed(|graph| {
        let entry =
            |key: &str, value: &str| StringStringEntryProto { key: Some(key.into()), value: Some(value.into()) };
        let mut entries = vec![entry("location", location)];
        entries.extend(offset.map(|offset| entry("offset", offset)));
        entries.extend(length.map(|length| entry("length", length)));
        let weight = &mut graph.initializer[0];
        *weight =
            TensorProto { external_data: entries, data_location: Some(1), float_data: Vec::new(), ..weight.clone() };
    })
}

#[test]
fn external_data_must_lie_in_the_models_folder_and_be_long_enough() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("weights.bin"), vec![0; 40]).unwrap();
    let with = |model: ModelProto| decode("small.onnx", folder.path(), &model.encode_to_vec());
    assert!(with(external("weights.bin", None, None)).is_ok());
    assert!(with(external("weights.bin", Some("16"), Some("24"))).is_ok());
    for (model, word) in [
        (external("missing.bin", None, None), "missing.bin"),
        (external("weights.bin", Some("17"), None), "has 40 bytes, 24 bytes from 17 on are needed"),
        (external("weights.bin", Some("18446744073709551615"), None), "are needed"),
        (external("weights.bin", None, Some("23")), "length is 23 bytes, its shape needs 24"),
        (external("weights.bin", Some("x"), None), "offset `x` is no number"),
        (external("../weights.bin", None, None), "leads out"),
        (external("/etc/passwd", None, None), "leads out"),
        (external("a/../../weights.bin", None, None), "leads out"),
        (external("", None, None), "no location"),
        (external(".", None, None), "no file"),
    ] {
        let findings = with(model).map(|_| ()).unwrap_err();
        assert_eq!((findings.len(), findings[0].code), (1, Code::ExternalData), "{findings:#?}");
        assert!(findings[0].message.contains(word) && findings[0].message.contains("`w`"), "{}", findings[0].message);
    }
}

#[test]
fn an_open_dimension_is_named_with_its_input_index_and_symbol() {
    let open = check(&changed(|graph| {
        graph.input[0] = value("x", 1, &[-1, 3]);
        graph.input.push(value("z", 1, &[-1, -2, 4]));
    }));
    let open = open.unwrap();
    let of = |texts: &[&str]| Shapes::of(&open, &Dimensions::parse(texts).unwrap(), None);
    let findings = of(&[]).map(|_| ()).unwrap_err();
    assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::OpenDimension; 3]);
    assert!(findings[2].message.contains("dimension 1 of input `z`") && findings[2].message.contains("`d2`"));
    assert!(findings[2].help.as_ref().unwrap().contains("--dim 'z="));
    assert!(of(&["x=2,3", "z=2,5,4"]).is_ok());
    for (texts, word) in [
        (["x=2,3", "z=3,5,4"], "`d1` is 2 at input `x` and 3 at input `z`"),
        (["x=2,4", "z=2,5,4"], "dimension 1 of input `x` is 3 in the file, but 4 is given"),
        (["x=2", "z=2,5,4"], "has 2 dimensions, [d1, 3], but 1 are given"),
    ] {
        let findings = of(&texts).map(|_| ()).unwrap_err();
        assert_eq!((findings.len(), findings[0].code), (1, Code::WrongDimensions), "{findings:#?}");
        assert!(findings[0].message.contains(word), "{}", findings[0].message);
    }
    let findings = of(&["x=2,3", "z=2,5,4", "w=1"]).map(|_| ()).unwrap_err();
    assert!(findings[0].message.contains("`w`, which is no input"), "{}", findings[0].message);
    for text in ["x", "x=1,a", "x=-1"] {
        assert!(Dimensions::parse(&[text]).is_err(), "{text}");
    }
}

#[test]
fn a_symbol_that_an_input_fixes_is_fixed_everywhere() {
    let model = check(&changed(|graph| {
        graph.input[0] = value("x", 1, &[-1, 3]);
        graph.value_info[0] = value("a", 1, &[-1, 3]);
    }));
    let shapes = Shapes::of(&model.unwrap(), &Dimensions::parse(&["x=7,3"]).unwrap(), None).unwrap();
    assert_eq!(shapes.get("a").bytes(), Some(7 * 3 * 4));
}

#[test]
fn real_models_come_back_as_they_were() {
    for real in real() {
        let bytes = std::fs::read(&real.path).unwrap();
        let model = ModelProto::decode(bytes.as_slice()).unwrap();
        assert_eq!(model.encode_to_vec(), bytes, "{}: byte for byte", real.name);
        let read = read(&real.path).unwrap().unwrap();
        assert!(read.was_sorted(), "{}", real.name);
        assert_eq!(Some(read.graph()), model.graph.as_ref());
    }
}

/// Everything that is done with a file without running it.
fn everything(bytes: &[u8]) -> Checked<()> {
    let model: Model = decode("mutated.onnx", Path::new("/nowhere"), bytes)?;
    let dimensions = Dimensions::parse(&["x=1,3,320,320"]).unwrap();
    for dimensions in [Dimensions::default(), dimensions] {
        if let Ok(shapes) = Shapes::of(&model, &dimensions, None) {
            let summary = Summary::of(&model, &shapes, None, None);
            assert!(summary.scratch_lower_bound.bytes <= summary.lower_bound.bytes);
            assert!(summary.lower_bound.bytes <= summary.unmerged_peak.bytes || !summary.unknown.is_empty());
            let cutter = aegis_codegen::onnx::cut::Cutter::new(&model);
            let middle = cutter.len() / 2;
            if middle > 0 {
                let _ = cutter.cut(&[middle], &shapes, None);
            }
        }
    }
    Ok(())
}

#[test]
fn no_mutation_of_a_real_file_stops_the_reader() {
    let mut random = fastrand::Rng::with_seed(11);
    let (mut sound, mut refused) = (0, 0);
    for real in real().iter().filter(|real| ["face", "voice", "squeezenet", "resnet50"].contains(&real.name)) {
        let whole = std::fs::read(&real.path).unwrap();
        for _ in 0..1_000 {
            let mut bytes = whole.clone();
            match random.u8(0..4) {
                0 => bytes.truncate(random.usize(0..bytes.len())),
                1 => {
                    let from = random.usize(0..bytes.len() - 99);
                    drop(bytes.drain(from..from + random.usize(1..99)));
                }
                // Near the names and types: most of the file is data, whose bits mean nothing here.
                _ => {
                    let near = random.usize(0..bytes.len());
                    for _ in 0..random.usize(1..12) {
                        let at = (near + random.usize(0..300)).min(bytes.len() - 1);
                        bytes[at] ^= 1 << random.u8(0..8);
                    }
                }
            }
            match everything(&bytes) {
                Ok(()) => sound += 1,
                Err(findings) => {
                    assert!(!findings.is_empty());
                    refused += 1;
                }
            }
        }
    }
    eprintln!("mutations: {sound} still sound, {refused} refused");
}

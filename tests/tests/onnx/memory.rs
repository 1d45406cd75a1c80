//! Lifespans and the lower bound: against a slow search that shares nothing with the room, and on real models.

use crate::build::{check, node, ones, real, value};
use crate::runtime::executed;
use aegis_codegen::onnx::lifespans::Lifespans;
use aegis_codegen::onnx::measured::{Match, RuntimeProfile};
use aegis_codegen::onnx::proto::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto};
use aegis_codegen::onnx::shapes::{Dimensions, Shapes};
use std::collections::HashMap;

/// A random graph whose values are of one of three sizes, in an order in which it can run.
fn random_graph(random: &mut fastrand::Rng) -> ModelProto {
    let mut values: Vec<(String, i64)> = Vec::new();
    let mut graph = GraphProto { initializer: vec![ones("w", &[2])], ..GraphProto::default() };
    for input in 0..random.usize(1..3) {
        values.push((format!("x{input}"), random.i64(1..4)));
        graph.input.push(value(&format!("x{input}"), 1, &[values[input].1]));
    }
    for position in 0..random.usize(1..14) {
        let one = random.usize(0..values.len());
        let two = random.usize(0..values.len());
        let (name, size) = (format!("v{position}"), values[one].1);
        let ((operator, used), size): ((&str, Vec<&str>), i64) = match random.u8(0..7) {
            0 => (("Relu", vec![&values[one].0]), size),
            1 => (("Add", vec![&values[one].0, &values[two].0]), size),
            2 => (("Reshape", vec![&values[one].0]), size),
            3 => (("Identity", vec!["w"]), 2),
            4 => (("Add", vec!["w", &values[one].0]), size),
            _ => (("Conv", vec![&values[one].0, &values[two].0]), random.i64(1..4)),
        };
        let new = node(operator, &name, &used, &[&name]);
        graph.node.push(new);
        graph.value_info.push(value(&name, 1, &[size]));
        values.push((name, size));
    }
    for (name, size) in &values[graph.input.len()..] {
        if random.u8(0..4) == 0 || *name == values.last().unwrap().0 {
            graph.output.push(value(name, 1, &[*size]));
        }
    }
    let opset_import = vec![OperatorSetIdProto { domain: None, version: Some(17) }];
    ModelProto { ir_version: Some(8), opset_import, graph: Some(graph), ..ModelProto::default() }
}

/// Plays the run with explicit memory: every block is a set of values, freed when none of them is needed any more.
/// `shared` says whether views and in-place operators share blocks. The most bytes that are held at any node.
fn played(graph: &GraphProto, shared: bool) -> u64 {
    let size: HashMap<&str, u64> = graph
        .value_info
        .iter()
        .chain(&graph.input)
        .map(|info| (info.name(), 4 * u64::try_from(dims(info)[0]).unwrap()))
        .collect();
    let is_output = |name: &str| graph.output.iter().any(|output| output.name() == name);
    let needed_from = |name: &str, position: usize| {
        is_output(name) || graph.node[position..].iter().any(|node| node.input.iter().any(|used| used == name))
    };
    let mut blocks: Vec<Vec<&str>> = graph.input.iter().map(|input| vec![input.name()]).collect();
    let mut weights = vec!["w"];
    let mut most = 0;
    for (position, node) in graph.node.iter().enumerate() {
        // An input that nothing uses is there for the first node only; what a node gives is there for that node at least.
        let fresh = |block: &Vec<&str>| position == 0 && graph.input.iter().any(|input| block.contains(&input.name()));
        blocks.retain(|block| fresh(block) || block.iter().any(|name| needed_from(name, position)));
        let output = node.output[0].as_str();
        let of = |name: &str, blocks: &[Vec<&str>]| blocks.iter().position(|block| block.contains(&name));
        let is_view = ["Reshape", "Identity"].contains(&node.op_type());
        let taken = if !shared {
            None
        } else if is_view {
            if weights.contains(&node.input[0].as_str()) && !is_output(output) {
                weights.push(output);
                most = most.max(held(&blocks, &size));
                continue;
            }
            of(&node.input[0], &blocks)
        } else if ["Relu", "Add"].contains(&node.op_type()) {
            node.input.iter().find_map(|used| {
                let block = of(used, &blocks)?;
                let dies = blocks[block].iter().all(|name| !needed_from(name, position + 1));
                (dies && size.get(used.as_str()) == size.get(output)).then_some(block)
            })
        } else {
            None
        };
        match taken {
            Some(block) => blocks[block].push(output),
            None => blocks.push(vec![output]),
        }
        most = most.max(held(&blocks, &size));
    }
    most
}

fn held(blocks: &[Vec<&str>], size: &HashMap<&str, u64>) -> u64 {
    blocks.iter().map(|block| block.iter().filter_map(|name| size.get(name)).max().unwrap()).sum()
}

fn dims(info: &aegis_codegen::onnx::proto::ValueInfoProto) -> Vec<i64> {
    use aegis_codegen::onnx::proto::tensor_shape_proto::dimension::Value;
    use aegis_codegen::onnx::proto::type_proto;
    let Some(type_proto::Value::TensorType(tensor)) = &info.r#type.as_ref().unwrap().value else { panic!() };
    let side = |value: &Option<Value>| match value {
        Some(Value::DimValue(side)) => *side,
        _ => panic!(),
    };
    tensor.shape.as_ref().unwrap().dim.iter().map(|dim| side(&dim.value)).collect()
}

#[test]
fn the_bound_and_the_peak_are_those_of_a_played_run() {
    let mut random = fastrand::Rng::with_seed(3);
    let mut shared = 0;
    for round in 0..5_000 {
        let proto = random_graph(&mut random);
        let model = check(&proto).unwrap();
        let shapes = Shapes::of(&model, &Dimensions::default(), None).unwrap();
        let lifespans = Lifespans::of(&model, &shapes);
        let (graph, bound) = (proto.graph.as_ref().unwrap(), lifespans.lower_bound().bytes);
        let show = || graph.node.iter().map(describe).collect::<Vec<_>>().join("\n");
        assert_eq!(lifespans.unmerged().bytes, played(graph, false), "round {round}:\n{}", show());
        assert_eq!(bound, played(graph, true), "round {round}:\n{}", show());
        assert!(lifespans.scratch_lower_bound().bytes <= bound && bound <= lifespans.unmerged().bytes);
        shared += usize::from(bound < lifespans.unmerged().bytes);
    }
    assert!(shared > 500, "sharing mattered in {shared} graphs only");
}

fn describe(node: &NodeProto) -> String {
    format!("{} = {}({})", node.output.join(" "), node.op_type(), node.input.join(" "))
}

#[test]
fn the_runtimes_profile_gives_every_node_a_time_and_every_value_a_size() {
    let folder = tempfile::tempdir().unwrap();
    for real in real() {
        for optimized in [false, true] {
            let Some((model, matched, _)) = executed(&real, optimized, folder.path()) else { return };
            assert_eq!((matched.how(), matched.runs()), (Match::WholeGraph, 3), "{} {optimized}", real.name);
            let shapes = Shapes::of(&model, &real.dimensions, Some(&matched)).unwrap();
            let lifespans = Lifespans::of(&model, &shapes);
            assert_eq!(lifespans.unknown(), Vec::<String>::new(), "{}", real.name);
            // The runtime's own count of each node's outputs is ours.
            for (position, node) in
                model.graph().node.iter().enumerate().filter(|(_, node)| node.op_type() != "Constant")
            {
                let measure = matched.node(position).unwrap();
                assert!(measure.executions == 3 && measure.longest_ns >= 1_000);
                let sizes =
                    node.output.iter().filter(|name| !name.is_empty()).map(|name| shapes.get(name).bytes().unwrap());
                assert_eq!(measure.output_bytes, Some(sizes.sum()), "{} {}", real.name, model.node_label(position));
            }
            let (bound, unmerged) = (lifespans.lower_bound().bytes, lifespans.unmerged().bytes);
            assert!(bound <= unmerged && bound > 0);
            eprintln!(
                "{} optimized={optimized}: {} nodes, activations {}, unmerged {unmerged}, bound {bound}, scratch {}",
                real.name,
                lifespans.nodes,
                lifespans.activation_bytes(),
                lifespans.scratch_lower_bound().bytes
            );
        }
    }
}

#[test]
fn the_bound_is_at_most_what_the_probe_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let profiles = aegis_tests::fetched::root().join("profiles/dev-vm");
    for real in real() {
        let Ok(text) = std::fs::read_to_string(profiles.join(format!("{}.toml", real.name))) else { continue };
        let recorded: toml::Table = toml::from_str(&text).unwrap();
        if recorded["conditions"]["arch"].as_str() != Some(std::env::consts::ARCH) {
            continue;
        }
        let recorded = recorded["segment"][0]["scratch-bytes"].as_integer().unwrap();
        let Some((model, matched, _)) = executed(&real, true, folder.path()) else { return };
        let shapes = Shapes::of(&model, &real.dimensions, Some(&matched)).unwrap();
        let bound = Lifespans::of(&model, &shapes).scratch_lower_bound().bytes;
        eprintln!("{}: bound {bound}, recorded {recorded}", real.name);
        assert!(bound <= u64::try_from(recorded).unwrap(), "{}: bound {bound}, recorded {recorded}", real.name);
    }
}

#[test]
fn a_profile_that_does_not_fit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let all = real();
    let (Some(face), Some(voice)) =
        (all.iter().find(|real| real.name == "face"), all.iter().find(|real| real.name == "voice"))
    else {
        return;
    };
    let Some((model, ..)) = executed(face, true, folder.path()) else { return };
    if executed(voice, true, folder.path()).is_none() {
        return;
    }
    let of_voice = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let of_voice = of_voice.into_iter().find(|path| path.to_string_lossy().contains("voice-true_")).unwrap();
    let text = std::fs::read(of_voice).unwrap();
    let refused = RuntimeProfile::parse("p.json", &text).unwrap().of(&model).map(|_| ()).unwrap_err();
    assert!(refused[0].message.contains("is a node of"), "{}", refused[0].message);
    for cut in [0, 1, text.len() / 2, text.len() - 2] {
        assert!(RuntimeProfile::parse("p.json", &text[..cut]).is_err(), "{cut}");
    }
    assert!(RuntimeProfile::parse("p.json", b"[]").is_err());
}

#[test]
fn the_worked_example_of_the_theory_page() {
    let nodes = [
        node("Conv", "0", &["x"], &["a"]),
        node("Relu", "1", &["a"], &["b"]),
        node("Reshape", "2", &["b"], &["c"]),
        node("Conv", "3", &["b"], &["d"]),
        node("Conv", "4", &["c", "d"], &["y"]),
    ];
    let sizes = [("a", 400), ("b", 400), ("c", 400), ("d", 200)];
    // Elements of one byte.
    let graph = GraphProto {
        node: nodes.to_vec(),
        input: vec![value("x", 2, &[100])],
        output: vec![value("y", 2, &[100])],
        value_info: sizes.iter().map(|(name, size)| value(name, 2, &[*size])).collect(),
        ..GraphProto::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: None, version: Some(17) }];
    let proto = ModelProto { ir_version: Some(8), opset_import, graph: Some(graph), ..ModelProto::default() };
    let model = check(&proto).unwrap();
    let lifespans = Lifespans::of(&model, &Shapes::of(&model, &Dimensions::default(), None).unwrap());
    let peaks = [lifespans.unmerged(), lifespans.lower_bound(), lifespans.scratch_lower_bound()];
    assert_eq!(peaks.map(|peak| (peak.bytes, peak.position)), [(1_000, 3), (700, 4), (600, 3)]);
    let spans: Vec<(&str, usize, usize, Option<usize>)> = lifespans
        .activations
        .iter()
        .map(|activation| (activation.name.as_str(), activation.lower, activation.upper, activation.buffer))
        .collect();
    let (shared, alone) = (Some(1), |buffer| Some(buffer));
    let expected = [
        ("x", 0, 1, alone(0)),
        ("a", 0, 2, shared),
        ("b", 1, 4, shared),
        ("c", 2, 5, shared),
        ("d", 3, 5, alone(2)),
        ("y", 4, 5, alone(3)),
    ];
    assert_eq!(spans, expected);
}

#[test]
fn outputs_weights_and_inputs_share_only_what_they_may() {
    let names = ["r", "v", "u"];
    let graph = GraphProto {
        node: vec![
            // In place over x is the caller's loss only: the bound permits it.
            node("Relu", "0", &["x"], &["r"]),
            // r is an output, so nothing is computed over it.
            node("Relu", "1", &["r"], &["u"]),
            // The view of a weight, which the caller wants: memory of its own.
            node("Identity", "2", &["w"], &["v"]),
            // The view of a weight that nobody outside wants: none.
            node("Identity", "3", &["w"], &["inner"]),
            node("Add", "4", &["u", "inner"], &["y"]),
        ],
        initializer: vec![ones("w", &[10])],
        input: vec![value("x", 1, &[10])],
        output: names.iter().take(2).chain(&["y"]).map(|name| value(name, 1, &[10])).collect(),
        value_info: ["u", "inner"].iter().map(|name| value(name, 1, &[10])).collect(),
        ..GraphProto::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: None, version: Some(17) }];
    let proto = ModelProto { ir_version: Some(8), opset_import, graph: Some(graph), ..ModelProto::default() };
    let model = check(&proto).unwrap();
    let lifespans = Lifespans::of(&model, &Shapes::of(&model, &Dimensions::default(), None).unwrap());
    let buffer = |name: &str| lifespans.activations.iter().find(|activation| activation.name == name).unwrap().buffer;
    assert_eq!(buffer("x"), buffer("r"));
    assert_ne!(buffer("r"), buffer("u"));
    assert_eq!(buffer("u"), buffer("y"), "the last node computes over what dies there");
    assert!(buffer("v").is_some() && buffer("inner").is_none());
    assert_eq!(lifespans.weights_bytes, 40);
    assert_eq!((lifespans.lower_bound().bytes, lifespans.scratch_lower_bound().bytes), (120, 0));
}

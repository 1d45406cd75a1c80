//! Segments, one after the other, compute what the whole model does.

use crate::build::{Real, changed, check, node, ones, real, small, value};
use crate::runtime::{How, Values, bits, differing, executed, open, run};
use aegis_codegen::finding::{Code, Finding};
use aegis_codegen::onnx::cut::{Cut, Cutter};
use aegis_codegen::onnx::measured::{Matched, RuntimeProfile};
use aegis_codegen::onnx::proto::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, type_proto,
};
use aegis_codegen::onnx::shapes::{Dimensions, Shapes};
use aegis_codegen::onnx::{Checked, Model, decode, read};
use aegis_core::Duration;
use prost::Message as _;
use std::collections::BTreeSet;
use std::path::Path;

/// Runs a model's segments one after the other, handing on what each gives. `None` where there is no runtime.
fn chained(cut: &Cut, folder: &Path, how: &How, inputs: &Values) -> Option<Values> {
    let files = cut.write(folder).unwrap();
    let mut values = Values::new();
    let mut all = Values::new();
    for (name, value) in inputs {
        values.insert(name.clone(), copy(value));
    }
    for (file, segment) in files.iter().zip(&cut.segments) {
        let mut session = open(file, how)?;
        let names: Vec<&str> = session.inputs().iter().map(|input| input.name()).collect();
        assert_eq!(names, segment.inputs.iter().map(|input| input.name.as_str()).collect::<Vec<_>>());
        for (name, value) in run(&mut session, &values) {
            all.insert(name.clone(), copy(&value));
            values.insert(name, value);
        }
    }
    Some(all)
}

fn copy(value: &ort::value::DynValue) -> ort::value::DynValue {
    if let Ok((shape, data)) = value.try_extract_tensor::<f32>() {
        return ort::value::Tensor::from_array((shape.to_vec(), data.to_vec())).unwrap().into_dyn();
    }
    let (shape, data) = value.try_extract_tensor::<i64>().unwrap();
    ort::value::Tensor::from_array((shape.to_vec(), data.to_vec())).unwrap().into_dyn()
}

fn random_boundaries(random: &mut fastrand::Rng, length: usize) -> Vec<usize> {
    let count = random.usize(1..6);
    let boundaries: BTreeSet<usize> = (0..count).map(|_| random.usize(1..length)).collect();
    boundaries.into_iter().collect()
}

/// What a reader of the segments relies on.
fn assert_consistent(model: &Model, cutter: &Cutter<'_>, cut: &Cut, boundaries: &[usize]) {
    assert_eq!(cut.segments.iter().map(|segment| segment.nodes).sum::<usize>(), cutter.len());
    let mut exists: BTreeSet<&str> = model.inputs().map(|input| input.name()).collect();
    for segment in &cut.segments {
        let read = decode(&segment.file, Path::new("/nowhere"), &segment.model.encode_to_vec()).unwrap();
        assert!(read.was_sorted());
        let inputs: Vec<&str> = read.inputs().map(|input| input.name()).collect();
        assert_eq!(inputs, segment.inputs.iter().map(|input| input.name.as_str()).collect::<Vec<_>>());
        assert!(inputs.iter().all(|input| exists.contains(input)), "{inputs:?}");
        exists.extend(segment.outputs.iter().map(|output| output.name.as_str()));
        // Nothing is in a segment that it does not use.
        let graph = read.graph();
        let used: BTreeSet<&String> = graph
            .node
            .iter()
            .flat_map(|node| &node.input)
            .chain(graph.output.iter().filter_map(|of| of.name.as_ref()))
            .collect();
        assert!(graph.initializer.iter().all(|weight| used.contains(weight.name.as_ref().unwrap())));
    }
    for (index, boundary) in cut.boundaries.iter().enumerate() {
        let carried: BTreeSet<&str> = boundary.carried.iter().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(carried, cutter.carried(boundaries[index]).into_iter().collect());
        // Exactly what later segments need of earlier ones or of the caller.
        let (before, after) = cut.segments.split_at(index + 1);
        let mut there: BTreeSet<&str> = model.inputs().map(|input| input.name()).collect();
        there.extend(before.iter().flat_map(|segment| &segment.outputs).map(|output| output.name.as_str()));
        let needed = after.iter().flat_map(|segment| &segment.inputs).map(|input| input.name.as_str());
        assert_eq!(carried, needed.filter(|name| there.contains(name)).collect::<BTreeSet<_>>());
    }
}

/// One model, some random cuts: bit for bit where the runtime leaves the graph as it is.
fn compare(real: &Real, optimized: bool, seed: u64) -> Option<()> {
    let folder = tempfile::tempdir().unwrap();
    let (model, matched, inputs) = executed(real, optimized, folder.path())?;
    let shapes = Shapes::of(&model, &real.dimensions, Some(&matched)).unwrap();
    let cutter = Cutter::new(&model);
    // The saved graph is what the runtime executes; it is not to be changed again.
    let whole = run(&mut open(Path::new(model.file()), &How::default())?, &inputs);
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..3 {
        let boundaries = random_boundaries(&mut random, cutter.len());
        let cut = cutter.cut(&boundaries, &shapes, Some(&matched)).unwrap();
        assert_consistent(&model, &cutter, &cut, &boundaries);
        let parts = chained(&cut, folder.path(), &How::default(), &inputs)?;
        for (name, value) in &whole {
            assert_eq!(bits(value), bits(&parts[name]), "{} {boundaries:?} {name}", real.name);
        }
        eprintln!("{} optimized={optimized} {boundaries:?}: equal", real.name);
        if optimized {
            continue;
        }
        // Fusion does not reach across a cut, and another fusion rounds otherwise. `lines` compares two numbers of the same
        // value for equality at its end (it keeps local maxima), so that a rounding can decide about single numbers.
        let how = How { optimized: true, ..How::default() };
        let fused = run(&mut open(Path::new(model.file()), &how)?, &inputs);
        let parts = chained(&cut, folder.path(), &how, &inputs)?;
        for (name, value) in &fused {
            let (differ, of) = differing(value, &parts[name]);
            let most = if real.name == "lines" { of / 1_000 } else { 0 };
            assert!(differ <= most, "{} {boundaries:?} {name}: {differ} of {of} differ", real.name);
        }
    }
    Some(())
}

#[test]
fn segments_of_the_original_graph_compute_what_the_whole_does() {
    for (seed, real) in (1..).zip(real()) {
        if compare(&real, false, seed).is_none() {
            return;
        }
    }
}

#[test]
fn segments_of_the_executed_graph_compute_what_the_whole_does() {
    for (seed, real) in (100..).zip(real()) {
        if compare(&real, true, seed).is_none() {
            return;
        }
    }
}

#[test]
fn a_limit_on_the_time_is_kept_with_as_few_segments_as_possible() {
    for real in real().iter().filter(|real| ["lines", "signs"].contains(&real.name)) {
        let folder = tempfile::tempdir().unwrap();
        let Some((model, matched, _)) = executed(real, true, folder.path()) else { return };
        let shapes = Shapes::of(&model, &real.dimensions, Some(&matched)).unwrap();
        let cutter = Cutter::new(&model);
        let times: Vec<u64> =
            (0..model.graph().node.len()).filter_map(|position| Some(matched.node(position)?.longest_ns)).collect();
        let (longest, total) = (*times.iter().max().unwrap(), times.iter().sum::<u64>());
        let limit = longest.max(total / 3);
        let boundaries = cutter.within(limit, &matched, &shapes).unwrap();
        let cut = cutter.cut(&boundaries, &shapes, Some(&matched)).unwrap();
        assert_consistent(&model, &cutter, &cut, &boundaries);
        assert!(cut.segments.iter().all(|segment| segment.time_ns.unwrap() <= limit));
        assert_eq!(cut.segments.iter().map(|segment| segment.time_ns.unwrap()).sum::<u64>(), total);
        // As many as filling each segment up greedily needs: no cut has fewer.
        let mut greedy = (1, 0);
        for time in &times {
            greedy = if greedy.1 + time <= limit { (greedy.0, greedy.1 + time) } else { (greedy.0 + 1, *time) };
        }
        assert_eq!(cut.segments.len(), greedy.0, "{}", real.name);
        let refused = cutter.within(longest - 1, &matched, &shapes).unwrap_err();
        assert!(refused.iter().all(|finding| finding.code == Code::SegmentTooLong));
        assert!(refused[0].message.contains(&format!("a segment may take {}", show(longest - 1))), "{refused:?}");
    }
}

fn show(ns: u64) -> String {
    let time = Duration::from_ns(ns).as_ns();
    format!("{}.{:03} us", time / 1_000, time % 1_000)
}

fn shapes(model: &Model) -> Shapes {
    Shapes::of(model, &Dimensions::default(), None).unwrap()
}

fn cut(model: &Model, at: &[&str]) -> Checked<Cut> {
    let cutter = Cutter::new(model);
    cutter.cut(&cutter.after(at)?, &shapes(model), None)
}

fn refused(model: &Model, at: &[&str]) -> Vec<Finding> {
    cut(model, at).map(|_| ()).unwrap_err()
}

#[test]
fn a_cut_that_cannot_be_is_refused_with_the_reason() {
    let model = check(&changed(|graph| {
        graph.node.push(node("Relu", "twin", &["a"], &["b"]));
        graph.node.push(node("Relu", "twin", &["b"], &["c"]));
        graph.node.insert(0, constant("k", &[2, 3]));
        graph.node.push(node("Relu", "end", &["c"], &["d"]));
    }));
    let model = model.unwrap();
    for (at, word) in [
        ("frist", "is called `frist`"),
        ("twin", "the name of 2 nodes"),
        ("end", "no work left"),
        ("k", "is a constant"),
        ("w", "is called `w`"),
    ] {
        let findings = refused(&model, &[at]);
        assert_eq!((findings.len(), findings[0].code), (1, Code::CutRefused), "{at}");
        assert!(findings[0].message.contains(word), "{}", findings[0].message);
    }
    assert!(refused(&model, &["frist"])[0].help.as_ref().unwrap().contains("`first`"));
    assert_eq!(refused(&model, &["nope", "k", "end"]).len(), 3, "all at once");
    let types = refused(&model, &["b"]);
    assert_eq!((types.len(), types[0].code), (1, Code::UnknownSize), "{types:#?}");
    assert!(types[0].message.contains("`b`"));
}

fn constant(name: &str, dims: &[i64]) -> NodeProto {
    let tensor = TensorProto { name: None, ..ones("", dims) };
    let value = AttributeProto {
        name: Some("value".to_owned()),
        r#type: Some(4),
        t: Some(tensor),
        ..AttributeProto::default()
    };
    NodeProto { attribute: vec![value], ..node("Constant", name, &[], &[name]) }
}

#[test]
fn constants_go_with_every_segment_and_far_values_skip_those_between() {
    let shape = &[2, 3];
    let model = check(&changed(|graph| {
        *graph = GraphProto {
            node: vec![
                constant("k", shape),
                node("Add", "one", &["x", "k"], &["a"]),
                node("Relu", "two", &["a"], &["b"]),
                node("Add", "three", &["b", "k"], &["c"]),
                node("Add", "four", &["c", "a"], &["d"]),
                node("Add", "five", &["d", "x"], &["y"]),
            ],
            input: vec![value("x", 1, shape)],
            output: vec![value("y", 1, shape), value("b", 1, shape)],
            value_info: ["a", "c", "d"].iter().map(|name| value(name, 1, shape)).collect(),
            name: Some("far".to_owned()),
            ..GraphProto::default()
        };
    }))
    .unwrap();
    let cutter = Cutter::new(&model);
    let boundaries = cutter.after(&["one", "two", "three"]).unwrap();
    let cut = cutter.cut(&boundaries, &shapes(&model), None).unwrap();
    assert_consistent(&model, &cutter, &cut, &boundaries);
    let names =
        |of: &[aegis_codegen::onnx::summary::Tensor]| of.iter().map(|of| of.name.clone()).collect::<Vec<_>>().join(" ");
    let ports: Vec<[String; 2]> =
        cut.segments.iter().map(|segment| [names(&segment.inputs), names(&segment.outputs)]).collect();
    assert_eq!(ports, [["x", "a"], ["a", "b"], ["b", "c"], ["x a c", "y"]]);
    let constants = |segment: &ModelProto| {
        segment.graph.as_ref().unwrap().node.iter().filter(|node| node.op_type() == "Constant").count()
    };
    assert_eq!(cut.segments.iter().map(|segment| constants(&segment.model)).collect::<Vec<_>>(), [1, 0, 1, 0]);
    let carried: Vec<(String, Option<u64>)> =
        cut.boundaries.iter().map(|boundary| (names(&boundary.carried), boundary.bytes)).collect();
    let carried: Vec<(&str, Option<u64>)> = carried.iter().map(|(names, bytes)| (names.as_str(), *bytes)).collect();
    // b is an output of the whole model too; that alone does not carry it.
    assert_eq!(carried, [("x a", Some(48)), ("x a b", Some(72)), ("x a c", Some(72))]);
}

#[test]
fn a_subgraph_takes_what_it_uses_of_earlier_segments_as_inputs() {
    let body = GraphProto {
        name: Some("then".to_owned()),
        node: vec![node("Add", "inner", &["a", "w"], &["b"])],
        output: vec![value("b", 1, &[2, 3])],
        ..GraphProto::default()
    };
    let model = check(&changed(|graph| {
        let branch = |name: &str| AttributeProto {
            name: Some(name.to_owned()),
            r#type: Some(5),
            g: Some(body.clone()),
            ..AttributeProto::default()
        };
        let mut choice = node("If", "if", &["flag"], &["y"]);
        choice.attribute = vec![branch("then_branch"), branch("else_branch")];
        graph.input.push(value("flag", 9, &[]));
        graph.node = vec![node("Relu", "first", &["x"], &["a"]), choice];
    }))
    .unwrap();
    let cut = cut(&model, &["first"]).unwrap();
    let inputs: Vec<&str> = cut.segments[1].inputs.iter().map(|input| input.name.as_str()).collect();
    assert_eq!(inputs, ["flag", "a"]);
    let graph = cut.segments[1].model.graph.as_ref().unwrap();
    assert_eq!(graph.initializer.len(), 1, "the subgraph's weight comes along");
    assert!(cut.segments[0].model.graph.as_ref().unwrap().initializer.is_empty());
    loads(&cut);
}

/// The runtime accepts every segment, where there is a runtime.
fn loads(cut: &Cut) {
    let folder = tempfile::tempdir().unwrap();
    for file in cut.write(folder.path()).unwrap() {
        drop(open(&file, &How::default()));
    }
}

#[test]
fn outputs_that_no_node_computes_come_with_the_last_segment() {
    let shape = &[2, 3];
    let model = check(&changed(|graph| {
        graph.node.push(constant("k", shape));
        graph.output.extend(["x", "w", "k"].iter().map(|name| value(name, 1, shape)));
    }))
    .unwrap();
    let cutter = Cutter::new(&model);
    let cut = cutter.cut(&[1], &shapes(&model), None).unwrap();
    assert_consistent(&model, &cutter, &cut, &[1]);
    let outputs: Vec<&str> = cut.segments[1].outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(outputs, ["y", "x", "w", "k"]);
    assert_eq!(cut.boundaries[0].carried.iter().map(|of| of.name.as_str()).collect::<Vec<_>>(), ["x", "a"]);
    loads(&cut);
}

#[test]
fn a_carried_value_of_unknown_shape_keeps_its_element_type() {
    let model = check(&changed(|graph| {
        let mut open = value("a", 1, &[]);
        let of = open.r#type.as_mut().unwrap().value.as_mut().unwrap();
        let type_proto::Value::TensorType(tensor) = of else { panic!() };
        tensor.shape = None;
        graph.value_info = vec![open];
    }))
    .unwrap();
    let cut = cut(&model, &["first"]).unwrap();
    assert_eq!((cut.boundaries[0].bytes, cut.boundaries[0].carried[0].element), (None, Some("float")));
    let outputs = &cut.segments[0].model.graph.as_ref().unwrap().output;
    let Some(type_proto::Value::TensorType(tensor)) = &outputs[0].r#type.as_ref().unwrap().value else { panic!() };
    assert_eq!((tensor.elem_type, &tensor.shape), (Some(1), &None));
    loads(&cut);
}

#[test]
fn what_belongs_to_the_whole_file_is_in_every_segment() {
    let mut proto = small();
    let entry = StringStringEntryProto { key: Some("license".into()), value: Some("MIT".into()) };
    proto.metadata_props = vec![entry];
    proto.producer_name = Some("tests".to_owned());
    proto.functions = vec![FunctionProto {
        name: Some("Twice".to_owned()),
        domain: Some("own".to_owned()),
        input: vec!["in".to_owned()],
        output: vec!["out".to_owned()],
        node: vec![node("Add", "", &["in", "in"], &["out"])],
        opset_import: proto.opset_import.clone(),
        ..FunctionProto::default()
    }];
    proto.opset_import.push(OperatorSetIdProto { domain: Some("own".to_owned()), version: Some(1) });
    let graph = proto.graph.as_mut().unwrap();
    let mut twice = node("Twice", "twice", &["y"], &["z"]);
    twice.domain = Some("own".to_owned());
    graph.node.push(twice);
    graph.value_info.push(value("y", 1, &[2, 3]));
    graph.output = vec![value("z", 1, &[2, 3])];
    let cut = cut(&check(&proto).unwrap(), &["first", "second"]).unwrap();
    assert_eq!(cut.segments.len(), 3);
    for segment in &cut.segments {
        let mut whole = ModelProto { graph: None, ..proto.clone() };
        // And what is said of the whole model's inputs and outputs.
        for (key, names) in [("aegis.inputs", "[\"x\"]"), ("aegis.outputs", "[\"z\"]")] {
            let (key, value) = (Some(key.to_owned()), Some(names.to_owned()));
            whole.metadata_props.push(StringStringEntryProto { key, value });
        }
        assert_eq!(ModelProto { graph: None, ..segment.model.clone() }, whole);
    }
    loads(&cut);
}

#[test]
fn external_data_become_part_of_the_segment_that_uses_them() {
    let folder = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..40).collect();
    std::fs::write(folder.path().join("weights.bin"), &bytes).unwrap();
    let entry = |key: &str, value: &str| StringStringEntryProto { key: Some(key.into()), value: Some(value.into()) };
    let proto = changed(|graph| {
        let weight = &mut graph.initializer[0];
        weight.float_data.clear();
        weight.data_location = Some(1);
        weight.external_data = vec![entry("location", "weights.bin"), entry("offset", "8")];
    });
    let file = folder.path().join("small.onnx");
    std::fs::write(&file, proto.encode_to_vec()).unwrap();
    let model = read(&file).unwrap().unwrap();
    let cut = cut(&model, &["first"]).unwrap();
    let weight = &cut.segments[1].model.graph.as_ref().unwrap().initializer[0];
    assert_eq!((weight.raw_data.as_deref(), weight.data_location), (Some(&bytes[8..32]), None));
    assert!(weight.external_data.is_empty());
    std::fs::remove_file(folder.path().join("weights.bin")).unwrap();
    assert_eq!(refused(&model, &["first"])[0].code, Code::ExternalData, "it went away meanwhile");
}

#[test]
fn what_cannot_be_written_leaves_nothing_behind() {
    let cut = cut(&check(&small()).unwrap(), &["first"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    // A folder stands where the second segment would go.
    std::fs::create_dir(folder.path().join("small.2.onnx")).unwrap();
    let error = cut.write(folder.path()).unwrap_err();
    assert!(error.to_string().contains("small.2.onnx"), "{error}");
    let left = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().ends_with(".tmp")).collect();
    assert!(left.is_empty(), "{left:?}");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(cut.write(&file).is_err(), "the folder is a file");
}

#[test]
fn nodes_without_a_time_and_a_profile_that_contradicts_are_refused() {
    let model = check(&small()).unwrap();
    let event = |node: &str, operator: &str, shape: &str| {
        format!(
            r#"{{"cat":"Node","name":"{node}_kernel_time","dur":7,"args":{{"op_name":"{operator}","output_type_shape":[{{"float":{shape}}}]}}}}"#
        )
    };
    let matched = |events: &[String]| -> Checked<Matched> {
        RuntimeProfile::parse("p.json", format!("[{}]", events.join(",")).as_bytes()).unwrap().of(&model)
    };
    let half = matched(&[event("first", "Relu", "[2,3]")]).unwrap();
    let findings = Cutter::new(&model).within(1_000_000, &half, &shapes(&model)).unwrap_err();
    assert!(findings[0].message.contains("1 nodes have no time in the profile: `second`"), "{}", findings[0].message);
    let other = matched(&[event("first", "Relu", "[4,3]"), event("second", "Add", "[2,3]")]).unwrap();
    let findings = Shapes::of(&model, &Dimensions::default(), Some(&other)).map(|_| ()).unwrap_err();
    assert!(findings[0].message.contains("[2, 3] by the file"), "{}", findings[0].message);
    let run = r#"{"cat":"Session","name":"model_run"}"#.to_owned();
    let pair = |shape| [event("first", "Relu", shape), event("second", "Add", "[2,3]"), run.clone()];
    let differing = matched(&[pair("[2,3]"), pair("[2,4]")].concat()).map(|_| ()).unwrap_err();
    assert!(differing[0].message.contains("[2, 3] in one run and [2, 4] in another"), "{}", differing[0].message);
    let both = matched(&pair("[2,3]")).unwrap();
    assert_eq!(Cutter::new(&model).within(8_000, &both, &shapes(&model)).unwrap(), [1]);
    assert!(Cutter::new(&model).within(16_000, &both, &shapes(&model)).unwrap().is_empty());
}

#[test]
fn nodes_without_a_name_are_measured_only_where_one_order_fits() {
    let model = check(&changed(|graph| {
        graph.node = vec![node("Relu", "", &["x"], &["a"]), node("Relu", "", &["x"], &["y"])];
    }))
    .unwrap();
    let times = |indices: [u64; 2], operators: [&str; 2]| {
        let event = |at: usize| {
            let (index, operator) = (indices[at], operators[at]);
            let dur = at + 1;
            let args = format!(r#"{{"op_name":"{operator}","node_index":"{index}"}}"#);
            format!(r#"{{"cat":"Node","name":"{operator}_{index}_kernel_time","dur":{dur},"args":{args}}}"#)
        };
        let text = format!("[{},{}]", event(0), event(1));
        let matched = RuntimeProfile::parse("p.json", text.as_bytes()).unwrap().of(&model);
        matched.map(|matched| [0, 1].map(|at| matched.node(at).map(|measure| measure.longest_ns)))
    };
    assert_eq!(times([0, 1], ["Relu"; 2]), Ok([Some(2_000), Some(3_000)]));
    // Executed the other way round: which is which, the profile does not say.
    assert!(times([1, 0], ["Relu"; 2]).is_err());
    assert!(times([0, 1], ["Relu", "Clip"]).is_err());
}

//! From the bytes of a file to a checked model.

use super::element::Element;
use super::graph::{inputs, label, order, outputs, subgraphs, uses, weights};
use super::proto::{FunctionProto, GraphProto, ModelProto, NodeProto, TypeProto, ValueInfoProto, type_proto};
use super::{Checked, findings, tensors};
use crate::finding::Finding;
use prost::Message as _;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

/// A model whose graph was checked: acyclic and with its nodes in an order in which they can run, every value used is
/// given once, every element type is known, every tensor has its data.
#[derive(Clone, Debug)]
pub struct Model {
    file: String,
    folder: PathBuf,
    /// Everything of the file but its graph.
    head: ModelProto,
    graph: GraphProto,
    was_sorted: bool,
}

impl Model {
    /// The file's name, as the user gave it.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The folder that external data lie in or below.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The graph, its nodes in an order in which they can run.
    #[must_use]
    pub fn graph(&self) -> &GraphProto {
        &self.graph
    }

    /// Everything of the file but its graph.
    #[must_use]
    pub fn head(&self) -> &ModelProto {
        &self.head
    }

    /// Whether the file had its nodes in this order, as ONNX asks for.
    #[must_use]
    pub fn was_sorted(&self) -> bool {
        self.was_sorted
    }

    /// The inputs that a caller must give: those without a default among the initializers.
    pub fn inputs(&self) -> impl Iterator<Item = &ValueInfoProto> {
        let defaults: HashSet<&str> = weights(&self.graph).collect();
        self.graph.input.iter().filter(move |input| !defaults.contains(input.name()))
    }

    /// The files that hold external data, relative to [`Self::folder`].
    #[must_use]
    pub fn outside(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut add = |tensor| found.extend(tensors::location(tensor));
        tensors::each(&self.graph, &mut add);
        for node in self.head.functions.iter().flat_map(|function| &function.node) {
            tensors::each_of_node(node, &mut add);
        }
        found
    }

    /// The node at a position, as findings and reports show it.
    #[must_use]
    pub fn node_label(&self, position: usize) -> String {
        self.graph.node.get(position).map_or_else(String::new, label)
    }
}

/// Reads and checks an ONNX file. Nodes that are not in an order in which they can run are sorted, changing as little as
/// possible: only the order of execution matters here, and the runtime finds its own.
///
/// # Errors
/// The outer error is that of the file system; the inner one is all that is wrong with the model.
pub fn read(path: &Path) -> io::Result<Checked<Model>> {
    let bytes = std::fs::read(path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    Ok(decode(&path.to_string_lossy(), folder, &bytes))
}

/// As [`read`], from bytes; `file` is the name for findings, external data lie in `folder`.
///
/// # Errors
/// All that is wrong with the model.
pub fn decode(file: &str, folder: &Path, bytes: &[u8]) -> Checked<Model> {
    let mut head = ModelProto::decode(bytes).map_err(|error| vec![findings::not_onnx(file, &error.to_string())])?;
    let mut found = Vec::new();
    if head.ir_version.is_none() {
        found.push(findings::not_onnx(file, "it has no IR version"));
    }
    if head.opset_import.is_empty() {
        found.push(findings::not_onnx(file, "it imports no operator set"));
    }
    let Some(mut graph) = head.graph.take() else {
        found.push(findings::not_onnx(file, "it has no graph"));
        return Err(found);
    };
    if graph.node.is_empty() {
        found.push(findings::empty(file));
    }
    let sorted = check_graph(file, "the graph", &graph, &mut found);
    check_outside(file, &graph, &mut found);
    for function in &head.functions {
        check_function(file, function, &mut found);
    }
    check_types(file, &graph, &mut found);
    let mut check = |tensor| tensors::check(file, folder, tensor, &mut found);
    tensors::each(&graph, &mut check);
    for node in head.functions.iter().flat_map(|function| &function.node) {
        tensors::each_of_node(node, &mut check);
    }
    let (true, Some(order)) = (found.is_empty(), sorted) else { return Err(found) };
    let was_sorted = order.iter().enumerate().all(|(at, position)| at == *position);
    if !was_sorted {
        let mut nodes: Vec<Option<NodeProto>> = std::mem::take(&mut graph.node).into_iter().map(Some).collect();
        graph.node = order.iter().filter_map(|position| nodes.get_mut(*position)?.take()).collect();
    }
    Ok(Model { file: file.to_owned(), folder: folder.to_owned(), head, graph, was_sorted })
}

/// Finds values given twice and cycles, in the graph and in all its subgraphs; the order of the graph's own nodes.
fn check_graph(file: &str, place: &str, graph: &GraphProto, found: &mut Vec<Finding>) -> Option<Vec<usize>> {
    let mut given: HashMap<&str, String> = HashMap::new();
    let mut give = |name, by: String, found: &mut Vec<Finding>| {
        if let Some(first) = given.get(name) {
            found.push(findings::duplicate(file, place, name, first, &by));
        } else {
            given.insert(name, by);
        }
    };
    for name in weights(graph) {
        give(name, "an initializer".to_owned(), found);
    }
    // An input may have its default among the initializers.
    let defaults: HashSet<&str> = weights(graph).collect();
    let mut ports = HashSet::new();
    for name in inputs(graph) {
        if !ports.insert(name) {
            found.push(findings::duplicate(file, place, name, "an input", "another input"));
        } else if !defaults.contains(name) {
            give(name, "an input".to_owned(), found);
        }
    }
    for node in &graph.node {
        for name in outputs(node) {
            give(name, format!("node {}", label(node)), found);
        }
    }
    check_nodes(file, place, &graph.node, found)
}

/// Finds cycles among nodes, and looks into their subgraphs.
fn check_nodes(file: &str, place: &str, nodes: &[NodeProto], found: &mut Vec<Finding>) -> Option<Vec<usize>> {
    for node in nodes {
        for graph in subgraphs(node) {
            let inner = format!("subgraph `{}` of node {}", graph.name(), label(node));
            check_graph(file, &inner, graph, found);
        }
    }
    match order(nodes) {
        Ok(order) => Some(order),
        Err(cycle) => {
            let labels: Vec<String> = cycle.iter().filter_map(|position| nodes.get(*position)).map(label).collect();
            found.push(findings::cycle(file, place, &labels));
            None
        }
    }
}

/// Finds used values that nothing gives; what subgraphs use of the graph around them counts as used by their node.
fn check_outside(file: &str, graph: &GraphProto, found: &mut Vec<Finding>) {
    let mut given: HashSet<&str> = weights(graph).chain(inputs(graph)).collect();
    given.extend(graph.node.iter().flat_map(outputs));
    check_uses(file, &given, &graph.node, found);
    for output in graph.output.iter().map(|output| output.name()).filter(|name| !given.contains(name)) {
        found.push(findings::undefined(file, "the graph's list of outputs", output));
    }
}

fn check_uses(file: &str, given: &HashSet<&str>, nodes: &[NodeProto], found: &mut Vec<Finding>) {
    for node in nodes {
        for name in uses(node).into_iter().filter(|name| !given.contains(name)) {
            found.push(findings::undefined(file, &format!("node {}", label(node)), name));
        }
    }
}

fn check_function(file: &str, function: &FunctionProto, found: &mut Vec<Finding>) {
    let place = format!("function `{}`", function.name());
    check_nodes(file, &place, &function.node, found);
    let mut given: HashSet<&str> = function.input.iter().map(String::as_str).collect();
    given.extend(function.node.iter().flat_map(outputs));
    check_uses(file, &given, &function.node, found);
    for output in function.output.iter().filter(|name| !given.contains(name.as_str())) {
        found.push(findings::undefined(file, &format!("the list of outputs of {place}"), output));
    }
}

/// Finds unknown element types of a graph's inputs, outputs and values, and those of its subgraphs.
fn check_types(file: &str, graph: &GraphProto, found: &mut Vec<Finding>) {
    for (kind, infos) in [("input", &graph.input), ("output", &graph.output), ("value", &graph.value_info)] {
        for info in infos {
            let place = format!("{kind} `{}`", info.name());
            check_type(file, &place, info.r#type.as_ref(), found);
        }
    }
    for graph in graph.node.iter().flat_map(subgraphs) {
        check_types(file, graph, found);
    }
}

fn check_type(file: &str, place: &str, of: Option<&TypeProto>, found: &mut Vec<Finding>) {
    use type_proto::Value;
    // 0 is what exporters write where they do not know the type: unknown, but not wrong.
    let mut known = |number: i32| {
        if number != 0 && Element::from_number(number).is_none() {
            found.push(findings::element(file, place, number));
        }
    };
    match of.and_then(|of| of.value.as_ref()) {
        Some(Value::TensorType(tensor)) => known(tensor.elem_type()),
        Some(Value::SparseTensorType(tensor)) => known(tensor.elem_type()),
        Some(Value::MapType(map)) => {
            known(map.key_type());
            check_type(file, place, map.value_type.as_deref(), found);
        }
        Some(Value::SequenceType(sequence)) => check_type(file, place, sequence.elem_type.as_deref(), found),
        Some(Value::OptionalType(optional)) => check_type(file, place, optional.elem_type.as_deref(), found),
        Some(Value::OpaqueType(_)) | None => {}
    }
}

//! What `aegis model` says of a model.

use super::lifespans::{Lifespans, Peak, Role};
use super::measured::{Match, Matched};
use super::naming;
use super::read::Model;
use super::shapes::Shapes;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// The format of the summary as JSON.
pub const SCHEMA: &str = "aegis.model/1";

/// A model, its memory and its time.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The file's name, as the user gave it.
    pub file: String,
    /// The IR version of ONNX.
    pub ir_version: i64,
    /// The operator sets, by domain; the domain of ONNX itself is `ai.onnx`.
    pub operator_sets: BTreeMap<String, i64>,
    /// The number of nodes.
    pub nodes: usize,
    /// Whether the file had its nodes in an order in which they can run.
    pub sorted: bool,
    /// The operators, the most frequent first.
    pub operators: Vec<Operator>,
    /// The inputs that a caller must give.
    pub inputs: Vec<Tensor>,
    /// The outputs.
    pub outputs: Vec<Tensor>,
    /// The bytes of all initializers and Constant nodes.
    pub weights_bytes: u64,
    /// The bytes of all activations together.
    pub activation_bytes: u64,
    /// The most bytes that live at once, inputs and outputs included, with all memory shared that can be.
    pub lower_bound: At,
    /// The same without the memory of inputs and outputs.
    pub scratch_lower_bound: At,
    /// The most bytes that live at once where every activation has memory of its own.
    pub unmerged_peak: At,
    /// What the probe recorded that one run of the model's runtime needs besides inputs and outputs.
    pub recorded_peak_bytes: Option<u64>,
    /// The requests of one recorded run, in order, with the values that they are.
    pub recorded_requests: Vec<Request>,
    /// The names of the values whose size is not known; they count as 0 bytes above.
    pub unknown: Vec<String>,
    /// What the runtime's profile says.
    pub measured: Option<Times>,
    /// Every activation with its lifespan.
    pub activations: Vec<Span>,
}

/// What was recorded of a model's runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recorded {
    /// The most bytes at once.
    pub peak: u64,
    /// The sizes that one run requests, in order; empty where runs differ.
    pub requests: Vec<u64>,
}

/// A recorded request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Request {
    /// Its size in bytes.
    pub bytes: u64,
    /// The first activation of the buffer that it is, by size and order; absent for what the graph does not have.
    pub name: Option<String>,
}

/// How often an operator occurs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Operator {
    /// Its name, with its domain where that is not ONNX's.
    pub name: String,
    /// How many nodes apply it.
    pub nodes: usize,
    /// The sum of the longest measured times of these nodes in nanoseconds.
    pub time_ns: Option<u64>,
}

/// A tensor that goes in or out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its element type, under ONNX Runtime's name.
    pub element: Option<&'static str>,
    /// Its shape.
    pub shape: Option<Vec<u64>>,
    /// Its size in bytes.
    pub bytes: Option<u64>,
}

impl Tensor {
    /// What is known of the value `name`.
    #[must_use]
    pub fn of(name: &str, shapes: &Shapes) -> Self {
        let known = shapes.get(name);
        let (element, bytes) = (known.element.map(|element| element.name()), known.bytes());
        Self { name: name.to_owned(), element, shape: known.shape, bytes }
    }
}

/// An amount of memory and the node at which it is needed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct At {
    /// The bytes.
    pub bytes: u64,
    /// The node's position in the order of execution, from 0.
    pub position: usize,
    /// The node.
    pub node: String,
    /// Its operator.
    pub operator: String,
}

/// The times of a profile.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Times {
    /// The number of runs.
    pub runs: usize,
    /// The number of nodes with a time.
    pub nodes: usize,
    /// Whether the profile is of exactly this graph, or was matched by names.
    pub whole_graph: bool,
    /// The sum of the longest times of all nodes in nanoseconds.
    pub time_ns: u64,
}

/// The lifespan of an activation, half-open in positions of nodes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Span {
    /// Its name.
    pub name: String,
    /// `input`, `output` or `inner`.
    pub role: &'static str,
    /// Its size in bytes.
    pub bytes: Option<u64>,
    /// The first position.
    pub lower: usize,
    /// One more than the last position.
    pub upper: usize,
    /// Activations with the same number share memory; absent where it is a weight's.
    pub buffer: Option<usize>,
}

impl Summary {
    /// Gathers what is known of a model.
    #[must_use]
    pub fn of(model: &Model, shapes: &Shapes, measured: Option<&Matched>, recorded: Option<&Recorded>) -> Self {
        let lifespans = Lifespans::of(model, shapes);
        let graph = model.graph();
        let at = |peak: Peak| At {
            bytes: peak.bytes,
            position: peak.position,
            node: model.node_label(peak.position),
            operator: graph.node.get(peak.position).map_or_else(String::new, |node| node.op_type().to_owned()),
        };
        let domain = |domain: &str| if domain.is_empty() { "ai.onnx".to_owned() } else { domain.to_owned() };
        let sets = model.head().opset_import.iter().map(|set| (domain(set.domain()), set.version()));
        Self {
            schema: SCHEMA,
            file: model.file().to_owned(),
            ir_version: model.head().ir_version(),
            operator_sets: sets.collect(),
            nodes: lifespans.nodes,
            sorted: model.was_sorted(),
            operators: operators(model, measured),
            inputs: model.inputs().map(|input| Tensor::of(input.name(), shapes)).collect(),
            outputs: graph.output.iter().map(|output| Tensor::of(output.name(), shapes)).collect(),
            weights_bytes: lifespans.weights_bytes,
            activation_bytes: lifespans.activation_bytes(),
            lower_bound: at(lifespans.lower_bound()),
            scratch_lower_bound: at(lifespans.scratch_lower_bound()),
            unmerged_peak: at(lifespans.unmerged()),
            recorded_peak_bytes: recorded.map(|recorded| recorded.peak),
            recorded_requests: recorded.map_or_else(Vec::new, |recorded| requests(recorded, &lifespans)),
            unknown: lifespans.unknown(),
            measured: measured.map(|measured| times(lifespans.nodes, measured)),
            activations: spans(&lifespans),
        }
    }
}

fn requests(recorded: &Recorded, lifespans: &Lifespans) -> Vec<Request> {
    let first = |buffer: usize| lifespans.activations.iter().find(|activation| activation.buffer == Some(buffer));
    let names = naming::buffers_of(&recorded.requests, lifespans);
    let request = |(bytes, buffer): (&u64, Option<usize>)| Request {
        bytes: *bytes,
        name: buffer.and_then(first).map(|activation| activation.name.clone()),
    };
    recorded.requests.iter().zip(names).map(request).collect()
}

fn times(nodes: usize, measured: &Matched) -> Times {
    let all = (0..nodes).filter_map(|position| measured.node(position));
    let (count, time_ns) =
        all.fold((0, 0_u64), |(count, sum), measure| (count + 1, sum.saturating_add(measure.longest_ns)));
    Times { runs: measured.runs(), nodes: count, whole_graph: measured.how() == Match::WholeGraph, time_ns }
}

fn spans(lifespans: &Lifespans) -> Vec<Span> {
    let span = |activation: &super::lifespans::Activation| Span {
        name: activation.name.clone(),
        role: match activation.role {
            Role::Input => "input",
            Role::Output => "output",
            Role::Inner => "inner",
        },
        bytes: activation.bytes,
        lower: activation.lower,
        upper: activation.upper,
        buffer: activation.buffer,
    };
    lifespans.activations.iter().map(span).collect()
}

fn operators(model: &Model, measured: Option<&Matched>) -> Vec<Operator> {
    let mut by_name: BTreeMap<String, (usize, Option<u64>)> = BTreeMap::new();
    for (position, node) in model.graph().node.iter().enumerate() {
        let name = match node.domain() {
            "" | "ai.onnx" => node.op_type().to_owned(),
            domain => format!("{domain}:{}", node.op_type()),
        };
        let entry = by_name.entry(name).or_default();
        entry.0 += 1;
        if let Some(measure) = measured.and_then(|measured| measured.node(position)) {
            entry.1 = Some(entry.1.unwrap_or(0).saturating_add(measure.longest_ns));
        }
    }
    let all = by_name.into_iter().map(|(name, (nodes, time_ns))| Operator { name, nodes, time_ns });
    let mut all: Vec<Operator> = all.collect();
    all.sort_by_key(|operator| Reverse(operator.nodes));
    all
}

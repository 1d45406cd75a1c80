//! ONNX Runtime's profile of a model: what each node took, and the shapes of what it gave.
//!
//! The runtime writes it with `enable_profiling`, and with `optimized_model_filepath` the graph that it really executes.
//! The two belong together; this room gives each node of the one its measurements in the other.

use super::element::{Element, show_shape};
use super::graph::is_constant;
use super::proto::NodeProto;
use super::read::Model;
use super::{Checked, findings};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// What the runtime appends to a node's name for the event of its kernel.
const KERNEL: &str = "_kernel_time";

/// What was measured of a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Measure {
    /// Its operator.
    pub operator: String,
    /// How often it was executed.
    pub executions: u64,
    /// The longest execution of its kernel in nanoseconds, the first one with cold caches included. The runtime measures
    /// in whole microseconds, rounded down; this is one more, so that it is no less than what was measured.
    pub longest_ns: u64,
    /// The element type and shape of each output that is a tensor, in the node's order.
    pub outputs: Vec<(Option<Element>, Vec<u64>)>,
    /// The bytes of all its outputs, as the runtime counts them.
    pub output_bytes: Option<u64>,
    /// The bytes of all its inputs that are not weights, as the runtime counts them.
    pub activation_bytes: Option<u64>,
}

/// A profile: the kernels of each run.
#[derive(Clone, Debug)]
pub struct RuntimeProfile {
    file: String,
    runs: Vec<Vec<Kernel>>,
}

/// One execution of a node's kernel.
#[derive(Clone, Debug)]
struct Kernel {
    node: String,
    index: Option<u64>,
    measure: Measure,
}

/// How a profile's measurements were given to a model's nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Match {
    /// Every run executed exactly the model's nodes in one order, operators and names equal: nodes without a name too,
    /// unless two orders fit.
    WholeGraph,
    /// By name, of those nodes whose name is unique in the model.
    Names,
}

/// The measurements of a model's nodes.
#[derive(Clone, Debug)]
pub struct Matched {
    file: String,
    nodes: Vec<Option<Measure>>,
    how: Match,
    runs: usize,
}

impl Matched {
    /// The profile's file.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What was measured of the node at a position of the model's graph.
    #[must_use]
    pub fn node(&self, position: usize) -> Option<&Measure> {
        self.nodes.get(position)?.as_ref()
    }

    /// How the measurements were given to the nodes.
    #[must_use]
    pub fn how(&self) -> Match {
        self.how
    }

    /// How many runs the profile has.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.runs
    }
}

/// One event of the profile.
#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    cat: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    dur: u64,
    #[serde(default)]
    args: HashMap<String, Value>,
}

impl RuntimeProfile {
    /// Reads a profile's text; `file` is its name for findings.
    ///
    /// # Errors
    /// It is not what the runtime writes, or no run is in it.
    pub fn parse(file: &str, text: &[u8]) -> Checked<Self> {
        let refuse = |why: String| vec![findings::profile(file, why)];
        let events: Vec<Event> = serde_json::from_slice(text)
            .map_err(|error| refuse(format!("`{file}` is not a profile of ONNX Runtime: {error}")))?;
        let mut runs = Vec::new();
        let mut run = Vec::new();
        for event in events {
            match (event.cat.as_str(), event.name.strip_suffix(KERNEL)) {
                ("Node", Some(node)) => {
                    let kernel = kernel(node, &event);
                    run.push(kernel.ok_or_else(|| refuse(format!("node `{node}` has a shape that is none")))?);
                }
                ("Session", None) if event.name == "model_run" => runs.push(std::mem::take(&mut run)),
                _ => {}
            }
        }
        if !run.is_empty() {
            runs.push(run);
        }
        runs.retain(|run| !run.is_empty());
        if runs.is_empty() {
            return Err(refuse(format!("`{file}` has no executed node")));
        }
        Ok(Self { file: file.to_owned(), runs })
    }

    /// Gives each node of a model its measurements.
    ///
    /// # Errors
    /// No node of the model is in the profile, or a node's shapes differ from run to run.
    pub fn of(&self, model: &Model) -> Checked<Matched> {
        let nodes = &model.graph().node;
        let whole: Option<Vec<Vec<Option<usize>>>> = self.runs.iter().map(|run| whole_graph(nodes, run)).collect();
        let (how, kernels) = match whole {
            Some(runs) => (Match::WholeGraph, self.by_order(nodes, &runs)),
            None => (Match::Names, self.by_name(nodes)),
        };
        let mut found = Vec::new();
        let mut measures = Vec::with_capacity(kernels.len());
        for (position, kernels) in kernels.into_iter().enumerate() {
            match merge(&kernels) {
                Ok(measure) => measures.push(measure),
                Err(why) => {
                    let message = format!("node {} {why}", model.node_label(position));
                    found.push(findings::profile(&self.file, message));
                }
            }
        }
        if measures.iter().all(Option::is_none) && found.is_empty() {
            let executed = self.runs.iter().map(Vec::len).max().unwrap_or(0);
            let message = format!("none of the {executed} nodes in the profile is a node of `{}`", model.file());
            found.push(findings::profile(&self.file, message));
        }
        if found.is_empty() {
            Ok(Matched { file: self.file.clone(), nodes: measures, how, runs: self.runs.len() })
        } else {
            Err(found)
        }
    }

    /// The kernels of each node, where each run gives which of its kernels is which working node's.
    fn by_order(&self, nodes: &[NodeProto], runs: &[Vec<Option<usize>>]) -> Vec<Vec<&Kernel>> {
        let mut all: Vec<Vec<&Kernel>> = vec![Vec::new(); nodes.len()];
        for (run, order) in self.runs.iter().zip(runs) {
            let working = all.iter_mut().zip(nodes).filter(|(_, node)| !is_constant(node)).map(|(list, _)| list);
            for (list, at) in working.zip(order) {
                list.extend(at.and_then(|at| run.get(at)));
            }
        }
        all
    }

    /// The kernels of each node whose name is unique.
    fn by_name(&self, nodes: &[NodeProto]) -> Vec<Vec<&Kernel>> {
        let mut by_name: BTreeMap<&str, Vec<&Kernel>> = BTreeMap::new();
        for kernel in self.runs.iter().flatten() {
            by_name.entry(&kernel.node).or_default().push(kernel);
        }
        let mut count: HashMap<&str, usize> = HashMap::new();
        for node in nodes {
            *count.entry(node.name()).or_default() += 1;
        }
        let unique = |node: &NodeProto| !node.name().is_empty() && count.get(node.name()) == Some(&1);
        let kernels = |node: &NodeProto| {
            let all = by_name.get(node.name()).filter(|_| unique(node)).cloned().unwrap_or_default();
            all.into_iter().filter(|kernel| kernel.measure.operator == node.op_type()).collect()
        };
        nodes.iter().map(kernels).collect()
    }
}

/// Which kernel of a run is that of which working node, in the nodes' order, where the run executed exactly these nodes.
///
/// A graph that the runtime saved has its nodes in the order of their execution; a graph that the runtime left as it was
/// has them in the order of their indices.
///
/// Where both orders fit and a node without a name has another kernel in each, it has none: that would be a guess.
fn whole_graph(nodes: &[NodeProto], run: &[Kernel]) -> Option<Vec<Option<usize>>> {
    let working: Vec<&NodeProto> = nodes.iter().filter(|node| !is_constant(node)).collect();
    if working.len() != run.len() {
        return None;
    }
    let executed: Vec<usize> = (0..run.len()).collect();
    let mut indexed = executed.clone();
    indexed.sort_by_key(|at| run.get(*at).map(|kernel| kernel.index));
    let fits = |order: &Vec<usize>| {
        order.iter().zip(&working).all(|(at, node)| {
            let same = |kernel: &Kernel| {
                kernel.measure.operator == node.op_type() && (node.name().is_empty() || kernel.node == node.name())
            };
            run.get(*at).is_some_and(same)
        })
    };
    match (fits(&executed), fits(&indexed)) {
        (true, true) => {
            Some(executed.iter().zip(&indexed).map(|(one, other)| (one == other).then_some(*one)).collect())
        }
        (true, false) => Some(executed.into_iter().map(Some).collect()),
        (false, true) => Some(indexed.into_iter().map(Some).collect()),
        (false, false) => None,
    }
}

/// One measurement of several executions: the longest time; `None` where there is none.
fn merge(kernels: &[&Kernel]) -> Result<Option<Measure>, String> {
    let Some((first, others)) = kernels.split_first() else { return Ok(None) };
    let mut merged = first.measure.clone();
    for kernel in others {
        let measure = &kernel.measure;
        if measure.outputs != merged.outputs {
            let show = |outputs: &[(Option<Element>, Vec<u64>)]| {
                outputs.iter().map(|(_, shape)| show_shape(shape)).collect::<Vec<_>>().join(" ")
            };
            let (one, other) = (show(&merged.outputs), show(&measure.outputs));
            return Err(format!("gives {one} in one run and {other} in another: profile runs of one shape"));
        }
        merged.executions = merged.executions.saturating_add(1);
        merged.longest_ns = merged.longest_ns.max(measure.longest_ns);
    }
    Ok(Some(merged))
}

/// Reads one event of a node; `None` where its shapes cannot be read.
fn kernel(node: &str, event: &Event) -> Option<Kernel> {
    // The runtime writes numbers as strings.
    let number = |key: &str| match event.args.get(key) {
        Some(Value::String(text)) => text.parse().ok(),
        Some(value) => value.as_u64(),
        None => None,
    };
    let operator = event.args.get("op_name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let outputs = match event.args.get("output_type_shape") {
        None => Vec::new(),
        Some(outputs) => outputs.as_array()?.iter().map(typed_shape).collect::<Option<Vec<_>>>()?,
    };
    let measure = Measure {
        operator,
        executions: 1,
        longest_ns: event.dur.saturating_add(1).saturating_mul(1_000),
        outputs,
        output_bytes: number("output_size"),
        activation_bytes: number("activation_size"),
    };
    Some(Kernel { node: node.to_owned(), index: number("node_index"), measure })
}

/// Reads `{"float": [1, 3]}`.
fn typed_shape(value: &Value) -> Option<(Option<Element>, Vec<u64>)> {
    let (element, shape) = value.as_object()?.iter().next()?;
    let shape: Option<Vec<u64>> = shape.as_array()?.iter().map(Value::as_u64).collect();
    Some((Element::from_name(element), shape?))
}

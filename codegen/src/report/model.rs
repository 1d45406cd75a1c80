//! A model and its segments as tables for people.

use crate::check::show;
use crate::onnx::cut::Cut;
use crate::onnx::summary::{At, Summary, Tensor};
use crate::report::table::{bytes, table};
use aegis_core::Duration;
use comfy_table::CellAlignment;
use std::fmt::Write as _;

/// How many operators are listed; the others are counted.
const MOST_OPERATORS: usize = 10;
/// The longest name that a table shows whole, in characters; the JSON forms have all names whole.
const LONGEST_NAME: usize = 60;
/// How many names of values of unknown size are listed.
const MOST_UNKNOWN: usize = 8;

/// Renders what is known of a model.
#[must_use]
pub fn summary(summary: &Summary) -> String {
    let mut text = String::new();
    let sets: Vec<String> =
        summary.operator_sets.iter().map(|(domain, version)| format!("{domain} {version}")).collect();
    let sorted = if summary.sorted { "" } else { ", not in an order in which they can run: sorted here" };
    let _ = writeln!(
        text,
        "{}: {} nodes{sorted}; IR {}, operators {}",
        summary.file,
        summary.nodes,
        summary.ir_version,
        sets.join(", ")
    );
    let mut ports = table(&["", "name", "type", "shape", "bytes"]);
    for (kind, tensor) in
        summary.inputs.iter().map(|of| ("input", of)).chain(summary.outputs.iter().map(|of| ("output", of)))
    {
        ports.add_row([kind.to_owned(), short(&tensor.name), element(tensor), shape(tensor), size(tensor.bytes)]);
    }
    if let Some(column) = ports.column_mut(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let _ = writeln!(text, "{ports}");
    let _ = writeln!(text, "{}", operators(summary));
    if let Some(times) = &summary.measured {
        let how = if times.whole_graph { "of exactly this graph" } else { "matched by name" };
        let sum = show(Duration::from_ns(times.time_ns));
        let _ = writeln!(
            text,
            "profile: {} runs {how}; {} nodes have a time, longest of each {sum} in all",
            times.runs, times.nodes
        );
    }
    let mut memory = table(&["memory", "bytes", "", "at node"]);
    let mut row = |what: &str, bytes_: u64, at: Option<&At>| {
        let node = at.map_or_else(String::new, |at| format!("{}: {} {}", at.position, at.operator, short(&at.node)));
        memory.add_row([what.to_owned(), bytes_.to_string(), bytes(bytes_), node]);
    };
    row("weights", summary.weights_bytes, None);
    row(&format!("{} activations", summary.activations.len()), summary.activation_bytes, None);
    let peaks = [
        ("peak, nothing shared", &summary.unmerged_peak),
        ("lower bound", &summary.lower_bound),
        ("lower bound without inputs and outputs", &summary.scratch_lower_bound),
    ];
    for (what, at) in peaks {
        row(what, at.bytes, Some(at));
    }
    if let Some(recorded) = summary.recorded_peak_bytes {
        row("recorded peak without inputs and outputs", recorded, None);
    }
    let named: Vec<u64> = summary.recorded_requests.iter().filter(|of| of.name.is_some()).map(|of| of.bytes).collect();
    if !summary.recorded_requests.is_empty() {
        let count = summary.recorded_requests.len();
        let sum = named.iter().fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
        row(&format!("{} of {count} recorded requests have a name", named.len()), sum, None);
    }
    for column in memory.column_iter_mut().skip(1).take(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let _ = writeln!(text, "{memory}");
    if summary.recorded_peak_bytes.is_some_and(|recorded| recorded < summary.scratch_lower_bound.bytes) {
        text.push_str(
            "the recorded peak is below this graph's lower bound: the runtime executes another graph, with constants \
             folded or operators fused; give the model that it saves (`optimized_model_filepath`), with its profile\n",
        );
    }
    if !summary.unknown.is_empty() {
        let shown: Vec<&str> = summary.unknown.iter().take(MOST_UNKNOWN).map(String::as_str).collect();
        let more = summary.unknown.len().saturating_sub(shown.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let _ = writeln!(
            text,
            "{} activations of unknown size count as 0 bytes: {}{more}",
            summary.unknown.len(),
            shown.join(", ")
        );
    }
    text
}

/// Renders the segments of a cut and what lies between them.
#[must_use]
pub fn cut(cut: &Cut) -> String {
    let mut text = String::new();
    let mut segments = table(&["segment", "nodes", "time", "from", "to", "inputs", "outputs"]);
    for segment in &cut.segments {
        segments.add_row([
            segment.file.clone(),
            segment.nodes.to_string(),
            segment.time_ns.map_or_else(|| "-".to_owned(), |time| show(Duration::from_ns(time))),
            short(&segment.first),
            short(&segment.last),
            names(&segment.inputs),
            names(&segment.outputs),
        ]);
    }
    for column in segments.column_iter_mut().skip(1).take(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let _ = writeln!(text, "{segments}");
    for (index, boundary) in cut.boundaries.iter().enumerate() {
        let total = boundary.bytes.map_or_else(|| "bytes not all known".to_owned(), |of| format!("{of} bytes"));
        let (before, count) = (index + 1, boundary.carried.len());
        let (after, values) = (before + 1, if count == 1 { "value" } else { "values" });
        let _ = writeln!(text, "{before} -> {after}, after {}: {count} {values} carried, {total}", boundary.after);
        for tensor in &boundary.carried {
            let _ = writeln!(text, "    {} {} {} {}", tensor.name, element(tensor), shape(tensor), size(tensor.bytes));
        }
    }
    text
}

fn operators(summary: &Summary) -> comfy_table::Table {
    let mut shown = table(&["operator", "nodes", "time"]);
    let time = |time: Option<u64>| time.map_or_else(|| "-".to_owned(), |time| show(Duration::from_ns(time)));
    for operator in summary.operators.iter().take(MOST_OPERATORS) {
        shown.add_row([operator.name.clone(), operator.nodes.to_string(), time(operator.time_ns)]);
    }
    if let Some(others) = summary.operators.get(MOST_OPERATORS..).filter(|others| !others.is_empty()) {
        let nodes: usize = others.iter().map(|operator| operator.nodes).sum();
        let sum = others.iter().filter_map(|operator| operator.time_ns).reduce(u64::saturating_add);
        shown.add_row([format!("{} others", others.len()), nodes.to_string(), time(sum)]);
    }
    for column in shown.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    shown
}

/// A name, its middle left out where it is long: runtimes join the names of the nodes that they fuse.
fn short(name: &str) -> String {
    let length = name.chars().count();
    if length <= LONGEST_NAME {
        return name.to_owned();
    }
    let half = LONGEST_NAME / 2;
    let (start, end): (String, String) =
        (name.chars().take(half).collect(), name.chars().skip(length - half).collect());
    format!("{start}...{end}")
}

fn names(tensors: &[Tensor]) -> String {
    tensors.iter().map(|tensor| short(&tensor.name)).collect::<Vec<_>>().join(", ")
}

fn element(tensor: &Tensor) -> String {
    tensor.element.unwrap_or("?").to_owned()
}

fn shape(tensor: &Tensor) -> String {
    tensor.shape.as_ref().map_or_else(|| "?".to_owned(), |shape| crate::onnx::element::show_shape(shape))
}

fn size(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "?".to_owned(), |bytes| bytes.to_string())
}

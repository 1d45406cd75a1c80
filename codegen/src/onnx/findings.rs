//! What can be wrong with an ONNX file, a runtime's profile of it and a cut, as findings.
//!
//! A file has no lines, so each names the file as a whole and says in words where it is.

use crate::finding::{Code, Finding};

/// The most names that one finding lists.
const MOST_NAMES: usize = 8;

/// A finding about `file`.
fn of(code: Code, file: &str, message: String, help: impl Into<String>) -> Finding {
    Finding::error(code, message).in_file(file, "").help(help)
}

/// Names in quotes, the first few of them.
pub(super) fn list<S: AsRef<str>>(names: &[S]) -> String {
    let mut shown: Vec<String> = names.iter().take(MOST_NAMES).map(|name| format!("`{}`", name.as_ref())).collect();
    if names.len() > MOST_NAMES {
        shown.push(format!("{} more", names.len() - MOST_NAMES));
    }
    shown.join(", ")
}

pub(super) fn not_onnx(file: &str, why: &str) -> Finding {
    let help = "the file may be truncated or of another format: compare its length and checksum with its source's";
    of(Code::NotOnnx, file, format!("`{file}` is not an ONNX model: {why}"), help)
}

pub(super) fn empty(file: &str) -> Finding {
    let help = "export the model again: without nodes there is nothing to run";
    of(Code::EmptyGraph, file, format!("the graph of `{file}` has no node"), help)
}

pub(super) fn cycle(file: &str, place: &str, nodes: &[String]) -> Finding {
    let mut shown: Vec<String> = nodes.iter().take(MOST_NAMES).cloned().collect();
    if nodes.len() > MOST_NAMES {
        shown.push(format!("{} more", nodes.len() - MOST_NAMES));
    }
    shown.extend(nodes.first().cloned());
    let message = format!("the nodes of {place} form a cycle: {}", shown.join(" waits for "));
    of(Code::GraphCycle, file, message, "a graph of a model has no cycle: a loop is a Loop or Scan node with a body")
}

pub(super) fn undefined(file: &str, user: &str, value: &str) -> Finding {
    let message = format!("{user} uses `{value}`, which no node, input or initializer gives");
    of(Code::UndefinedValue, file, message, "the file is incomplete: export it again, or cut it at values that exist")
}

pub(super) fn duplicate(file: &str, place: &str, value: &str, first: &str, second: &str) -> Finding {
    let message = format!("value `{value}` of {place} is given twice: by {first} and by {second}");
    of(Code::DuplicateValue, file, message, "every value has one producer: rename one of the two")
}

pub(super) fn element(file: &str, place: &str, number: i32) -> Finding {
    let message = format!("{place} has element type {number}, which is not one of ONNX 1.23's, 1 to 28");
    of(Code::UnknownElement, file, message, "the file is damaged, or of an ONNX version that AegisRT does not know")
}

pub(super) fn external(file: &str, place: &str, why: &str) -> Finding {
    let message = format!("the external data of {place} cannot be used: {why}");
    let help =
        "the data lie in a file in the model's folder or below: put it there, under the name that the model gives";
    of(Code::ExternalData, file, message, help)
}

pub(super) fn length(file: &str, place: &str, why: &str) -> Finding {
    let help = "the file is truncated or damaged: get it again";
    of(Code::TensorLength, file, format!("the data of {place} do not fit its shape: {why}"), help)
}

/// The dimension at position `index` of an input is open; `symbol` is its name in the file, perhaps empty.
pub(super) fn open(file: &str, input: &str, index: usize, symbol: &str, shape: &str) -> Finding {
    let named = if symbol.is_empty() { "without a name".to_owned() } else { format!("called `{symbol}`") };
    let message = format!("dimension {index} of input `{input}` is open ({named}): its shape is {shape}");
    let help = format!(
        "fix it: `--dim '{input}=…'` with all its dimensions on the command line, `inputs = {{ \"{input}\" = […] }}` in a manifest"
    );
    of(Code::OpenDimension, file, message, help)
}

/// An input has no shape at all.
pub(super) fn no_shape(file: &str, input: &str) -> Finding {
    let help = format!("state it: `--dim '{input}=…'` with all its dimensions");
    of(Code::OpenDimension, file, format!("input `{input}` has no shape in the file"), help)
}

pub(super) fn dimensions(file: &str, message: String, help: impl Into<String>) -> Finding {
    of(Code::WrongDimensions, file, message, help)
}

pub(super) fn unknown_size(file: &str, values: &[String]) -> Finding {
    let message = format!("the size of {} values is not known: {}", values.len(), list(values));
    let help = "give a profile of ONNX Runtime with `--profile`, which has the shape of every value, or run ONNX shape \
                inference on the file";
    of(Code::UnknownSize, file, message, help)
}

pub(super) fn unknown_type(file: &str, values: &[String]) -> Finding {
    let message = format!("the element type of {} carried values is not known: {}", values.len(), list(values));
    let help =
        "give a profile of ONNX Runtime with `--profile`, or run ONNX shape inference on the file, which adds types";
    of(Code::UnknownSize, file, message, help)
}

pub(super) fn profile(file: &str, message: String) -> Finding {
    let help = "profile exactly this file: set `optimized_model_filepath` and `enable_profiling`, run, end the profile, and \
                give AegisRT the model and the profile that the runtime wrote";
    of(Code::RuntimeProfile, file, message, help)
}

pub(super) fn cut(file: &str, message: String, help: impl Into<String>) -> Finding {
    of(Code::CutRefused, file, message, help)
}

pub(super) fn too_long(file: &str, node: &str, nanoseconds: u64, limit: u64) -> Finding {
    let show = |ns: u64| format!("{}.{:03} us", ns / 1_000, ns % 1_000);
    let message = format!("node {node} takes {}, a segment may take {}", show(nanoseconds), show(limit));
    let help = format!("a node cannot be cut: allow a segment at least {}, or shrink the node", show(nanoseconds));
    of(Code::SegmentTooLong, file, message, help)
}

//! The data of tensors: whether they are as long as their shape says, and where they lie.

use super::element::{Element, count};
use super::findings;
use super::graph::subgraphs;
use super::proto::{GraphProto, NodeProto, TensorProto};
use crate::finding::Finding;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Component, Path, PathBuf};

/// `TensorProto.DataLocation.EXTERNAL`.
const EXTERNAL: i32 = 1;

/// Every tensor of a graph, of its nodes' attributes and of their subgraphs.
pub(super) fn each<'a>(graph: &'a GraphProto, visit: &mut dyn FnMut(&'a TensorProto)) {
    graph.initializer.iter().for_each(&mut *visit);
    for sparse in &graph.sparse_initializer {
        sparse.values.iter().chain(&sparse.indices).for_each(&mut *visit);
    }
    for node in &graph.node {
        each_of_node(node, visit);
    }
}

/// Every tensor of a node's attributes and of their subgraphs.
pub(super) fn each_of_node<'a>(node: &'a NodeProto, visit: &mut dyn FnMut(&'a TensorProto)) {
    for attribute in &node.attribute {
        attribute.t.iter().chain(&attribute.tensors).for_each(&mut *visit);
        for sparse in attribute.sparse_tensor.iter().chain(&attribute.sparse_tensors) {
            sparse.values.iter().chain(&sparse.indices).for_each(&mut *visit);
        }
    }
    for graph in subgraphs(node) {
        each(graph, visit);
    }
}

/// As [`each`], for change.
pub(super) fn each_mut(graph: &mut GraphProto, visit: &mut dyn FnMut(&mut TensorProto)) {
    graph.initializer.iter_mut().for_each(&mut *visit);
    for sparse in &mut graph.sparse_initializer {
        sparse.values.iter_mut().chain(&mut sparse.indices).for_each(&mut *visit);
    }
    for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
        attribute.t.iter_mut().chain(&mut attribute.tensors).for_each(&mut *visit);
        for sparse in attribute.sparse_tensor.iter_mut().chain(&mut attribute.sparse_tensors) {
            sparse.values.iter_mut().chain(&mut sparse.indices).for_each(&mut *visit);
        }
        for graph in attribute.g.iter_mut().chain(&mut attribute.graphs) {
            each_mut(graph, visit);
        }
    }
}

/// Whether a tensor's data lie in another file.
pub(super) fn is_external(tensor: &TensorProto) -> bool {
    tensor.data_location() == EXTERNAL
}

/// A tensor's shape; `None` where a dimension is negative.
pub(super) fn shape(tensor: &TensorProto) -> Option<Vec<u64>> {
    tensor.dims.iter().map(|side| u64::try_from(*side).ok()).collect()
}

/// A tensor's element type.
pub(super) fn element(tensor: &TensorProto) -> Option<Element> {
    Element::from_number(tensor.data_type())
}

/// The bytes that a tensor's data take in memory; of strings their characters. Absent where it has no valid shape.
pub(super) fn bytes(tensor: &TensorProto) -> Option<u64> {
    let element = element(tensor)?;
    if element == Element::String {
        return u64::try_from(tensor.string_data.iter().map(Vec::len).sum::<usize>()).ok();
    }
    element.bytes(count(&shape(tensor)?)?)
}

fn place(tensor: &TensorProto) -> String {
    match tensor.name() {
        "" => "a tensor without a name".to_owned(),
        name => format!("tensor `{name}`"),
    }
}

/// Finds what is wrong with a tensor of the model `file`, whose external data lie below `folder`.
pub(super) fn check(file: &str, folder: &Path, tensor: &TensorProto, found: &mut Vec<Finding>) {
    let place = place(tensor);
    let Some(element) = element(tensor) else {
        found.push(findings::element(file, &place, tensor.data_type()));
        return;
    };
    let Some(count) = shape(tensor).and_then(|shape| count(&shape)) else {
        found.push(findings::length(file, &place, &format!("its dimensions {:?} are no shape", tensor.dims)));
        return;
    };
    if is_external(tensor) {
        match External::of(tensor) {
            Err(why) => found.push(findings::external(file, &place, &why)),
            Ok(external) => {
                let Some(bytes) = element.bytes(count) else {
                    found.push(findings::external(file, &place, "strings, or too many elements"));
                    return;
                };
                if let Err(why) = external.check(folder, bytes) {
                    found.push(findings::external(file, &place, &why));
                }
            }
        }
        return;
    }
    // A part of a larger tensor has the larger one's shape.
    if tensor.segment.is_none()
        && let Err(why) = inline_length(tensor, element, count)
    {
        found.push(findings::length(file, &place, &why));
    }
}

/// Compares the data in the file with the number of elements.
fn inline_length(tensor: &TensorProto, element: Element, count: u64) -> Result<(), String> {
    let (have, need, what) = match &tensor.raw_data {
        Some(raw) => (raw.len(), element.bytes(count).ok_or("strings or too many elements as raw data")?, "bytes"),
        None => {
            let twice = || count.checked_mul(2).ok_or("too many elements");
            let packed = |per_entry: u64| count.div_ceil(per_entry);
            let (have, need) = match element {
                Element::Float => (tensor.float_data.len(), count),
                Element::Complex64 => (tensor.float_data.len(), twice()?),
                Element::Double => (tensor.double_data.len(), count),
                Element::Complex128 => (tensor.double_data.len(), twice()?),
                Element::Int64 => (tensor.int64_data.len(), count),
                Element::Uint32 | Element::Uint64 => (tensor.uint64_data.len(), count),
                Element::String => (tensor.string_data.len(), count),
                Element::Uint4 | Element::Int4 | Element::Float4E2M1 => (tensor.int32_data.len(), packed(2)),
                Element::Uint2 | Element::Int2 => (tensor.int32_data.len(), packed(4)),
                _ => (tensor.int32_data.len(), count),
            };
            (have, need, "entries")
        }
    };
    if u64::try_from(have).ok() == Some(need) {
        return Ok(());
    }
    Err(format!("{have} {what} for {:?} of {element}, which need {need}", tensor.dims))
}

/// Where external data lie.
struct External {
    location: PathBuf,
    offset: u64,
    length: Option<u64>,
}

impl External {
    fn of(tensor: &TensorProto) -> Result<Self, String> {
        let entry = |key: &str| tensor.external_data.iter().find(|entry| entry.key() == key).map(|entry| entry.value());
        let number = |key: &str| {
            let parsed = entry(key).map(str::parse::<u64>).transpose();
            parsed.map_err(|_| format!("its {key} `{}` is no number", entry(key).unwrap_or_default()))
        };
        let location = entry("location").filter(|location| !location.is_empty()).ok_or("it has no location")?;
        let path = PathBuf::from(location);
        if !path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(format!(
                "its location `{location}` is absolute or has `..`, so it leads out of the model's folder"
            ));
        }
        Ok(Self { location: path, offset: number("offset")?.unwrap_or(0), length: number("length")? })
    }

    /// Whether the file has the `bytes` of the tensor.
    fn check(&self, folder: &Path, bytes: u64) -> Result<(), String> {
        if let Some(length) = self.length.filter(|length| *length != bytes) {
            return Err(format!("its length is {length} bytes, its shape needs {bytes}"));
        }
        let path = folder.join(&self.location);
        let cannot = |error: std::io::Error| format!("cannot read `{}`: {error}", self.location.display());
        let metadata = std::fs::metadata(&path).map_err(cannot)?;
        if !metadata.is_file() {
            return Err(format!("`{}` is no file", self.location.display()));
        }
        let end = self.offset.checked_add(bytes).filter(|end| *end <= metadata.len());
        end.map(drop).ok_or_else(|| {
            let (have, at) = (metadata.len(), self.offset);
            format!("`{}` has {have} bytes, {bytes} bytes from {at} on are needed", self.location.display())
        })
    }
}

/// The file that a tensor's data lie in, where that is another one, relative to the model's folder.
pub(super) fn location(tensor: &TensorProto) -> Option<String> {
    let entry = tensor.external_data.iter().find(|entry| entry.key() == "location");
    entry.filter(|_| is_external(tensor)).map(|entry| entry.value().to_owned())
}

/// Moves a tensor's external data into it. The tensor was checked.
///
/// # Errors
/// Why the data cannot be read, with the tensor.
pub(super) fn load(folder: &Path, tensor: &mut TensorProto) -> Result<(), (String, String)> {
    if !is_external(tensor) {
        return Ok(());
    }
    let named = place(tensor);
    let read = || -> Result<Vec<u8>, String> {
        let external = External::of(tensor)?;
        let bytes = bytes(tensor).ok_or("its size is not known")?;
        external.check(folder, bytes)?;
        let cannot = |error: std::io::Error| format!("cannot read `{}`: {error}", external.location.display());
        let mut file = File::open(folder.join(&external.location)).map_err(cannot)?;
        file.seek(SeekFrom::Start(external.offset)).map_err(cannot)?;
        let mut data = Vec::new();
        file.take(bytes).read_to_end(&mut data).map_err(cannot)?;
        if u64::try_from(data.len()).ok() == Some(bytes) { Ok(data) } else { Err("its file became shorter".to_owned()) }
    };
    let data = read().map_err(|why| (named, why))?;
    tensor.raw_data = Some(data);
    tensor.external_data.clear();
    tensor.data_location = None;
    Ok(())
}

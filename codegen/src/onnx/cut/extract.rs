//! From boundaries to one model per segment.

use super::Cutter;
use crate::onnx::graph::{inputs, outputs, uses};
use crate::onnx::measured::Matched;
use crate::onnx::proto::tensor_shape_proto::{Dimension, dimension};
use crate::onnx::proto::{
    GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};
use crate::onnx::shapes::{Shapes, tensor_type};
use crate::onnx::summary::Tensor;
use crate::onnx::{Checked, findings, tensors};
use prost::Message as _;
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::Path;

/// The format of a cut as JSON.
pub const SCHEMA: &str = "aegis.cut/1";

/// The longest file of ONNX in bytes: a message of protobuf has at most 2^31 - 1.
const MOST_BYTES: u64 = 2_147_483_647;

/// The key of a segment's metadata that lists the whole model's inputs, as a JSON array of names.
const INPUTS: &str = "aegis.inputs";
/// The key that lists its outputs.
const OUTPUTS: &str = "aegis.outputs";

/// A model cut into segments.
#[derive(Clone, Debug, Serialize)]
pub struct Cut {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The model's file, as the user gave it.
    pub file: String,
    /// The segments in the order of execution.
    pub segments: Vec<Segment>,
    /// What lies between them, one fewer.
    pub boundaries: Vec<Boundary>,
}

/// A consecutive part of a model.
#[derive(Clone, Debug, Serialize)]
pub struct Segment {
    /// The name of its file.
    pub file: String,
    /// The number of its nodes, constants not counted.
    pub nodes: usize,
    /// Its first node.
    pub first: String,
    /// Its last node.
    pub last: String,
    /// The sum of its nodes' longest measured times in nanoseconds, where all have one.
    pub time_ns: Option<u64>,
    /// Its inputs, in the order in which they come to exist in the whole model.
    pub inputs: Vec<Tensor>,
    /// Its outputs: those of the whole model first.
    pub outputs: Vec<Tensor>,
    /// The model that is written.
    #[serde(skip)]
    pub model: ModelProto,
}

/// What is between two segments.
#[derive(Clone, Debug, Serialize)]
pub struct Boundary {
    /// The node before it.
    pub after: String,
    /// The values that exist before it and are used after it, inputs of the whole model included.
    pub carried: Vec<Tensor>,
    /// Their bytes, where all are known.
    pub bytes: Option<u64>,
}

impl Cutter<'_> {
    /// The segments between `boundaries`, which are those of [`Self::after`] or [`Self::within`], each as a model of its
    /// own: with the nodes, weights and functions that it uses, and every carried value with its type and shape. External
    /// data become part of the segments. Training information is left out.
    ///
    /// # Errors
    /// Every carried value whose element type is not known, external data that cannot be read, and every segment that is
    /// too large for a file.
    pub fn cut(&self, boundaries: &[usize], shapes: &Shapes, measured: Option<&Matched>) -> Checked<Cut> {
        let file = self.model.file();
        let stem = stem(file);
        let starts = [0].into_iter().chain(boundaries.iter().copied());
        let ends = boundaries.iter().copied().chain([self.len()]);
        let infos = self.infos();
        let mut found = Vec::new();
        let mut unknown: Vec<String> = Vec::new();
        let mut segments = Vec::new();
        for (index, range) in starts.zip(ends).map(|(start, end)| start..end).enumerate() {
            let is_last = range.end == self.len();
            let parts = self.parts(range.clone(), is_last);
            let mut typed = |names: &[&str]| -> Vec<ValueInfoProto> {
                names.iter().filter_map(|name| typed(name, infos.get(name).copied(), shapes, &mut unknown)).collect()
            };
            let (ins, outs) = (typed(&parts.inputs), typed(&parts.outputs));
            let graph = self.graph(index + 1, &parts, ins, outs);
            let mut model = ModelProto { graph: Some(graph), training_info: Vec::new(), ..self.model.head().clone() };
            self.declare(&mut model);
            let name = format!("{stem}.{}.onnx", index + 1);
            match self.inline(&name, &mut model) {
                Ok(()) => {}
                Err(finding) => found.push(finding),
            }
            let tensor = |name: &&str| Tensor::of(name, shapes);
            segments.push(Segment {
                file: name,
                nodes: range.len(),
                first: self.label(range.start),
                last: self.label(range.end.saturating_sub(1)),
                time_ns: self.time(range, measured),
                inputs: parts.inputs.iter().map(tensor).collect(),
                outputs: parts.outputs.iter().map(tensor).collect(),
                model,
            });
        }
        unknown.sort_unstable();
        unknown.dedup();
        if !unknown.is_empty() {
            found.push(findings::unknown_type(file, &unknown));
        }
        if !found.is_empty() {
            return Err(found);
        }
        let boundaries = boundaries.iter().map(|boundary| self.boundary(*boundary, shapes)).collect();
        Ok(Cut { schema: SCHEMA, file: file.to_owned(), segments, boundaries })
    }

    /// Notes the whole model's inputs and outputs, in their order: what runs the segments has to give and to read these, and
    /// an output may be one that a later segment reads, too.
    fn declare(&self, model: &mut ModelProto) {
        let graph = self.model.graph();
        let ins: Vec<&str> = self.model.inputs().map(|input| input.name()).collect();
        let outs: Vec<&str> = graph.output.iter().map(|output| output.name()).collect();
        for (key, names) in [(INPUTS, ins), (OUTPUTS, outs)] {
            model.metadata_props.retain(|entry| entry.key.as_deref() != Some(key));
            let value = Some(serde_json::Value::from(names).to_string());
            model.metadata_props.push(StringStringEntryProto { key: Some(key.to_owned()), value });
        }
    }

    fn boundary(&self, boundary: usize, shapes: &Shapes) -> Boundary {
        let carried: Vec<Tensor> = self.carried(boundary).iter().map(|name| Tensor::of(name, shapes)).collect();
        let bytes = carried.iter().try_fold(0_u64, |sum, tensor| sum.checked_add(tensor.bytes?));
        Boundary { after: self.label(boundary.saturating_sub(1)), carried, bytes }
    }

    fn time(&self, range: Range<usize>, measured: Option<&Matched>) -> Option<u64> {
        let measured = measured?;
        self.work
            .get(range)?
            .iter()
            .try_fold(0_u64, |sum, position| sum.checked_add(measured.node(*position)?.longest_ns))
    }

    /// What the file says of each value.
    fn infos(&self) -> HashMap<&str, &ValueInfoProto> {
        let graph = self.model.graph();
        // Later ones win: inputs and outputs are more exact than values between.
        let all = graph.value_info.iter().chain(&graph.output).chain(&graph.input);
        all.map(|info| (info.name(), info)).collect()
    }

    /// What belongs to the segment of the working nodes in `range`.
    fn parts(&self, range: Range<usize>, is_last: bool) -> Parts<'_> {
        let graph = self.model.graph();
        let nodes: Vec<&NodeProto> = range.clone().filter_map(|at| self.node(at)).collect();
        let mut used: HashSet<&str> = nodes.iter().flat_map(|node| uses(node)).collect();
        let given: HashSet<&str> = nodes.iter().flat_map(|node| outputs(node)).collect();
        let wanted = graph.output.iter().map(|output| output.name());
        // An output of the graph that no node computes is an input, a weight or a constant; the last segment passes it on.
        let passed = |name: &str| is_last && self.values.get(name).is_none_or(|crossing| crossing.given.is_none());
        let mut results: Vec<&str> = wanted.filter(|name| given.contains(name) || passed(name)).collect();
        used.extend(results.iter().filter(|name| !given.contains(*name)));
        // What gives a weight that is used may use others.
        for node in self.constants().rev() {
            if outputs(node).any(|name| used.contains(name)) {
                used.extend(uses(node));
            }
        }
        let kept: HashSet<&str> = results.iter().copied().collect();
        let crosses = |name: &&str| {
            let last = self.values.get(name).and_then(|crossing| crossing.last);
            given.contains(name) && !kept.contains(name) && last.is_some_and(|last| last >= range.end)
        };
        results.extend(self.order.iter().copied().filter(|name| crosses(name)));
        let from_outside = |name: &&str| used.contains(name) && !given.contains(name);
        let inputs = self.order.iter().copied().filter(|name| from_outside(name)).collect();
        Parts { nodes, used, given, inputs, outputs: results }
    }

    /// The segment's graph.
    fn graph(
        &self,
        number: usize,
        parts: &Parts<'_>,
        ins: Vec<ValueInfoProto>,
        outs: Vec<ValueInfoProto>,
    ) -> GraphProto {
        let graph = self.model.graph();
        let is_used = |name: &str| parts.used.contains(name);
        let constants = self.constants().filter(|node| outputs(node).any(is_used));
        let node: Vec<NodeProto> = constants.chain(parts.nodes.iter().copied()).cloned().collect();
        // An initializer may be listed as an input too, and has to be in files of an early version.
        let listed: HashSet<&str> = inputs(graph).filter(|name| self.weights.contains(name) && is_used(name)).collect();
        let defaults = graph.input.iter().filter(|input| listed.contains(input.name())).cloned();
        let ports: HashSet<&str> = parts.inputs.iter().chain(&parts.outputs).copied().collect();
        let is_inner = |name: &str| !ports.contains(name) && (parts.given.contains(name) || is_used(name));
        GraphProto {
            node,
            name: Some(format!("{}.{number}", graph.name())),
            initializer: graph.initializer.iter().filter(|tensor| is_used(tensor.name())).cloned().collect(),
            sparse_initializer: graph
                .sparse_initializer
                .iter()
                .filter(|sparse| sparse.values.as_ref().is_some_and(|values| is_used(values.name())))
                .cloned()
                .collect(),
            doc_string: graph.doc_string.clone(),
            input: ins.into_iter().chain(defaults).collect(),
            output: outs,
            value_info: graph.value_info.iter().filter(|info| is_inner(info.name())).cloned().collect(),
            quantization_annotation: graph
                .quantization_annotation
                .iter()
                .filter(|of| parts.given.contains(of.tensor_name()) || is_used(of.tensor_name()))
                .cloned()
                .collect(),
            metadata_props: graph.metadata_props.clone(),
        }
    }

    /// Moves external data into a segment, if it then fits a file.
    fn inline(&self, name: &str, model: &mut ModelProto) -> Result<(), crate::finding::Finding> {
        let mut bytes = u64::try_from(model.encoded_len()).unwrap_or(u64::MAX);
        let mut count = |tensor: &_| {
            if tensors::is_external(tensor) {
                bytes = bytes.saturating_add(tensors::bytes(tensor).unwrap_or(0));
            }
        };
        if let Some(graph) = &model.graph {
            tensors::each(graph, &mut count);
        }
        for node in model.functions.iter().flat_map(|function| &function.node) {
            tensors::each_of_node(node, &mut count);
        }
        if bytes > MOST_BYTES {
            let message =
                format!("segment `{name}` would have {bytes} bytes with its weights, a file has at most {MOST_BYTES}");
            return Err(findings::cut(self.model.file(), message, "cut the model into more segments"));
        }
        let mut failed = None;
        let mut load = |tensor: &mut _| {
            if let Err((place, why)) = tensors::load(self.model.folder(), tensor) {
                failed = failed.take().or(Some(findings::external(self.model.file(), &place, &why)));
            }
        };
        if let Some(graph) = &mut model.graph {
            tensors::each_mut(graph, &mut load);
        }
        for function in &mut model.functions {
            // A function's nodes are a graph without inputs, so far as tensors go.
            let mut graph = GraphProto { node: std::mem::take(&mut function.node), ..GraphProto::default() };
            tensors::each_mut(&mut graph, &mut load);
            function.node = graph.node;
        }
        failed.map_or(Ok(()), Err)
    }
}

impl Cut {
    /// What the names of the segments begin with.
    pub(super) fn stem(&self) -> String {
        stem(&self.file)
    }
}

fn stem(file: &str) -> String {
    Path::new(file).file_stem().map_or_else(|| "model".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// What belongs to one segment.
struct Parts<'m> {
    nodes: Vec<&'m NodeProto>,
    used: HashSet<&'m str>,
    given: HashSet<&'m str>,
    inputs: Vec<&'m str>,
    outputs: Vec<&'m str>,
}

/// A value with its type, and its shape where that is known; remembers values whose element type is not known.
fn typed(
    name: &str,
    info: Option<&ValueInfoProto>,
    shapes: &Shapes,
    unknown: &mut Vec<String>,
) -> Option<ValueInfoProto> {
    let mut info = info.cloned().unwrap_or_default();
    info.name = Some(name.to_owned());
    let is_other = info.r#type.as_ref().is_some_and(|of| of.value.is_some()) && tensor_type(&info).is_none();
    if is_other {
        // A sequence, map or the like: the file's type is all that there is to say.
        return Some(info);
    }
    let known = shapes.get(name);
    let Some(element) = known.element else {
        unknown.push(name.to_owned());
        return None;
    };
    let declared = tensor_type(&info).and_then(|tensor| tensor.shape.clone());
    let fixed = known.shape.map(|shape| fixed(&shape, declared.as_ref()));
    let tensor = type_proto::Tensor { elem_type: Some(element.number()), shape: fixed.or(declared) };
    let denotation = info.r#type.take().and_then(|of| of.denotation);
    info.r#type = Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), denotation });
    Some(info)
}

/// A shape of fixed dimensions, with the denotations of the declared one.
fn fixed(shape: &[u64], declared: Option<&TensorShapeProto>) -> TensorShapeProto {
    let denotation = |index: usize| declared.and_then(|declared| declared.dim.get(index)?.denotation.clone());
    let dim = |(index, side): (usize, &u64)| Dimension {
        value: i64::try_from(*side).ok().map(dimension::Value::DimValue),
        denotation: denotation(index),
    };
    TensorShapeProto { dim: shape.iter().enumerate().map(dim).collect() }
}

//! How long the values of a graph live, and how much memory they need at least.
//!
//! The theory is `docs/theory/model-lifespans.md`.

use super::findings;
use super::graph::{is_constant, outputs, uses, weights};
use super::read::Model;
use super::shapes::Shapes;
use super::sharing::{self, Sharing};
use super::tensors;
use crate::finding::Finding;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What an activation is to the graph's caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// An input: it lives from the start.
    Input,
    /// An output: it lives to the end.
    Output,
    /// Neither.
    Inner,
}

/// A value that a run computes or is given: no weight.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Activation {
    /// Its name.
    pub name: String,
    /// Its size in bytes; absent where it is not known.
    pub bytes: Option<u64>,
    /// The position of the node that gives it; of an input 0.
    pub lower: usize,
    /// One more than the position of the last node that uses it; of an output the number of nodes.
    pub upper: usize,
    /// What it is to the caller.
    pub role: Role,
    /// The position of its buffer in [`Lifespans::buffers`]; absent where it is a view of a weight.
    pub buffer: Option<usize>,
}

/// Memory that one or more activations lie in, one after the other or as views of each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Buffer {
    /// The size in bytes, 0 where it is not known.
    pub bytes: u64,
    /// The first position at which it is occupied.
    pub lower: usize,
    /// One more than the last position at which it is occupied.
    pub upper: usize,
    /// Whether an input or output of the graph lies in it, so that it is the caller's.
    pub is_port: bool,
}

/// The most bytes that live at once, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Peak {
    /// The bytes.
    pub bytes: u64,
    /// The position of the first node at which they live.
    pub position: usize,
}

/// The lifespans of a graph's activations in the order of its nodes.
#[derive(Clone, Debug, Default)]
pub struct Lifespans {
    /// The activations: inputs in the graph's order, then what nodes give in their order.
    pub activations: Vec<Activation>,
    /// The buffers, in the order in which they are first occupied.
    pub buffers: Vec<Buffer>,
    /// The bytes of all initializers and Constant nodes.
    pub weights_bytes: u64,
    /// The number of nodes.
    pub nodes: usize,
}

impl Lifespans {
    /// Finds the lifespans in the order in which the model has its nodes.
    #[must_use]
    pub fn of(model: &Model, shapes: &Shapes) -> Self {
        let mut lifespans = Self { nodes: model.graph().node.len(), ..Self::default() };
        let mut sum = 0_u64;
        let mut add = |tensor: &_| sum = sum.saturating_add(tensors::bytes(tensor).unwrap_or(0));
        for sparse in &model.graph().sparse_initializer {
            sparse.values.iter().chain(&sparse.indices).for_each(&mut add);
        }
        model.graph().initializer.iter().for_each(&mut add);
        for node in model.graph().node.iter().filter(|node| is_constant(node)) {
            let bytes = outputs(node).next().and_then(|name| shapes.get(name).bytes());
            sum = sum.saturating_add(bytes.unwrap_or(0));
        }
        lifespans.weights_bytes = sum;
        lifespans.list(model, shapes);
        lifespans.share(model);
        lifespans
    }

    /// Lists the activations, without buffers.
    fn list(&mut self, model: &Model, shapes: &Shapes) {
        let graph = model.graph();
        let mut last: HashMap<&str, usize> = HashMap::new();
        for (position, node) in graph.node.iter().enumerate() {
            last.extend(uses(node).into_iter().map(|name| (name, position + 1)));
        }
        let kept: HashSet<&str> = graph.output.iter().map(|output| output.name()).collect();
        let activation = |name: &str, lower: usize, role: Role| {
            let role = if kept.contains(name) { Role::Output } else { role };
            let upper = if role == Role::Output { self.nodes } else { last.get(name).copied().unwrap_or(0) };
            let (bytes, upper) = (shapes.get(name).bytes(), upper.max(lower + 1));
            Activation { name: name.to_owned(), bytes, lower, upper, role, buffer: None }
        };
        let inputs = model.inputs().map(|input| activation(input.name(), 0, Role::Input));
        let working = graph.node.iter().enumerate().filter(|(_, node)| !is_constant(node));
        let given = working.flat_map(|(position, node)| outputs(node).map(move |name| (name, position)));
        let given = given.map(|(name, position)| activation(name, position, Role::Inner));
        let all: Vec<Activation> = inputs.chain(given).collect();
        self.activations = all;
    }

    /// Gives each activation a buffer, one for all that can share it.
    fn share(&mut self, model: &Model) {
        let graph = model.graph();
        let mut at: HashMap<String, usize> = HashMap::new();
        for (index, activation) in self.activations.iter().enumerate() {
            at.insert(activation.name.clone(), index);
        }
        // A view of a weight is the weight's memory.
        let mut constant: HashSet<&str> = weights(graph).collect();
        let count = model.inputs().count();
        for index in 0..count {
            self.open(index);
        }
        for (position, node) in graph.node.iter().enumerate() {
            if is_constant(node) {
                constant.extend(outputs(node));
                continue;
            }
            let sharing = sharing::of(node);
            for (rank, name) in outputs(node).enumerate() {
                let Some(index) = at.get(name).copied() else { continue };
                let source = |input: usize| node.input.get(input).map(String::as_str);
                let index_of = |input: usize| at.get(source(input)?).copied();
                match &sharing {
                    // The view of a weight is only then no memory of its own when it need not be given to the caller.
                    Sharing::View(input)
                        if rank == 0
                            && source(*input).is_some_and(|name| constant.contains(name))
                            && self.role(index) == Some(Role::Inner) =>
                    {
                        constant.insert(name);
                    }
                    Sharing::View(input)
                        if rank == 0 && index_of(*input).is_some_and(|source| self.is_same_size(source, index)) =>
                    {
                        self.join(index_of(*input), index);
                    }
                    Sharing::InPlace(inputs) if rank == 0 => {
                        let fits = |source: &usize| self.dies_at(*source, position) && self.is_equal(*source, index);
                        let source = inputs.iter().filter_map(|input| index_of(*input)).find(fits);
                        if source.is_some() {
                            self.join(source, index);
                        } else {
                            self.open(index);
                        }
                    }
                    _ => self.open(index),
                }
            }
        }
    }

    fn role(&self, index: usize) -> Option<Role> {
        self.activations.get(index).map(|activation| activation.role)
    }

    /// Opens a buffer of its own for an activation.
    fn open(&mut self, index: usize) {
        let buffer = self.buffers.len();
        if let Some(activation) = self.activations.get_mut(index) {
            activation.buffer = Some(buffer);
            self.buffers.push(Buffer {
                bytes: activation.bytes.unwrap_or(0),
                lower: activation.lower,
                upper: activation.upper,
                is_port: activation.role != Role::Inner,
            });
        }
    }

    /// Puts an activation into the buffer of another one, or into one of its own where that has none.
    fn join(&mut self, source: Option<usize>, index: usize) {
        let of = |index: usize| self.activations.get(index);
        let (buffer, bytes) = match source.and_then(of) {
            Some(source) => (source.buffer, source.bytes),
            None => (None, None),
        };
        let Some((buffer, activation)) = buffer.zip(self.activations.get_mut(index)) else { return self.open(index) };
        activation.buffer = Some(buffer);
        activation.bytes = activation.bytes.or(bytes);
        if let Some(buffer) = self.buffers.get_mut(buffer) {
            buffer.bytes = buffer.bytes.max(activation.bytes.unwrap_or(0));
            buffer.upper = buffer.upper.max(activation.upper);
            buffer.is_port |= activation.role != Role::Inner;
        }
    }

    /// Whether two activations are of the same size, or one of them of a size that is not known.
    fn is_same_size(&self, one: usize, other: usize) -> bool {
        let bytes = |index: usize| self.activations.get(index).and_then(|activation| activation.bytes);
        bytes(one).zip(bytes(other)).is_none_or(|(one, other)| one == other)
    }

    /// Whether two activations are known to be of the same size.
    fn is_equal(&self, one: usize, other: usize) -> bool {
        let bytes = |index: usize| self.activations.get(index).and_then(|activation| activation.bytes);
        bytes(one).is_some() && bytes(one) == bytes(other)
    }

    /// Whether nothing in an activation's buffer is needed after the node at `position`.
    fn dies_at(&self, index: usize, position: usize) -> bool {
        let buffer = self.activations.get(index).and_then(|activation| activation.buffer);
        let Some(buffer) = buffer.and_then(|buffer| self.buffers.get(buffer).map(|of| (buffer, of))) else {
            return false;
        };
        let is_kept = |activation: &Activation| activation.buffer == Some(buffer.0) && activation.role == Role::Output;
        // Only at the last node can an output's buffer look as if it ended.
        buffer.1.upper == position + 1 && (position + 1 < self.nodes || !self.activations.iter().any(is_kept))
    }

    /// The most bytes that live at once where views share memory and operators that can do so compute in place: no
    /// execution in this order that gives every value its memory needs less, unless it shares memory in other ways.
    #[must_use]
    pub fn lower_bound(&self) -> Peak {
        self.peak(self.buffers.iter().map(|buffer| (buffer.lower, buffer.upper, buffer.bytes)))
    }

    /// As [`Self::lower_bound`], without the buffers that inputs or outputs of the graph lie in: what a run needs besides
    /// what its caller gives it.
    #[must_use]
    pub fn scratch_lower_bound(&self) -> Peak {
        let inner = self.buffers.iter().filter(|buffer| !buffer.is_port);
        self.peak(inner.map(|buffer| (buffer.lower, buffer.upper, buffer.bytes)))
    }

    /// The most bytes that live at once where every activation has memory of its own.
    #[must_use]
    pub fn unmerged(&self) -> Peak {
        let all = self.activations.iter();
        self.peak(all.map(|activation| (activation.lower, activation.upper, activation.bytes.unwrap_or(0))))
    }

    /// The bytes of all activations together.
    #[must_use]
    pub fn activation_bytes(&self) -> u64 {
        self.activations.iter().fold(0, |sum, activation| sum.saturating_add(activation.bytes.unwrap_or(0)))
    }

    /// The names of the activations whose size is not known. They count as 0 bytes, so a lower bound stays one.
    #[must_use]
    pub fn unknown(&self) -> Vec<String> {
        let unknown = self.activations.iter().filter(|activation| activation.bytes.is_none());
        unknown.map(|activation| activation.name.clone()).collect()
    }

    /// A finding that names the activations of unknown size, if there are any.
    #[must_use]
    pub fn unknown_finding(&self, model: &Model) -> Option<Finding> {
        let unknown = self.unknown();
        (!unknown.is_empty()).then(|| findings::unknown_size(model.file(), &unknown))
    }

    fn peak(&self, spans: impl Iterator<Item = (usize, usize, u64)>) -> Peak {
        let mut change: BTreeMap<usize, i128> = BTreeMap::new();
        for (lower, upper, bytes) in spans {
            *change.entry(lower).or_default() += i128::from(bytes);
            *change.entry(upper).or_default() -= i128::from(bytes);
        }
        let (mut live, mut peak) = (0, Peak::default());
        for (position, step) in change {
            live += step;
            let bytes = u64::try_from(live).unwrap_or(u64::MAX);
            if bytes > peak.bytes {
                peak = Peak { bytes, position };
            }
        }
        peak
    }
}

//! Cuts a graph into consecutive segments, each a model of its own.
//!
//! Constant nodes are no work: each segment gets the ones that it uses, as it gets initializers; and so are nodes that only
//! give constants another form, which runtimes fold while loading. The other nodes, in the model's order, are the work,
//! and a boundary is the number of working nodes before it.
//!
//! A value that a later segment uses is an output of the segment that computes it and an input of every segment that uses
//! it; the segments between do not see it. The vehicle keeps it alive meanwhile.

mod extract;
mod split;
mod write;

use super::graph::{is_constant, label, outputs, uses, weights};
use super::proto::NodeProto;
use super::read::Model;
use super::shapes::Shapes;
use super::{Checked, findings};
use std::collections::{BTreeMap, HashMap, HashSet};

pub use extract::{Boundary, Cut, SCHEMA, Segment};
pub use write::WriteError;

/// How many names are suggested for one that is not known.
const MOST_SUGGESTIONS: usize = 3;

/// A graph seen as a sequence of work that can be cut between any two nodes.
#[derive(Debug)]
pub struct Cutter<'m> {
    model: &'m Model,
    /// The positions of the working nodes in the graph.
    work: Vec<usize>,
    /// The names of the weights: initializers, and what constant nodes give.
    weights: HashSet<&'m str>,
    /// Every value that can cross a boundary: graph inputs that must be given, and what working nodes give.
    values: BTreeMap<&'m str, Crossing>,
    /// What the graph's inputs and nodes give, in their order.
    order: Vec<&'m str>,
}

/// From where to where a value is needed, in working nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Crossing {
    /// The working node that gives it; `None` for an input of the graph.
    given: Option<usize>,
    /// The last working node that uses it.
    last: Option<usize>,
}

impl Crossing {
    /// The boundaries that it crosses, half-open.
    fn boundaries(self) -> std::ops::Range<usize> {
        // An input exists before the first node, and crosses no boundary before it.
        let first = self.given.map_or(1, |given| given + 1);
        first..self.last.map_or(0, |last| last + 1).max(first)
    }
}

impl<'m> Cutter<'m> {
    /// Prepares a model for cutting.
    #[must_use]
    pub fn new(model: &'m Model) -> Self {
        let nodes = &model.graph().node;
        let given: HashSet<&str> = model.inputs().map(|input| input.name()).collect();
        let mut weights: HashSet<&str> = weights(model.graph()).filter(|name| !given.contains(name)).collect();
        let mut work = Vec::with_capacity(nodes.len());
        for (position, node) in nodes.iter().enumerate() {
            if is_constant(node) || forms_constants(node) && uses(node).iter().all(|name| weights.contains(name)) {
                weights.extend(outputs(node));
            } else {
                work.push(position);
            }
        }
        let (mut values, mut order) = (BTreeMap::new(), Vec::new());
        for name in model.inputs().map(|input| input.name()) {
            values.insert(name, Crossing { given: None, last: None });
            order.push(name);
        }
        for (at, node) in work.iter().filter_map(|position| nodes.get(*position)).enumerate() {
            for name in uses(node) {
                if let Some(crossing) = values.get_mut(name) {
                    crossing.last = Some(at);
                }
            }
            for name in outputs(node) {
                values.insert(name, Crossing { given: Some(at), last: None });
                order.push(name);
            }
        }
        // An input that is an output too is passed on by the last segment.
        for name in model.graph().output.iter().map(|output| output.name()) {
            if let Some(crossing) = values.get_mut(name).filter(|crossing: &&mut Crossing| crossing.given.is_none()) {
                crossing.last = work.len().checked_sub(1);
            }
        }
        Self { model, work, weights, values, order }
    }

    /// The number of working nodes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.work.len()
    }

    /// Whether the graph has no working node.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.work.is_empty()
    }

    /// The boundaries after the named nodes, or after the nodes that give the named values; in order, each once.
    ///
    /// # Errors
    /// Every name that is no node's or value's, is several nodes', or has no work after it.
    pub fn after<S: AsRef<str>>(&self, names: &[S]) -> Checked<Vec<usize>> {
        let mut found = Vec::new();
        let mut boundaries = Vec::new();
        for name in names.iter().map(AsRef::as_ref) {
            match self.boundary_after(name) {
                Ok(boundary) => boundaries.push(boundary),
                Err((why, help)) => found.push(findings::cut(self.model.file(), why, help)),
            }
        }
        boundaries.sort_unstable();
        boundaries.dedup();
        if found.is_empty() { Ok(boundaries) } else { Err(found) }
    }

    /// The boundary after a node or value, or why there is none and what would help.
    fn boundary_after(&self, name: &str) -> Result<usize, (String, String)> {
        let named: Vec<usize> = self.working().filter(|(_, node)| node.name() == name).map(|(at, _)| at).collect();
        let at = match (named.as_slice(), self.values.get(name).and_then(|crossing| crossing.given)) {
            ([at], _) => *at,
            ([], Some(given)) => given,
            ([_, ..], _) => {
                let why = format!("`{name}` is the name of {} nodes", named.len());
                return Err((why, "name a value that the node gives: values have one name each".to_owned()));
            }
            ([], None) => {
                let is_constants = |node: &NodeProto| node.name() == name || outputs(node).any(|value| value == name);
                if self.constants().any(is_constants) {
                    let why = format!("`{name}` is a constant, which goes into every segment that uses it");
                    return Err((why, "name a node that computes something".to_owned()));
                }
                let why = format!("no node of the graph is called `{name}` or gives a value of this name");
                return Err((why, self.suggest(name)));
            }
        };
        let boundary = at + 1;
        if boundary == self.work.len() {
            return Err((
                format!("after `{name}` there is no work left for a segment"),
                "name an earlier node".to_owned(),
            ));
        }
        Ok(boundary)
    }

    /// The names that `name` may mean.
    fn suggest(&self, name: &str) -> String {
        let names = self.working().flat_map(|(_, node)| [node.name()].into_iter().chain(outputs(node)));
        let names: HashSet<&str> = names.filter(|name| !name.is_empty()).collect();
        let mut ranked: Vec<(usize, &str)> =
            names.into_iter().map(|known| (strsim::osa_distance(name, known), known)).collect();
        ranked.sort_unstable();
        let best: Vec<&str> = ranked.into_iter().take(MOST_SUGGESTIONS).map(|(_, name)| name).collect();
        format!("the nearest names are {}", findings::list(&best))
    }

    /// The working nodes with their place among them.
    fn working(&self) -> impl Iterator<Item = (usize, &'m NodeProto)> {
        let nodes = &self.model.graph().node;
        self.work.iter().enumerate().filter_map(|(at, position)| Some((at, nodes.get(*position)?)))
    }

    /// The working node at a place among them.
    fn node(&self, at: usize) -> Option<&'m NodeProto> {
        self.model.graph().node.get(*self.work.get(at)?)
    }

    /// A node as findings and reports show it.
    fn label(&self, at: usize) -> String {
        self.node(at).map_or_else(String::new, label)
    }

    /// The values that exist before a boundary and are used after it, in the order in which they come to exist.
    #[must_use]
    pub fn carried(&self, boundary: usize) -> Vec<&'m str> {
        let crosses =
            |name: &&&str| self.values.get(**name).is_some_and(|crossing| crossing.boundaries().contains(&boundary));
        self.order.iter().filter(crosses).copied().collect()
    }

    /// The sizes of all values that cross some boundary.
    ///
    /// # Errors
    /// The values whose size is not known.
    fn sizes(&self, shapes: &Shapes) -> Checked<HashMap<&'m str, u64>> {
        let mut unknown = Vec::new();
        let mut sizes = HashMap::new();
        for name in self.order.iter().copied() {
            let crosses = self.values.get(name).is_some_and(|crossing| !crossing.boundaries().is_empty());
            match shapes.get(name).bytes() {
                Some(bytes) => drop(sizes.insert(name, bytes)),
                None if crosses => unknown.push(name.to_owned()),
                None => {}
            }
        }
        if unknown.is_empty() { Ok(sizes) } else { Err(vec![findings::unknown_size(self.model.file(), &unknown)]) }
    }

    /// The nodes that give weights, in the model's order.
    fn constants(&self) -> impl DoubleEndedIterator<Item = &'m NodeProto> {
        let nodes = self.model.graph().node.iter().enumerate();
        nodes.filter(|(position, _)| self.work.binary_search(position).is_err()).map(|(_, node)| node)
    }
}

/// Whether a node only gives its inputs another form, or fills a tensor: of constants it makes constants.
fn forms_constants(node: &NodeProto) -> bool {
    const FORMS: [&str; 8] =
        ["Cast", "Concat", "ConstantOfShape", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"];
    matches!(node.domain(), "" | "ai.onnx") && FORMS.contains(&node.op_type())
}

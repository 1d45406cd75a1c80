//! What the nodes of a graph use and produce, and an order in which they can run.

use super::proto::{GraphProto, NodeProto};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

/// A node's name as findings and reports show it: its own, or its first output where it has none.
#[must_use]
pub fn label(node: &NodeProto) -> String {
    match node.name.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => format!("`{name}`"),
        None => match outputs(node).next() {
            Some(output) => format!("of `{output}`"),
            None => format!("without name or output ({})", node.op_type()),
        },
    }
}

/// The values that a node produces; an optional output that it does not produce has an empty name in the file.
pub fn outputs(node: &NodeProto) -> impl Iterator<Item = &str> {
    node.output.iter().map(String::as_str).filter(|name| !name.is_empty())
}

/// Whether a node is a constant: part of the weights, not of the work.
#[must_use]
pub fn is_constant(node: &NodeProto) -> bool {
    node.op_type() == "Constant" && matches!(node.domain(), "" | "ai.onnx") && node.input.is_empty()
}

/// The subgraphs in a node's attributes: the branches of an If, the bodies of a Loop or Scan.
pub fn subgraphs(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

/// The values that a node uses, each once: its inputs, and what its subgraphs use of the graphs around them.
#[must_use]
pub fn uses(node: &NodeProto) -> Vec<&str> {
    let mut all: Vec<&str> = node.input.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    for graph in subgraphs(node) {
        outer_names(graph, &mut all);
    }
    let mut seen = HashSet::new();
    all.retain(|name| seen.insert(*name));
    all
}

/// Adds the names that a subgraph uses and does not define.
fn outer_names<'a>(graph: &'a GraphProto, into: &mut Vec<&'a str>) {
    let mut defined: HashSet<&str> = weights(graph).chain(inputs(graph)).collect();
    defined.extend(graph.node.iter().flat_map(outputs));
    let used = graph.node.iter().flat_map(uses).chain(named(&graph.output));
    into.extend(used.filter(|name| !defined.contains(name)));
}

/// The names of a graph's initializers, dense and sparse.
pub fn weights(graph: &GraphProto) -> impl Iterator<Item = &str> {
    let sparse = graph.sparse_initializer.iter().filter_map(|sparse| sparse.values.as_ref());
    graph.initializer.iter().chain(sparse).map(|tensor| tensor.name()).filter(|name| !name.is_empty())
}

/// The names of a graph's inputs, those with a default among the initializers too.
pub fn inputs(graph: &GraphProto) -> impl Iterator<Item = &str> {
    named(&graph.input)
}

fn named(infos: &[super::proto::ValueInfoProto]) -> impl Iterator<Item = &str> {
    infos.iter().map(|info| info.name()).filter(|name| !name.is_empty())
}

/// An order in which every node comes after those whose outputs it uses: of all such orders the one that leaves the
/// given order where it can.
///
/// # Errors
/// The positions of the nodes on one cycle, each using an output of the next and the last one of the first.
pub fn order(nodes: &[NodeProto]) -> Result<Vec<usize>, Vec<usize>> {
    let mut producer: HashMap<&str, usize> = HashMap::new();
    for (position, node) in nodes.iter().enumerate() {
        for output in outputs(node) {
            producer.entry(output).or_insert(position);
        }
    }
    let before: Vec<Vec<usize>> = nodes
        .iter()
        .map(|node| {
            let mut all: Vec<usize> = uses(node).iter().filter_map(|name| producer.get(name).copied()).collect();
            all.sort_unstable();
            all.dedup();
            all
        })
        .collect();
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    let mut waiting: Vec<usize> = before.iter().map(Vec::len).collect();
    for (position, all) in before.iter().enumerate() {
        for earlier in all {
            if let Some(list) = after.get_mut(*earlier) {
                list.push(position);
            }
        }
    }
    let ready = waiting.iter().enumerate().filter(|(_, count)| **count == 0).map(|(position, _)| Reverse(position));
    let mut ready: BinaryHeap<Reverse<usize>> = ready.collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(Reverse(position)) = ready.pop() {
        order.push(position);
        for later in after.get(position).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(*later) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    ready.push(Reverse(*later));
                }
            }
        }
    }
    if order.len() == nodes.len() { Ok(order) } else { Err(cycle(&before, &waiting)) }
}

/// One cycle among the nodes that still wait: each of them waits for another such node, so walking backwards repeats.
fn cycle(before: &[Vec<usize>], waiting: &[usize]) -> Vec<usize> {
    let waits = |position: usize| waiting.get(position).is_some_and(|count| *count > 0);
    let mut walked: Vec<usize> = Vec::new();
    let mut step: HashMap<usize, usize> = HashMap::new();
    let mut at = (0..waiting.len()).find(|position| waits(*position));
    while let Some(position) = at {
        if let Some(start) = step.insert(position, walked.len()) {
            return walked.split_off(start);
        }
        walked.push(position);
        at = before.get(position).into_iter().flatten().copied().find(|earlier| waits(*earlier));
    }
    walked
}

#[cfg(test)]
mod tests {
    use super::{NodeProto, order};

    fn node(inputs: &[&str], outputs: &[&str]) -> NodeProto {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        NodeProto { input: owned(inputs), output: owned(outputs), ..NodeProto::default() }
    }

    #[test]
    fn a_sorted_list_stays_and_an_unsorted_one_changes_least() {
        let sorted = [node(&["x"], &["a"]), node(&["x"], &["b"]), node(&["b", "a"], &["c"])];
        assert_eq!(order(&sorted), Ok(vec![0, 1, 2]));
        let unsorted = [node(&["b"], &["c"]), node(&["x"], &["a"]), node(&["a"], &["b"]), node(&["x"], &["d"])];
        assert_eq!(order(&unsorted), Ok(vec![1, 2, 0, 3]));
    }

    #[test]
    fn a_cycle_is_named_without_what_only_hangs_on_it() {
        let nodes = [node(&["c"], &["d"]), node(&["b"], &["a"]), node(&["a"], &["b"]), node(&["b"], &["c"])];
        assert_eq!(order(&nodes), Err(vec![2, 1]));
        assert_eq!(order(&[node(&["a"], &["a"])]), Err(vec![0]));
    }
}

//! Names what was recorded: which request of a run is which value of the graph.
//!
//! Both come in the order of execution, so the names are the longest common subsequence of sizes, weighted by bytes
//! (D. Maier, "The complexity of some problems on subsequences and supersequences", JACM 25, 1978, for the problem). A
//! request without a name is a workspace, a repacked tensor, or a value that the file's graph does not have because the
//! runtime transformed it; a buffer without a request was fused away, or lies in another one. It is a match by size and
//! order, not a proof: where equal sizes follow each other, the runtime may have executed them in another order.

use super::lifespans::Lifespans;

/// For each request, given by its size in bytes and in the order of requests, the position of its buffer in
/// [`Lifespans::buffers`]. Inputs and outputs of the graph are bound in place, so they are nobody's request.
///
/// Cost: the product of both numbers.
#[must_use]
pub fn buffers_of(requests: &[u64], lifespans: &Lifespans) -> Vec<Option<usize>> {
    let inner = lifespans.buffers.iter().enumerate().filter(|(_, buffer)| !buffer.is_port && buffer.bytes > 0);
    let buffers: Vec<(usize, u64)> = inner.map(|(position, buffer)| (position, buffer.bytes)).collect();
    let columns = buffers.len() + 1;
    // The most bytes that can be named of the requests and buffers from a position on.
    let mut most = vec![0_u128; (requests.len() + 1) * columns];
    let at = |row: usize, column: usize| row * columns + column;
    let value = |most: &[u128], row: usize, column: usize| most.get(at(row, column)).copied().unwrap_or(0);
    for (row, request) in requests.iter().enumerate().rev() {
        for (column, (_, bytes)) in buffers.iter().enumerate().rev() {
            let skipped = value(&most, row + 1, column).max(value(&most, row, column + 1));
            let named = if request == bytes { value(&most, row + 1, column + 1) + u128::from(*bytes) } else { 0 };
            if let Some(place) = most.get_mut(at(row, column)) {
                *place = skipped.max(named);
            }
        }
    }
    let mut names = vec![None; requests.len()];
    let (mut row, mut column) = (0, 0);
    while let (Some(request), Some((position, bytes))) = (requests.get(row), buffers.get(column)) {
        let here = value(&most, row, column);
        if request == bytes && here == value(&most, row + 1, column + 1) + u128::from(*bytes) {
            if let Some(name) = names.get_mut(row) {
                *name = Some(*position);
            }
            (row, column) = (row + 1, column + 1);
        } else if here == value(&most, row + 1, column) {
            row += 1;
        } else {
            column += 1;
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::buffers_of;
    use crate::onnx::lifespans::{Buffer, Lifespans};

    fn graph(sizes: &[u64]) -> Lifespans {
        let buffer = |bytes: &u64| Buffer { bytes: *bytes, lower: 0, upper: 1, is_port: false };
        Lifespans { buffers: sizes.iter().map(buffer).collect(), ..Lifespans::default() }
    }

    #[test]
    fn requests_get_names_in_order_and_workspaces_stay_nameless() {
        let graph = graph(&[100, 50, 100, 25]);
        assert_eq!(buffers_of(&[100, 7, 50, 100, 9, 25], &graph), [Some(0), None, Some(1), Some(2), None, Some(3)]);
        // One was fused away: bytes decide which.
        assert_eq!(buffers_of(&[50, 100], &graph), [Some(1), Some(2)]);
        assert_eq!(buffers_of(&[25, 100], &graph), [None, Some(0)]);
        assert_eq!(buffers_of(&[], &graph), []);
    }

    #[test]
    fn ports_are_nobodys_request() {
        let mut graph = graph(&[100, 50]);
        graph.buffers[0].is_port = true;
        assert_eq!(buffers_of(&[100, 50], &graph), [None, Some(1)]);
    }

    #[test]
    fn the_named_bytes_are_the_most_of_all_ways() {
        fn best(requests: &[u64], buffers: &[u64]) -> u64 {
            let ([request, requests_left @ ..], [buffer, buffers_left @ ..]) = (requests, buffers) else { return 0 };
            let both = if request == buffer { request + best(requests_left, buffers_left) } else { 0 };
            both.max(best(requests_left, buffers)).max(best(requests, buffers_left))
        }
        for seed in 0..400 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut list = |length| (0..random.usize(0..length)).map(|_| random.u64(1..5)).collect::<Vec<_>>();
            let (requests, sizes) = (list(9), list(9));
            let names = buffers_of(&requests, &graph(&sizes));
            let named: Vec<usize> = names.iter().flatten().copied().collect();
            assert!(named.windows(2).all(|pair| pair[0] < pair[1]), "in order, each once");
            let pairs = names.iter().zip(&requests).filter_map(|(name, size)| name.map(|name| (name, *size)));
            let sum: u64 =
                pairs.map(|(name, size)| if sizes[name] == size { size } else { panic!("another size") }).sum();
            assert_eq!(sum, best(&requests, &sizes), "seed {seed}");
        }
    }
}

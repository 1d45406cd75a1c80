//! Which exceedances count as independent.
//!
//! Executions that follow each other are alike: a disturbance lasts for several of them. Such exceedances come in clusters, of which
//! each counts once, by its longest. How far apart clusters lie is not guessed: it follows from the extremal index, after C. A. T.
//! Ferro and J. Segers, "Inference for clusters of extreme values", Journal of the Royal Statistical Society B 65 (2003).

use super::{real, whole};

/// A series' exceedances, taken together.
pub(super) struct Clusters {
    /// The reciprocal of the mean size of a cluster: 1 where exceedances are independent.
    pub(super) extremal_index: f64,
    /// The position and the time of each cluster's longest.
    pub(super) peaks: Vec<(u64, u64)>,
}

/// Clusters exceedances, which are given by position and time, in the order of their positions.
pub(super) fn of(exceedances: &[(u64, u64)]) -> Clusters {
    let gaps: Vec<u64> = exceedances
        .windows(2)
        .filter_map(|pair| match pair {
            [(one, _), (next, _)] => Some(next.saturating_sub(*one)),
            _ => None,
        })
        .collect();
    let extremal_index = extremal_index(&gaps);
    let apart = apart(&gaps, extremal_index);
    let mut peaks: Vec<(u64, u64)> = Vec::new();
    let before = std::iter::once(None).chain(gaps.into_iter().map(Some));
    for ((at, time), gap) in exceedances.iter().copied().zip(before) {
        match peaks.last_mut() {
            Some(peak) if gap.is_some_and(|gap| gap <= apart) => {
                if time > peak.1 {
                    *peak = (at, time);
                }
            }
            _ => peaks.push((at, time)),
        }
    }
    Clusters { extremal_index, peaks }
}

/// The intervals estimator of Ferro and Segers, equation (6) of their paper; 1 where there is nothing to estimate it from.
fn extremal_index(gaps: &[u64]) -> f64 {
    let is_long = gaps.iter().any(|gap| *gap > 2);
    // Their correction for times that are not short against the distances.
    let (first, second) = if is_long { (1.0, 2.0) } else { (0.0, 0.0) };
    let sum: f64 = gaps.iter().map(|gap| whole(*gap) - first).sum();
    let squares: f64 = gaps.iter().map(|gap| (whole(*gap) - first) * (whole(*gap) - second)).sum();
    let estimate = 2.0 * sum * sum / (real(gaps.len()) * squares);
    if estimate.is_finite() { estimate.clamp(0.0, 1.0) } else { 1.0 }
}

/// The greatest distance within a cluster: of n exceedances ⌊θn⌋ gaps lie between clusters, the longest ones, and fewer where
/// that many would part equal ones.
fn apart(gaps: &[u64], extremal_index: f64) -> u64 {
    let mut longest = gaps.to_vec();
    longest.sort_unstable_by_key(|gap| std::cmp::Reverse(*gap));
    let number = (extremal_index * real(gaps.len().saturating_add(1))).floor();
    let between = (0_usize..).zip(&longest).take_while(|(place, _)| real(*place) < number);
    let between = between.count();
    // All gaps may lie between clusters; then none lies within one.
    longest.get(between).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{apart, extremal_index, of};

    #[test]
    fn what_lies_close_together_counts_once_by_its_longest() {
        // Pairs, one observation apart, at distances of 2 to 528 that are exponentially distributed.
        let distance = |n: u32| -100.0 * ((f64::from(n) + 0.5) / 100.0).ln();
        let mut at = 0;
        let mut pairs = Vec::new();
        for n in 0..100_u32 {
            at += 2 + crate::tail::up(distance(n * 37 % 100)).unwrap();
            pairs.extend([(at, u64::from(10 + n)), (at + 1, u64::from(20 + n))]);
        }
        let found = of(&pairs);
        assert!((0.45..0.55).contains(&found.extremal_index), "{}", found.extremal_index);
        assert!((90..=110).contains(&found.peaks.len()), "{}", found.peaks.len());
        assert_eq!(found.peaks.first().map(|(_, time)| *time), Some(20));
    }

    #[test]
    fn regular_and_single_exceedances_are_their_own_clusters() {
        let single = of(&[(5, 7)]);
        assert_eq!((single.extremal_index, single.peaks), (1.0, vec![(5, 7)]));
        assert!(of(&[]).peaks.is_empty());
        let regular: Vec<(u64, u64)> = (0..50).map(|n| (n * 10, n)).collect();
        assert_eq!((of(&regular).extremal_index, of(&regular).peaks.len()), (1.0, 50));
    }

    #[test]
    fn the_estimator_is_that_of_the_paper() {
        // 2 · (0 + 4 + 9)² / (3 · (0 · −1 + 4 · 3 + 9 · 8)).
        assert!((extremal_index(&[1, 5, 10]) - 1.0).abs() < 1e-12);
        // 2 · (1 + 49)² / (5 · (0 + 0 + 0 + 0 + 49 · 48)), where the first gap is 2.
        let expected: f64 = 2.0 * 50.0 * 50.0 / (5.0 * (49.0 * 48.0));
        assert!((extremal_index(&[2, 1, 1, 1, 50]) - expected).abs() < 1e-12);
        // Without a long gap: 2 · 6² / (4 · 10).
        assert!((extremal_index(&[1, 2, 1, 2]) - 1.0).abs() < 1e-12);
        assert_eq!(apart(&[1, 5, 10, 20], 0.4), 5);
        assert_eq!(apart(&[1, 5, 10, 20], 1.0), 0);
    }
}

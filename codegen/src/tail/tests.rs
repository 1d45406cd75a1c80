//! Fits of known samples, and what is refused.

use super::pareto::Pareto;
use super::{Sample, of};

/// `n` numbers evenly from 0 to 1, in an order without a pattern.
fn shuffled(n: u32) -> impl Iterator<Item = f64> {
    let mut numbers: Vec<f64> = (0..n).map(|place| (f64::from(place) + 0.5) / f64::from(n)).collect();
    fastrand::Rng::with_seed(7).shuffle(&mut numbers);
    numbers.into_iter()
}

/// A series of `n` with the quantiles of a distribution: 1 ms, and what it adds in nanoseconds.
fn series(n: u32, quantile: impl Fn(f64) -> f64) -> Vec<u64> {
    shuffled(n).map(|p| 1_000_000 + super::up(quantile(p)).unwrap()).collect()
}

#[test]
fn exact_quantiles_recover_their_parameters() {
    for (shape, scale) in [(-0.3, 50_000.0), (-0.1, 2_000.0), (0.0, 10_000.0), (0.2, 70_000.0), (0.4, 3_000.0)] {
        let exact = Pareto { shape, scale };
        let excesses: Vec<f64> =
            (1..=1_000).rev().map(|rank| exact.exceeded_with((f64::from(rank) - 0.5) / 1_000.0)).collect();
        let fit = Pareto::fit(&excesses).unwrap();
        assert!((fit.shape - shape).abs() < 0.03 && (fit.scale / scale - 1.0).abs() < 0.03, "{fit:?} of {exact:?}");
        for p in [1e-3, 0.5, 1.0] {
            assert!((exact.survival(exact.exceeded_with(p)) - p).abs() < 1e-12);
        }
    }
}

/// The estimates from the L-moments of lmoments3 1.0.8: k = l₁/l₂ − 2 is −ξ, and σ = (1 + k) l₁.
#[test]
fn the_estimator_is_that_of_l_moments() {
    let sample = [3, 5, 8, 13, 21, 30, 34, 47, 55, 61, 76, 89, 104, 118, 144, 163, 199, 233, 310, 377].map(f64::from);
    let fit = Pareto::fit(&sample).unwrap();
    assert!((fit.shape - 0.166_835_933_893_453_97).abs() < 1e-12, "{fit:?}");
    assert!((fit.scale - 87.065_644_908_134_06).abs() < 1e-10, "{fit:?}");
}

/// The distribution's functions against SciPy 1.17.1, `genpareto(c, scale)`: `isf(p)` and `sf(x)`.
#[test]
fn the_distribution_is_scipys() {
    let near = |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-12, "{found} {expected}");
    for (shape, scale, p, isf, x, sf) in SCIPY {
        let pareto = Pareto { shape, scale };
        near(pareto.exceeded_with(p), isf);
        near(pareto.survival(x), sf);
    }
}

#[test]
fn light_tails_are_fitted_and_bounded_without_an_end() {
    let uniform = of(&Sample::of(&series(4_000, |p| 100_000.0 * p)));
    assert!(uniform.accepted, "{uniform:?}");
    assert!(uniform.fit.unwrap().shape_ppm < -800_000, "{uniform:?}");
    // The distribution ends at 1.1 ms, but a bound does not rely on an end.
    assert!(uniform.bounds_ns.first().is_some_and(|bound| *bound > 1_100_000), "{uniform:?}");
    let exponential = of(&Sample::of(&series(4_000, |p| -10_000.0 * p.ln())));
    assert!(exponential.accepted && exponential.fit.unwrap().shape_ppm.abs() < 100_000, "{exponential:?}");
    assert!(exponential.bounds_ns.is_sorted() && exponential.is_consistent(4_000), "{exponential:?}");
    assert!(exponential.bound(9).unwrap() >= 1_000_000 + 207_233, "the true quantile is 10 us times 20.7");
}

#[test]
fn heavy_tails_ties_constants_short_and_drifting_series_are_refused() {
    let why = |series: &[u64]| {
        let tail = of(&Sample::of(series));
        assert!(!tail.accepted && tail.is_consistent(tail.observations), "{tail:?}");
        tail.why.unwrap()
    };
    let heavy = Pareto { shape: 0.8, scale: 10_000.0 };
    assert!(why(&series(4_000, |p| heavy.exceeded_with(p))).contains("too heavy"));
    let exponential = |p: f64| -10_000.0 * p.ln();
    assert!(why(&series(4_000, |p| (exponential(p) / 10_000.0).ceil() * 10_000.0)).contains("different lengths"));
    assert!(why(&[5; 5_000]).contains("0 observations are above"));
    assert!(why(&series(300, exponential)).contains("a fit needs 50"));
    assert!(why(&[]).contains("a fit needs 50"));
    let mut drifting = series(4_000, exponential);
    drifting.iter_mut().take(2_000).for_each(|time| *time += 20_000);
    assert!(why(&drifting).contains("drifts"), "{}", why(&drifting));
    // Above each threshold there are modes with nothing between them.
    let mode = |p: f64| {
        if p < 0.02 {
            60_000.0
        } else if p < 0.07 {
            30_000.0
        } else {
            0.0
        }
    };
    let modes = series(1_200, |p| mode(p) + 10_000.0 * (1.0 - p));
    assert!(why(&modes).contains("fits"), "{}", why(&modes));
}

#[test]
fn exceedances_in_bursts_count_once_a_burst() {
    let mut bursts = series(16_384, |p| -1_000.0 * p.ln());
    let slow: Vec<f64> = shuffled(256).collect();
    // 256 bursts of 4 at distances around 64.
    for (burst, p) in slow.iter().enumerate() {
        let at = burst * 64 + super::up(p * 59.0).and_then(|at| usize::try_from(at).ok()).unwrap();
        bursts[at..at + 4].iter_mut().for_each(|time| *time += 20_000 + super::up(-5_000.0 * p.ln()).unwrap());
    }
    let tail = of(&Sample::of(&bursts));
    assert!(tail.extremal_index_ppm < 500_000 && tail.peaks < tail.exceedances / 2, "{tail:?}");
}

#[test]
fn the_same_sample_has_the_same_tail_and_an_impossible_one_is_told() {
    let sample = Sample::of(&series(4_000, |p| -10_000.0 * p.ln()));
    assert_eq!(of(&sample), of(&sample));
    assert!(sample.is_consistent());
    assert!(!Sample { observations: 5, ..sample.clone() }.is_consistent());
    assert!(!Sample { at: vec![0; sample.at.len()], ..sample.clone() }.is_consistent());
    assert!(!Sample { times_ns: sample.times_ns.iter().rev().copied().collect(), ..sample }.is_consistent());
}

/// Shape, scale, a probability with its `isf`, and a value with its `sf`.
const SCIPY: [(f64, f64, f64, f64, f64, f64); 5] = [
    (-0.25, 3.0, 0.01, 8.205266807797944, 5.0, 0.11578896604938271),
    (0.0, 2.0, 1e-07, 32.23619130191664, 30.0, 3.059023205018258e-07),
    (0.1, 10.0, 0.0001, 151.188643150958, 50.0, 0.01734152991583262),
    (0.3, 1.5, 1e-09, 2500.9361681363616, 40.0, 0.0006594648241003232),
    (0.49, 1.0, 0.5, 0.8253977055877493, 1000.0, 3.2210462061478706e-06),
];

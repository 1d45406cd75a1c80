//! How often bounds from tails hold: random series of known distributions, with fixed seeds.
//!
//! The figures stand in `docs/theory/tail.md`; `cargo test -p aegis-codegen --test tail -- --nocapture` prints them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use aegis_codegen::tail::{Sample, of};

/// 10 ms, and so many nanoseconds for a unit of a distribution.
const BASE: f64 = 10_000_000.0;
const UNIT: f64 = 100_000.0;
const EXPONENTS: [u8; 4] = [3, 6, 9, 12];

/// A distribution by its name and what it exceeds with a probability.
type Distribution = (&'static str, fn(f64) -> f64);

fn pareto(shape: f64, p: f64) -> f64 {
    (p.powf(-shape) - 1.0) / shape
}

const LIGHT: [Distribution; 7] = [
    ("uniform", |p| 1.0 - p),
    ("exponential", |p| -p.ln()),
    ("Gumbel", |p| -(-(-p).ln_1p()).ln()),
    ("Weibull, shape 2", |p| (-p.ln()).sqrt()),
    ("Weibull, shape 0.8", |p| (-p.ln()).powf(1.25)),
    ("Pareto, shape -0.2", |p| pareto(-0.2, p)),
    ("Pareto, shape 0.1", |p| pareto(0.1, p)),
];
const HEAVY: [Distribution; 3] = [
    ("Pareto, shape 0.2", |p| pareto(0.2, p)),
    ("Pareto, shape 0.3", |p| pareto(0.3, p)),
    ("Pareto, shape 0.4", |p| pareto(0.4, p)),
];

fn time(excess: f64) -> u64 {
    format!("{:.0}", (BASE + UNIT * excess).ceil()).parse().unwrap()
}

/// Of so many series: how many have bounds, and at how many of these each bound is at or above the true quantile; with what a
/// bound's distance from the base is as a multiple of the true one, in the middle.
fn count(quantile: fn(f64) -> f64, length: usize, series: u64) -> (usize, [usize; 4], [f64; 4]) {
    let (mut answered, mut covered) = (0, [0; 4]);
    let mut ratios = [const { Vec::new() }; 4];
    for seed in 0..series {
        let mut random = fastrand::Rng::with_seed(seed);
        let times: Vec<u64> = (0..length).map(|_| time(quantile(1.0 - random.f64()))).collect();
        let longest = *times.iter().max().unwrap();
        let tail = of(&Sample::of(&times));
        answered += usize::from(tail.accepted);
        for (place, exponent) in EXPONENTS.into_iter().enumerate() {
            let Some(bound) = tail.bound(exponent).map(|bound| bound.max(longest)) else { continue };
            let exact = quantile(10_f64.powi(-i32::from(exponent)));
            covered[place] += usize::from(bound >= time(exact));
            ratios[place].push((bound as f64 - BASE) / UNIT / exact);
        }
    }
    let middle = ratios.map(|mut ratios| {
        ratios.sort_unstable_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied().unwrap_or(0.0)
    });
    (answered, covered, middle)
}

/// Counts all distributions at two lengths; the least part, in percent, that is covered at any probability.
fn coverage(distributions: &[Distribution], series: u64) -> (usize, usize, usize) {
    let (mut least, mut answers, mut hits) = (100, 0, 0);
    for (name, quantile) in distributions {
        for length in [1_000, 3_000] {
            let (answered, covered, middle) = count(*quantile, length, series);
            let percent = covered.map(|covered| covered * 100 / answered.max(1));
            println!(
                "{name}, {length}: {answered} of {series} answered; covered {percent:?} %, times the true one {middle:.1?}"
            );
            least = least.min(*percent.iter().min().unwrap());
            answers += answered * EXPONENTS.len();
            hits += covered.iter().sum::<usize>();
        }
    }
    println!("{hits} of {answers}, at least {least} % of each");
    (least, hits, answers)
}

#[test]
fn bounds_of_light_tails_hold_in_95_of_100_cases_of_each_distribution() {
    let (least, hits, answers) = coverage(&LIGHT, 100);
    assert!(least >= 95, "{least} %");
    assert!(hits * 100 >= answers * 99, "{hits} of {answers}");
}

#[test]
fn bounds_of_heavy_tails_hold_in_95_of_100_cases_of_each_distribution() {
    let (least, hits, answers) = coverage(&HEAVY, 100);
    assert!(least >= 95, "{least} %");
    assert!(hits * 100 >= answers * 97, "{hits} of {answers}");
}

/// Each time depends on the one before: the greater of a new one and of the last one less 30 %.
#[test]
fn bounds_of_correlated_series_hold_and_their_peaks_are_fewer() {
    let (mut answered, mut covered, mut peaks, mut exceedances) = (0_u64, 0_u64, 0, 0);
    for seed in 0..100 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut last = 0.0_f64;
        let times: Vec<u64> = (0..6_000)
            .map(|_| {
                last = (0.7 * last).max(-(1.0 - random.f64()).ln());
                time(last)
            })
            .collect();
        let longest = *times.iter().max().unwrap();
        let tail = of(&Sample::of(&times));
        peaks += tail.peaks;
        exceedances += tail.exceedances;
        // P(X > x) is at most the sum of P(E > x / 0.7^n): at 1e-6 the first term alone, to one in a hundred.
        if let Some(bound) = tail.bound(6) {
            answered += 1;
            covered += u64::from(bound.max(longest) >= time(-(0.99e-6_f64).ln()));
        }
    }
    println!("{answered} answered, {covered} covered, {peaks} peaks of {exceedances} exceedances");
    assert!(peaks * 10 < exceedances * 9, "{peaks} of {exceedances}");
    assert!(answered >= 50 && covered * 100 >= answered * 95, "{covered} of {answered}");
}

#[test]
fn heavy_tails_are_refused() {
    let refused = |shape: fn(f64) -> f64| 40 - count(shape, 3_000, 40).0;
    assert!(refused(|p| pareto(0.8, p)) >= 38 && refused(|p| pareto(1.0, p)) >= 39);
}

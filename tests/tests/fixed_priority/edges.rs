//! Inputs at the edge of what numbers hold: a right answer or a clear finding, and soon.

use aegis_codegen::analysis::{Load, NoBound, Pieces, Proof, fixed_priority};
use fastrand::Rng;
use std::time::{Duration, Instant};

/// Each bound, or why there is none.
fn responses(loads: &[Load]) -> Vec<Result<u64, NoBound>> {
    let found = fixed_priority::analyse(loads).into_iter();
    found.map(|found| found.response.map(|(bound, _)| bound.as_ns())).collect()
}

fn soon<T>(limit: u64, work: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let result = work();
    assert!(begin.elapsed() < Duration::from_secs(limit), "took {:?}", begin.elapsed());
    result
}

#[test]
fn harmonic_sets_at_utilization_1_end_at_their_longest_period() {
    let harmonic = |make: fn(u64, u64, u64, u64) -> Load| -> Vec<Load> {
        let mut loads: Vec<Load> = (0..20).map(|k| make(10, 20 << k, 20 << k, 0)).collect();
        loads.push(make(10, 10 << 20, 10 << 20, 0));
        loads
    };
    let bounds = responses(&harmonic(Load::preemptive));
    assert_eq!((bounds[0], bounds[1], bounds[20]), (Ok(10), Ok(20), Ok(10 << 20)));
    let bounds = responses(&harmonic(Load::whole));
    assert_eq!((bounds[0], bounds[20]), (Ok(19), Ok(10 << 20)));
}

#[test]
fn utilization_1_with_jitter_never_settles_and_says_so() {
    let loads = [Load::preemptive(1, 2, 2, 1), Load::preemptive(1, 2, 2, 1), Load::preemptive(1, 1_000, 1_000, 0)];
    assert_eq!(soon(10, || responses(&loads)), [Ok(2), Err(NoBound::GaveUp), Err(NoBound::Overloaded)]);
}

#[test]
fn jitter_above_the_period_brings_several_jobs_at_once() {
    // Three jobs of the first are seen together, and the next 4 ns later.
    let loads = [Load::preemptive(3, 10, 10, 26), Load::preemptive(4, 40, 40, 0)];
    assert_eq!(responses(&loads), [Ok(29), Ok(19)]);
    let loads = [Load::whole(3, 10, 10, 26), Load::whole(4, 40, 40, 0)];
    assert_eq!(responses(&loads), [Ok(32), Ok(16)]);
}

#[test]
fn what_64_bits_do_not_hold_is_an_overflow() {
    let long = u64::MAX - 10;
    assert_eq!(responses(&[Load::preemptive(1, long, long, 0)]), [Ok(1)]);
    assert_eq!(responses(&[Load::preemptive(1, long, long, u64::MAX)]), [Err(NoBound::Overflow)]);
    assert_eq!(responses(&[Load::preemptive(long, u64::MAX, u64::MAX, 0)]), [Ok(long)]);
    let pair = [Load::whole(u64::MAX / 2, u64::MAX, u64::MAX, 0), Load::whole(u64::MAX / 2, u64::MAX, u64::MAX, 0)];
    assert_eq!(responses(&pair), [Ok(u64::MAX - 2), Ok(u64::MAX - 1)]);
    let third = [pair[0], pair[1], Load::whole(2, u64::MAX, u64::MAX, 0)];
    assert_eq!(responses(&third)[2], Err(NoBound::Overloaded));
    let late = [pair[0], Load { jitter: 2, ..pair[1] }];
    assert_eq!(responses(&late)[1], Err(NoBound::Overflow));
    // A short period below a very long job: its arrivals are jumped over, not walked through.
    let gap = [Load::preemptive(1, 2, 2, 0), Load::preemptive(1 << 60, 1 << 62, 1 << 62, 0)];
    assert_eq!(responses(&gap), [Ok(1), Ok(1 << 61)]);
}

#[test]
fn impossible_pieces_and_periods_of_zero_are_refused_without_a_panic() {
    let cut = |last, longest| Load { pieces: Pieces::Segments { last, longest }, ..Load::whole(4, 10, 10, 0) };
    assert_eq!(responses(&[cut(5, 5)]), [Err(NoBound::Overflow)]);
    assert!(responses(&[Load::whole(1, 0, 1, 0)])[0].is_err());
    assert_eq!(responses(&[]), []);
}

#[test]
fn ten_thousand_tasks_are_done_soon() {
    let mut rng = Rng::with_seed(31);
    for make in [Load::whole, Load::preemptive] {
        let mut loads: Vec<Load> = (0..10_000)
            .map(|_| {
                let period = rng.u64(1_000_000..1_000_000_000);
                make(period / 13_000, period, period, rng.u64(0..2 * period))
            })
            .collect();
        let random = soon(10, || responses(&loads));
        assert!(random.iter().all(|bound| bound.is_ok() || *bound == Err(NoBound::GaveUp)));
        loads.sort_by_key(|load| load.period);
        assert!(soon(10, || responses(&loads)).iter().all(Result::is_ok));
    }
    // Every second search begins anew, because a long piece goes away each time.
    let alternating: Vec<Load> = (0..10_000u64)
        .map(|k| Load::whole(if k % 2 == 0 { 1 } else { 1_000_000 - 50 * k }, 10_000_000_000, 10_000_000_000, 0))
        .collect();
    let bounds = soon(10, || responses(&alternating));
    assert!(bounds.iter().all(|bound| bound.is_ok() || *bound == Err(NoBound::GaveUp)));
}

#[test]
fn many_instances_are_bounded_in_number_for_the_whole_lane() {
    // Each of the short tasks has 20 million instances in the busy period of the long one.
    let mut loads = vec![Load::preemptive(1 << 40, 1 << 41, 1 << 41, 0)];
    loads.extend((0..1_000).map(|_| Load::preemptive(1, 100_000, 100_000, 0)));
    let found = soon(10, || fixed_priority::analyse(&loads));
    let starts = found.iter().map(|found| match &found.response {
        Ok((_, Proof::FixedPriority { starts, .. })) => starts.len(),
        _ => 0,
    });
    assert_eq!(starts.sum::<usize>(), 1);
    assert!(found[1..].iter().all(|found| found.response == Err(NoBound::GaveUp)));
}

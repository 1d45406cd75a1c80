//! The pattern of a bound, one tick at a time, and through the dispatcher.

use super::oracle::{Cut, MEDIUM, SMALL, loads, random_bounded};
use aegis_codegen::analysis::Pieces;
use aegis_codegen::analysis::edf::{self, Witness};
use fastrand::Rng;

/// A job of the pattern.
struct Job {
    load: usize,
    arrival: u64,
    seen: u64,
    done: u64,
}

impl Job {
    fn due(&self, cuts: &[Cut]) -> u64 {
        self.arrival + cuts[self.load].load.deadline
    }
}

/// How long the pieces before the first longest one take.
fn before_longest(cut: &Cut) -> u64 {
    let longest = cut.pieces.iter().max().unwrap();
    cut.pieces.iter().take_while(|piece| *piece < longest).sum()
}

/// How many ticks a job that has done so many goes on at least.
fn piece(cut: &Cut, done: u64, blocks: bool) -> u64 {
    match cut.load.pieces {
        Pieces::Floating { longest } if blocks && done == 0 => longest,
        Pieces::Floating { .. } => 1,
        _ => {
            let mut end = 0;
            *cut.pieces
                .iter()
                .find(|piece| {
                    end += **piece;
                    end > done
                })
                .unwrap()
        }
    }
}

/// The response of the load's job that arrives at `witness.arrival`; of equal deadlines its own goes last.
fn response(cuts: &[Cut], own: usize, witness: &Witness) -> u64 {
    let mut jobs: Vec<Job> = Vec::new();
    if let Some(load) = witness.blocked_by {
        let arrival = witness.begin - 1 - before_longest(&cuts[load]);
        jobs.push(Job { load, arrival, seen: arrival, done: 0 });
    }
    for release in &witness.releases {
        let (load, seen, arrival) = (release.load, release.seen, release.arrival);
        assert!(arrival <= seen && seen <= arrival + cuts[load].load.jitter, "{witness:?}");
        // A blocking job that is due with the others is one of them.
        let before = jobs.iter().rev().find(|job| job.load == load);
        assert!(before.is_none_or(|before| arrival >= before.arrival + cuts[load].load.period));
        jobs.push(Job { load, arrival, seen, done: 0 });
    }
    let mut now = 0;
    loop {
        let ready = |job: &&mut Job| job.seen <= now && job.done < cuts[job.load].load.cost;
        let first = jobs.iter_mut().filter(ready).min_by_key(|job| (job.due(cuts), job.load == own, job.arrival));
        let Some(job) = first else {
            now += 1;
            continue;
        };
        let ticks = piece(&cuts[job.load], job.done, witness.blocked_by == Some(job.load));
        job.done += ticks;
        now += ticks;
        if job.load == own && job.arrival == witness.arrival && job.done == cuts[own].load.cost {
            return now - job.arrival;
        }
    }
}

#[test]
fn every_bound_is_attained_by_its_pattern() {
    let mut rng = Rng::with_seed(20);
    let (mut tasks, mut blocked, mut inner) = (0, 0, 0);
    for _ in 0..10_000 {
        let size = if rng.u8(0..4) == 0 { MEDIUM } else { SMALL };
        let cuts = random_bounded(&mut rng, &size, |_| true);
        let loads = loads(&cuts);
        let bounds = super::bounds::responses(&loads);
        for (own, bound) in bounds.into_iter().enumerate() {
            let witness = edf::witness(&loads, own).unwrap();
            assert_eq!(witness.finish - witness.arrival, bound, "{loads:?}");
            assert_eq!(response(&cuts, own, &witness), bound, "task {own}, {witness:?}: {cuts:?}");
            tasks += 1;
            blocked += usize::from(witness.blocking > 0);
            inner += usize::from(witness.blocked_by.is_some_and(|load| before_longest(&cuts[load]) > 0));
        }
    }
    println!("{tasks} tasks, {blocked} blocked, {inner} of them by a piece that is not the first");
    assert!(tasks > 15_000 && blocked > 2_000 && inner > 50);
}

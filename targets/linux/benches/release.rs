//! How long after its planned arrival a job starts on an idle lane, beside the machine's own timer wake-up in the same run.
//!
//! ```text
//! cargo bench -p aegis-linux --bench release [-- SECONDS]
//! ```
//!
//! One task arrives every 20 ms, each job does nothing. Half a period later a plain thread wakes from `clock_nanosleep`, on the
//! orchestration thread's core with its priority, and another one on the lane's core: what the machine itself needs. A release
//! wakes two threads one after the other: the orchestration thread by its timer, the lane's by what that one hands over.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark stops at what it did not expect, and tells")]

#[path = "../tests/common/mod.rs"]
mod common;

use aegis_core::trace::Kind;
use aegis_linux::clock::monotonic_ns;
use aegis_linux::realtime::{LANE_PRIORITY, ORCHESTRATION_PRIORITY, set_up_thread};
use common::{Act, Scenario, drive_beside, fixture};
use rustix::thread::{ClockId, clock_nanosleep_absolute};
use rustix::time::Timespec;
use std::process::ExitCode;

const PERIOD_NS: u64 = 20_000_000;
/// The run's ring of records holds about this many.
const MOST_JOBS: u64 = 1_500;

/// What a thread saw, and what it was refused.
type Seen = (Vec<u64>, Vec<String>);

fn main() -> ExitCode {
    // Cargo's own arguments begin with a dash.
    let seconds = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let Ok(seconds) = seconds.as_deref().unwrap_or("20").parse::<u64>() else {
        println!("usage: release [SECONDS]");
        return ExitCode::from(2);
    };
    let jobs = seconds.saturating_mul(1_000_000_000 / PERIOD_NS).clamp(1, MOST_JOBS);
    let scenario = Scenario { for_ms: Some(jobs * PERIOD_NS / 1_000_000), ..Scenario::of(Act::Spin(0)) };
    let mut plain: Vec<Seen> = Vec::new();
    let ran = drive_beside::<1>(fixture::system(&[(20, 1)]), scenario, |_, _, _| {
        // The schedule starts 20 ms after its thread; half a period beside it nothing else is due.
        let first = monotonic_ns() + PERIOD_NS + PERIOD_NS / 2;
        std::thread::scope(|scope| {
            let cores = [(0, ORCHESTRATION_PRIORITY), (1, LANE_PRIORITY)];
            let threads = cores.map(|core| scope.spawn(move || wake_ups(first, jobs, core)));
            plain.extend(threads.into_iter().map(|thread| thread.join().unwrap()));
        });
    });
    for refused in plain.iter().flat_map(|(_, refused)| refused) {
        println!("void: {refused}");
    }
    let mut arrivals = ran.records.iter().filter_map(|record| match record.kind {
        Kind::Submitted { job, arrival, .. } => Some((job.request, arrival)),
        _ => None,
    });
    // Jobs come one by one, so each completion is that of the next arrival.
    let starts = ran.records.iter().filter_map(|record| match record.kind {
        Kind::Completed { job, began, .. } => {
            let (request, arrival) = arrivals.next()?;
            assert_eq!(request, job.request, "jobs complete in the order of their arrivals");
            Some(began.saturating_since(arrival).as_ns())
        }
        _ => None,
    });
    let seen = ran.records.iter().filter_map(|record| match record.kind {
        Kind::Submitted { arrival, .. } => Some(record.at.saturating_since(arrival).as_ns()),
        _ => None,
    });
    row("of that, arrival to the step that releases it", seen.collect());
    let released = row("arrival to the job's start, idle lane", starts.collect());
    let timer = plain.into_iter().zip(["core 0, the orchestration thread's", "core 1, the lane's"]);
    let timers: Vec<u64> = timer.map(|((seen, _), core)| row(&format!("timer wake-up, {core}"), seen)).collect();
    for (p99, core) in timers.iter().zip(["0", "1"]) {
        println!("p99 / p99 of core {core}'s timer: {:.2}", released as f64 / *p99 as f64);
    }
    ExitCode::SUCCESS
}

/// How late a plain thread wakes, half a period after each arrival.
fn wake_ups(first: u64, jobs: u64, (core, priority): (u16, i32)) -> Seen {
    let refused = set_up_thread(&format!("the timer on core {core}"), core, priority);
    let mut seen = Vec::with_capacity(usize::try_from(jobs).unwrap());
    for number in 0..jobs {
        let due = first + number * PERIOD_NS;
        let (seconds, nanoseconds) = (due / 1_000_000_000, due % 1_000_000_000);
        let at = Timespec { tv_sec: seconds.try_into().unwrap(), tv_nsec: nanoseconds.try_into().unwrap() };
        clock_nanosleep_absolute(ClockId::Monotonic, &at).unwrap();
        seen.push(monotonic_ns().saturating_sub(due));
    }
    (seen, refused.into_iter().map(|void| void.text).collect())
}

/// Prints a row and returns its p99 in nanoseconds.
fn row(name: &str, mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    let at = |per_mille: usize| values[(values.len().saturating_sub(1)) * per_mille / 1_000];
    let us = |ns: u64| ns as f64 / 1_000.0;
    let (p50, p99, most) = (at(500), at(990), at(1_000));
    println!("{name:<48} n {:>5}  p50 {:>8.1}  p99 {:>8.1}  max {:>8.1} us", values.len(), us(p50), us(p99), us(most));
    p99
}

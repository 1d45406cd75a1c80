//! What metrics cost the thread that drains the trace, and the one that writes them; nothing of it is on the path of a job. And what a
//! record costs the thread that makes it, of which NVTX is a part with the feature `nvtx`.
//!
//! ```text
//! cargo bench -p aegis-linux --bench metrics
//! cargo bench -p aegis-linux --bench metrics --features nvtx
//! ```

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark stops at what it did not expect, and tells")]

#[path = "../tests/common/fixture.rs"]
mod fixture;

use aegis_core::desc::{SystemDesc, TaskDesc};
use aegis_core::trace::{JobRef, Kind, Reason, Record, Recorder, Ring, Sink, StateKey};
use aegis_core::{Instant, LaneId, ModelId, TaskId};
use aegis_linux::metrics::{Board, Feed, Format, text};
use aegis_linux::stats::{Counted, Tally};
use std::hint::black_box;
use std::sync::Arc;

const TASKS: usize = 64;
/// Jobs of each task.
const JOBS: u64 = 2_000;
/// How often each figure is taken; the least counts, since whatever disturbs only adds.
const TIMES: usize = 15;

/// A plan with as many tasks as the benchmark of the dispatcher has.
fn plan() -> &'static SystemDesc {
    let system = fixture::system(&[(10, 2)]);
    let task = |number: usize| TaskDesc { name: format!("task-{number}").leak(), ..system.tasks[0] };
    let tasks: Vec<_> = (0..TASKS).map(task).collect();
    Box::leak(Box::new(SystemDesc { tasks: tasks.leak(), ..*system }))
}

/// The five records of a job that runs in one piece and is on time.
fn records(system: &SystemDesc) -> Vec<Record> {
    let mut records = Vec::new();
    for request in 0..JOBS * u64::try_from(TASKS).unwrap() {
        let job = JobRef { task: TaskId(u16::try_from(request % 64).unwrap()), request };
        let at = Instant::from_ns(request * 1_000_000);
        let ended = Instant::from_ns(request * 1_000_000 + 700_000);
        let length = fixture::ms(1 + request % 9);
        let (lane, model, reason, state) = (LaneId(0), ModelId(0), Reason::OnlyOneWaiting, StateKey::EMPTY);
        for kind in [
            Kind::Submitted { job, arrival: at, queue_depth: 1 },
            Kind::Decided { lane, chosen: job, runner_up: None, reason, queue_depth: 1, state },
            Kind::Bound { job, lane, model },
            Kind::Started { job, lane },
            Kind::Completed { job, lane, began: at, ended, response: length, execution: length },
        ] {
            let sequence = u64::try_from(records.len()).unwrap();
            records.push(Record { sequence, at, kind });
        }
    }
    assert_eq!(system.tasks.len(), TASKS);
    records
}

/// Nanoseconds of something, the least of several times.
fn least(mut what: impl FnMut()) -> u128 {
    let mut once = || {
        let from = std::time::Instant::now();
        what();
        from.elapsed().as_nanos()
    };
    (0..TIMES).map(|_| once()).min().unwrap()
}

fn main() {
    let system = plan();
    let records = records(system);
    let count = u128::try_from(records.len()).unwrap();
    let board = Board::new(system);
    let mut tally: Tally<TASKS> = Tally::new();
    let mut feed = Feed::new(system, Arc::clone(&board));
    let counted = least(|| records.iter().for_each(|record| tally.observe(black_box(record.at), &record.kind)));
    let observed = least(|| records.iter().for_each(|record| feed.observe(black_box(record))));
    let published = least(|| feed.publish(&tally));
    let newest = board.newest();
    // Emptied after each round, as the drain does meanwhile on another thread.
    aegis_linux::nvtx::open(system);
    let mut ring: Box<Ring<1_024>> = Box::new(Ring::new());
    let (writer, mut reader) = ring.split();
    let mut sink = Counted { tally: Tally::<TASKS>::new(), recorder: Recorder::new(writer) };
    let mut made = u128::MAX;
    for round in records.chunks_exact(1_000) {
        let from = std::time::Instant::now();
        round.iter().for_each(|record| sink.record(black_box(record.at), record.kind));
        made = made.min(from.elapsed().as_nanos());
        while reader.dequeue().is_some() {}
    }
    assert_eq!(sink.recorder.lost(), 0);
    println!("{count} records of {} jobs, {TASKS} tasks", count / 5);
    println!("a record, counted and into the ring: {:.1} ns", made as f64 / 1e3);
    println!("a record, for the table of tasks: {:.1} ns", counted as f64 / count as f64);
    println!("a record, for metrics besides:    {:.1} ns", observed as f64 / count as f64);
    println!("a snapshot:                       {:.1} us", published as f64 / 1e3);
    for format in [Format::Prometheus, Format::OpenMetrics] {
        let bytes = text(&newest, format).len();
        let written = least(|| {
            black_box(text(black_box(&newest), format));
        });
        println!("a text of {bytes} bytes, {format:?}: {:.1} us", written as f64 / 1e3);
    }
}

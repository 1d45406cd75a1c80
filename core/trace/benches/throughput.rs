//! How fast traces are written, read, and made lines of; ten million records, or as many as the first argument says.
//!
//! ```text
//! cargo bench -p aegis-trace
//! ```

#![allow(clippy::unwrap_used, reason = "a measurement stops at whatever it did not expect")]

use aegis_core::desc::{LaneDesc, SystemDesc, TaskDesc};
use aegis_core::dispatch::Event;
use aegis_core::trace::{JobRef, Kind, Reason, Record, StateKey};
use aegis_core::{Duration, Instant, LaneId, TaskId, trace_line};
use aegis_trace::{Files, Writer, open};

const TASKS: &[TaskDesc] = &[TaskDesc { name: "face", ..TaskDesc::EMPTY }];
const LANES: &[LaneDesc] = &[LaneDesc { name: "main", ..LaneDesc::EMPTY }];
const PLAN: &SystemDesc = &SystemDesc { name: "bench", tasks: TASKS, lanes: LANES, ..SystemDesc::EMPTY };

/// The records of jobs that come every 10 ms: seven each, two of them steps, as the reference vehicle's jobs have.
fn record(sequence: u64) -> Record {
    let (number, which) = (sequence / 7, sequence % 7);
    let (task, lane, arrival) = (TaskId(0), LaneId(0), Instant::from_ns(number * 10_000_000));
    let (began, ended) = (Instant::from_ns(arrival.as_ns() + 41_370), Instant::from_ns(arrival.as_ns() + 2_041_370));
    let job = JobRef { task, request: number + 1 };
    let state = StateKey(StateKey::EMPTY.with(number).mixed());
    let (response, execution) = (Duration::from_ns(2_041_370), Duration::from_ns(2_000_000));
    let (at, kind) = match which {
        0 => (arrival, Kind::Stepped { event: Event::Timer }),
        1 => (arrival, Kind::Submitted { job, arrival, queue_depth: 1 }),
        2 => {
            let reason = Reason::OnlyOneWaiting;
            (arrival, Kind::Decided { lane, chosen: job, runner_up: None, reason, queue_depth: 1, state })
        }
        3 => (arrival, Kind::Started { job, lane }),
        4 => (ended, Kind::Stepped { event: Event::Completed { lane, began, ended } }),
        5 => (ended, Kind::Completed { job, lane, began, ended, response, execution }),
        _ => (ended, Kind::Skipped { task, arrival }),
    };
    Record { sequence, at, kind }
}

/// Says how long something took.
fn timed<T>(what: &str, count: u64, work: impl FnOnce() -> T) -> T {
    let begin = std::time::Instant::now();
    let done = work();
    let took = begin.elapsed();
    println!("{what}: {:.2} s, {} ns a record", took.as_secs_f64(), took.as_nanos() / u128::from(count.max(1)));
    done
}

fn main() {
    let count = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(10_000_000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bench.aegistrace");
    timed("written", count, || {
        let mut writer = Writer::new(PLAN, Files::create(&path, None).unwrap());
        (0..count).for_each(|sequence| writer.push(&record(sequence)).unwrap());
        writer.finish().unwrap();
    });
    let size = std::fs::metadata(&path).unwrap().len();
    println!("{size} bytes, {}.{} a record", size / count.max(1), size * 10 / count.max(1) % 10);
    let read = timed("read", count, || open(&path).unwrap().1.of_plan(PLAN).map(Result::unwrap).count());
    assert_eq!(u64::try_from(read).unwrap(), count);
    let length = timed("read, and made lines of", count, || {
        let (mut line, mut length) = (String::new(), 0_usize);
        for record in open(&path).unwrap().1.of_plan(PLAN) {
            line.clear();
            trace_line::write(&mut line, PLAN, &record.unwrap());
            length += line.len();
        }
        length
    });
    println!("{length} bytes of lines");
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        status.lines().filter(|line| line.starts_with("VmHWM")).for_each(|line| println!("{line}"));
    }
}

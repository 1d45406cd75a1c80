//! How long a trace takes to be written for viewers, and how much memory: simulated records of the reference vehicle, repeated.
//! Beside it, in the same process, what it takes to make the records, and to write them as JSON lines.
//!
//! `cargo bench -p aegis-codegen --bench export -- 10000000`: how many records. Prints a Markdown table.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a wrong trace ends the measurement")]

use aegis_codegen::export::{Export, Format};
use aegis_codegen::lock::Lock;
use aegis_codegen::tables;
use aegis_core::desc::{LaneDesc, SystemDesc, TaskDesc};
use aegis_core::time::{Duration, Instant};
use aegis_core::trace::{JobRef, Kind, Record};
use aegis_core::trace_line;
use aegis_tests::simulate::{Spent, World, run};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::io::Write;
use std::path::Path;

/// How long the simulation is that is repeated, in nanoseconds.
const SPAN: u64 = 60_000_000_000;

fn main() {
    let count = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let system = tables::leak(&Lock::read(&root.join("system.lock")).unwrap()).unwrap();
    let block = run(system, &[], SPAN, &mut Most).records;
    let records = || Records { block: &block, at: 0, lap: 0 }.take(count);
    println!("{count} records, of {} that are repeated; peak {} MiB so far", block.len(), peak());
    println!("| | s of the processor | s by the clock | ns a record | to making them | bytes a record | peak, MiB |");
    println!("|---|--:|--:|--:|--:|--:|--:|");
    let made = timed(|| records().map(|record| black_box(record).sequence & 1).sum());
    let row = |name: &str, took: &Took, bytes: u64| {
        let (each, ratio, bytes) =
            (took.busy * 1e9 / count as f64, took.busy / made.0.busy, bytes as f64 / count as f64);
        println!(
            "| {name} | {:.2} | {:.2} | {each:.0} | {ratio:.1} | {bytes:.0} | {} |",
            took.busy,
            took.clock,
            peak()
        );
    };
    row("making the records", &made.0, 0);
    for (name, format) in [("Perfetto", Format::Perfetto), ("Chrome", Format::Chrome)] {
        let (took, bytes) = timed(|| export(format, system, records()));
        row(name, &took, bytes);
    }
    let (took, bytes) = timed(|| lines(system, records()));
    row("JSON lines", &took, bytes);
}

fn export(format: Format, system: &SystemDesc, records: impl Iterator<Item = Record>) -> u64 {
    let mut out = Counted::default();
    let mut export = Export::new(format, system, &[], &mut out);
    for record in records {
        export.observe(&record).unwrap();
    }
    assert_eq!(export.finish().unwrap().lost, 0);
    out.0
}

fn lines(system: &SystemDesc, records: impl Iterator<Item = Record>) -> u64 {
    let (mut line, mut out) = (String::new(), Counted::default());
    for record in records {
        trace_line::write(&mut line, system, &record);
        if line.len() > 1 << 20 {
            out.write_all(line.as_bytes()).unwrap();
            line.clear();
        }
    }
    out.write_all(line.as_bytes()).unwrap();
    out.0
}

/// Forgets what is written, but its length.
#[derive(Default)]
struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += u64::try_from(bytes.len()).unwrap();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// How long a piece of work took, of the processor's time and by the clock.
struct Took {
    busy: f64,
    clock: f64,
}

fn timed(work: impl FnOnce() -> u64) -> (Took, u64) {
    let busy = || {
        let now = clock_gettime(ClockId::ProcessCPUTime);
        now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
    };
    let (clock, before) = (std::time::Instant::now(), busy());
    let result = work();
    (Took { busy: busy() - before, clock: clock.elapsed().as_secs_f64() }, result)
}

/// The most memory that was resident, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// Every execution as long as may be, every wake-up as late as may be.
struct Most;

impl World for Most {
    fn spend(&mut self, task: &TaskDesc, lane: &LaneDesc) -> Spent {
        Spent::worst(task, lane)
    }

    fn wake(&mut self, _due: u64, latest: u64) -> u64 {
        latest
    }
}

/// A simulation's records again and again, each time later, with other requests.
struct Records<'a> {
    block: &'a [(u64, Kind)],
    at: usize,
    lap: u64,
}

impl Iterator for Records<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        if self.at == self.block.len() {
            (self.at, self.lap) = (0, self.lap + 1);
        }
        let (at, kind) = self.block[self.at];
        let sequence = self.lap * u64::try_from(self.block.len()).unwrap() + u64::try_from(self.at).unwrap();
        self.at += 1;
        Some(Record { sequence, at: self.later(Instant::from_ns(at)), kind: self.again(kind) })
    }
}

impl Records<'_> {
    fn later(&self, instant: Instant) -> Instant {
        instant.checked_add(Duration::from_ns(2 * SPAN * self.lap)).unwrap()
    }

    fn job(&self, job: JobRef) -> JobRef {
        JobRef { request: job.request + self.lap * 10_000_000, ..job }
    }

    fn again(&self, kind: Kind) -> Kind {
        match kind {
            Kind::Submitted { job, arrival, queue_depth } => {
                Kind::Submitted { job: self.job(job), arrival: self.later(arrival), queue_depth }
            }
            Kind::Decided { lane, chosen, runner_up, reason, queue_depth, state } => Kind::Decided {
                lane,
                chosen: self.job(chosen),
                runner_up: runner_up.map(|job| self.job(job)),
                reason,
                queue_depth,
                state,
            },
            Kind::Bound { job, lane, model } => Kind::Bound { job: self.job(job), lane, model },
            Kind::Started { job, lane } => Kind::Started { job: self.job(job), lane },
            Kind::Paused { job, lane, began, ended } => {
                Kind::Paused { job: self.job(job), lane, began: self.later(began), ended: self.later(ended) }
            }
            Kind::Completed { job, lane, began, ended, response, execution } => Kind::Completed {
                job: self.job(job),
                lane,
                began: self.later(began),
                ended: self.later(ended),
                response,
                execution,
            },
            other => other,
        }
    }
}

//! Measures each model's execution on its lane's core: its segments one after the other, each with a series of its own.
//!
//! ```text
//!  evict ─▶ segment 0 ─▶ evict ─▶ segment 1 ─▶ … ─▶ pause ─▶ evict ─▶ segment 0 ─▶ …
//!           └ measured           └ measured                          └ measured
//! ```
//!
//! The segments are bound to the same tensors, so that each reads what the earlier ones wrote. A model on a part of a GPU is measured
//! twice: alone, and beside a neighbour that keeps all other SMs of the device busy, which is what its WCET is of.

use super::ProbeError;
use super::bench::Bench;
use super::models::{Sized, SizedSegment, fill, lay_out};
use super::protocol::{Measured, ModelAnswer, ModelRequest, Request, SegmentAnswer, TensorAnswer};
use super::record::Record;
use super::statistics::{Stats, Upper};
use super::wiring::{Tensor, Wired, Wires};
use crate::arena::BoundTensor;
use crate::backend::{BackendError, BoundSegment, PlannedMemory};
use aegis_core::desc::MemoryControl;
use aegis_linux::clock::monotonic_ns;
use aegis_linux::realtime::{LANE_PRIORITY, set_up_thread};
use std::io;
use std::time::Duration;

/// What is read before each measured segment. Other models run in between in a vehicle, and what they touch drives a model's
/// data out of the core's caches; runs in a row would meet warm caches and be shorter than a vehicle's. Where a shared
/// cache is larger than this, it may still keep some of the data, as it may between a vehicle's jobs.
const EVICTION_BYTES: usize = 16 << 20;
/// The length of a cache line on x86-64, and at most that of aarch64.
const LINE_BYTES: usize = 64;

/// A segment that is measured.
struct Segment {
    engine: Box<dyn BoundSegment>,
    sha256: String,
    built: Option<String>,
    record: Record,
    weights: u64,
    runs: u64,
    /// The length of each measured run, in nanoseconds.
    series: Vec<u64>,
    /// Of a model on a GPU with a neighbour: those without it.
    alone: Vec<u64>,
}

/// Measures every model that could be sized, each on a thread set up like its lane's.
pub(super) fn measure_all(
    request: &Request,
    sized: Vec<Result<Sized, String>>,
) -> Result<Vec<ModelAnswer>, ProbeError> {
    let mut answers = Vec::new();
    for (asked, sized) in request.models.iter().zip(sized) {
        let measured = match sized {
            Ok(sized) => measure(request, asked, sized)?,
            Err(error) => Err(error),
        };
        let name = asked.name.clone();
        answers.push(measured.unwrap_or_else(|error| ModelAnswer::Failed { name, error }));
    }
    Ok(answers)
}

/// Measures one model; the inner error is the model's own. A neighbour is started from this ordinary thread, so that it has neither the
/// core nor the priority of the one that is measured.
fn measure(request: &Request, asked: &ModelRequest, sized: Sized) -> Result<Result<ModelAnswer, String>, ProbeError> {
    let Sized { bench, wired, segments, engines_version } = sized;
    let first = || {
        let mut segments = bind(&bench, &wired, segments)?;
        for _ in 0..request.warmup_runs {
            segments.iter_mut().try_for_each(|segment| segment.run(&bench))?;
        }
        series(request, asked, &bench, &mut segments)?;
        Ok(segments)
    };
    let mut segments = match on_lane_thread(asked, first)? {
        Ok(segments) => segments,
        Err(error) => return Ok(Err(error)),
    };
    let neighbours = match bench.neighbours() {
        Ok(neighbours) => neighbours,
        Err(error) => return Ok(Err(error)),
    };
    if !neighbours.is_empty() {
        for segment in &mut segments {
            segment.alone = std::mem::take(&mut segment.series);
        }
        let measured = on_lane_thread(asked, || series(request, asked, &bench, &mut segments))?;
        // Whatever went wrong: they do not go on beside the next model.
        for neighbour in neighbours {
            match neighbour.stop() {
                Ok(launches) => eprintln!("a neighbour of model \"{}\" was launched {launches} times", asked.name),
                Err(error) => return Ok(Err(format!("the neighbour: {error}"))),
            }
        }
        if let Err(error) = measured {
            return Ok(Err(error));
        }
    }
    let Wired { inputs, outputs, carried, segments: wires } = wired;
    let told = |tensors: Vec<Tensor>| tensors.into_iter().map(told_tensor).collect();
    Ok(Ok(ModelAnswer::Measured(Box::new(Measured {
        name: asked.name.clone(),
        threads: 1,
        engines_version,
        after: request.before(asked),
        inputs: told(inputs),
        outputs: told(outputs),
        carried: told(carried),
        segments: segments.into_iter().zip(wires).map(|(segment, wires)| segment.answer(wires)).collect(),
    }))))
}

/// Does a part of a measurement on a thread that is set up like the model's lane's.
fn on_lane_thread<R: Send>(
    asked: &ModelRequest,
    body: impl FnOnce() -> Result<R, String> + Send,
) -> Result<Result<R, String>, ProbeError> {
    let refused = |error: io::Error| ProbeError::System { what: "a lane thread", error };
    let set_up = || {
        for void in set_up_thread(&format!("model \"{}\"", asked.name), asked.core, LANE_PRIORITY) {
            eprintln!("{}", void.text);
        }
        body().map_err(|text| format!("model \"{}\": {text}", asked.name))
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(format!("model-{}", asked.name));
        let thread = thread.spawn_scoped(scope, set_up).map_err(refused)?;
        thread.join().map_err(|_| refused(io::Error::other("it panicked")))
    })
}

/// One series of each segment.
fn series(request: &Request, asked: &ModelRequest, bench: &Bench, segments: &mut [Segment]) -> Result<(), String> {
    // Written once, so that every page of it is memory of its own.
    let eviction = vec![1_u8; EVICTION_BYTES];
    let min_ns = request.min_seconds.saturating_mul(1_000_000_000);
    let (started, mut told) = (monotonic_ns(), 0_u64);
    for number in 1_u64.. {
        let evicting = monotonic_ns();
        for segment in &mut *segments {
            evict(&eviction);
            let began = monotonic_ns();
            segment.run(bench)?;
            segment.series.push(monotonic_ns().saturating_sub(began));
        }
        let ended = monotonic_ns();
        let elapsed = ended.saturating_sub(started);
        if elapsed / 500_000_000 > told {
            told = elapsed / 500_000_000;
            // Both conditions must hold, so the expected number follows from the slower one.
            let by_time = u128::from(number) * u128::from(min_ns) / u128::from(elapsed.max(1));
            let total = u64::try_from(by_time).unwrap_or(u64::MAX).max(request.min_runs).max(number);
            eprintln!("progress {} {number} {total}", asked.name);
        }
        if number >= request.min_runs && elapsed >= min_ns {
            break;
        }
        // A real-time thread that never waits would be stopped by the kernel's throttle, and that is not the model.
        let busy = ended.saturating_sub(evicting);
        std::thread::sleep(Duration::from_nanos(busy / 4) + Duration::from_micros(50));
    }
    Ok(())
}

/// Binds all segments to the model's tensors: what one writes is what a later one reads.
fn bind(bench: &Bench, wired: &Wired, sized: Vec<SizedSegment>) -> Result<Vec<Segment>, String> {
    let Wired { inputs, outputs, carried, segments } = wired;
    let mut inputs = lay_out(bench, inputs, true)?;
    inputs.iter_mut().for_each(|input| fill(input, 0));
    let (outputs, mut carried) = (lay_out(bench, outputs, true)?, lay_out(bench, carried, true)?);
    // It never leaves the device.
    carried.iter_mut().for_each(|tensor| tensor.host = None);
    // A name that only one segment has can be an input and an output; what is carried has a name of its own.
    let tensors = |names: &[String], ends: &[BoundTensor]| {
        let tensor = |name: &String| {
            let same = ends.iter().chain(&carried).find(|tensor| tensor.name == *name);
            same.cloned().ok_or_else(|| format!("\"{name}\" belongs to no segment"))
        };
        names.iter().map(tensor).collect::<Result<Vec<_>, _>>()
    };
    let bind = |(segment, wires): (SizedSegment, &Wires)| {
        let SizedSegment { model, sha256, engine: built, record, weights } = segment;
        let (inputs, outputs) = (tensors(&wires.reads, &inputs)?, tensors(&wires.writes, &outputs)?);
        let (persistent, scratch, seat) = (bench.nothing()?, record.run_region(bench)?, bench.seat());
        let engine = model.bind(PlannedMemory { inputs, outputs, persistent, scratch, seat });
        let engine = engine.map_err(|error| error.to_string())?;
        let series = Vec::with_capacity(100_000);
        Ok(Segment { engine, sha256, built, record, weights, runs: 0, series, alone: Vec::new() })
    };
    sized.into_iter().zip(segments).map(bind).collect()
}

impl Segment {
    /// Runs it once. Each run replays a recording; one that differs grades the segment down, and is run again without. On a device it is an
    /// error: what was refused memory there cannot go on.
    fn run(&mut self, bench: &Bench) -> Result<(), String> {
        let text = |error: BackendError| error.to_string();
        self.runs = self.runs.saturating_add(1);
        match self.engine.run() {
            Err(BackendError::Refused(why))
                if bench.seat().is_none() && self.record.control() == MemoryControl::Planned =>
            {
                self.record.grade_down(format!("run {} of the measurement differed: {why}", self.runs));
                self.engine.serve_from(self.record.run_region(bench)?);
                self.engine.run().map_err(text)
            }
            result => result.map_err(text),
        }
    }

    fn answer(self, wires: Wires) -> SegmentAnswer {
        let Self { engine, sha256, built, mut record, weights, series, alone, .. } = self;
        record.reached(engine.scratch_use().height);
        SegmentAnswer {
            sha256,
            engine_sha256: built,
            // What is not planned is not in the arena either.
            weights_bytes: weights.saturating_add(record.outside()),
            scratch_bytes: record.height(),
            memory: record.control().name(),
            graded_down: record.why(),
            load: record.load(),
            runs: record.runs(),
            reads: wires.reads,
            writes: wires.writes,
            upper: Upper::of(&series),
            execution: Stats::of(series),
            alone: (!alone.is_empty()).then(|| Stats::of(alone)),
            not_captured: engine.why_not_captured().map(str::to_owned),
        }
    }
}

/// Reads one byte of every cache line, so that nothing else stays in a cache of this size.
fn evict(buffer: &[u8]) {
    let lines = std::hint::black_box(buffer).iter().step_by(LINE_BYTES);
    std::hint::black_box(lines.fold(0_u8, |sum, byte| sum.wrapping_add(*byte)));
}

fn told_tensor(tensor: Tensor) -> TensorAnswer {
    let Tensor { name, element, shape, bytes } = tensor;
    TensorAnswer { name, dtype: element.name(), shape, bytes }
}

//! Measures each model: its tensors, the scratch its runs need, and its execution time on its lane's core.

use super::ProbeError;
use super::protocol::{Measured, ModelAnswer, ModelRequest, Request, TensorAnswer};
use super::record::{self, Record};
use super::statistics::Stats;
use crate::arena::{Arena, BoundTensor};
use crate::backend::{BackendError, Engine as _, PlannedMemory, Region, Sequence};
use crate::cache::sha256;
use crate::onnx::{OnnxEngine, OnnxModel, OnnxRuntime, Port, heap_in_use};
use aegis_core::desc::{ALIGNMENT, ElementType, MemoryControl};
use aegis_linux::clock::monotonic_ns;
use aegis_linux::realtime::{LANE_PRIORITY, set_up_thread};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// What is read before each measured run. Other models run in between in a vehicle, and what they touch drives a model's
/// data out of the core's caches; runs in a row would meet warm caches and be shorter than a vehicle's. Where a shared
/// cache is larger than this, it may still keep some of the data, as it may between a vehicle's jobs.
const EVICTION_BYTES: usize = 16 << 20;
/// The length of a cache line on x86-64, and at most that of aarch64.
const LINE_BYTES: usize = 64;

/// A model whose memory needs are known.
pub(super) struct Sized {
    model: OnnxModel,
    sha256: String,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    record: Record,
    weights: u64,
}

/// A tensor's form, without a place.
#[derive(Clone, Debug)]
struct Tensor {
    name: String,
    element: ElementType,
    shape: Vec<i64>,
    bytes: u64,
}

/// Loads and sizes every model; each has its own result.
pub(super) fn size_all(request: &Request, runtime: Option<&OnnxRuntime>) -> Vec<Result<Sized, String>> {
    let size = |asked: &ModelRequest| size(asked, runtime).map_err(|text| format!("model \"{}\": {text}", asked.name));
    request.models.iter().map(size).collect()
}

fn size(asked: &ModelRequest, runtime: Option<&OnnxRuntime>) -> Result<Sized, String> {
    if asked.backend != "onnxruntime" {
        return Err(format!("this target has no backend \"{}\"", asked.backend));
    }
    let runtime = runtime.ok_or("no runtime library was given")?;
    let file = asked.file.display();
    let sha256 = sha256(&asked.file).map_err(|error| format!("{file} cannot be read: {error}"))?;
    let text = |error: BackendError| error.to_string();
    let mut record = Record::default();
    let mut model = OnnxModel::load(runtime, &asked.file, record::recorder()?).map_err(text)?;
    record.add_load(model.recorded_load(), model.persistent_use().height);
    let inputs = model.inputs().iter().map(|port| input(asked, port)).collect::<Result<Vec<_>, _>>()?;
    for given in &asked.inputs {
        if !inputs.iter().any(|input| input.name == given.name) {
            let names: Vec<_> = inputs.iter().map(|input| input.name.as_str()).collect();
            return Err(format!("there is no input \"{}\"; the model has: {}", given.name, names.join(", ")));
        }
    }
    let memory = lay_out(&inputs, &[], false)?;
    let shapes = OnnxEngine::output_shapes(&model, &memory.inputs, record::recorder()?).map_err(text)?;
    let outputs = model.outputs().iter().zip(shapes).map(|(port, shape)| tensor(port, shape));
    let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
    // Only the first run of a model that was never run before shows what its first job in a vehicle requests.
    drop(model);
    for load in 0..record::LOADS {
        let _between = record::stir(load);
        let mut model = OnnxModel::load(runtime, &asked.file, record::recorder()?).map_err(text)?;
        record.add_load(model.recorded_load(), model.persistent_use().height);
        let memory = PlannedMemory { scratch: record::recorder()?, ..lay_out(&inputs, &outputs, false)? };
        let mut engine = OnnxEngine::bind(model, memory).map_err(text)?;
        record.add_runs(&mut engine, |engine, run| {
            engine.inputs().iter_mut().for_each(|input| fill(input, run));
            engine.run().map_err(text)
        })?;
    }
    record.close();
    let before = heap_in_use();
    let model = OnnxModel::load(runtime, &asked.file, record.load_region()?).map_err(text)?;
    let memory = PlannedMemory { scratch: record.run_region()?, ..lay_out(&inputs, &outputs, false)? };
    let mut engine = OnnxEngine::bind(model, memory).map_err(text)?;
    engine.run().map_err(text)?;
    if record.control() == MemoryControl::Planned && engine.control() != MemoryControl::Planned {
        record.grade_down("loaded once more, it ran in an order that was not recorded".to_owned());
    }
    // Taken after a run, so that what the first run keeps is included.
    let weights = heap_in_use().saturating_sub(before);
    Ok(Sized { model: engine.unbind(), sha256, inputs, outputs, record, weights })
}

/// Measures every model that could be sized, each on a thread set up like its lane's.
pub(super) fn measure_all(
    request: &Request,
    sized: Vec<Result<Sized, String>>,
) -> Result<Vec<ModelAnswer>, ProbeError> {
    let mut answers = Vec::new();
    for (asked, sized) in request.models.iter().zip(sized) {
        let measured = match sized {
            Ok(sized) => on_lane_thread(request, asked, sized)?,
            Err(error) => Err(error),
        };
        let name = asked.name.clone();
        answers.push(measured.unwrap_or_else(|error| ModelAnswer::Failed { name, error }));
    }
    Ok(answers)
}

fn on_lane_thread(
    request: &Request,
    asked: &ModelRequest,
    sized: Sized,
) -> Result<Result<ModelAnswer, String>, ProbeError> {
    let refused = |error: io::Error| ProbeError::System { what: "a lane thread", error };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(format!("model-{}", asked.name));
        let thread = thread.spawn_scoped(scope, || measure(request, asked, sized)).map_err(refused)?;
        thread.join().map_err(|_| refused(io::Error::other("it panicked")))
    })
}

fn measure(request: &Request, asked: &ModelRequest, sized: Sized) -> Result<ModelAnswer, String> {
    for void in set_up_thread(&format!("model \"{}\"", asked.name), asked.core, LANE_PRIORITY) {
        eprintln!("{}", void.text);
    }
    let Sized { model, sha256, inputs, outputs, mut record, weights } = sized;
    let text = |error: BackendError| format!("model \"{}\": {error}", asked.name);
    let memory = |record: &Record| {
        let memory = lay_out(&inputs, &outputs, true)?;
        Ok::<_, String>(PlannedMemory { scratch: record.run_region()?, ..memory })
    };
    let mut engine = OnnxEngine::bind(model, memory(&record)?).map_err(text)?;
    let mut runs = 0_u64;
    // Each run replays a recording. One that differs grades the model down, and goes on without.
    let mut run = |engine: OnnxEngine| -> Result<OnnxEngine, String> {
        let mut engine = engine;
        runs = runs.saturating_add(1);
        match engine.run() {
            Ok(()) => Ok(engine),
            Err(BackendError::Refused(why)) if record.control() == MemoryControl::Planned => {
                record.grade_down(format!("run {runs} of the measurement differed: {why}"));
                let mut engine = OnnxEngine::bind(engine.unbind(), memory(&record)?).map_err(text)?;
                engine.run().map_err(text)?;
                Ok(engine)
            }
            Err(error) => Err(text(error)),
        }
    };
    for _ in 0..request.warmup_runs {
        engine = run(engine)?;
    }
    // Written once, so that every page of it is memory of its own.
    let eviction = vec![1_u8; EVICTION_BYTES];
    let min_ns = request.min_seconds.saturating_mul(1_000_000_000);
    let (mut series, started) = (Vec::with_capacity(100_000), monotonic_ns());
    let mut told = 0_u64;
    for number in 1_u64.. {
        let evicting = monotonic_ns();
        evict(&eviction);
        let began = monotonic_ns();
        engine = run(engine)?;
        let ended = monotonic_ns();
        let length = ended.saturating_sub(began);
        series.push(length);
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
    // The closure borrowed the record until here.
    let height = engine.scratch_use().height;
    drop(engine);
    record.reached(height);
    Ok(ModelAnswer::Measured(Box::new(Measured {
        name: asked.name.clone(),
        sha256,
        threads: 1,
        inputs: inputs.into_iter().map(told_tensor).collect(),
        outputs: outputs.into_iter().map(told_tensor).collect(),
        // What is not planned is not in the arena either.
        weights_bytes: weights.saturating_add(record.outside()),
        scratch_bytes: record.height(),
        memory: record.control().name(),
        graded_down: record.why(),
        load: record.load(),
        runs: record.runs(),
        execution: Stats::of(series),
    })))
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

/// An input with the asked shape; where none is asked, the model's own.
fn input(asked: &ModelRequest, port: &Port) -> Result<Tensor, String> {
    let given = asked.inputs.iter().find(|input| input.name == port.name);
    let shape = given.map_or_else(|| port.shape.clone(), |input| input.shape.clone());
    let agrees =
        shape.len() == port.shape.len() && shape.iter().zip(&port.shape).all(|(asked, own)| *own < 0 || asked == own);
    if !agrees {
        let (name, own) = (&port.name, &port.shape);
        return Err(format!("input \"{name}\" was asked with shape {shape:?}, the model has {own:?} (-1: any)"));
    }
    tensor(port, shape)
}

fn tensor(port: &Port, shape: Vec<i64>) -> Result<Tensor, String> {
    let count = shape.iter().try_fold(1_u64, |product, side| product.checked_mul(u64::try_from(*side).ok()?));
    let bytes = count.and_then(|count| count.checked_mul(port.element.size().0)).filter(|bytes| *bytes > 0);
    let bytes = bytes.ok_or_else(|| format!("\"{}\" has the shape {shape:?}, which must be given", port.name))?;
    Ok(Tensor { name: port.name.clone(), element: port.element, shape, bytes })
}

/// One arena with inputs and outputs behind each other, the inputs filled; without scratch.
fn lay_out(inputs: &[Tensor], outputs: &[Tensor], locked: bool) -> Result<PlannedMemory, String> {
    let tensors = inputs.iter().chain(outputs);
    let total = tensors.map(|tensor| aligned(tensor.bytes)).fold(0, u64::saturating_add);
    let arena = Arena::map(total, locked).map_err(|error| format!("{total} bytes of memory: {error}"))?;
    let mut at = 0_u64;
    let mut inputs = inputs.iter().map(|tensor| place(tensor, &arena, &mut at)).collect::<Result<Vec<_>, _>>()?;
    let outputs = outputs.iter().map(|tensor| place(tensor, &arena, &mut at)).collect::<Result<Vec<_>, _>>()?;
    inputs.iter_mut().for_each(|input| fill(input, 0));
    let none = || {
        Ok::<_, String>(Region { span: arena.span(0, 0).ok_or("an arena without a start")?, sequence: Sequence::Heap })
    };
    Ok(PlannedMemory { inputs, outputs, persistent: none()?, scratch: none()? })
}

fn place(tensor: &Tensor, arena: &Arc<Arena>, at: &mut u64) -> Result<BoundTensor, String> {
    let span = arena.span(*at, tensor.bytes).ok_or("the layout is inconsistent")?;
    *at = at.saturating_add(aligned(tensor.bytes));
    Ok(BoundTensor { name: tensor.name.clone(), element: tensor.element, shape: tensor.shape.clone(), span })
}

fn aligned(bytes: u64) -> u64 {
    bytes.checked_next_multiple_of(ALIGNMENT.0).unwrap_or(u64::MAX)
}

/// Fills an input: pseudo-random numbers in [0, 1) that are the same each time for a series, or ones for integers.
#[allow(unsafe_code, reason = "writes planned memory that only the caller knows")]
fn fill(tensor: &mut BoundTensor, series: u32) {
    let mut state = 0x2545_f491_u32 ^ series.wrapping_mul(0x9e37_79b9);
    // SAFETY: `lay_out` made the arena a moment ago and shares it with nobody yet.
    unsafe {
        if let Some(values) = tensor.write::<f32>() {
            values.fill_with(|| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                // The upper 16 bits, which an f32 holds exactly.
                f32::from(u16::try_from(state >> 16).unwrap_or(0)) / 65_536.0
            });
        } else if let Some(values) = tensor.write::<i64>() {
            values.fill(1);
        } else if let Some(values) = tensor.write::<i32>() {
            values.fill(1);
        } else if let Some(values) = tensor.write::<u8>() {
            values.fill(1);
        }
    }
}

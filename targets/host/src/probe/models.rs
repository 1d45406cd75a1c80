//! Loads each model's segments: their tensors, what loading and runs request, and what they hold outside the arena.

use super::bench::Bench;
use super::devices::Devices;
use super::engines::{self, Providers};
use super::protocol::{ModelRequest, Request};
use super::record::{self, Record};
use super::wiring::{Tensor, Wired, Wiring};
use crate::arena::{Arena, BoundTensor};
use crate::backend::{BackendError, LoadedSegment, PlannedMemory, Region};
use crate::cache::sha256;
use crate::onnx::heap_in_use;
use crate::runtimes::{Runtimes, Source};
use aegis_core::Bytes;
use aegis_core::desc::MemoryControl;
use std::sync::Arc;

/// A model whose memory needs are known.
pub(super) struct Sized {
    pub(super) bench: Bench,
    pub(super) wired: Wired,
    /// In order.
    pub(super) segments: Vec<SizedSegment>,
    /// The version of the library that runs its engines, where it has some.
    pub(super) engines_version: Option<String>,
}

/// A segment of one, loaded.
pub(super) struct SizedSegment {
    pub(super) model: Box<dyn LoadedSegment>,
    pub(super) sha256: String,
    /// That of the engine that is loaded, where one is.
    pub(super) engine: Option<String>,
    pub(super) record: Record,
    pub(super) weights: u64,
}

/// Loads and sizes every model; each has its own result.
pub(super) fn size_all(
    request: &Request,
    runtimes: &Runtimes,
    devices: &Devices,
    providers: &Providers,
) -> Vec<Result<Sized, String>> {
    let size = |asked: &ModelRequest| {
        size(asked, runtimes, devices, providers).map_err(|text| format!("model \"{}\": {text}", asked.name))
    };
    request.models.iter().map(size).collect()
}

fn size(asked: &ModelRequest, runtimes: &Runtimes, devices: &Devices, providers: &Providers) -> Result<Sized, String> {
    let backend = asked.backend().ok_or_else(|| format!("this target has no backend \"{}\"", asked.backend))?;
    let program = asked.kernels.as_ref().map(|kernels| kernels.program().map(Arc::new)).transpose()?;
    let last = asked.files.len().checked_sub(1).ok_or("no file was given")?;
    let bench = match &asked.gpu {
        Some(gpu) => Bench::on(&devices.get(gpu.ordinal)?, gpu)?,
        None => Bench::default(),
    };
    let engines = asked.engines.as_ref().map(|engines| providers.of(engines, asked.gpu.as_ref())).transpose()?;
    let mut wiring = Wiring::new(&asked.inputs);
    let mut segments = Vec::new();
    for (number, file) in asked.files.iter().enumerate() {
        let sized = match &engines {
            Some(engines) => {
                engines::size_segment((runtimes, &bench), (file, number), engines, &mut wiring, number == last)
            }
            None => {
                let source = Source { backend, file, program: program.as_ref(), engine: None };
                size_segment((runtimes, &bench), source, &mut wiring, number == last)
            }
        };
        let which = || if last > 0 { format!("segment {}: ", number.saturating_add(1)) } else { String::new() };
        segments.push(sized.map_err(|text| which() + &text)?);
    }
    bench.release();
    let engines_version = engines.map(|engines| engines.version);
    Ok(Sized { bench, wired: wiring.close(), segments, engines_version })
}

fn size_segment(
    (runtimes, bench): (&Runtimes, &Bench),
    source: Source<'_>,
    wiring: &mut Wiring<'_>,
    is_last: bool,
) -> Result<SizedSegment, String> {
    let file = source.file.display().to_string();
    let sha256 = sha256(source.file).map_err(|error| format!("{file} cannot be read: {error}"))?;
    let text = |error: BackendError| error.to_string();
    let mut record = Record::new(bench.seat().is_some());
    // Taken before the first loading, so that what the driver keeps from there on is in the difference, too.
    bench.load_recorder()?;
    bench.run_recorder()?;
    let untouched = bench.free_bytes()?;
    let mut model = runtimes.open(source, bench.load_recorder()?, bench.seat()).map_err(text)?;
    record.add_load(model.recorded_load(), model.persistent_use().height);
    let inputs = wiring.read(&file, model.inputs())?;
    wiring.declare(model.declared());
    if is_last {
        wiring.check_asked()?;
    }
    let shapes = model.output_shapes(&filled(bench, &inputs)?, bench.run_recorder()?).map_err(text)?;
    let outputs = model.outputs().iter().zip(shapes).map(|(port, shape)| Tensor::of(port, shape));
    let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
    wiring.write(&file, &outputs)?;
    // Only the first run of a model that was never run before shows what its first job in a vehicle requests.
    drop(model);
    let memory = |scratch: Region| {
        let (inputs, outputs) = (filled(bench, &inputs)?, lay_out(bench, &outputs, false)?);
        let (persistent, seat) = (bench.nothing()?, bench.seat());
        Ok::<_, String>(PlannedMemory { inputs, outputs, persistent, scratch, seat })
    };
    for load in 0..record::LOADS {
        let _between = record::stir(load);
        let mut model = runtimes.open(source, bench.load_recorder()?, bench.seat()).map_err(text)?;
        record.add_load(model.recorded_load(), model.persistent_use().height);
        let mut engine = model.bind(memory(bench.run_recorder()?)?).map_err(text)?;
        record.add_runs(&mut *engine, |engine, run| {
            engine.inputs().iter_mut().for_each(|input| fill(input, run));
            engine.run().map_err(text)
        })?;
    }
    record.close();
    let without_own = bench.free_bytes()?;
    let (load, scratch) = (record.load_region(bench)?, record.run_region(bench)?);
    let planned = memory(scratch)?;
    // What the regions just taken are of the difference is no backend's.
    let own = without_own.zip(bench.free_bytes()?).map_or(0, |(before, after)| before.saturating_sub(after));
    let before = (heap_in_use(), untouched.map(|untouched| untouched.saturating_sub(own)));
    let model = runtimes.open(source, load, bench.seat()).map_err(text)?;
    let mut engine = model.bind(planned).map_err(text)?;
    engine.run().map_err(text)?;
    if record.control() == MemoryControl::Planned && engine.control() != MemoryControl::Planned {
        record.grade_down("loaded once more, it ran in an order that was not recorded".to_owned());
    }
    // Taken after a run, so that what the first run keeps is included.
    let weights = match before.1.zip(bench.free_bytes()?) {
        // The driver's: of kernels that were loaded, and of libraries.
        Some((before, after)) => before.saturating_sub(after),
        None => heap_in_use().saturating_sub(before.0),
    };
    Ok(SizedSegment { model: engine.unbind(), sha256, engine: None, record, weights })
}

/// Tensors behind each other in an arena of their own; `reserved` as in [`crate::arena::Arena::map`].
pub(super) fn lay_out(bench: &Bench, tensors: &[Tensor], reserved: bool) -> Result<Vec<BoundTensor>, String> {
    let alignment = bench.alignment();
    let total = tensors.iter().map(|tensor| aligned(tensor.bytes, alignment)).fold(0, u64::saturating_add);
    let (arena, host) = bench.tensors(total, reserved)?;
    let mut at = 0_u64;
    let place = |tensor: &Tensor| {
        let place = |arena: &Arc<Arena>| arena.span(at, tensor.bytes).ok_or("the layout is inconsistent");
        let (span, host) = (place(&arena)?, host.as_ref().map(place).transpose()?);
        at = at.saturating_add(aligned(tensor.bytes, alignment));
        let (name, shape) = (tensor.name.clone(), tensor.shape.clone());
        Ok(BoundTensor { name, element: tensor.element, shape, span, host })
    };
    tensors.iter().map(place).collect()
}

pub(super) fn filled(bench: &Bench, inputs: &[Tensor]) -> Result<Vec<BoundTensor>, String> {
    let mut inputs = lay_out(bench, inputs, false)?;
    inputs.iter_mut().for_each(|input| fill(input, 0));
    Ok(inputs)
}

fn aligned(bytes: u64, alignment: Bytes) -> u64 {
    bytes.checked_next_multiple_of(alignment.0).unwrap_or(u64::MAX)
}

/// Fills an input: pseudo-random numbers in [0, 1) that are the same each time for a series, or ones for integers.
#[allow(unsafe_code, reason = "writes planned memory that only the caller knows")]
pub(super) fn fill(tensor: &mut BoundTensor, series: u32) {
    let mut state = 0x2545_f491_u32 ^ series.wrapping_mul(0x9e37_79b9);
    // SAFETY: `lay_out` made the arena, only this thread knows it, and nothing runs on it now.
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

//! A file of kernels on a part of a GPU: loaded, then bound to memory.
// Launching kernels, of which the plan says what they are given.
#![allow(unsafe_code)]

use super::program::{Argument, Launch, Program, events, places};
use crate::arena::BoundTensor;
use crate::backend::{
    BackendError, BoundSegment, Declared, Engine, LoadedSegment, PlannedMemory, Port, Region, ScratchUse, Sequence,
};
use crate::capture::{Capture, Submit};
use crate::first_fit::replayable;
use crate::gpu::Seat;
use aegis_core::desc::{MemoryControl, Recording};
use aegis_cuda::{Argument as Value, CudaError, Kernel, Module, Partition, Shape};
use std::ffi::CString;
use std::path::Path;
use std::sync::Arc;

/// A file of kernels, loaded: each launch has its kernel, which takes what it is given.
#[derive(Debug)]
pub struct KernelsSegment {
    program: Arc<Program>,
    /// One for each launch. Each keeps the module.
    kernels: Vec<Kernel>,
    seat: Arc<Seat>,
}

impl KernelsSegment {
    /// Loads a file for a part of a device.
    ///
    /// # Errors
    /// [`BackendError::Load`] with the file and the driver's words: it is no PTX and no cubin for this device, has no kernel of a
    /// name, or one with other parameters; or there is no part.
    pub fn load(program: &Arc<Program>, file: &Path, seat: Option<Arc<Seat>>) -> Result<Self, BackendError> {
        let failed = |text: String| BackendError::Load { path: file.to_owned(), text };
        let seat = seat.ok_or_else(|| failed("kernels run on a part of a GPU, and it has none".to_owned()))?;
        let image = std::fs::read(file).map_err(|error| failed(error.to_string()))?;
        let kernels = seat.with(|partition| {
            let module = partition.load(&image).map_err(|error| of_module(error, &failed))?;
            let find =
                |(number, launch): (usize, &Launch)| kernel(partition, &module, program, (number, launch), &failed);
            (1..).zip(&program.launches).map(find).collect::<Result<Vec<_>, _>>()
        })?;
        Ok(Self { program: Arc::clone(program), kernels, seat })
    }
}

/// A lost device stays one; all else is said of the file.
fn of_module(error: CudaError, failed: &impl Fn(String) -> BackendError) -> BackendError {
    if error.class() == aegis_core::ErrorClass::Fatal { error.into() } else { failed(error.to_string()) }
}

/// The kernel of a launch, counted from 1, if it takes what it is given.
fn kernel(
    partition: &Partition,
    module: &Module,
    program: &Program,
    (number, launch): (usize, &Launch),
    failed: &impl Fn(String) -> BackendError,
) -> Result<Kernel, BackendError> {
    let name = CString::new(launch.kernel.as_str()).map_err(|error| failed(error.to_string()))?;
    let found = module.kernel(partition, &name);
    let kernel =
        found.map_err(|error| of_module(error, &|text| failed(format!("kernel \"{}\": {text}", launch.kernel))))?;
    // Without that a launch could read beyond its arguments.
    let unknown = || failed("the driver does not tell what kernels take: those of CUDA 12.4 and later do".to_owned());
    let takes = kernel.parameters(partition)?.ok_or_else(unknown)?;
    let given: Vec<usize> = launch.arguments.iter().map(length).collect();
    if let Some(text) = mismatch(&takes, &given) {
        return Err(failed(format!("launch {number}: kernel \"{}\" {text}", launch.kernel)));
    }
    // The limit is the kernel's, whichever of its launches asks for the most.
    let same = program.launches.iter().filter(|other| other.kernel == launch.kernel);
    let shared = same.map(|other| other.shape.shared).max().unwrap_or(0);
    if shared > 0 {
        let refused =
            |error| of_module(error, &|text| failed(format!("launch {number}: kernel \"{}\": {text}", launch.kernel)));
        kernel.allow_shared(partition, shared).map_err(refused)?;
    }
    Ok(kernel)
}

/// The bytes that an argument has.
const fn length(argument: &Argument) -> usize {
    match argument {
        Argument::Word(_) => 4,
        Argument::Tensor(_) | Argument::Buffer(_) | Argument::Long(_) => 8,
    }
}

/// In what the parameters of a kernel differ from the arguments, by their lengths in bytes.
fn mismatch(takes: &[usize], given: &[usize]) -> Option<String> {
    (takes != given).then(|| format!("takes parameters of {takes:?} bytes, and is given arguments of {given:?} bytes"))
}

impl LoadedSegment for KernelsSegment {
    fn inputs(&self) -> &[Port] {
        &self.program.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.program.outputs
    }

    fn declared(&self) -> Declared {
        let names = |ports: &[Port]| ports.iter().map(|port| port.name.clone()).collect();
        Declared { inputs: names(&self.program.inputs), outputs: names(&self.program.outputs) }
    }

    /// None: what loading takes is the driver's.
    fn recorded_load(&mut self) -> Vec<i64> {
        Vec::new()
    }

    fn persistent_use(&self) -> ScratchUse {
        ScratchUse::default()
    }

    fn output_shapes(&self, _inputs: &[BoundTensor], _scratch: Region) -> Result<Vec<Vec<i64>>, BackendError> {
        Ok(self.program.outputs.iter().map(|port| port.shape.clone()).collect())
    }

    fn bind(self: Box<Self>, memory: PlannedMemory) -> Result<Box<dyn BoundSegment>, BackendError> {
        Ok(Box::new(KernelsEngine::bind(*self, memory)?))
    }
}

/// Kernels bound to memory.
#[derive(Debug)]
pub struct KernelsEngine {
    // Dropped in this order: the graph refers to the kernels, both to the memory.
    capture: Option<Capture>,
    segment: KernelsSegment,
    inputs: Vec<BoundTensor>,
    outputs: Vec<BoundTensor>,
    scratch: Region,
    placed: Result<Placed, BackendError>,
    /// Of a probe: whether a run was not told of yet.
    untold: bool,
}

/// All launches with their values, and how high their buffers reach.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Placed {
    launches: Vec<(Shape, Vec<Value>)>,
    height: u64,
}

impl KernelsEngine {
    /// Gives each argument its address.
    ///
    /// # Errors
    /// [`BackendError::Bind`] where a tensor is not the program's, [`BackendError::Refused`] where its buffers need more than their
    /// region or other requests were planned.
    pub fn bind(segment: KernelsSegment, memory: PlannedMemory) -> Result<Self, BackendError> {
        let PlannedMemory { inputs, outputs, scratch, .. } = memory;
        let placed = place(&segment.program, (&inputs, &outputs), &scratch)?;
        let capture = Some(Capture::new(Arc::clone(&segment.seat)));
        Ok(Self { capture, segment, inputs, outputs, scratch, placed: Ok(placed), untold: false })
    }
}

/// The values of all launches.
fn place(
    program: &Program,
    (inputs, outputs): (&[BoundTensor], &[BoundTensor]),
    scratch: &Region,
) -> Result<Placed, BackendError> {
    let same = |(port, tensor): (&Port, &BoundTensor)| {
        let fits = port.name == tensor.name && port.element == tensor.element && port.shape == tensor.shape;
        let differs = || BackendError::Bind {
            tensor: tensor.name.clone(),
            text: format!("it is {} {:?}, the launches have {port:?}", tensor.element.name(), tensor.shape),
        };
        if fits { Ok(tensor.address()) } else { Err(differs()) }
    };
    let missing = |what: &str, number: usize| BackendError::Bind {
        tensor: format!("{what} {number}"),
        text: "the launches name it, and it is not there".to_owned(),
    };
    if (inputs.len(), outputs.len()) != (program.inputs.len(), program.outputs.len()) {
        return Err(missing("tensor", inputs.len().saturating_add(outputs.len())));
    }
    let ports = program.inputs.iter().chain(&program.outputs);
    let tensors = ports.zip(inputs.iter().chain(outputs)).map(same).collect::<Result<Vec<u64>, _>>()?;
    let length = u64::try_from(scratch.span.length()).unwrap_or(u64::MAX);
    let (offsets, height) = places(&recording(program, scratch, length)?, scratch.span.alignment());
    if height > length {
        return Err(BackendError::Refused(format!("its buffers need {height} bytes, and its region has {length}")));
    }
    let base = u64::try_from(scratch.span.base().addr()).unwrap_or(u64::MAX);
    let value = |argument: &Argument| {
        Ok(match argument {
            Argument::Tensor(tensor) => {
                Value::Address(*tensors.get(*tensor).ok_or_else(|| missing("tensor", *tensor))?)
            }
            Argument::Buffer(buffer) => {
                let offset = offsets.get(*buffer).ok_or_else(|| missing("buffer", *buffer))?;
                Value::Address(base.checked_add(*offset).ok_or_else(|| missing("buffer", *buffer))?)
            }
            Argument::Word(word) => Value::U32(*word),
            Argument::Long(long) => Value::U64(*long),
        })
    };
    let launch = |launch: &Launch| {
        Ok((launch.shape, launch.arguments.iter().map(value).collect::<Result<Vec<_>, BackendError>>()?))
    };
    Ok(Placed { launches: program.launches.iter().map(launch).collect::<Result<_, BackendError>>()?, height })
}

/// Where the buffers of a run lie: as planned, or, in a probe, by first fit.
fn recording(program: &Program, scratch: &Region, length: u64) -> Result<Recording, BackendError> {
    let refused = |text: String| Err(BackendError::Refused(text));
    match scratch.sequence {
        Sequence::Recorded | Sequence::Free => match replayable(&program.run, length, scratch.span.alignment()) {
            Some(recording) => Ok(recording),
            None => refused(format!("its buffers do not fit their region of {length} bytes")),
        },
        Sequence::Planned { runs: [recording], .. } => match events(recording) {
            Some(events) if events == program.run => Ok(*recording),
            _ => refused("its launches request other buffers".to_owned()),
        },
        Sequence::Planned { .. } | Sequence::Load(_) | Sequence::LoadInAnyOrder(_) | Sequence::Heap => {
            refused("buffers of launches have one recording".to_owned())
        }
    }
}

impl Engine for KernelsEngine {
    fn run(&mut self) -> Result<(), BackendError> {
        let capture = self.capture.take().unwrap_or_else(|| Capture::new(Arc::clone(&self.segment.seat)));
        let (capture, result) = capture.run(self);
        self.capture = Some(capture);
        self.untold |= result.is_ok();
        result
    }

    fn inputs(&mut self) -> &mut [BoundTensor] {
        &mut self.inputs
    }

    fn outputs(&self) -> &[BoundTensor] {
        &self.outputs
    }

    fn scratch_use(&self) -> ScratchUse {
        ScratchUse { height: self.placed.as_ref().map_or(0, |placed| placed.height), ..ScratchUse::default() }
    }

    fn control(&self) -> MemoryControl {
        MemoryControl::Planned
    }

    fn persistent_use(&self) -> ScratchUse {
        ScratchUse::default()
    }
}

impl Submit for KernelsEngine {
    fn submit(&mut self, partition: &Partition) -> Result<(), BackendError> {
        let placed = self.placed.as_ref().map_err(Clone::clone)?;
        for (kernel, (shape, values)) in self.segment.kernels.iter().zip(&placed.launches) {
            // SAFETY: the kernel takes values of these lengths, which loading compared where the driver can tell; module and memory
            // live as long as the engine, which keeps the graph, too. The tensors and buffers are this segment's as long as its run
            // lasts, as the plan proves; that the kernel stays inside of what it is given is its author's to see to.
            unsafe { kernel.launch(partition, *shape, values) }?;
        }
        Ok(())
    }
}

impl BoundSegment for KernelsEngine {
    fn recorded_run(&mut self) -> Vec<i64> {
        let told = std::mem::take(&mut self.untold);
        if told { self.segment.program.run.clone() } else { Vec::new() }
    }

    fn serve_from(&mut self, scratch: Region) {
        self.placed = place(&self.segment.program, (&self.inputs, &self.outputs), &scratch);
        // The graph has the addresses from before.
        self.capture = None;
        self.scratch = scratch;
    }

    fn why_not_captured(&self) -> Option<&str> {
        self.capture.as_ref().and_then(Capture::why_not)
    }

    fn unbind(self: Box<Self>) -> Box<dyn LoadedSegment> {
        let Self { capture, segment, .. } = *self;
        drop(capture);
        Box::new(segment)
    }
}

#[cfg(test)]
mod tests;

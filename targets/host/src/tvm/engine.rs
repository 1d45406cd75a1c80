//! A module bound to planned memory, ready to run on a lane.
// Copies between pieces of planned memory.
#![allow(unsafe_code)]

use super::abi::{Any, DataType, Device, Tensor};
use super::model::TvmModel;
use super::value::{Value, tensor};
use crate::arena::BoundTensor;
use crate::backend::{BackendError, BoundSegment, Engine, LoadedSegment, PlannedMemory, Port, Region, ScratchUse};
use crate::capture::{Capture, Submit};
use crate::serve::Server;
use aegis_core::desc::MemoryControl;
use aegis_cuda::Partition;
use std::sync::Arc;

/// A module bound to its memory.
#[derive(Debug)]
pub struct TvmEngine {
    /// Of a module on a GPU: how its runs are submitted. A graph refers to the module's kernels and to the memory.
    capture: Option<Capture>,
    /// In the module's order; dropped before the memory.
    arguments: Vec<Value>,
    model: TvmModel,
    memory_inputs: Vec<BoundTensor>,
    memory_outputs: Vec<BoundTensor>,
    /// Where each output of the module is among the bound ones.
    places: Vec<usize>,
    scratch: Server,
}

impl TvmEngine {
    /// Binds every input and output to its place.
    ///
    /// # Errors
    /// [`BackendError::Bind`] where a name, an element type or a shape is not the module's, or the memory is of another device.
    pub fn bind(model: TvmModel, memory: PlannedMemory) -> Result<Self, BackendError> {
        let PlannedMemory { inputs, outputs, scratch, seat, .. } = memory;
        let device = match (&model.part, &seat) {
            (None, None) => Device::CPU,
            (Some(part), Some(seat)) if Arc::ptr_eq(&part.seat, seat) => Device::cuda(seat.device().ordinal()),
            _ => {
                let text = "it was loaded for another device than its memory is of".to_owned();
                return Err(BackendError::Bind { tensor: "the model".to_owned(), text });
            }
        };
        let read = places(&model.inputs, &inputs)?;
        let places = places(&model.outputs, &outputs)?;
        let argument = |place: usize| {
            let input = inputs.get(place).ok_or("it is not bound")?;
            let span = input.span.clone();
            tensor(model.api, device, (span.base(), 0), &input.shape, DataType::of(input.element), span)
        };
        let failed = |text| BackendError::Bind { tensor: "an input".to_owned(), text };
        let arguments = read.into_iter().map(argument).collect::<Result<_, String>>().map_err(failed)?;
        let scratch = Server::new(scratch.span, scratch.sequence);
        Ok(Self { capture: None, arguments, model, memory_inputs: inputs, memory_outputs: outputs, places, scratch })
    }
}

/// Where each of a module's tensors is among the bound ones.
fn places(ports: &[Port], bound: &[BoundTensor]) -> Result<Vec<usize>, BackendError> {
    let failed = |tensor: &str, text: String| BackendError::Bind { tensor: tensor.to_owned(), text };
    if let Some(other) = bound.iter().find(|tensor| ports.iter().all(|port| port.name != tensor.name)) {
        return Err(failed(&other.name, "the module has no such tensor".to_owned()));
    }
    let place = |port: &Port| {
        let found = bound.iter().position(|tensor| tensor.name == port.name);
        let (place, tensor) = found
            .and_then(|place| Some((place, bound.get(place)?)))
            .ok_or_else(|| failed(&port.name, "it has no place".to_owned()))?;
        if tensor.element != port.element || tensor.shape != port.shape {
            let (own, other) = (port.element.name(), tensor.element.name());
            let text = format!("it is {own} {:?} in the module, the plan has {other} {:?}", port.shape, tensor.shape);
            return Err(failed(&port.name, text));
        }
        let elements =
            port.shape.iter().try_fold(1_u64, |product, side| product.checked_mul(u64::try_from(*side).ok()?));
        let bytes = elements.and_then(|elements| elements.checked_mul(port.element.size().0));
        if bytes != u64::try_from(tensor.span.length()).ok() {
            let text = format!("{} bytes are not the size of {:?}", tensor.span.length(), port.shape);
            return Err(failed(&port.name, text));
        }
        Ok(place)
    };
    ports.iter().map(place).collect()
}

/// One run of a module: to its outputs, copied to their places. On a GPU all of that is only submitted.
fn run(
    model: &TvmModel,
    arguments: &[Value],
    (outputs, places): (&[BoundTensor], &[usize]),
    partition: Option<&Partition>,
) -> Result<(), String> {
    let weights = model.part.iter().flat_map(|part| &part.weights);
    let arguments: Vec<Any> = arguments.iter().chain(weights).map(Value::any).collect();
    let copied = model.main.call(&arguments).and_then(|results| {
        let results = results.elements(&model.elements)?;
        if results.len() != places.len() {
            return Err(format!("it returns {} tensors, its interface has {}", results.len(), places.len()));
        }
        for (result, place) in results.iter().zip(places) {
            let output = outputs.get(*place).ok_or("an output has no place")?;
            let text = |text: &str| format!("its output \"{}\" {text}", output.name);
            let tensor = result.tensor().ok_or_else(|| text("is no tensor"))?;
            copy(&tensor, output, partition).map_err(|error| text(&error))?;
        }
        Ok(())
    });
    // The virtual machine keeps what its last call returned: from here on a text instead of the outputs, whatever became of them.
    copied.and(model.interface.call(&[]).map(drop))
}

/// Copies what a run has computed, of a tensor that is alive, to the output's place.
fn copy(from: &Tensor, output: &BoundTensor, partition: Option<&Partition>) -> Result<(), String> {
    let device = partition.map_or(Device::CPU, |partition| Device::cuda(partition.device().ordinal()));
    // SAFETY: the tensor is alive.
    let (sides, is_compact) = unsafe { (from.sides(), from.is_compact()) };
    let form = (from.device, from.data_type, sides);
    let bound = (device, DataType::of(output.element), Some(output.shape.as_slice()));
    if form != bound || from.data.is_null() || !is_compact {
        return Err("is not what the module's interface says".to_owned());
    }
    let length = output.span.length();
    let offset = usize::try_from(from.byte_offset).map_err(|_| "lies nowhere".to_owned())?;
    let start = from.data.cast::<u8>().wrapping_add(offset);
    match partition {
        // SAFETY: the tensor is alive and compact; element type and shape are the bound ones, so it is as long; and nobody else
        // uses either until the run has ended. They may overlap only where an input is returned in its own place.
        None => unsafe { std::ptr::copy(start, output.span.base(), length) },
        Some(partition) => {
            let start = u64::try_from(start.addr()).map_err(|error| error.to_string())?;
            // SAFETY: likewise. What the tensor's block holds later is written by this stream, too, after the copy; of a graph that
            // is captured both are planned memory of this segment, in each of its runs.
            unsafe { partition.copy(output.address(), start, length) }.map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

impl Submit for TvmEngine {
    fn submit(&mut self, partition: &Partition) -> Result<(), BackendError> {
        let Self { arguments, model, memory_outputs, places, scratch, .. } = self;
        let run = || run(model, arguments, (memory_outputs, places), Some(partition));
        scratch.run(|| match &model.part {
            Some(part) => part.during(partition, run),
            None => run(),
        })
    }
}

impl BoundSegment for TvmEngine {
    fn recorded_run(&mut self) -> Vec<i64> {
        self.scratch.take_events()
    }

    fn serve_from(&mut self, scratch: Region) {
        // A graph has the addresses from before.
        self.capture = None;
        self.scratch = Server::new(scratch.span, scratch.sequence);
    }

    fn why_not_captured(&self) -> Option<&str> {
        self.capture.as_ref().and_then(Capture::why_not)
    }

    fn unbind(self: Box<Self>) -> Box<dyn LoadedSegment> {
        let Self { capture, arguments, model, .. } = *self;
        drop((capture, arguments));
        Box::new(model)
    }
}

impl Engine for TvmEngine {
    fn run(&mut self) -> Result<(), BackendError> {
        let Some(part) = &self.model.part else {
            let Self { arguments, model, memory_outputs, places, scratch, .. } = self;
            return scratch.run(|| run(model, arguments, (memory_outputs, places), None));
        };
        let capture = self.capture.take().unwrap_or_else(|| Capture::new(Arc::clone(&part.seat)));
        let (capture, result) = capture.run(self);
        self.capture = Some(capture);
        result
    }

    fn inputs(&mut self) -> &mut [BoundTensor] {
        &mut self.memory_inputs
    }

    fn outputs(&self) -> &[BoundTensor] {
        &self.memory_outputs
    }

    fn scratch_use(&self) -> ScratchUse {
        self.scratch.usage()
    }

    fn control(&self) -> MemoryControl {
        self.scratch.control()
    }

    fn persistent_use(&self) -> ScratchUse {
        self.model.persistent_use()
    }
}

//! A module bound to planned memory, ready to run on a lane.
// Copies between pieces of planned memory.
#![allow(unsafe_code)]

use super::abi::{Any, DataType, Device, Tensor};
use super::model::TvmModel;
use super::value::{Value, tensor};
use crate::arena::BoundTensor;
use crate::backend::{BackendError, BoundSegment, Engine, LoadedSegment, PlannedMemory, Port, Region, ScratchUse};
use crate::serve::Server;
use aegis_core::desc::MemoryControl;

/// A module bound to its memory.
#[derive(Debug)]
pub struct TvmEngine {
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
    /// [`BackendError::Bind`] where a name, an element type or a shape is not the module's, or the memory is not the CPU's.
    pub fn bind(model: TvmModel, memory: PlannedMemory) -> Result<Self, BackendError> {
        let PlannedMemory { inputs, outputs, scratch, seat, .. } = memory;
        if seat.is_some() {
            let text = "this version runs TVM's modules on the CPU only".to_owned();
            return Err(BackendError::Bind { tensor: "the model".to_owned(), text });
        }
        let read = places(&model.inputs, &inputs)?;
        let places = places(&model.outputs, &outputs)?;
        let argument = |place: usize| {
            let input = inputs.get(place).ok_or("it is not bound")?;
            let span = input.span.clone();
            tensor(model.api, (span.base(), 0), &input.shape, DataType::of(input.element), span)
        };
        let failed = |text| BackendError::Bind { tensor: "an input".to_owned(), text };
        let arguments = read.into_iter().map(argument).collect::<Result<_, String>>().map_err(failed)?;
        let scratch = Server::new(scratch.span, scratch.sequence);
        Ok(Self { arguments, model, memory_inputs: inputs, memory_outputs: outputs, places, scratch })
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

/// One run of a module: to its outputs, copied to their places.
fn run(model: &TvmModel, arguments: &[Value], (outputs, places): (&[BoundTensor], &[usize])) -> Result<(), String> {
    let arguments: Vec<Any> = arguments.iter().map(Value::any).collect();
    let results = model.main.call(&arguments)?.elements(&model.elements)?;
    if results.len() != places.len() {
        return Err(format!("it returns {} tensors, its interface has {}", results.len(), places.len()));
    }
    for (result, place) in results.iter().zip(places) {
        let output = outputs.get(*place).ok_or("an output has no place")?;
        let text = |text: &str| format!("its output \"{}\" {text}", output.name);
        copy(&result.tensor().ok_or_else(|| text("is no tensor"))?, output).map_err(text)?;
    }
    drop(results);
    // The virtual machine keeps what its last call returned: from here on a text instead of the outputs.
    model.interface.call(&[]).map(drop)
}

/// Copies what a run has computed to the output's place.
fn copy(from: &Tensor, output: &BoundTensor) -> Result<(), &'static str> {
    let rank = usize::try_from(from.rank).unwrap_or(0);
    let shape = if rank == 0 { &[] } else { sides(from, rank) };
    let form = (from.device, from.data_type, shape);
    if form != (Device::CPU, DataType::of(output.element), output.shape.as_slice()) || from.data.is_null() {
        return Err("is not what the module's interface says");
    }
    let length = output.span.length();
    let offset = usize::try_from(from.byte_offset).map_err(|_| "lies nowhere")?;
    // SAFETY: the tensor is alive and compact, as all that TVM's virtual machine makes; element type and shape are the bound
    // ones, so it is as long; and nobody else uses either until the run has ended. They may overlap only where an input is
    // returned in its own place.
    unsafe { std::ptr::copy(from.data.cast::<u8>().add(offset), output.span.base(), length) };
    Ok(())
}

/// The sides of a live tensor.
fn sides(of: &Tensor, rank: usize) -> &[i64] {
    // SAFETY: so many sides are there as long as the tensor is alive, which it is while it is borrowed from.
    unsafe { std::slice::from_raw_parts(of.shape, rank) }
}

impl BoundSegment for TvmEngine {
    fn recorded_run(&mut self) -> Vec<i64> {
        self.scratch.take_events()
    }

    fn serve_from(&mut self, scratch: Region) {
        self.scratch = Server::new(scratch.span, scratch.sequence);
    }

    fn why_not_captured(&self) -> Option<&str> {
        None
    }

    fn unbind(self: Box<Self>) -> Box<dyn LoadedSegment> {
        let Self { arguments, model, .. } = *self;
        drop(arguments);
        Box::new(model)
    }
}

impl Engine for TvmEngine {
    fn run(&mut self) -> Result<(), BackendError> {
        let Self { arguments, model, memory_outputs, places, scratch, .. } = self;
        scratch.run(|| run(model, arguments, (memory_outputs, places)))
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

//! A model bound in place to planned memory, ready to run on a lane.
//!
//! The binding is made through the runtime's C interface: `ort` 2.0.0-rc.15 clones a borrowed input tensor while
//! it holds its own lock, and hangs.
// Binding memory that Rust does not own, through a C interface.
#![allow(unsafe_code)]

use super::model::OnnxModel;
use crate::arena::BoundTensor;
use crate::backend::{BackendError, BoundSegment, Engine, LoadedSegment, PlannedMemory, Region, ScratchUse};
use crate::capture::{Capture, Submit};
use crate::serve::Server;
use aegis_core::desc::{ElementType, MemoryControl};
use aegis_cuda::Partition;
use ort::AsPointer as _;
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::RunOptions;
use ort::sys::{ONNXTensorElementDataType as DataType, OrtIoBinding, OrtSession, OrtStatusPtr, OrtValue};
use std::ffi::CString;
use std::ptr::{NonNull, null, null_mut};

/// A model bound to its memory.
#[derive(Debug)]
pub struct OnnxEngine {
    // Dropped in this order: the binding refers to the values and the session, the values to the memory.
    binding: Binding,
    model: OnnxModel,
    memory_inputs: Vec<BoundTensor>,
    memory_outputs: Vec<BoundTensor>,
    scratch: Server,
    /// Of a model on a GPU: how its runs are submitted.
    capture: Option<Capture>,
}

// SAFETY: the runtime's objects may be used from any thread, one at a time; `&mut self` is needed to use them.
unsafe impl Send for OnnxEngine {}

impl OnnxEngine {
    /// Binds every input and output to its place.
    ///
    /// # Errors
    /// [`BackendError::Bind`] where a name or shape is not the model's.
    pub fn bind(model: OnnxModel, memory: PlannedMemory) -> Result<Self, BackendError> {
        let mut binding = Binding::new(&model).map_err(|text| bind_error("the model", text))?;
        for tensor in &memory.inputs {
            binding.tensor(tensor, Side::Input).map_err(|text| bind_error(&tensor.name, text))?;
        }
        for tensor in &memory.outputs {
            binding.tensor(tensor, Side::Output).map_err(|text| bind_error(&tensor.name, text))?;
        }
        let PlannedMemory { inputs, outputs, scratch, .. } = memory;
        let scratch = Server::new(scratch.span, scratch.sequence);
        let capture = model.seat.clone().map(Capture::new);
        Ok(Self { binding, model, memory_inputs: inputs, memory_outputs: outputs, scratch, capture })
    }

    /// One run by a recording, or by the first of them that it keeps to.
    fn run_as_recorded(&mut self) -> Result<(), BackendError> {
        let Self { binding, model, scratch, .. } = self;
        scratch.run(|| binding.run(model))
    }

    /// The true shapes of all outputs, found by one run that allocates them in a region.
    pub(super) fn output_shapes(
        model: &OnnxModel,
        inputs: &[BoundTensor],
        scratch: Region,
    ) -> Result<Vec<Vec<i64>>, BackendError> {
        // Before the binding, so that it is dropped after it: the binding's outputs lie in its region.
        let mut scratch = Server::new(scratch.span, scratch.sequence);
        let mut binding = Binding::new(model).map_err(|text| bind_error("the model", text))?;
        for tensor in inputs {
            binding.tensor(tensor, Side::Input).map_err(|text| bind_error(&tensor.name, text))?;
        }
        for output in model.outputs() {
            binding.output_on_heap(&output.name).map_err(|text| bind_error(&output.name, text))?;
        }
        match &model.seat {
            Some(seat) => seat.with(|partition| {
                for (to, from) in inputs.iter().filter_map(|input| Some((input.address(), input.host.as_ref()?))) {
                    // SAFETY: both are this input's memory, as long, and nobody else uses it until the wait below has ended.
                    unsafe { partition.upload(to, from.base(), from.length()) }?;
                }
                let result = scratch.during(|| binding.run(model)).map_err(BackendError::Run);
                seat.wait(partition)?;
                result
            }),
            None => scratch.during(|| binding.run(model)).map_err(BackendError::Run),
        }?;
        binding.output_shapes().map_err(BackendError::Run)
    }
}

impl Engine for OnnxEngine {
    fn run(&mut self) -> Result<(), BackendError> {
        let Some(capture) = self.capture.take() else { return self.run_as_recorded() };
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

impl BoundSegment for OnnxEngine {
    fn recorded_run(&mut self) -> Vec<i64> {
        self.scratch.take_events()
    }

    fn serve_from(&mut self, scratch: Region) {
        self.scratch = Server::new(scratch.span, scratch.sequence);
    }

    fn why_not_captured(&self) -> Option<&str> {
        self.capture.as_ref().and_then(Capture::why_not)
    }

    fn unbind(self: Box<Self>) -> Box<dyn LoadedSegment> {
        let Self { binding, model, capture, .. } = *self;
        drop((binding, capture));
        Box::new(model)
    }
}

impl Submit for OnnxEngine {
    fn submit(&mut self, _partition: &Partition) -> Result<(), BackendError> {
        // The runtime has the stream.
        self.run_as_recorded()
    }
}

fn bind_error(tensor: &str, text: String) -> BackendError {
    BackendError::Bind { tensor: tensor.to_owned(), text }
}

#[derive(Clone, Copy)]
enum Side {
    Input,
    Output,
}

/// The runtime's binding object with the tensor values that it refers to.
struct Binding {
    pointer: NonNull<OrtIoBinding>,
    values: Vec<NonNull<OrtValue>>,
    information: MemoryInfo<'static>,
    /// On a GPU.
    options: Option<RunOptions>,
}

impl std::fmt::Debug for Binding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Binding").field("values", &self.values.len()).finish_non_exhaustive()
    }
}

impl Binding {
    fn new(model: &OnnxModel) -> Result<Self, String> {
        let (device, number) = match &model.seat {
            Some(seat) => (AllocationDevice::CUDA, i32::from(seat.device().ordinal())),
            None => (AllocationDevice::CPU, 0),
        };
        let information = MemoryInfo::new(device, number, AllocatorType::Device, MemoryType::Default);
        let information = information.map_err(|error| error.to_string())?;
        let options = model.seat.as_ref().map(|_| without_waiting()).transpose().map_err(|error| error.to_string())?;
        let mut pointer = null_mut();
        // SAFETY: the session is alive, and the result is checked.
        check(unsafe { (ort::api().CreateIoBinding)(session(model), &raw mut pointer) })?;
        let pointer = NonNull::new(pointer).ok_or("no binding was made")?;
        Ok(Self { pointer, values: Vec::new(), information, options })
    }

    fn tensor(&mut self, tensor: &BoundTensor, side: Side) -> Result<(), String> {
        let data_type = match tensor.element {
            ElementType::F32 => DataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
            ElementType::I64 => DataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64,
            ElementType::I32 => DataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
            ElementType::U8 => DataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,
        };
        let name = CString::new(tensor.name.as_str()).map_err(|error| error.to_string())?;
        let (data, length) = (tensor.span.base().cast(), tensor.span.length());
        let (shape, rank) = (tensor.shape.as_ptr(), tensor.shape.len());
        let mut value = null_mut();
        let api = ort::api();
        // SAFETY: the memory is a span of an arena that the engine's tensors keep alive longer than this value; the
        // runtime checks that the shape fits the length.
        check(unsafe {
            let information = self.information.ptr();
            (api.CreateTensorWithDataAsOrtValue)(information, data, length, shape, rank, data_type, &raw mut value)
        })?;
        let value = NonNull::new(value).ok_or("no tensor was made")?;
        self.values.push(value);
        let (binding, name, value) = (self.pointer.as_ptr(), name.as_ptr(), value.as_ptr());
        let bind = match side {
            Side::Input => api.BindInput,
            Side::Output => api.BindOutput,
        };
        // SAFETY: binding and value are alive, the name is a C string that the runtime copies.
        check(unsafe { bind(binding, name, value) })
    }

    fn output_on_heap(&mut self, name: &str) -> Result<(), String> {
        let name = CString::new(name).map_err(|error| error.to_string())?;
        let information = self.information.ptr();
        // SAFETY: binding and information are alive, the name is a C string that the runtime copies.
        check(unsafe { (ort::api().BindOutputToDevice)(self.pointer.as_ptr(), name.as_ptr(), information) })
    }

    fn run(&mut self, model: &OnnxModel) -> Result<(), String> {
        let options = self.options.as_ref().map_or(null(), RunOptions::ptr);
        // SAFETY: session, options and binding are alive and used by this thread only; no options are allowed.
        check(unsafe { (ort::api().RunWithBinding)(session(model), options, self.pointer.as_ptr()) })
    }

    fn output_shapes(&self) -> Result<Vec<Vec<i64>>, String> {
        let api = ort::api();
        let mut allocator = null_mut();
        let (mut values, mut count) = (null_mut(), 0_usize);
        // SAFETY: the default allocator is static; the array is freed with it below, each value is released below.
        check(unsafe { (api.GetAllocatorWithDefaultOptions)(&raw mut allocator) })?;
        // SAFETY: as above.
        check(unsafe {
            (api.GetBoundOutputValues)(self.pointer.as_ptr(), allocator, &raw mut values, &raw mut count)
        })?;
        let mut shapes = Vec::new();
        for position in 0..count {
            // SAFETY: the runtime returned `count` values.
            let value = unsafe { *values.add(position) };
            shapes.push(shape_of(value));
            // SAFETY: the value is ours and not used any more.
            unsafe { (api.ReleaseValue)(value) };
        }
        // SAFETY: the array came from this allocator.
        check(unsafe { (api.AllocatorFree)(allocator, values.cast()) })?;
        shapes.into_iter().collect()
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        // SAFETY: binding and values are ours, and nothing uses them any more.
        unsafe {
            (ort::api().ReleaseIoBinding)(self.pointer.as_ptr());
            for value in &self.values {
                (ort::api().ReleaseValue)(value.as_ptr());
            }
        }
    }
}

/// The runtime does not wait for what it submitted: the seat does.
fn without_waiting() -> ort::Result<RunOptions> {
    let mut options = RunOptions::new()?;
    options.set("disable_synchronize_execution_providers", "1")?;
    Ok(options)
}

fn session(model: &OnnxModel) -> *mut OrtSession {
    model.session.ptr().cast_mut()
}

fn shape_of(value: *const OrtValue) -> Result<Vec<i64>, String> {
    let api = ort::api();
    let (mut information, mut rank) = (null_mut(), 0_usize);
    // SAFETY: the value is alive; the information is released below.
    check(unsafe { (api.GetTensorTypeAndShape)(value, &raw mut information) })?;
    // SAFETY: the information is alive.
    let mut result = check(unsafe { (api.GetDimensionsCount)(information, &raw mut rank) });
    let mut shape = vec![0_i64; rank];
    if result.is_ok() {
        // SAFETY: the buffer has `rank` elements.
        result = check(unsafe { (api.GetDimensions)(information, shape.as_mut_ptr(), rank) });
    }
    // SAFETY: the information is ours.
    unsafe { (api.ReleaseTensorTypeAndShapeInfo)(information) };
    result.map(|()| shape)
}

fn check(status: OrtStatusPtr) -> Result<(), String> {
    // SAFETY: each status comes fresh from a call of the runtime and is consumed once.
    unsafe { ort::Error::result_from_status(status) }.map_err(|error| error.to_string())
}

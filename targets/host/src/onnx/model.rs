//! A loaded model that is not bound to memory yet, and the true form of its inputs and outputs.
// A session is given a stream that it uses as long as it lives.
#![allow(unsafe_code)]

use super::{OnnxEngine, OnnxRuntime};
use crate::arena::BoundTensor;
use crate::backend::{BackendError, BoundSegment, Declared, LoadedSegment, PlannedMemory, Port, Region, ScratchUse};
use crate::gpu::Seat;
use crate::serve::Server;
use aegis_core::desc::ElementType;
use ort::ep::CUDA;
use ort::ep::cuda::ConvAlgorithmSearch;
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::{Outlet, TensorElementType, ValueType};
use std::path::Path;
use std::sync::Arc;

/// A model in memory.
#[derive(Debug)]
pub struct OnnxModel {
    pub(super) session: Session,
    /// Served its loading; its blocks live as long as the session.
    load: Server,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    /// The part of a GPU that it runs on. After the session, which submits to its stream.
    pub(super) seat: Option<Arc<Seat>>,
}

impl OnnxModel {
    /// Loads a model: one thread, operators in sequence, the environment's allocators. What it takes and keeps lies in the
    /// region: of the CPU, or of the device whose part it runs on.
    ///
    /// # Errors
    /// [`BackendError::Load`] with the runtime's words, [`BackendError::Refused`] where its requests are not the region's
    /// planned ones, [`BackendError::Tensor`] for an element type that plans
    /// do not know.
    pub fn load(
        runtime: &OnnxRuntime,
        path: &Path,
        region: Region,
        seat: Option<Arc<Seat>>,
    ) -> Result<Self, BackendError> {
        let failed = |text: String| BackendError::Load { path: path.to_owned(), text };
        let mut load = Server::new(region.span, region.sequence);
        let commit = || options(runtime, seat.as_deref()).and_then(|mut builder| builder.commit_from_file(path));
        let session = match &seat {
            // It submits to the seat's stream, if anything.
            Some(seat) => seat.with(|partition| {
                let session = load.during(commit);
                seat.wait(partition)?;
                Ok::<_, BackendError>(session)
            })?,
            None => load.during(commit),
        };
        load.end();
        if let Some(refusal) = load.take_refusal() {
            let path = path.display();
            let text = format!("loading {path}: {refusal}; on another processor measure again with `aegis profile`");
            return Err(BackendError::Refused(text));
        }
        let session = session.map_err(|error| failed(error.to_string()))?;
        let ports = |outlets: &[Outlet]| outlets.iter().map(port).collect::<Result<Vec<_>, _>>();
        let (inputs, outputs) = (ports(session.inputs())?, ports(session.outputs())?);
        Ok(Self { session, load, inputs, outputs, seat })
    }

    /// The names that the file's metadata lists under a key, as a JSON array; none where it has no such list.
    fn names(&self, key: &str) -> Vec<String> {
        let text = self.session.metadata().ok().and_then(|metadata| metadata.custom(key));
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }
}

impl LoadedSegment for OnnxModel {
    fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    fn declared(&self) -> Declared {
        Declared { inputs: self.names("aegis.inputs"), outputs: self.names("aegis.outputs") }
    }

    fn recorded_load(&mut self) -> Vec<i64> {
        self.load.take_events()
    }

    fn persistent_use(&self) -> ScratchUse {
        self.load.usage()
    }

    fn output_shapes(&self, inputs: &[BoundTensor], scratch: Region) -> Result<Vec<Vec<i64>>, BackendError> {
        OnnxEngine::output_shapes(self, inputs, scratch)
    }

    fn bind(self: Box<Self>, memory: PlannedMemory) -> Result<Box<dyn BoundSegment>, BackendError> {
        Ok(Box::new(OnnxEngine::bind(*self, memory)?))
    }
}

fn options(runtime: &OnnxRuntime, seat: Option<&Seat>) -> ort::Result<SessionBuilder> {
    let builder = Session::builder(&runtime.environment)?;
    let builder = builder.with_intra_threads(1)?.with_inter_threads(1)?.with_parallel_execution(false)?;
    let builder = builder.with_intra_op_spinning(false)?.with_inter_op_spinning(false)?;
    // Patterns would make the first run allocate otherwise than all later ones.
    let builder = builder.with_memory_pattern(false)?.with_env_allocators()?;
    // A refused request comes back as an error, with its reason; the runtime would print it besides, also while an order of
    // execution is only being tried.
    let builder = builder.with_log_level(LogLevel::Fatal)?;
    let builder = builder.with_optimization_level(GraphOptimizationLevel::All)?;
    let Some(seat) = seat else { return Ok(builder) };
    // An exhaustive search would time algorithms, and choose others from one loading to the next.
    let provider = CUDA::default()
        .with_device_id(i32::from(seat.device().ordinal()))
        .with_conv_algorithm_search(ConvAlgorithmSearch::Heuristic);
    // SAFETY: the model keeps the seat, and with it the stream, longer than its session.
    let provider = unsafe { provider.with_compute_stream(seat.stream().cast()) };
    // Without the provider nothing would run on the device.
    Ok(builder.with_execution_providers([provider.build().error_on_failure()])?)
}

fn port(outlet: &Outlet) -> Result<Port, BackendError> {
    let refuse = |text: String| BackendError::Tensor { tensor: outlet.name().to_owned(), text };
    let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else {
        return Err(refuse("is no tensor".to_owned()));
    };
    let element = match ty {
        TensorElementType::Float32 => ElementType::F32,
        TensorElementType::Int64 => ElementType::I64,
        TensorElementType::Int32 => ElementType::I32,
        TensorElementType::Uint8 => ElementType::U8,
        other => return Err(refuse(format!("has element type {other}; plans know f32, i64, i32 and u8"))),
    };
    Ok(Port { name: outlet.name().to_owned(), element, shape: shape.to_vec() })
}

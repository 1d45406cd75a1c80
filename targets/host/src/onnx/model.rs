//! A loaded model that is not bound to memory yet, and the true form of its inputs and outputs.
// A session is given a stream that it uses as long as it lives.
#![allow(unsafe_code)]

use super::{EngineOptions, OnnxEngine, OnnxRuntime, base};
use crate::arena::BoundTensor;
use crate::backend::{BackendError, BoundSegment, Declared, LoadedSegment, PlannedMemory, Port, Region, ScratchUse};
use crate::gpu::Seat;
use crate::serve::Server;
use aegis_core::desc::ElementType;
use ort::ep::CUDA;
use ort::ep::cuda::ConvAlgorithmSearch;
use ort::session::Session;
use ort::session::builder::SessionBuilder;
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
        Self::of(path, session, load, seat)
    }

    /// Loads an engine: what it takes of its device it takes itself, and nothing of `region`.
    ///
    /// # Errors
    /// [`BackendError::Load`] with the runtime's words, also where the engine was built by another version or for another device;
    /// [`BackendError::Tensor`] for an element type that plans do not know.
    pub fn load_engine(
        runtime: &OnnxRuntime,
        path: &Path,
        options: EngineOptions,
        region: Region,
        seat: Arc<Seat>,
    ) -> Result<Self, BackendError> {
        let mut load = Server::new(region.span, region.sequence);
        let session = seat.with(|partition| {
            let mut builder = runtime.with_engines(options, &seat, None)?;
            let session = load.during(|| builder.commit_from_file(path));
            seat.wait(partition)?;
            Ok::<_, BackendError>(session)
        })?;
        load.end();
        Self::of(path, session, load, Some(seat))
    }

    fn of(
        path: &Path,
        session: ort::Result<Session>,
        load: Server,
        seat: Option<Arc<Seat>>,
    ) -> Result<Self, BackendError> {
        let failed = |error: ort::Error| BackendError::Load { path: path.to_owned(), text: error.to_string() };
        let session = session.map_err(failed)?;
        let (inputs, outputs) = (ports(session.inputs())?, ports(session.outputs())?);
        Ok(Self { session, load, inputs, outputs, seat })
    }
}

/// What a file declares of the whole model.
pub(super) fn declared(session: &Session) -> Declared {
    Declared { inputs: names(session, "aegis.inputs"), outputs: names(session, "aegis.outputs") }
}

/// The names that the file's metadata lists under a key, as a JSON array; none where it has no such list.
fn names(session: &Session, key: &str) -> Vec<String> {
    let text = session.metadata().ok().and_then(|metadata| metadata.custom(key));
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

impl LoadedSegment for OnnxModel {
    fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    fn declared(&self) -> Declared {
        declared(&self.session)
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
    let builder = base(&runtime.environment)?.with_env_allocators()?;
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

/// The inputs or outputs of a session.
pub(super) fn ports(outlets: &[Outlet]) -> Result<Vec<Port>, BackendError> {
    outlets.iter().map(port).collect()
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

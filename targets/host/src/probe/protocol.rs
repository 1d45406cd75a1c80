//! The probe's request and answer: `aegis.probe/4`.

use super::engines::EnginesRequest;
use super::launches::KernelsRequest;
use super::sharing::Sharing;
use super::statistics::{Stats, Upper};
use aegis_core::desc::Backend;
use aegis_linux::conditions::Readings;
use aegis_linux::machine::Machine;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The name and version of the protocol.
pub(super) const SCHEMA: &str = "aegis.probe/4";

/// What is asked.
#[derive(Clone, Debug, Deserialize)]
pub struct Request {
    pub(super) schema: String,
    pub(super) command: String,
    #[serde(default)]
    pub(super) libraries: Vec<LibraryRequest>,
    /// Of the command `device`: the number of the GPU.
    #[serde(default)]
    pub(super) device: Option<u16>,
    #[serde(default)]
    pub(super) orchestration_core: u16,
    #[serde(default)]
    pub(super) lanes: Vec<LaneRequest>,
    #[serde(default)]
    pub(super) models: Vec<ModelRequest>,
    #[serde(default)]
    pub(super) min_runs: u64,
    #[serde(default)]
    pub(super) min_seconds: u64,
    #[serde(default)]
    pub(super) warmup_runs: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct LibraryRequest {
    /// That of the backend which needs it.
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// What the manifest says of it.
    #[serde(default)]
    pub(super) version: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct LaneRequest {
    pub(super) name: String,
    pub(super) core: u16,
    /// How many tasks the vehicle has on all lanes, at most 1,024.
    #[serde(default)]
    pub(super) tasks: u16,
    /// How its thread and the orchestration thread wait.
    pub(super) waiting: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ModelRequest {
    pub(super) name: String,
    /// One for each segment, in order.
    pub(super) files: Vec<PathBuf>,
    pub(super) backend: String,
    pub(super) core: u16,
    #[serde(default)]
    pub(super) inputs: Vec<InputRequest>,
    /// The part of a GPU that it runs on; none on the CPU.
    #[serde(default)]
    pub(super) gpu: Option<GpuRequest>,
    /// Of kernels: what is launched.
    #[serde(default)]
    pub(super) kernels: Option<KernelsRequest>,
    /// Where TensorRT runs it: its engines.
    #[serde(default)]
    pub(super) engines: Option<EnginesRequest>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct GpuRequest {
    pub(super) ordinal: u16,
    /// The SMs of the lanes that have their parts before this one.
    #[serde(default)]
    pub(super) before: u32,
    pub(super) sms: u32,
    pub(super) completion: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct InputRequest {
    pub(super) name: String,
    pub(super) shape: Vec<i64>,
}

/// The backend of a name.
pub(super) fn backend(name: &str) -> Option<Backend> {
    Backend::ALL.into_iter().find(|backend| backend.name() == name)
}

impl ModelRequest {
    /// Its backend, if this program has one of this name.
    pub(super) fn backend(&self) -> Option<Backend> {
        backend(&self.backend)
    }
}

impl Request {
    /// The models on the same GPU that come before one, by name; none on a CPU.
    pub(super) fn before(&self, model: &ModelRequest) -> Vec<String> {
        let Some(gpu) = &model.gpu else { return Vec::new() };
        let before = self.models.iter().take_while(|other| other.name != model.name);
        let there = before.filter(|other| other.gpu.as_ref().is_some_and(|other| other.ordinal == gpu.ordinal));
        there.map(|other| other.name.clone()).collect()
    }

    /// Whether this program understands the request.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.schema != SCHEMA {
            return Err(format!("schema \"{}\", this program speaks \"{SCHEMA}\"", self.schema));
        }
        if !matches!(self.command.as_str(), "machine" | "profile" | "device") {
            return Err(format!("unknown command \"{}\"", self.command));
        }
        Ok(())
    }
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    pub(super) schema: &'static str,
    pub(super) machine: Machine,
    pub(super) state: StateAnswer,
    pub(super) realtime: RealTime,
    pub(super) runtimes: Vec<RuntimeInfo>,
    pub(super) devices: Vec<DeviceAnswer>,
    pub(super) lanes: Vec<LaneAnswer>,
    pub(super) models: Vec<ModelAnswer>,
}

/// Clocks, power and heat when the measurement had ended, and what changed since it began.
#[derive(Clone, Debug, Serialize)]
pub(super) struct StateAnswer {
    pub(super) power_mode: Option<String>,
    pub(super) cores: Vec<CoreAnswer>,
    pub(super) gpus: Vec<GpuAnswer>,
    pub(super) changed: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct CoreAnswer {
    pub(super) core: u16,
    pub(super) readings: Readings,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct GpuAnswer {
    pub(super) ordinal: u16,
    pub(super) readings: Readings,
}

/// What is known of a GPU.
#[derive(Clone, Debug, Serialize)]
pub(super) struct DeviceAnswer {
    pub(super) ordinal: u16,
    pub(super) name: String,
    pub(super) driver: String,
    pub(super) compute_capability: String,
    pub(super) sms: u32,
    pub(super) unit: Option<u32>,
    pub(super) units: u32,
    pub(super) memory_bytes: u64,
    pub(super) integrated: bool,
    pub(super) exports: bool,
    pub(super) l2_bytes: u64,
    pub(super) clock_khz: u32,
    pub(super) memory_clock_khz: u32,
    /// What its driver takes of its memory for a process, of a device that was asked for; none where nobody tells.
    pub(super) context_bytes: Option<u64>,
    /// What it takes for a part, likewise.
    pub(super) part_bytes: Option<u64>,
    /// What processes on it do to each other, likewise.
    pub(super) sharing: Option<Sharing>,
    /// Why that could not be measured.
    pub(super) sharing_error: Option<String>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct RealTime {
    pub(super) fifo: bool,
    pub(super) memory_locked: bool,
    pub(super) throttle_runtime_us: i64,
    pub(super) throttle_period_us: i64,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct RuntimeInfo {
    pub(super) name: &'static str,
    pub(super) version: String,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct LaneAnswer {
    pub(super) name: String,
    pub(super) dispatch: Stats,
    pub(super) wakeup: Stats,
}

/// One model: its figures, or why there are none.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum ModelAnswer {
    /// It was measured.
    Measured(Box<Measured>),
    /// It could not be measured; the others are not affected.
    Failed {
        /// Its name.
        name: String,
        /// Why, with context.
        error: String,
    },
}

/// The figures of one model.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    pub(super) name: String,
    pub(super) threads: u16,
    /// The version of the library that ran its engines, where it has some.
    pub(super) engines_version: Option<String>,
    /// Of a model on a GPU: those that were loaded there before it. What they brought counts with them, also where it uses it.
    pub(super) after: Vec<String>,
    pub(super) inputs: Vec<TensorAnswer>,
    pub(super) outputs: Vec<TensorAnswer>,
    /// What a segment writes and a later one reads.
    pub(super) carried: Vec<TensorAnswer>,
    pub(super) segments: Vec<SegmentAnswer>,
}

/// The figures of one segment.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SegmentAnswer {
    pub(super) sha256: String,
    /// That of the engine that was measured.
    pub(super) engine_sha256: Option<String>,
    pub(super) weights_bytes: u64,
    pub(super) scratch_bytes: u64,
    pub(super) memory: &'static str,
    pub(super) graded_down: Option<String>,
    pub(super) load: Vec<i64>,
    pub(super) runs: Vec<Vec<i64>>,
    /// The names of the inputs and carried tensors that it reads, in its file's order.
    pub(super) reads: Vec<String>,
    /// The names of the outputs and carried tensors that it writes, likewise.
    pub(super) writes: Vec<String>,
    /// Of a model on a part of a GPU beside a neighbour that keeps all its other SMs busy.
    pub(super) execution: Stats,
    /// The largest of the same series.
    pub(super) upper: Upper,
    /// There, without the neighbour.
    pub(super) alone: Option<Stats>,
    /// There, why each run is submitted kernel by kernel instead of as one graph.
    pub(super) not_captured: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct TensorAnswer {
    pub(super) name: String,
    pub(super) dtype: &'static str,
    pub(super) shape: Vec<i64>,
    pub(super) bytes: u64,
}

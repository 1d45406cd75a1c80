//! The target's plan-free probe program: what only the target can tell.
//!
//! It gets one JSON request on its standard input and answers with one JSON object; progress comes on its standard
//! error as `progress NAME DONE TOTAL`. Schema `aegis.probe/4`.

mod engines;
mod launches;
mod machine;
mod state;

use crate::device::{self, DeviceProfile};
use crate::profile::{
    Conditions, GpuConditions, LANE_SCHEMA, LaneProfile, MODEL_SCHEMA, ModelFacts, ModelProfile, SegmentFacts,
    Statistics, TensorFacts,
};
use crate::tail::{self, Sample};
pub use engines::EnginesRequest;
pub use launches::{FormRequest, KernelsRequest};
pub use machine::{Blackout, DeviceAnswer, MachineAnswer, RealTime, Sharing};
use serde::{Deserialize, Serialize};
pub use state::{CoreAnswer, GpuAnswer, StateAnswer};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The protocol's version.
pub const SCHEMA: &str = "aegis.probe/4";

/// What the probe is asked.
#[derive(Clone, Debug, Serialize)]
pub struct Request {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// `machine`, `profile` or `device`.
    pub command: &'static str,
    /// The number of the device that `device` asks of.
    pub device: Option<u16>,
    /// The runtime libraries to load.
    pub libraries: Vec<Library>,
    /// The core of the orchestration thread.
    pub orchestration_core: u16,
    /// The lanes whose overheads are measured.
    pub lanes: Vec<LaneRequest>,
    /// The models that are measured.
    pub models: Vec<ModelRequest>,
    /// Each model runs at least this often …
    pub min_runs: u64,
    /// … and at least this long, in seconds.
    pub min_seconds: u64,
    /// Runs before counting.
    pub warmup_runs: u64,
}

/// A runtime library.
#[derive(Clone, Debug, Serialize)]
pub struct Library {
    /// The runtime's name.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// The version that the manifest states.
    pub version: String,
}

/// A lane whose overheads are measured.
#[derive(Clone, Debug, Serialize)]
pub struct LaneRequest {
    /// Its name.
    pub name: String,
    /// Its core.
    pub core: u16,
    /// How many tasks the vehicle has on all lanes: each step of its dispatcher looks at every one.
    pub tasks: usize,
    /// How its thread and the orchestration thread wait: `blocking` or `polling`.
    pub waiting: &'static str,
}

/// A model that is measured.
#[derive(Clone, Debug, Serialize)]
pub struct ModelRequest {
    /// Its name.
    pub name: String,
    /// Its files, one per segment, in order.
    pub files: Vec<PathBuf>,
    /// Its backend.
    pub backend: &'static str,
    /// The core it runs on.
    pub core: u16,
    /// The inputs whose shape the manifest fixes.
    pub inputs: Vec<ShapeRequest>,
    /// The part of a GPU that it runs on, where its lane has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuRequest>,
    /// Of kernels: what is launched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernels: Option<KernelsRequest>,
    /// Where TensorRT runs it: its engines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engines: Option<EnginesRequest>,
}

/// A part of a GPU on which a model is measured.
#[derive(Clone, Debug, Serialize)]
pub struct GpuRequest {
    /// The device's number.
    pub ordinal: u16,
    /// The SMs of the device's lanes before this one, whose parts are made before.
    pub before: u16,
    /// The part's SMs.
    pub sms: u16,
    /// How its thread waits: `polling` or `blocking`.
    pub completion: &'static str,
}

/// An input's fixed shape.
#[derive(Clone, Debug, Serialize)]
pub struct ShapeRequest {
    /// The input's name.
    pub name: String,
    /// Its dimensions.
    pub shape: Vec<u32>,
}

/// What the probe answers.
#[derive(Clone, Debug, Deserialize)]
pub struct Answer {
    /// [`SCHEMA`].
    pub schema: String,
    /// The machine.
    pub machine: MachineAnswer,
    /// Clocks, power and heat.
    pub state: StateAnswer,
    /// What the system grants.
    pub realtime: RealTime,
    /// The runtimes that were loaded.
    #[serde(default)]
    pub runtimes: Vec<RuntimeAnswer>,
    /// Per requested lane.
    #[serde(default)]
    pub lanes: Vec<LaneAnswer>,
    /// Per requested model.
    #[serde(default)]
    pub models: Vec<ModelAnswer>,
    /// The device that was asked of, or those that measured models use.
    #[serde(default)]
    pub devices: Vec<DeviceAnswer>,
}

/// The loaded runtime.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct RuntimeAnswer {
    /// Its name.
    pub name: String,
    /// The version it reports.
    pub version: String,
}

/// A lane's overheads.
#[derive(Clone, Debug, Deserialize)]
pub struct LaneAnswer {
    /// The lane's name.
    pub name: String,
    /// A decision, the hand-over of an empty job and back, and the step that notes its end.
    pub dispatch: Statistics,
    /// Timer lateness and a step that releases every task at once.
    pub wakeup: Statistics,
}

/// A model's measurement, or why there is none.
#[derive(Clone, Debug, Deserialize)]
pub struct ModelAnswer {
    /// The model's name.
    pub name: String,
    /// Why it could not be measured.
    pub error: Option<String>,
    /// What was learnt otherwise.
    #[serde(flatten)]
    pub measured: Option<Measured>,
}

/// What was learnt of a model.
#[derive(Clone, Debug, Deserialize)]
pub struct Measured {
    /// The threads of one run.
    pub threads: u16,
    /// The version of the library that ran its engines, where it has some.
    #[serde(default)]
    pub engines_version: Option<String>,
    /// Of a model on a GPU: those that were loaded there before it.
    #[serde(default)]
    pub after: Vec<String>,
    /// The inputs.
    pub inputs: Vec<TensorFacts>,
    /// The outputs.
    pub outputs: Vec<TensorFacts>,
    /// What segments hand to later ones.
    #[serde(default)]
    pub carried: Vec<TensorFacts>,
    /// The segments, in order.
    pub segments: Vec<SegmentAnswer>,
}

/// What was learnt of a segment.
#[derive(Clone, Debug, Deserialize)]
pub struct SegmentAnswer {
    /// The file's checksum.
    pub sha256: String,
    /// That of the engine that was measured.
    #[serde(default)]
    pub engine_sha256: Option<String>,
    /// Occupied across runs.
    pub weights_bytes: u64,
    /// Used by one run at most at a time.
    pub scratch_bytes: u64,
    /// How far its memory can be planned.
    pub memory: String,
    /// Why not further.
    pub graded_down: Option<String>,
    /// The requests of loading it.
    pub load: Vec<i64>,
    /// The requests of one run, for each order of execution.
    pub runs: Vec<Vec<i64>>,
    /// The tensors that it reads, by name.
    pub reads: Vec<String>,
    /// The tensors that it writes, by name.
    pub writes: Vec<String>,
    /// Execution times; on a part of a GPU beside a busy neighbour, where there are those alone, too.
    pub execution: Statistics,
    /// The largest of them, where the probe tells.
    #[serde(default)]
    pub upper: Option<Sample>,
    /// Execution times alone on the device.
    #[serde(default)]
    pub alone: Option<Statistics>,
    /// Why it is launched kernel by kernel.
    #[serde(default)]
    pub not_captured: Option<String>,
}

/// Why the probe gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// It did not start or was cut off.
    #[error("cannot run the probe {}: {source}", .program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It gave up.
    #[error("the probe ended with {status}: {last_words}")]
    Failed {
        /// Its exit status.
        status: std::process::ExitStatus,
        /// What it said last.
        last_words: String,
    },
    /// It said something else than an answer.
    #[error("the probe's answer is not `{SCHEMA}`: {0}")]
    Answer(String),
}

/// Asks the probe; `progress` hears name, done and total.
///
/// # Errors
/// [`ProbeError`].
pub fn ask(program: &Path, request: &Request, mut progress: impl FnMut(&str, u64, u64)) -> Result<Answer, ProbeError> {
    let start = |source| ProbeError::Start { program: program.to_owned(), source };
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(start)?;
    let input = serde_json::to_vec(request).map_err(|error| start(error.into()))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&input).map_err(start)?;
    }
    // Read beside the progress: a long answer would otherwise fill the pipe and stop the probe.
    let stdout = child.stdout.take();
    let answer = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.map_or(Ok(0), |mut stdout| stdout.read_to_end(&mut bytes)).map(|_| bytes)
    });
    let mut last_words = String::new();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).lines() {
            let line = line.map_err(start)?;
            match parse_progress(&line) {
                Some((name, done, total)) => progress(name, done, total),
                None => last_words = line,
            }
        }
    }
    let status = child.wait().map_err(start)?;
    let bytes =
        answer.join().map_err(|_| ProbeError::Answer("the reading thread failed".to_owned()))?.map_err(start)?;
    if !status.success() {
        return Err(ProbeError::Failed { status, last_words });
    }
    let answer: Answer = serde_json::from_slice(&bytes).map_err(|error| ProbeError::Answer(error.to_string()))?;
    if answer.schema == SCHEMA { Ok(answer) } else { Err(ProbeError::Answer(format!("schema `{}`", answer.schema))) }
}

fn parse_progress(line: &str) -> Option<(&str, u64, u64)> {
    let mut words = line.strip_prefix("progress ")?.split_whitespace();
    Some((words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

impl SegmentAnswer {
    /// Whether a sample is of the same series as the statistics.
    fn fits(&self, sample: &Sample) -> bool {
        let Statistics { runs, max_ns, .. } = self.execution;
        sample.is_consistent() && sample.observations == runs && sample.times_ns.first() == Some(&max_ns)
    }

    fn facts(&self, launches_sha256: Option<String>) -> SegmentFacts {
        SegmentFacts {
            sha256: self.sha256.clone(),
            engine_sha256: self.engine_sha256.clone(),
            weights_bytes: self.weights_bytes,
            scratch_bytes: self.scratch_bytes,
            memory: self.memory.clone(),
            graded_down: self.graded_down.clone(),
            load: self.load.clone(),
            runs: self.runs.clone(),
            reads: self.reads.clone(),
            writes: self.writes.clone(),
            launches_sha256,
            not_captured: self.not_captured.clone(),
            execution: self.execution,
            alone: self.alone,
            tail: self.upper.as_ref().filter(|sample| self.fits(sample)).map(tail::of),
        }
    }
}

impl Answer {
    fn conditions(&self, core: u16, threads: u16, runtime: String) -> Conditions {
        Conditions {
            arch: self.machine.arch.clone(),
            cpu_model: self.machine.cpu_model.clone(),
            cores: self.machine.cores,
            governor: self.machine.governor.clone(),
            kernel: self.machine.kernel.clone(),
            core,
            real_time: self.realtime.fifo && self.realtime.memory_locked,
            runtime,
            threads,
            gpu: None,
            engines: None,
            state: self.state.of(core, None),
        }
    }

    /// The part of a GPU that was asked for, with what its device tells.
    fn gpu_conditions(&self, part: &GpuRequest, after: &[String]) -> Result<GpuConditions, String> {
        let device = self.devices.iter().find(|device| device.ordinal == part.ordinal);
        let device = device.ok_or_else(|| format!("the probe did not tell of device {}", part.ordinal))?;
        Ok(GpuConditions {
            name: device.name.clone(),
            driver: device.driver.clone(),
            compute_capability: device.compute_capability.clone(),
            sms: part.sms,
            completion: part.completion.to_owned(),
            after: after.to_vec(),
        })
    }

    /// The profile of the device with a number.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub fn device_profile(&self, ordinal: u16) -> Result<DeviceProfile, String> {
        let answer = self.devices.iter().find(|device| device.ordinal == ordinal);
        let answer = answer.ok_or_else(|| format!("the probe did not tell of device {ordinal}"))?;
        let small = |number: u32| u16::try_from(number).map_err(|_| format!("the device tells {number} SMs"));
        let blackout = |end: &str| answer.sharing.as_ref().and_then(|sharing| sharing.blackout(end));
        let [crash, kill, hang, memory] = device::ENDS;
        let profile = DeviceProfile {
            schema: device::SCHEMA.to_owned(),
            name: answer.name.clone(),
            driver: answer.driver.clone(),
            compute_capability: answer.compute_capability.clone(),
            sms: small(answer.sms)?,
            unit: answer.unit.map(small).transpose()?,
            units: answer.unit.map(|_| small(answer.units)).transpose()?,
            memory_bytes: answer.memory_bytes,
            integrated: answer.integrated,
            exports: answer.exports,
            l2_bytes: answer.l2_bytes,
            clock_khz: answer.clock_khz,
            memory_clock_khz: answer.memory_clock_khz,
            context_bytes: answer.context_bytes,
            part_bytes: answer.part_bytes,
            domain_switch_ns: answer.sharing.as_ref().map(|sharing| sharing.switch_ns),
            blackout_crash_ns: blackout(crash),
            blackout_kill_ns: blackout(kill),
            blackout_hang_ns: blackout(hang),
            blackout_memory_ns: blackout(memory),
        };
        profile.facts().map(|_| profile)
    }

    /// A lane's profile.
    #[must_use]
    pub fn lane_profile(&self, lane: &LaneRequest) -> Option<LaneProfile> {
        let answer = self.lanes.iter().find(|answer| answer.name == lane.name)?;
        Some(LaneProfile {
            schema: LANE_SCHEMA.to_owned(),
            conditions: self.conditions(lane.core, 1, String::new()),
            waiting: lane.waiting.to_owned(),
            dispatch: answer.dispatch,
            wakeup: answer.wakeup,
        })
    }

    /// The largest observations of each segment of a model, where the probe told of them.
    #[must_use]
    pub fn samples(&self, model: &str) -> Vec<Option<&Sample>> {
        let answer = self.models.iter().find(|answer| answer.name == model);
        let measured = answer.and_then(|answer| answer.measured.as_ref());
        measured.map_or_else(Vec::new, |measured| measured.segments.iter().map(|one| one.upper.as_ref()).collect())
    }

    /// A model's profile, or why there is none.
    ///
    /// # Errors
    /// The probe's words.
    pub fn model_profile(&self, model: &ModelRequest) -> Result<ModelProfile, String> {
        let missing = || "the probe did not answer for this model".to_owned();
        let answer = self.models.iter().find(|answer| answer.name == model.name).ok_or_else(missing)?;
        if let Some(error) = &answer.error {
            return Err(error.clone());
        }
        let measured = answer.measured.as_ref().ok_or_else(missing)?;
        let runtime = self.runtimes.iter().find(|runtime| runtime.name == model.backend);
        let runtime = runtime.map(|runtime| format!("{} {}", runtime.name, runtime.version));
        let gpu = model.gpu.as_ref().map(|part| self.gpu_conditions(part, &measured.after)).transpose()?;
        let engines = model.engines.as_ref().map(|asked| asked.built_as(measured)).transpose()?;
        let digest = model.kernels.as_ref().map(|kernels| kernels.digest.clone());
        let conditions = self.conditions(model.core, measured.threads, runtime.unwrap_or_default());
        let state = self.state.of(model.core, model.gpu.as_ref().map(|part| part.ordinal));
        Ok(ModelProfile {
            schema: MODEL_SCHEMA.to_owned(),
            conditions: Conditions { gpu, engines, state, ..conditions },
            model: ModelFacts {
                name: answer.name.clone(),
                inputs: measured.inputs.clone(),
                outputs: measured.outputs.clone(),
                carried: measured.carried.clone(),
            },
            segments: measured.segments.iter().map(|segment| segment.facts(digest.clone())).collect(),
        })
    }
}

#[cfg(test)]
mod tests;

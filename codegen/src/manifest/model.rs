//! The validated manifest: plain data in file order, where references are positions and nothing is optional
//! that has a default.
//!
//! Values that a later room may have to point at keep their place in the manifest's text.

mod files;
mod gpu;
mod restart;
mod wcet;

use std::ops::{Range, RangeInclusive};

use crate::engines::Engines;
use crate::launches::Kernels;
use aegis_core::desc::{
    Answer, Backend, MOST_DOMAINS, OnStall, Policy, Preemption, TensorLife, ThresholdDesc, Waiting,
};
use aegis_core::dispatch::MOST_TASKS;
use aegis_core::time::Duration;
use aegis_core::units::{Bytes, Priority};
use toml::Spanned;

pub use files::{Client, Runtime, Source};
pub use gpu::{Partition, is_path};
pub use restart::Restart;
pub use wcet::{Exceedance, WcetFrom};

/// A place in the manifest's text, in bytes.
pub type Span = Range<usize>;

/// One vehicle as its manifest describes it.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The vehicle's name, which becomes its binary's.
    pub name: Spanned<String>,
    /// The folder of the vehicle's crate, relative to the manifest.
    pub crate_dir: Spanned<String>,
    /// How lanes choose their next job where they do not say otherwise.
    pub policy: Policy,
    /// The CPU core of the orchestration thread.
    pub orchestration_core: u16,
    /// How the orchestration thread and those of the lanes wait for what comes.
    pub waiting: Waiting,
    /// How many times as long as the file says its periods, phases, deadlines and limits of chains are: 1, or what
    /// [`Manifest::slowed`] was asked for.
    pub pace: u64,
    /// How the vehicle watches itself, if it does.
    pub watchdog: Option<Watchdog>,
    /// What it watches of its operating system, if any level or mode says so.
    pub watch: Option<Watch>,
    /// What the longest observed execution is multiplied by, in parts per million: 1,000,000 to 10,000,000.
    pub margin_ppm: u64,
    /// How often clocks, power and heat are looked at while the vehicle runs.
    pub recheck: Duration,
    /// The machine's power mode, that profiles must have been measured in.
    pub power_mode: Option<Spanned<String>>,
    /// The runtime libraries, at most one per backend.
    pub runtimes: Vec<Runtime>,
    /// The devices.
    pub devices: Vec<Device>,
    /// The in-order execution resources, at most [`Manifest::MAX_LANES`].
    pub lanes: Vec<Lane>,
    /// The models.
    pub models: Vec<Model>,
    /// The data files of the application's hooks.
    pub assets: Vec<Asset>,
    /// The processes that models and tasks lie in, at most [`Manifest::MAX_DOMAINS`].
    pub domains: Vec<Domain>,
    /// The recurring obligations, between 1 and [`Manifest::MAX_TASKS`]. A task with stages is one for each of them, in
    /// their order and side by side.
    pub tasks: Vec<Task>,
    /// The chains of tasks whose end-to-end latency is bounded.
    pub chains: Vec<Chain>,
    /// The levels of memory pressure, at most [`Manifest::MAX_LEVELS`], in the file's order.
    pub pressure: Vec<Pressure>,
    /// The modes, at most [`Manifest::MAX_MODES`], in the file's order: the vehicle starts in the first. Empty where the manifest
    /// has none: then all tasks run at all times.
    pub modes: Vec<Mode>,
}

impl Manifest {
    /// The greatest number of tasks: as many as the dispatcher has places for.
    pub const MAX_TASKS: usize = MOST_TASKS;
    /// The greatest number of lanes.
    pub const MAX_LANES: usize = 64;
    /// The greatest number of periods in a deadline, so that at most one job more can wait.
    pub const MAX_QUEUE: u64 = 64;
    /// The greatest number of segments of a job.
    pub const MAX_SEGMENTS: usize = 256;
    /// The greatest number of pressure levels.
    pub const MAX_LEVELS: usize = 16;
    /// The greatest number of modes.
    pub const MAX_MODES: usize = 16;
    /// The greatest number of domains.
    pub const MAX_DOMAINS: usize = MOST_DOMAINS;
    /// The greatest number of libraries beside a runtime's.
    pub const MAX_BESIDE: usize = 8;
    /// The greatest number of stages of a task.
    pub const MAX_STAGES: usize = 16;
    /// The most streams that a task can be granted: one for each stage.
    pub const MAX_STREAMS: u8 = 16;
    /// Of how many jobs misses are counted together, where the manifest does not say.
    pub const MISS_WINDOW: u8 = 10;
    /// How often sources are looked at, where the manifest does not say.
    pub const WATCH_INTERVAL: Duration = Duration::from_ns(1_000_000_000);
    /// How long what a source asked for is held, where the manifest does not say and the interval is not longer.
    pub const WATCH_HOLD: Duration = Duration::from_ns(10_000_000_000);

    /// The core on which the model of a task is executed: its lane's, or that of its domain's process for the lane.
    #[must_use]
    pub fn core_of(&self, task: &Task) -> Option<u16> {
        let domain = task.domain.and_then(|domain| self.domains.get(domain)).filter(|_| task.model.is_some());
        let of_process = domain.and_then(|domain| domain.cores.iter().find(|(lane, _)| *lane == task.lane));
        let of_lane = || self.lanes.get(task.lane).map(|lane| *lane.core.get_ref());
        of_process.map(|(_, core)| *core.get_ref()).or_else(of_lane)
    }
}

/// How the vehicle watches itself.
#[derive(Clone, Debug)]
pub struct Watchdog {
    /// How much longer than planned something may take before it is a stall; more than zero.
    pub timeout: Spanned<Duration>,
    /// The device that is petted, by its absolute path.
    pub device: Option<Spanned<String>>,
    /// The answer to a stall.
    pub on_stall: OnStall,
}

/// What is watched of the operating system, how often, and what follows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Watch {
    /// The time between two looks, from one second to one minute.
    pub interval: Duration,
    /// How long what was asked for is held, at least, before something milder is asked for: from the interval to one hour.
    pub hold: Duration,
    /// The thresholds of all levels, then those of all modes, each in the file's order; at least one. Positions are those of
    /// [`Manifest::pressure`] and [`Manifest::modes`].
    pub thresholds: Vec<ThresholdDesc>,
}

/// What executes a lane's jobs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LaneKind {
    /// A thread on a CPU core.
    Cpu,
    /// A GPU, which a thread on a CPU core feeds; without a [`Lane::partition`] for analysis and simulation only.
    Gpu,
}

impl LaneKind {
    /// The name in manifests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Gpu => "gpu",
        }
    }
}

/// A processor with its memory.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its name.
    pub name: Spanned<String>,
    /// What it is, and so what its lanes are.
    pub kind: LaneKind,
    /// What going from one domain's work to another's costs, at most, where the manifest says; never on a CPU.
    pub domain_switch: Option<Spanned<Duration>>,
    /// For how long others may wait for it when a process that uses it ends, at most, where the manifest says, in the order of
    /// [`ENDS`](crate::device::ENDS); never on a CPU.
    pub blackouts: [Option<Spanned<Duration>>; 4],
    /// What it grants to the models of its lanes; more than zero. Where it [shares](Self::shares) another's memory it is
    /// what that one grants to both, with the place that names it.
    pub memory: Spanned<Bytes>,
    /// The position of the device whose memory it draws on, so that both have one budget; that one shares no other's.
    pub shares: Option<usize>,
    /// How long copying one MiB (2^20 bytes) within its memory takes, at most; more than zero.
    pub copy_per_mib: Option<Spanned<Duration>>,
    /// The size of the pages in which its memory can be given back to the system: a power of two, at least 64 bytes.
    pub page_size: Option<Spanned<Bytes>>,
    /// The processor that profiles must have been measured on.
    pub cpu_model: Option<Spanned<String>>,
    /// The clock governor that profiles must have been measured under.
    pub governor: Option<Spanned<String>>,
    /// Its number among the machine's CUDA devices, that of no other GPU with an `ordinal` or a profile; 0 on a CPU.
    pub ordinal: u16,
    /// What a GPU has: the name of a built-in profile, or the [path](is_path) of one, relative to the manifest. Always there if a
    /// lane has a part of it, never on a CPU.
    pub profile: Option<Spanned<String>>,
    /// Where it says that its clocks are locked: those of its lanes' cores, or of the GPU and its memory.
    pub locked: Option<Span>,
    /// How warm it may become while the guarantee holds, in degrees Celsius: 1 to 150.
    pub max_temperature: Option<Spanned<u16>>,
    /// Its table's header.
    pub span: Span,
}

/// An in-order execution resource: at most one segment of one job is in flight.
#[derive(Clone, Debug)]
pub struct Lane {
    /// Its name.
    pub name: Spanned<String>,
    /// The position of its device; always there if a task of the lane has a model.
    pub device: Option<usize>,
    /// Its own kind, or its device's.
    pub kind: LaneKind,
    /// The CPU core of its worker; no other lane's and not the orchestration thread's.
    pub core: Spanned<u16>,
    /// The part of its device, of kind `gpu`, that it alone has.
    pub partition: Option<Partition>,
    /// How its next job is chosen.
    pub policy: Policy,
    /// Where its policy is given: in the lane, or else in `[system]`.
    pub policy_span: Span,
    /// Where a started job can lose the lane: never [`Preemption::Full`] on a GPU, and [`Preemption::None`] under
    /// [`Policy::TimeTriggered`].
    pub preemption: Preemption,
    /// What launching one segment costs, at most.
    pub launch: Duration,
    /// Whether the priorities of its tasks are to be found, so that none of them has one. Only under
    /// [`Policy::FixedPriority`].
    pub optimal: bool,
    /// What starting a job costs; never [`Overheads::Zero`] if a task of the lane has a model.
    pub overheads: Overheads,
    /// Its table's header.
    pub span: Span,
}

/// What the dispatcher costs a lane.
#[derive(Clone, Debug)]
pub enum Overheads {
    /// Nothing is given, so they count as zero: for analysis and simulation.
    Zero,
    /// The manifest gives them.
    Declared {
        /// What starting one job and noticing its end costs, at most.
        dispatch: Spanned<Duration>,
        /// How late a release may be seen, at most.
        wakeup: Spanned<Duration>,
    },
    /// They were measured: the profile's path, relative to the manifest.
    Profile(Spanned<String>),
}

/// A model.
#[derive(Clone, Debug)]
pub struct Model {
    /// Its name.
    pub name: Spanned<String>,
    /// Where its files come from, at least one: one per segment, in order; a model that is not cut has one.
    pub sources: Vec<Source>,
    /// What executes it.
    pub backend: Backend,
    /// The engines that TensorRT is to build of its files; only of ONNX Runtime, on a lane with a part of a GPU, and without
    /// `inputs`.
    pub engines: Option<Engines>,
    /// The position of the domain that it lies in, if it names one.
    pub domain: Option<usize>,
    /// The dimensions of its inputs, each more than zero, for inputs whose dimensions its file leaves open.
    pub inputs: Vec<(Spanned<String>, Vec<u32>)>,
    /// How long its inputs and outputs hold their contents.
    pub tensors: TensorLife,
    /// Of the backend `kernels`: its tensors, buffers and launches; always there then.
    pub kernels: Option<Kernels>,
    /// Whether nobody assumes that it keeps its WCETs and its memory: its domain ends at its first overrun.
    pub untrusted: bool,
    /// Its table's header.
    pub span: Span,
}

impl Model {
    /// What reports call the file of its segment at `position`: the model's name, and where it is cut the segment's number
    /// from 1 after a point, such as `face.2`.
    #[must_use]
    pub fn segment_name(&self, position: usize) -> String {
        let name = self.name.get_ref();
        if self.sources.len() > 1 { format!("{name}.{}", position.saturating_add(1)) } else { name.clone() }
    }
}

/// A data file of the application's hooks.
#[derive(Clone, Debug)]
pub struct Asset {
    /// Its name.
    pub name: Spanned<String>,
    /// Where it comes from.
    pub source: Source,
    /// Its table's header.
    pub span: Span,
}

/// A process that models and tasks lie in: what fails in one does not touch another.
#[derive(Clone, Debug)]
pub struct Domain {
    /// Its name.
    pub name: Spanned<String>,
    /// What handing a segment over to the process and back costs, at most.
    pub hand_over: Option<Spanned<Duration>>,
    /// How long the end of the process may keep any lane from going on, at most.
    pub blackout: Option<Spanned<Duration>>,
    /// How long after it began a piece of a job is killed with the process; where it is not given, twice the longest segment and
    /// the hand-over.
    pub kill_after: Option<Spanned<Duration>>,
    /// How often the process shows that it lives.
    pub heartbeat: Option<Spanned<Duration>>,
    /// The most memory that the process may have.
    pub memory: Option<Spanned<Bytes>>,
    /// How often it is started again after its end; `None`: never.
    pub restart: Option<Restart>,
    /// The position of the mode that is asked for when it fails, until it is restored.
    pub meanwhile: Option<usize>,
    /// By the position of a lane the core of the process' thread for it, in the lanes' order.
    pub cores: Vec<(usize, Spanned<u16>)>,
    /// Its table's header.
    pub span: Span,
}

/// What the jobs of a task may use; nothing changes it after the start.
#[derive(Clone, Default, Debug)]
pub struct Budget {
    /// The execution time after which an overrun is recorded, where it is not the worst case; never of a stage.
    pub time: Option<Spanned<Duration>>,
    /// What its model may take of its device, in all.
    pub memory: Option<Spanned<Bytes>>,
    /// How many streams its stages may use: a lane is one. Of a task with stages the first one's counts.
    pub streams: Option<Spanned<u8>>,
}

/// A recurring obligation, or one stage of one.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its name; a stage's is its task's with a point and its number from 1, such as `detect.2`, at its task's place.
    pub name: Spanned<String>,
    /// The position of the stage before it, whose completion releases it; `None` for all but later stages. It is the
    /// task just before this one, and has its period, deadline and phase.
    pub after: Option<usize>,
    /// The position of the domain that it lies in: its own, or else its model's.
    pub domain: Option<usize>,
    /// The position of its lane.
    pub lane: usize,
    /// The position of its model, which no other task has.
    pub model: Option<usize>,
    /// The time between two arrivals; more than zero.
    pub period: Spanned<Duration>,
    /// The time from arrival within which a job must complete; more than zero, at most
    /// [`Manifest::MAX_QUEUE`] periods. Where the manifest gives none it is the period, with the period's place.
    /// All stages of a task have the whole task's: it is what the last of them must meet.
    pub deadline: Spanned<Duration>,
    /// The first arrival.
    pub phase: Duration,
    /// Whether the application submits its jobs, at most one a period; then there is no phase, and on a lane of
    /// [`Policy::TimeTriggered`] no slot. Never in a chain, or for a later stage.
    pub submitted: bool,
    /// Whether what is submitted too early arrives as soon as it may, instead of being refused; only where it is `submitted`.
    pub defers: bool,
    /// Whether it is released only while the application has it admitted; never with stages, beside modes or in a chain.
    pub optional: bool,
    /// How much later than its arrival a job may be released; may exceed the period. Zero for later stages,
    /// whose release follows from the stage before.
    pub jitter: Duration,
    /// The order in its lane: there exactly if the lane's policy is [`Policy::FixedPriority`] and the lane is not
    /// [`Lane::optimal`].
    pub priority: Option<Spanned<Priority>>,
    /// How long a job executes, hooks not included.
    pub execution: Execution,
    /// The longest time that a job keeps its lane against any other, wherever in the job that is: more than zero, at
    /// most the declared worst case, and only on lanes of [`Preemption::Full`].
    pub region: Option<Spanned<Duration>>,
    /// The longest time that a job waits for something else than its lane, in all. More than zero, and only on lanes of
    /// [`Preemption::Full`] under fixed priorities, with a deadline of at most the period, no jitter and no model.
    pub suspension: Option<Spanned<Duration>>,
    /// How long a job executes at least; never more than a declared worst case.
    pub bcet: Option<Spanned<Duration>>,
    /// How long the application's input and output hooks take together, at most.
    pub hooks: Duration,
    /// What the profile's longest execution is multiplied by: the task's own margin, or else the system's.
    pub margin_ppm: u64,
    /// What of the profile is its WCET: as the task says, or else the system.
    pub wcet_from: WcetFrom,
    /// What its jobs may use.
    pub budget: Budget,
    /// The answer to an overrun.
    pub on_overrun: Answer,
    /// The answer to a missed deadline.
    pub on_miss: Answer,
    /// The answer to a job that failed: to go on, to change the mode, or to let the domain fail.
    pub on_failure: Answer,
    /// Of how many jobs misses are counted together: 1 to 64.
    pub miss_window: u8,
    /// Its table's header, or where the stage is given.
    pub span: Span,
}

/// Where a task's worst-case execution time comes from.
#[derive(Clone, Debug)]
pub enum Execution {
    /// The manifest gives it; more than zero.
    Wcet(Spanned<Duration>),
    /// It was measured: the profile's path, relative to the manifest. Such a task has a model. The only execution on lanes
    /// of [`Preemption::Segments`] of a task whose model is cut.
    Profile(Spanned<String>),
    /// The manifest gives each segment's, in order: 1 to [`Manifest::MAX_SEGMENTS`], each more than zero, in all
    /// at most 2^64 - 1 ns. Such a task has no model and no hooks, and is on a lane of [`Preemption::Segments`].
    Segments(Vec<Spanned<Duration>>),
}

/// A chain of tasks: each reads what the one before it wrote.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Its name.
    pub name: Spanned<String>,
    /// Each member's positions in [`Manifest::tasks`], from its first stage to its last; a task without stages has one.
    /// At least one member, none of them twice.
    pub tasks: Vec<RangeInclusive<usize>>,
    /// The longest time from a change at the chain's input to the first output that follows from it. One of the two
    /// bounds is there.
    pub max_reaction: Option<Spanned<Duration>>,
    /// The longest time for which an output follows from one input.
    pub max_age: Option<Spanned<Duration>>,
    /// When members read and write.
    pub communication: Communication,
    /// Its table's header.
    pub span: Span,
}

/// When the tasks of a chain read and write what they exchange.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Communication {
    /// A job reads when it starts and writes when it completes; what is written last is what is read.
    Register,
    /// Logical execution time: a job reads at its arrival and writes at its deadline. Every member has a deadline of at
    /// most its period, and no stages.
    Let,
}

/// A level of memory pressure: what is given up while it holds.
#[derive(Clone, Debug)]
pub struct Pressure {
    /// Its name.
    pub name: Spanned<String>,
    /// The tasks that stop while it holds, whose memory is given back: each one's positions in [`Manifest::tasks`], from its
    /// first stage to its last. None of them twice, and never all.
    pub shed: Vec<RangeInclusive<usize>>,
    /// The tasks whose arrivals are refused while it holds and whose memory stays, in the same way. None of them is shed.
    pub reject: Vec<RangeInclusive<usize>>,
    /// Whether what stays is laid out anew, lower. Then every device whose lanes run models has a
    /// [`Device::copy_per_mib`].
    pub compact: bool,
    /// Its table's header.
    pub span: Span,
}

/// A mode: the tasks that run while it holds. With modes no task has stages or suspends itself, no lane's priorities are to be
/// found, and there are no chains and no levels of pressure.
#[derive(Clone, Debug)]
pub struct Mode {
    /// Its name.
    pub name: Spanned<String>,
    /// Their positions in [`Manifest::tasks`], ascending and none of them twice; at least one. Each task is in at least one mode,
    /// and those of time-triggered lanes are in all.
    pub tasks: Vec<usize>,
    /// Its table's header.
    pub span: Span,
}

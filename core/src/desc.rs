//! The descriptors: everything the vehicle knows of its plan, as constants.
//!
//! A generated file contains one [`SystemDesc`] built of `'static` slices. Descriptors are read-only; what
//! changes at run time lives in [`crate::dispatch::State`].

mod answer;
mod condition;
mod domain;
mod empty;
mod engine;
mod gpu;
mod launch;
mod level;
mod libraries;
mod memory;
mod mode;
mod model;
mod waiting;
mod watch;
mod watchdog;

use crate::time::Duration;
use crate::units::{Bytes, DomainId, LaneId, ModelId, PoolId, Priority, TaskId};
pub use answer::Answer;
pub use condition::{ConditionsDesc, LimitDesc, Quantity, Subject};
pub use domain::{DomainDesc, MOST_DOMAINS, MOST_RESTARTS, ProcessDesc, RestartDesc};
pub use engine::{EngineDesc, EngineLibrary, Precision};
pub use gpu::{GpuDesc, PartitionDesc};
pub use launch::{ArgumentDesc, LaunchDesc};
pub use level::{BETWEEN_LEVELS, LevelDesc, LevelPoolDesc, MoveDesc, PagesDesc};
pub use memory::{ALIGNMENT, GPU_ALIGNMENT, MOST_LIVE, MemoryControl, Recording, Step, TensorLife, occupied};
pub use mode::{MOST_MODES, ModeDesc};
pub use model::{Backend, Life, ModelDesc, SegmentDesc, TensorDesc};
pub use waiting::Waiting;
pub use watch::{Asks, ThresholdDesc, WatchDesc, WatchedSource};
pub use watchdog::{OnStall, WatchdogDesc};

/// One vehicle's whole plan.
#[derive(Clone, Copy, Debug)]
pub struct SystemDesc {
    /// The table layout the generator wrote, equal to [`crate::layout::TABLE_LAYOUT`].
    pub layout: u32,
    /// The vehicle's name.
    pub name: &'static str,
    /// The tool that wrote the plan, with its version.
    pub generator: &'static str,
    /// SHA-256 over the plan's canonical text, the lock's body.
    pub config_hash: [u8; 32],
    /// SHA-256 of the manifest that the plan was made from.
    pub manifest_hash: [u8; 32],
    /// The machine that the bounds hold for.
    pub machine: MachineDesc,
    /// Under what clocks, power and heat; looked at again while the vehicle runs.
    pub conditions: ConditionsDesc,
    /// The CPU core of the orchestration thread.
    pub orchestration_core: u16,
    /// How the orchestration thread waits for time and for lanes, and each lane's thread for its next job.
    pub waiting: Waiting,
    /// How the vehicle watches itself; `None`: it does not.
    pub watchdog: Option<WatchdogDesc>,
    /// What it watches of its operating system to ask for a level or a mode; `None`: only the application and answers ask.
    pub watch: Option<WatchDesc>,
    /// The runtime's library, then those that it looks for in its own folder, by their file names.
    pub libraries: &'static [FileDesc],
    /// The data files that the application's hooks may open.
    pub assets: &'static [FileDesc],
    /// The in-order execution resources.
    pub lanes: &'static [LaneDesc],
    /// The recurring obligations, in priority order within a lane.
    pub tasks: &'static [TaskDesc],
    /// The models that tasks run.
    pub models: &'static [ModelDesc],
    /// The memory pools with their planned regions.
    pub pools: &'static [PoolDesc],
    /// What is done under memory pressure, from the mildest level to the severest as the manifest lists them.
    pub levels: &'static [LevelDesc],
    /// The regimes, of which the first holds at the start; empty where every task is released at all times. Where there are some,
    /// the certificates of `tasks` and the points of `lanes` are empty: each mode has its own.
    pub modes: &'static [ModeDesc],
    /// The fault domains, at most [`MOST_DOMAINS`].
    pub domains: &'static [DomainDesc],
}

/// The conditions under which the plan's execution times were measured.
#[derive(Clone, Copy, Debug)]
pub struct MachineDesc {
    /// The processor architecture, as Rust spells it (`x86_64`, `aarch64`).
    pub arch: &'static str,
    /// The processor's model name as the operating system tells it.
    pub cpu_model: &'static str,
    /// The number of processor cores.
    pub cores: u16,
    /// The clock governor, empty where the machine shows none.
    pub governor: &'static str,
}

/// A file that is found by the SHA-256 of its contents.
#[derive(Clone, Copy, Debug)]
pub struct FileDesc {
    /// The name in the manifest.
    pub name: &'static str,
    /// The checksum, in lower-case hexadecimal digits.
    pub sha256: &'static str,
    /// The version of what the file is, empty for plain data.
    pub version: &'static str,
}

/// How a lane chooses its next job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// Fixed priorities, the shortest period first.
    RateMonotonic,
    /// Fixed priorities, the shortest relative deadline first.
    DeadlineMonotonic,
    /// Fixed priorities as the manifest gives them.
    FixedPriority,
    /// The earliest absolute deadline first.
    EarliestDeadlineFirst,
    /// At the instants of a table that repeats every hyperperiod; tasks without slots between them, by fixed priorities.
    TimeTriggered,
}

impl Policy {
    /// The name in manifests, traces and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RateMonotonic => "rate-monotonic",
            Self::DeadlineMonotonic => "deadline-monotonic",
            Self::FixedPriority => "fixed-priority",
            Self::EarliestDeadlineFirst => "edf",
            Self::TimeTriggered => "time-triggered",
        }
    }

    /// Whether jobs are ordered by their task's fixed priority.
    #[must_use]
    pub const fn is_fixed_priority(self) -> bool {
        matches!(self, Self::RateMonotonic | Self::DeadlineMonotonic | Self::FixedPriority)
    }
}

/// Where a started job can lose its lane to one that goes before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Preemption {
    /// Nowhere: it runs to completion.
    None,
    /// Between its segments.
    Segments,
    /// Anywhere outside its non-preemptive regions; for analysis and simulation only.
    Full,
}

impl Preemption {
    /// The name in manifests and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Segments => "segments",
            Self::Full => "full",
        }
    }
}

/// One in-order execution resource: at most one segment is in flight.
#[derive(Clone, Copy, Debug)]
pub struct LaneDesc {
    /// The name in the manifest.
    pub name: &'static str,
    /// How the next job is chosen.
    pub policy: Policy,
    /// Where a started job can lose the lane.
    pub preemption: Preemption,
    /// The CPU core of the lane's worker.
    pub core: u16,
    /// The part of a GPU that its segments run on; `None`: its core runs them.
    pub partition: Option<PartitionDesc>,
    /// What starting one segment and noticing its end costs the lane, at most.
    pub dispatch_overhead: Duration,
    /// What launching one segment on its device costs the lane besides, at most.
    pub launch_overhead: Duration,
    /// What switching the device to another fault domain costs before a segment, at most; zero within one domain.
    pub domain_switch: Duration,
    /// How long an event of this lane waits for the orchestration thread while it serves the other lanes, at most: a term
    /// of every segment and of every release.
    pub thread_wait: Duration,
    /// How late the dispatcher may see a release, at most; part of every task's jitter.
    pub wakeup_latency: Duration,
    /// An upper bound on any interval in which the lane is continuously busy.
    pub busy_period: Duration,
    /// Under EDF: what re-proves all responses of the lane; empty elsewhere.
    pub points: &'static [Point],
    /// Under [`Policy::TimeTriggered`]: the length of the table, a multiple of every period; zero elsewhere.
    pub hyperperiod: Duration,
    /// Under [`Policy::TimeTriggered`]: when jobs start, in order; empty elsewhere.
    pub slots: &'static [Slot],
}

impl LaneDesc {
    /// What each segment costs the lane besides its execution; `None` where that exceeds 2⁶⁴ − 1 ns.
    #[must_use]
    pub const fn segment_overhead(&self) -> Option<Duration> {
        let Some(started) = self.dispatch_overhead.checked_add(self.launch_overhead) else {
            return None;
        };
        let Some(switched) = started.checked_add(self.domain_switch) else {
            return None;
        };
        switched.checked_add(self.thread_wait)
    }

    /// How late the dispatcher may act on an instant; `None` where that exceeds 2⁶⁴ − 1 ns.
    #[must_use]
    pub const fn lateness(&self) -> Option<Duration> {
        self.wakeup_latency.checked_add(self.thread_wait)
    }
}

/// A point of an EDF lane's proof: whatever is due by `deadline` in a busy period that begins at 0, and what blocks it,
/// is complete by `finish`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Point {
    /// An absolute deadline, after the start of the busy period.
    pub deadline: Duration,
    /// When all that is due by then is complete, at the latest.
    pub finish: Duration,
}

/// An entry of a time-triggered table: the task's oldest waiting job starts here; if none waits, the lane is left to tasks without
/// slots until the next one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot {
    /// After the start of each hyperperiod.
    pub at: Duration,
    /// Whose job.
    pub task: TaskId,
}

/// The most jobs of a task of which misses are counted together: the dispatcher has a bit for each.
pub const LONGEST_MISS_WINDOW: u8 = 64;

/// Where a task's releases come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Release {
    /// The dispatcher's timer, at `phase + k · period`.
    Timer,
    /// [`crate::dispatch::Event::Submit`], at least one period apart; see [`TaskDesc::defers`].
    Submitted,
    /// The completion of the previous stage's job: see [`TaskDesc::stage`].
    Stage,
}

/// How a later stage of a task hangs together with the one before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StageDesc {
    /// The previous stage: its completion releases this one's job, with the same arrival.
    pub after: TaskId,
    /// How long after its arrival a job can be released, at least: the shortest executions of the stages before.
    pub earliest: Duration,
    /// How long after its arrival a job is released, at most: the previous stage's response bound.
    pub latest: Duration,
}

/// A recurring obligation to run a model.
#[derive(Clone, Copy, Debug)]
pub struct TaskDesc {
    /// The name in the manifest.
    pub name: &'static str,
    /// The lane that runs its jobs.
    pub lane: LaneId,
    /// The model it runs; `None` only in plans that are analysed or simulated, never in a binary.
    pub model: Option<ModelId>,
    /// The fault domain that it lies in, if it lies in one; all stages of a task lie in the same.
    pub domain: Option<DomainId>,
    /// Where its releases come from.
    pub release: Release,
    /// Whether what is submitted too early arrives as soon as it may, instead of being refused; only under [`Release::Submitted`].
    pub defers: bool,
    /// Whether it is released only while the application has it admitted. It is proven with all others; not beside modes, and not
    /// of a task with stages.
    pub optional: bool,
    /// The order among the lane's tasks; unique within a lane.
    pub priority: Priority,
    /// The time between two arrivals.
    pub period: Duration,
    /// The time from arrival within which a job must complete.
    pub deadline: Duration,
    /// The first arrival.
    pub phase: Duration,
    /// How much later than its arrival a job may be released, at most, without the lane's wake-up latency; zero for a
    /// later stage.
    pub jitter: Duration,
    /// What links a later stage to the one before it; `None` for a first or only stage.
    pub stage: Option<StageDesc>,
    /// The shortest execution of a job that the analysis assumes.
    pub bcet: Duration,
    /// The longest execution of a job that the analysis assumes, hooks and what handing its segments over to its domain's process
    /// costs included, overheads not.
    pub wcet: Duration,
    /// The longest executions of its segments, in order, which sum to `wcet`; empty where a job is one segment.
    pub segments: &'static [Duration],
    /// Under [`Preemption::Full`]: the longest region in which a job is not preempted; zero elsewhere.
    pub region: Duration,
    /// The execution time after which an overrun is recorded.
    pub budget: Duration,
    /// The answer to an overrun of a budget.
    pub on_overrun: Answer,
    /// The answer to a missed deadline.
    pub on_miss: Answer,
    /// The answer to a job that failed: [`Answer::Continue`], [`Answer::SwitchMode`] or [`Answer::FailDomain`].
    pub on_failure: Answer,
    /// Of how many of the task's last jobs the misses are counted with each: 1 to [`LONGEST_MISS_WINDOW`]. Of a task with stages
    /// the first one's counts.
    pub miss_window: u8,
    /// How many jobs may wait at once.
    pub queue: u16,
    /// The proven bound on the time from arrival to completion.
    pub response_bound: Duration,
    /// What re-proves `response_bound`.
    pub certificate: Certificate,
}

/// What a checker needs to re-prove a task's bound by substitution, without a search.
#[derive(Clone, Copy, Debug)]
pub enum Certificate {
    /// Nothing proves the bound: for simulation. No checker accepts it.
    Unproven,
    /// Fixed priority: Davis et al. 2007 and Bril et al. 2009, with release jitter.
    FixedPriority {
        /// The longest blocking by a less important job.
        blocking: Duration,
        /// A positive solution of the level-i busy period recurrence.
        busy_period: Duration,
        /// For each instance q in the busy period, a solution of its start time recurrence.
        starts: &'static [Duration],
    },
    /// EDF: the lane's [`Point`]s bound the response, and where they do not suffice, these.
    Edf {
        /// Deadlines of the busy period with an instant by which the last piece of the task's job has begun.
        starts: &'static [Start],
    },
    /// Time-triggered: the lane's slots bound the response.
    Table,
    /// Time-triggered, of a task without slots: what the gaps between the lane's slots give bounds the response.
    Gaps {
        /// The longest blocking by a less important job of the gaps.
        blocking: Duration,
        /// By then the gaps have given what a level-i busy period asks for, wherever in the table it begins.
        busy_period: Duration,
        /// For each instance q in the busy period, an instant by which its last piece has begun.
        starts: &'static [Duration],
    },
}

/// For a deadline of the busy period, an instant by which the last piece of a task's job that is due then has begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Start {
    /// The absolute deadline, after the start of the busy period.
    pub deadline: Duration,
    /// The instant.
    pub start: Duration,
}

/// The element type of a tensor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ElementType {
    /// 32-bit IEEE 754 numbers.
    F32,
    /// 64-bit signed integers.
    I64,
    /// 32-bit signed integers.
    I32,
    /// 8-bit unsigned integers.
    U8,
}

impl ElementType {
    /// The size of one element.
    #[must_use]
    pub const fn size(self) -> Bytes {
        match self {
            Self::F32 | Self::I32 => Bytes(4),
            Self::I64 => Bytes(8),
            Self::U8 => Bytes(1),
        }
    }

    /// The name in profiles and locks.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::I64 => "i64",
            Self::I32 => "i32",
            Self::U8 => "u8",
        }
    }
}

/// One memory budget and the arena inside it.
#[derive(Clone, Copy, Debug)]
pub struct PoolDesc {
    /// The device's name in the manifest; of a domain's pool the device's and the domain's, such as `cpu0.vision`.
    pub name: &'static str,
    /// The fault domain whose memory it is: its process and the vehicle see it, no other process does. `None`: the vehicle's own.
    pub domain: Option<DomainId>,
    /// The GPU whose memory it is; `None`: the CPU's.
    pub gpu: Option<GpuDesc>,
    /// What the device grants: its own, or that of the device that it shares.
    pub capacity: Bytes,
    /// The pool whose capacity it draws on, if it has none of its own: what both take together fits that.
    pub shares: Option<PoolId>,
    /// What the backends hold besides the arena: the weights of all models.
    pub weights: Bytes,
    /// The length of the arena that is taken once, at start.
    pub height: Bytes,
    /// No layout of whole multiples of [`PoolDesc::alignment`] is lower that keeps apart what can be live at once: the models'
    /// witnesses show it.
    pub lower_bound: Bytes,
    /// What the arena would need if no two models shared a byte.
    pub private: Bytes,
    /// How long a copy of at most 1 MiB within the arena takes, all that it costs included; zero where the manifest does not say,
    /// and no level copies anything.
    pub copy_per_mib: Duration,
    /// The size of the pages in which its memory can be given back to the system, a power of two; zero where it cannot.
    pub page: Bytes,
}

impl PoolDesc {
    /// Of how many bytes each planned address in its arena is a multiple: [`ALIGNMENT`], of a GPU's memory [`GPU_ALIGNMENT`].
    #[must_use]
    pub const fn alignment(&self) -> Bytes {
        match self.gpu {
            None => ALIGNMENT,
            Some(_) => GPU_ALIGNMENT,
        }
    }
}

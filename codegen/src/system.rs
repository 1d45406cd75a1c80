//! The validated system with every number resolved: what analysis and planning read.
//!
//! [`crate::manifest`] checks the text, [`crate::resolve`] adds the profiles' measurements. After that nothing is
//! optional that need not be, and no later room validates again.

mod conditions;
mod domain;
mod gpu;
mod model;
mod origin;
mod sequence;

pub use conditions::Conditions;
pub use domain::{Domain, Process, Restart};
pub use gpu::{Gpu, Partition};
pub use model::{Model, Segment, Tensor};
pub use origin::Origin;
pub use sequence::{Block, Sequence, SequenceError};

use aegis_core::desc::{Answer, BETWEEN_LEVELS, OnStall, Policy, Preemption, ThresholdDesc, Waiting};
use aegis_core::time::Duration;
use aegis_core::units::{Bytes, Priority};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ops::Range;

/// A place in the manifest's text, in bytes.
pub type Span = Range<usize>;

/// A whole vehicle, ready to be analysed.
#[derive(Clone, Debug)]
pub struct System {
    /// The vehicle's name.
    pub name: String,
    /// The manifest's path as the user gave it, for findings.
    pub file: String,
    /// The core of the orchestration thread.
    pub orchestration_core: u16,
    /// How the orchestration thread and those of the lanes wait for what comes.
    pub waiting: Waiting,
    /// How the vehicle watches itself, if it does.
    pub watchdog: Option<Watchdog>,
    /// What it watches of its operating system, if anything.
    pub watch: Option<Watch>,
    /// The machine that the measurements were taken on, where any task is profiled.
    pub machine: Machine,
    /// Under what clocks, power and heat they were, and the vehicle may run.
    pub conditions: Conditions,
    /// The runtime libraries.
    pub libraries: Vec<File>,
    /// The data files for the application's hooks.
    pub assets: Vec<File>,
    /// The memory budgets: the manifest's devices, then for each fault domain that runs models what it has of each.
    pub devices: Vec<Device>,
    /// The in-order execution resources.
    pub lanes: Vec<Lane>,
    /// The models that tasks run.
    pub models: Vec<Model>,
    /// The recurring obligations, in manifest order; each stage of a task is one.
    pub tasks: Vec<Task>,
    /// The cause-effect chains.
    pub chains: Vec<Chain>,
    /// The answers to memory pressure.
    pub levels: Vec<Level>,
    /// The modes, of which the first holds at the start; empty where all tasks run at all times.
    pub modes: Vec<Mode>,
    /// The fault domains.
    pub domains: Vec<Domain>,
}

impl System {
    /// How many steps of the orchestration thread that belong to no lane's job may go before an event: a change of the level, the
    /// mode or what is admitted, and of each domain that runs models its failure, and that it is restored.
    #[must_use]
    pub fn changes(&self) -> usize {
        let with_models = self.tasks.iter().filter(|task| task.model.is_some());
        let restarts = |domain: &Domain| domain.process.as_ref().is_some_and(|process| process.restart.is_some());
        let restored = self.domains.iter().filter(|domain| restarts(domain)).count();
        changes((self.has_changes(), restored), with_models.map(|task| task.domain))
    }

    /// Whether something can change while the vehicle runs: the level of memory pressure, the mode, or what is admitted.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        !self.levels.is_empty() || !self.modes.is_empty() || self.tasks.iter().any(|task| task.optional)
    }

    /// The memory of a device that a domain's models lie in: the domain's part of it where it has one, or else the device itself.
    #[must_use]
    pub fn home(&self, device: usize, domain: Option<usize>) -> usize {
        let is_part = |other: &Device| other.part.is_some_and(|part| part.of == device && Some(part.domain) == domain);
        self.devices.iter().position(is_part).unwrap_or(device)
    }

    /// The device whose memory a device draws on: itself, or the one whose memory it shares.
    #[must_use]
    pub fn owner(&self, device: usize) -> usize {
        self.devices.get(device).and_then(|device| device.shares).unwrap_or(device)
    }

    /// The name of the device with whose memory that counts from and to which a GPU's inputs and outputs are copied.
    #[must_use]
    pub fn staging_name(&self, device: &Device) -> Option<&str> {
        let staging = device.gpu.as_ref()?.staging?;
        Some(self.devices.get(usize::from(staging))?.name.as_str())
    }

    /// The name of the device whose memory a device shares.
    #[must_use]
    pub fn shared_name(&self, device: &Device) -> Option<&str> {
        Some(self.devices.get(device.shares?)?.name.as_str())
    }
}

/// What is watched of the operating system, how often, and what follows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Watch {
    /// The time between two looks.
    pub interval: Duration,
    /// How long what was asked for is held, at least, before something milder is asked for.
    pub hold: Duration,
    /// The thresholds of all levels, then those of all modes, each in their order.
    pub thresholds: Vec<ThresholdDesc>,
}

/// How the vehicle watches itself.
#[derive(Clone, Debug)]
pub struct Watchdog {
    /// How much longer than planned something may take before it is a stall.
    pub timeout: Duration,
    /// The device that is petted.
    pub device: Option<String>,
    /// The answer to a stall.
    pub on_stall: OnStall,
    /// Where the timeout stands.
    pub span: Span,
}

/// The conditions of the measurements; empty where nothing was measured.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Machine {
    /// The processor architecture.
    pub arch: String,
    /// The processor's model name.
    pub cpu_model: String,
    /// The number of cores.
    pub cores: u16,
    /// The clock governor, empty where the machine shows none.
    pub governor: String,
}

/// A file by its contents.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct File {
    /// The name in the manifest.
    pub name: String,
    /// The checksum in lower-case hexadecimal digits.
    pub sha256: String,
    /// The version, empty for plain data.
    pub version: String,
}

/// One memory budget.
#[derive(Clone, Debug)]
pub struct Device {
    /// The name in the manifest.
    pub name: String,
    /// What it grants: its own, or that of the device that it shares.
    pub memory: Bytes,
    /// The device whose memory it draws on, if it has none of its own: both have one budget.
    pub shares: Option<usize>,
    /// What copying a MiB in it takes, at most, where the manifest says so.
    pub copy_per_mib: Option<Duration>,
    /// The size of its pages, where the manifest says so: then what a level leaves unused is given back where it lies.
    pub page: Option<Bytes>,
    /// Of what device and whose it is, where it is a fault domain's part of one: memory that its process shares with the vehicle
    /// only.
    pub part: Option<Part>,
    /// The GPU that it is, where lanes have parts of it.
    pub gpu: Option<Gpu>,
    /// Where it stands.
    pub span: Span,
}

/// Whose part of a device's memory it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// The device's position.
    pub of: usize,
    /// The fault domain's.
    pub domain: usize,
}

/// One in-order execution resource.
#[derive(Clone, Debug)]
pub struct Lane {
    /// The name in the manifest.
    pub name: String,
    /// The device whose memory its models use.
    pub device: Option<usize>,
    /// The policy.
    pub policy: Policy,
    /// Whether priorities are Audsley's instead of the manifest's.
    pub optimal: bool,
    /// Where a started job can lose the lane.
    pub preemption: Preemption,
    /// The core of its worker.
    pub core: u16,
    /// The part of its device that its segments run on; `None`: its core runs them, or all that is known is that a GPU does.
    pub partition: Option<Partition>,
    /// What one segment costs besides its execution and launch, at most.
    pub dispatch_overhead: Duration,
    /// What launching one segment costs, at most.
    pub launch_overhead: Duration,
    /// What switching to another fault domain costs before a segment; zero within one domain.
    pub domain_switch: Duration,
    /// For how long the lane's device may serve no process when one that has models there ends, at most; zero where one process alone
    /// has, and on a CPU.
    pub blackout: Duration,
    /// How long each segment and each release waits for the orchestration thread to serve the other lanes, at most.
    pub thread_wait: Duration,
    /// How late a release is seen, at most.
    pub wakeup_latency: Duration,
    /// Where it stands.
    pub span: Span,
}

impl Lane {
    /// What each segment costs besides its execution; `None` on overflow.
    #[must_use]
    pub fn segment_overhead(&self) -> Option<Duration> {
        let parts = [self.launch_overhead, self.domain_switch, self.thread_wait];
        parts.into_iter().try_fold(self.dispatch_overhead, Duration::checked_add)
    }

    /// How late the dispatcher may act on an instant; `None` on overflow.
    #[must_use]
    pub fn lateness(&self) -> Option<Duration> {
        self.wakeup_latency.checked_add(self.thread_wait)
    }
}

/// A cause-effect chain.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The name in the manifest.
    pub name: String,
    /// For each member the positions of its stages' tasks, the first and the last.
    pub members: Vec<(usize, usize)>,
    /// The longest permitted reaction.
    pub max_reaction: Option<Duration>,
    /// The longest permitted age.
    pub max_age: Option<Duration>,
    /// Whether members read and write at the ends of their periods' windows (logical execution time).
    pub is_let: bool,
    /// Where it stands.
    pub span: Span,
    /// Where its limits stand: of reaction and of age.
    pub limit_spans: (Span, Span),
}

/// One recurring obligation, or one stage of it.
#[derive(Clone, Debug)]
pub struct Task {
    /// The name in the manifest.
    pub name: String,
    /// Its lane.
    pub lane: usize,
    /// Its model; `None` only for analysis.
    pub model: Option<usize>,
    /// The fault domain that it lies in; that of all its task's stages.
    pub domain: Option<usize>,
    /// Between two arrivals.
    pub period: Duration,
    /// From arrival.
    pub deadline: Duration,
    /// The first arrival.
    pub phase: Duration,
    /// Whether the application submits its jobs, at most one a period.
    pub submitted: bool,
    /// Whether what is submitted too early arrives as soon as it may; only where it is `submitted`.
    pub defers: bool,
    /// Whether it is released only while the application has it admitted; never with stages, beside modes or in a chain.
    pub optional: bool,
    /// Release jitter of its own, without the lane's wake-up latency.
    pub jitter: Duration,
    /// The priority that the manifest gives; present exactly under `fixed-priority`, unless priorities are optimal.
    pub priority: Option<Priority>,
    /// The stage before this one.
    pub after: Option<usize>,
    /// The shortest execution.
    pub bcet: Duration,
    /// The longest execution: declared, or what its [`Origin`] says plus hooks; and what handing over costs.
    pub wcet: Duration,
    /// How much of that handing its segments over to its domain's process and the device's switches between processes cost in all, the
    /// same for each; zero where there are none.
    pub hand_over: Duration,
    /// Whether its jobs are handed over to a process.
    pub handed: bool,
    /// The longest executions of its segments, which sum to `wcet`; empty where a job is one segment.
    pub segments: Vec<Duration>,
    /// The longest floating non-preemptive region; zero where there is none.
    pub region: Duration,
    /// How long a job suspends itself, at most; zero where it does not.
    pub suspension: Duration,
    /// The enforced execution time.
    pub budget: Duration,
    /// What its model may take of its device in all, and where that stands; `None` where nothing says so.
    pub memory: Option<(Bytes, Span)>,
    /// The answer to an overrun.
    pub on_overrun: Answer,
    /// The answer to a missed deadline.
    pub on_miss: Answer,
    /// The answer to a job that failed.
    pub on_failure: Answer,
    /// Of how many jobs misses are counted together: 1 to 64.
    pub miss_window: u8,
    /// Where it stands.
    pub span: Span,
    /// Where its deadline stands, or the task where the deadline is the period.
    pub deadline_span: Span,
}

/// An answer to memory pressure.
#[derive(Clone, Debug)]
pub struct Level {
    /// The name in the manifest.
    pub name: String,
    /// The tasks that stop, ascending; all stages of each.
    pub shed: Vec<usize>,
    /// The tasks whose arrivals are refused, likewise.
    pub reject: Vec<usize>,
    /// Whether what stays is laid out anew.
    pub compact: bool,
    /// Where it stands.
    pub span: Span,
}

/// A mode: the tasks that run while it holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mode {
    /// The name in the manifest.
    pub name: String,
    /// The positions of its tasks, ascending.
    pub tasks: Vec<usize>,
    /// Where it stands.
    pub span: Span,
}

/// For each lane how long one of its events may wait for the orchestration thread: while it serves every other lane twice, for an
/// arrival of each task that the application submits, and for so many `changes` by a step of the dearest lane each, by the dispatch
/// overheads of the lanes. `None` where that leaves the range.
///
/// Twice: the thread looks at each lane once a turn, so that an event waits for the rest of one turn and a part of the next. In
/// that time a lane's segment can be seen to end, and another be started by a step for somebody else; or, where it is shorter
/// than the wait, be started, end, and a third be started. To start a segment and to see its end cost one dispatch overhead
/// together.
///
/// That is all only where [`one_change_is_enough`].
#[must_use]
pub fn thread_waits(
    dispatch: &[Duration],
    submitted: impl Iterator<Item = usize> + Clone,
    changes: usize,
) -> Vec<Option<Duration>> {
    let dearest = dispatch.iter().copied().max();
    let each = dispatch.iter().enumerate().map(|(position, _)| {
        let others = dispatch.iter().enumerate().filter(|(other, _)| *other != position).map(|(_, overhead)| overhead);
        let submissions = submitted.clone().filter_map(|lane| dispatch.get(lane));
        let changes = dearest.iter().cycle().take(changes);
        let mut all = others.clone().chain(others).chain(submissions).chain(changes).copied();
        all.try_fold(Duration::ZERO, Duration::checked_add)
    });
    each.collect()
}

/// How many changes may go before an event: one of the level, the mode or what is admitted, if `has_changes`, which is at most
/// once in [`BETWEEN_LEVELS`]; of each domain of the tasks with models its failure; and that one is restored, of so many as are
/// `restored`: both at most once in a back-off, which is longer than any event waits.
#[must_use]
pub fn changes((has_changes, restored): (bool, usize), domains: impl Iterator<Item = Option<usize>>) -> usize {
    let failing = domains.flatten().collect::<BTreeSet<usize>>().len();
    failing.saturating_add(restored).saturating_add(usize::from(has_changes))
}

/// Whether no more than one change of the level, the mode or what is admitted can delay an event that waits so long: they come at
/// most once in [`BETWEEN_LEVELS`], so an event that waits for less meets one at most.
#[must_use]
pub fn one_change_is_enough(thread_wait: Duration, has_changes: bool) -> bool {
    !has_changes || thread_wait < BETWEEN_LEVELS
}

#[cfg(test)]
mod tests {
    use super::{changes, thread_waits};
    use aegis_core::time::Duration;

    #[test]
    fn an_event_waits_for_other_lanes_submissions_and_a_change_of_level_or_mode() {
        let ns = Duration::from_ns;
        let dispatch = [ns(20), ns(7), ns(11)];
        let waits = |submitted: &[usize], changes| {
            let waits = thread_waits(&dispatch, submitted.iter().copied(), changes);
            waits.into_iter().map(|wait| wait.map(Duration::as_ns)).collect::<Vec<_>>()
        };
        assert_eq!(waits(&[], 0), [Some(36), Some(62), Some(54)], "the others twice");
        assert_eq!(waits(&[1, 0], 0), [Some(63), Some(89), Some(81)], "own submissions, too");
        assert_eq!(waits(&[1, 0], 1), [Some(83), Some(109), Some(101)], "and one step of the dearest lane");
        assert_eq!(waits(&[], 3), [Some(96), Some(122), Some(114)], "of each failure another one");
        assert_eq!(changes((true, 0), [Some(1), None, Some(0), Some(1)].into_iter()), 3, "each domain once");
        assert_eq!(changes((false, 1), [Some(1), None, Some(0), Some(1)].into_iter()), 3, "and one that is restored");
        assert_eq!(thread_waits(&[ns(1), Duration::MAX], std::iter::empty(), 1), [None, None]);
    }
}

//! The words of an export: names, categories and arguments, each written once and named by its number from then on.

use aegis_core::desc::SystemDesc;
use aegis_core::trace::Reason;
use aegis_core::{DomainId, LaneId, LevelId, ModeId, TaskId};

macro_rules! fixed {
    ($($name:ident $text:literal)*) => {
        /// A word that every export has.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(super) enum Fixed {
            $($name,)*
        }

        impl Fixed {
            /// All of them, in their order.
            const ALL: &'static [&'static str] = &[$($text),*];
        }
    };
}

fixed! {
    // Categories.
    Job "job" Segment "segment" Wait "wait" Lane "lane" Decision "decision" Outcome "outcome" Event "event" Mode "mode"
    Pressure "pressure" Domain "domain"
    // Slices and instants.
    Runs "runs" Waits "waits" Changing "changing" DomainDown "failed" Run "run" End "end" Admission "admission"
    TaskAdmitted "task_admitted" TaskDismissed "task_dismissed" GuaranteeVoid "guarantee_void" Deferred "deferred" Forgone "forgone"
    Rejected "rejected" Withheld "withheld" Settled "settled" ModeRequested "mode_requested" ModeChanged "mode_changed"
    Watched "watched" GivenBack "given_back" Skipped "skipped" Overrun "overrun" Failure "failure" DomainFailed "domain_failed"
    DomainRestored "domain_restored" Dropped "dropped" Miss "miss" BoundExceeded "bound_exceeded" Disturbance "disturbance"
    StepExceeded "step_exceeded" LaneStall "lane_stall" LoopStall "loop_stall" LostRecords "lost records"
    // Outcomes.
    Completed "completed" Aborted "aborted" Unfinished "unfinished"
    // Arguments that are no name of the above.
    Request "request" ArrivalNs "arrival_ns" ReleasedNs "released_ns" DeadlineNs "deadline_ns" ResponseNs "response_ns"
    ExecutionNs "execution_ns" SlackNs "slack_ns" BoundNs "bound_ns" Task "task" Reason "reason" RunnerUp "runner_up"
    RunnerUpTask "runner_up_task" Priority "priority" Policy "policy" QueueDepth "queue_depth" StateKey "state_key"
    DecidedNs "decided_ns" Count "count" Pending "pending" Level "level" From "from" To "to" TookNs "took_ns"
    SettlesNs "settles_ns" Source "source" Reading "reading" Asks "asks" Bytes "bytes" Limit "limit" BudgetNs "budget_ns"
    Cause "cause"
    LatenessNs "lateness_ns" Recent "recent" Window "window" WakeupLatencyNs "wakeup_latency_ns" WakeupExcessNs "wakeup_excess_ns"
    StealNs "steal_ns" OffCoreNs "off_core_ns" InvoluntarySwitches "involuntary_switches" Explained "explained" LengthNs "length_ns"
    AllowedNs "allowed_ns" ElapsedNs "elapsed_ns" DueNs "due_ns" LateNs "late_ns" System "system" ConfigHash "config_hash"
    Optional "optional" FirstNs "first_ns" First "first" Last "last"
}

/// A word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Word {
    Fixed(Fixed),
    Reason(Reason),
    Task(TaskId),
    Lane(LaneId),
    Mode(ModeId),
    Level(LevelId),
    Domain(DomainId),
    /// A job's segment, from 0.
    Segment(u16),
}

/// Where a reason stands among [`REASONS`].
const fn place(reason: Reason) -> usize {
    match reason {
        Reason::OnlyOneWaiting => 0,
        Reason::ArrivedFirst => 1,
        Reason::MoreImportant => 2,
        Reason::EarlierDeadline => 3,
        Reason::EqualDeadlineFirstInTable => 4,
        Reason::InTable => 5,
        Reason::InGap => 6,
    }
}

/// Why a job was chosen, in the order in which the words have it.
const REASONS: [Reason; 7] = [
    Reason::OnlyOneWaiting,
    Reason::ArrivedFirst,
    Reason::MoreImportant,
    Reason::EarlierDeadline,
    Reason::EqualDeadlineFirstInTable,
    Reason::InTable,
    Reason::InGap,
];

/// All words of an export, in the order of their numbers.
#[derive(Debug)]
pub(super) struct Words {
    texts: Vec<String>,
    reasons: usize,
    tasks: usize,
    lanes: usize,
    modes: usize,
    levels: usize,
    domains: usize,
    segments: usize,
}

impl Words {
    /// Those of a plan.
    pub(super) fn of(system: &SystemDesc) -> Self {
        let mut texts: Vec<String> = Fixed::ALL.iter().map(|text| (*text).to_owned()).collect();
        let mut add = |more: &mut dyn Iterator<Item = &str>| {
            let from = texts.len();
            texts.extend(more.map(str::to_owned));
            from
        };
        let reasons = add(&mut REASONS.iter().map(|reason| reason.name()));
        let tasks = add(&mut system.tasks.iter().map(|task| task.name));
        let lanes = add(&mut system.lanes.iter().map(|lane| lane.name));
        let modes = add(&mut system.modes.iter().map(|mode| mode.name));
        let levels = add(&mut system.levels.iter().map(|level| level.name));
        let domains = add(&mut system.domains.iter().map(|domain| domain.name));
        let most = system.tasks.iter().map(|task| task.segments.len()).max().unwrap_or(0);
        let segments = texts.len();
        texts.extend((0..most).map(|segment| format!("segment {segment}")));
        Self { texts, reasons, tasks, lanes, modes, levels, domains, segments }
    }

    /// All of them, in the order of their numbers.
    pub(super) fn texts(&self) -> &[String] {
        &self.texts
    }

    /// The word's number; of a name that the plan does not have it is another word's.
    #[inline]
    pub(super) fn number(&self, word: Word) -> usize {
        let number = match word {
            Word::Fixed(fixed) => fixed.number(),
            Word::Reason(reason) => self.reasons + place(reason),
            Word::Task(task) => self.tasks + task.index(),
            Word::Lane(lane) => self.lanes + lane.index(),
            Word::Mode(mode) => self.modes + mode.index(),
            Word::Level(level) => self.levels + level.index(),
            Word::Domain(domain) => self.domains + domain.index(),
            Word::Segment(segment) => self.segments + usize::from(segment),
        };
        number.min(self.texts.len().saturating_sub(1))
    }
}

impl Fixed {
    /// Its number among all words.
    pub(super) const fn number(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::{Fixed, REASONS, Word, Words, place};
    use aegis_core::desc::{LaneDesc, SystemDesc, TaskDesc};
    use aegis_core::{Duration, LaneId, TaskId};

    #[test]
    fn each_word_has_its_own_text() {
        let task = TaskDesc { name: "detect", segments: &[Duration::ZERO; 2], ..TaskDesc::EMPTY };
        let (tasks, lanes) =
            ([TaskDesc { name: "face", ..task }, task], [LaneDesc { name: "main", ..LaneDesc::EMPTY }]);
        let system = SystemDesc { tasks: tasks.to_vec().leak(), lanes: lanes.to_vec().leak(), ..SystemDesc::EMPTY };
        let words = Words::of(&system);
        let text = |word| words.texts()[words.number(word)].as_str();
        assert_eq!(text(Word::Fixed(Fixed::Job)), "job");
        assert_eq!(text(Word::Fixed(Fixed::Last)), "last", "the last of the fixed words");
        for (number, reason) in REASONS.into_iter().enumerate() {
            assert_eq!((place(reason), text(Word::Reason(reason))), (number, reason.name()));
        }
        assert_eq!((text(Word::Task(TaskId(1))), text(Word::Lane(LaneId(0)))), ("detect", "main"));
        assert_eq!(text(Word::Segment(1)), "segment 1");
    }
}

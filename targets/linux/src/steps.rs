//! How long the orchestration thread's steps take, against what the plan allows for them.
//!
//! The plan lets every segment and every release of a lane wait while the thread serves the other lanes, for two dispatch
//! overheads of each: so it assumes that what a step does for one lane, hand-over included, takes at most that lane's dispatch
//! overhead. A step serves the lane of its event and each lane that it starts a segment on; one that serves none, because it only
//! releases jobs or looks at budgets, is part of every lane's overhead. A change of the level of memory pressure, of the mode, or
//! of what is admitted, or the failure of a domain, is no lane's event: the plan has one step of the lane with the largest
//! overhead for it. Where a step is longer, the wait of other lanes may be longer than their bounds count on, even if no job
//! happened to wait.

use crate::evidence::ThreadCounters;
use aegis_core::desc::SystemDesc;
use aegis_core::dispatch::{Event, Job};
use aegis_core::trace::Kind;
use aegis_core::{Duration, Instant};

/// What the steps of a run came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StepReport {
    /// The step that exceeded its plan by most, or the longest one where none did.
    pub worst: Duration,
    /// What the plan allows for that step.
    pub worst_allowed: Duration,
    /// How many exceeded their plan.
    pub exceeded: u64,
    /// Those of them that the machine's disturbances explain.
    pub explained: u64,
}

/// The thread's counters when the present turn began, and the report so far.
#[derive(Debug)]
pub(crate) struct Steps {
    began: Instant,
    counters: ThreadCounters,
    steal_base_ns: u64,
    pub(crate) report: StepReport,
}

impl Steps {
    /// No step was made.
    pub(crate) fn new() -> Self {
        let (counters, report) = (ThreadCounters::read(), StepReport::default());
        Self { began: Instant::START, counters, steal_base_ns: 0, report }
    }

    /// A turn begins: what the machine takes from now on may lengthen its steps.
    pub(crate) fn turn(&mut self, now: Instant, steal_base_ns: u64) {
        (self.began, self.counters, self.steal_base_ns) = (now, ThreadCounters::read(), steal_base_ns);
    }

    /// Notes a step's length; what to record where the plan allows less. `steal` reads the core's counter.
    pub(crate) fn note(
        &mut self,
        length: Duration,
        allowed: Duration,
        now: Instant,
        steal: impl FnOnce() -> Option<u64>,
    ) -> Option<Kind> {
        let excess = |length: Duration, allowed: Duration| length.saturating_sub(allowed);
        let own = (excess(length, allowed), length);
        let report = &mut self.report;
        if own > (excess(report.worst, report.worst_allowed), report.worst) {
            (report.worst, report.worst_allowed) = (length, allowed);
        }
        if own.0.is_zero() {
            return None;
        }
        // As for an exceeded response: steal and off-core time overlap, so the greater of both counts.
        let off_core = ThreadCounters::read().since(&self.counters, self.began, now).off_core();
        let steal = Duration::from_ns(steal().map_or(0, |ns| ns.saturating_sub(self.steal_base_ns)));
        let explained = off_core.max(steal) >= own.0;
        report.exceeded = report.exceeded.saturating_add(1);
        report.explained = report.explained.saturating_add(u64::from(explained));
        Some(Kind::StepExceeded { length, allowed, steal, off_core, explained })
    }
}

/// What the plan allows for a step that was told `event` and starts these jobs.
pub(crate) fn allowed<const LANES: usize>(system: &SystemDesc, event: Event, start: &[Option<Job>; LANES]) -> Duration {
    let of_event = match event {
        Event::Completed { lane, .. }
        | Event::Failed { lane, .. }
        | Event::Lost { lane, .. }
        | Event::Preempted { lane, .. } => Some(lane.index()),
        Event::Submit { task, .. } => system.tasks.get(task.index()).map(|task| task.lane.index()),
        Event::Timer | Event::Stop { .. } => None,
        // What the thread wait of every lane has for a change of level, mode or what is admitted, and where a domain fails or is
        // restored.
        Event::Pressure { .. }
        | Event::Mode { .. }
        | Event::Admit { .. }
        | Event::Dismiss { .. }
        | Event::Fail { .. }
        | Event::Restored { .. } => {
            let lanes = system.lanes.iter().enumerate();
            lanes.max_by_key(|(_, lane)| lane.dispatch_overhead.as_ns()).map(|(position, _)| position)
        }
    };
    let lanes = system.lanes.iter().zip(start).enumerate();
    let served = lanes.filter(|(position, (_, start))| start.is_some() || of_event == Some(*position));
    let sum = served.map(|(_, (lane, _))| lane.dispatch_overhead).fold(Duration::ZERO, crate::stats::sum);
    let least = system.lanes.iter().map(|lane| lane.dispatch_overhead).min().unwrap_or(Duration::MAX);
    sum.max(least)
}

#[cfg(test)]
mod tests {
    use super::{Steps, allowed};
    use crate::fixture;
    use aegis_core::desc::{LaneDesc, SystemDesc, TaskDesc};
    use aegis_core::dispatch::{Event, Job};
    use aegis_core::trace::Kind;
    use aegis_core::{DomainId, Duration, Instant, LaneId, LevelId, ModeId, TaskId};

    const fn us(value: u64) -> Duration {
        Duration::from_ns(value * 1_000)
    }

    #[test]
    fn a_step_may_take_the_overheads_of_the_lanes_that_it_serves() {
        let base = fixture::system(&[(10, 1), (20, 1)]);
        let lane = |overhead| LaneDesc { dispatch_overhead: us(overhead), ..base.lanes[0] };
        let tasks: Vec<TaskDesc> =
            base.tasks.iter().zip(0..).map(|(task, number)| TaskDesc { lane: LaneId(number), ..*task }).collect();
        let lanes = [lane(100), lane(40), lane(60)];
        let system = SystemDesc { lanes: Box::leak(Box::new(lanes)), tasks: tasks.leak(), ..*base };
        let (task, at) = (TaskId(1), Instant::START);
        let job = Some(Job { task, request: 1, arrival: at, deadline: at, segment: 0 });
        let completed = |number| Event::Completed { lane: LaneId(number), began: at, ended: at };
        for (event, start, expected) in [
            (Event::Timer, [None; 3], 40),
            (Event::Timer, [job, None, job], 160),
            (Event::Pressure { level: None }, [None; 3], 100),
            (Event::Mode { mode: ModeId(0) }, [None, None, job], 160),
            (Event::Fail { domain: DomainId(0), loss: None }, [None, job, None], 140),
            (Event::Failed { lane: LaneId(2), began: at, ended: at }, [None; 3], 60),
            (completed(2), [None; 3], 60),
            (completed(2), [job, None, job], 160),
            (completed(0), [None, job, job], 200),
            (Event::Submit { task, arrival: at }, [None; 3], 40),
            (Event::Submit { task, arrival: at }, [job, None, None], 140),
            // The dearest lane's, and of each other lane that starts something its own.
            (Event::Pressure { level: Some(LevelId(0)) }, [None; 3], 100),
            (Event::Pressure { level: None }, [None, job, None], 140),
            (Event::Pressure { level: None }, [job, None, None], 100),
            (Event::Stop { end: at }, [None; 3], 40),
        ] {
            assert_eq!(allowed(&system, event, &start), us(expected), "{event:?} {start:?}");
        }
    }

    #[test]
    fn only_a_step_beyond_its_plan_is_recorded_and_explained_by_what_the_machine_took() {
        let (mut steps, now) = (Steps::new(), Instant::from_ns(1_000_000));
        let steal = |ns: u64| move || Some(ns);
        steps.turn(now, 5_000_000);
        assert_eq!(steps.note(us(90), us(100), now, || None), None);
        assert_eq!((steps.report.worst, steps.report.worst_allowed), (us(90), us(100)));
        let explained = |kind| match kind {
            Some(Kind::StepExceeded { length, allowed, steal, explained, .. }) => {
                assert_eq!((length, allowed), (us(150), us(100)));
                (steal, explained)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(explained(steps.note(us(150), us(100), now, steal(5_000_000))), (Duration::ZERO, false));
        assert_eq!(explained(steps.note(us(150), us(100), now, steal(15_000_000))), (us(10_000), true));
        // A longer step within its plan is not worse than a shorter one beyond it.
        assert_eq!(steps.note(us(180), us(200), now, || None), None);
        let report = steps.report;
        assert_eq!((report.worst, report.worst_allowed), (us(150), us(100)));
        assert_eq!((report.exceeded, report.explained), (2, 1));
    }
}

//! A dispatcher with a plan of a few numbers, driven one event at a time.

#![allow(unreachable_pub, reason = "a module of one test")]

use aegis_core::desc::{LaneDesc, Policy, Release, SystemDesc, TaskDesc};
use aegis_core::dispatch::{Actions, Event, Refused, State, step};
use aegis_core::trace::{JobRef, Kind, Reason, Sink};
use aegis_core::{Duration, Instant, LaneId, Priority, TaskId};

pub const QUEUE: usize = 4;
pub const EDF: Policy = Policy::EarliestDeadlineFirst;
pub const FP: Policy = Policy::FixedPriority;

/// A task of period 10, deadline 10, WCET 3, budget 2, released by the application.
pub fn task(lane: u16, priority: u16) -> TaskDesc {
    TaskDesc {
        name: "task",
        lane: LaneId(lane),
        release: Release::Submitted,
        priority: Priority(priority),
        period: Duration::from_ns(10),
        deadline: Duration::from_ns(10),
        wcet: Duration::from_ns(3),
        budget: Duration::from_ns(2),
        miss_window: 10,
        queue: 2,
        response_bound: Duration::from_ns(8),
        ..TaskDesc::EMPTY
    }
}

pub fn due(lane: u16, deadline: u64) -> TaskDesc {
    TaskDesc { deadline: Duration::from_ns(deadline), ..task(lane, u16::try_from(deadline).unwrap()) }
}

pub fn timed(phase: u64, period: u64) -> TaskDesc {
    TaskDesc {
        release: Release::Timer,
        phase: Duration::from_ns(phase),
        period: Duration::from_ns(period),
        ..task(0, 0)
    }
}

#[derive(Default)]
pub struct Log(pub Vec<(u64, Kind)>);

impl Sink for Log {
    fn record(&mut self, at: Instant, kind: Kind) {
        self.0.push((at.as_ns(), kind));
    }
}

/// Of an aborted job its segment, response and execution.
pub type Aborted = (u16, u64, u64);

/// A plan with its state and what was recorded since the last look.
pub struct Bench<const TASKS: usize, const LANES: usize> {
    pub system: &'static SystemDesc,
    pub state: State<TASKS, LANES, QUEUE>,
    pub log: Log,
}

pub fn lane(policy: Policy, overhead: u64) -> LaneDesc {
    LaneDesc {
        name: "lane",
        policy,
        core: 1,
        dispatch_overhead: Duration::from_ns(overhead),
        busy_period: Duration::from_ns(1),
        ..LaneDesc::EMPTY
    }
}

pub fn system(lanes: Vec<LaneDesc>, tasks: Vec<TaskDesc>) -> &'static SystemDesc {
    Box::leak(Box::new(SystemDesc { name: "bench", lanes: lanes.leak(), tasks: tasks.leak(), ..SystemDesc::EMPTY }))
}

/// One lane without overhead.
pub fn bench<const TASKS: usize>(policy: Policy, tasks: [TaskDesc; TASKS]) -> Bench<TASKS, 1> {
    bench_of([lane(policy, 0)], tasks)
}

pub fn bench_of<const TASKS: usize, const LANES: usize>(
    lanes: [LaneDesc; LANES],
    tasks: [TaskDesc; TASKS],
) -> Bench<TASKS, LANES> {
    let system = system(lanes.to_vec(), tasks.to_vec());
    Bench { system, state: State::new(system).unwrap(), log: Log::default() }
}

pub fn at(ns: u64) -> Instant {
    Instant::from_ns(ns)
}

impl<const TASKS: usize, const LANES: usize> Bench<TASKS, LANES> {
    pub fn try_step(&mut self, event: Event, now: u64) -> Result<Actions<LANES>, Refused> {
        step(self.system, &mut self.state, event, at(now), &mut self.log)
    }

    pub fn step(&mut self, event: Event, now: u64) -> Actions<LANES> {
        self.try_step(event, now).unwrap()
    }

    pub fn timer(&mut self, now: u64) -> Actions<LANES> {
        self.step(Event::Timer, now)
    }

    pub fn submit(&mut self, task: u16, now: u64) -> Actions<LANES> {
        self.step(Event::Submit { task: TaskId(task), arrival: at(now) }, now)
    }

    pub fn complete(&mut self, lane: u16, began: u64, ended: u64) -> Actions<LANES> {
        self.step(Event::Completed { lane: LaneId(lane), began: at(began), ended: at(ended) }, ended)
    }

    /// What was recorded since the last look, without the steps themselves.
    pub fn seen(&mut self) -> Vec<Kind> {
        let mut seen = self.told();
        seen.retain(|kind| !matches!(kind, Kind::Stepped { .. }));
        seen
    }

    /// What was recorded since the last look, steps included.
    pub fn told(&mut self) -> Vec<Kind> {
        std::mem::take(&mut self.log.0).into_iter().map(|(_, kind)| kind).collect()
    }

    /// The jobs that ended since the last look.
    pub fn ends(&mut self) -> Vec<(JobRef, Option<Aborted>)> {
        let end = |kind| match kind {
            Kind::Completed { job, .. } => Some((job, None)),
            Kind::Aborted { job, segment, response, execution, .. } => {
                Some((job, Some((segment, response.as_ns(), execution.as_ns()))))
            }
            _ => None,
        };
        self.seen().into_iter().filter_map(end).collect()
    }

    /// The last decision: chosen, runner-up, reason, depth.
    pub fn decision(&mut self) -> (u16, Option<u16>, Reason, u16) {
        let decided = self.seen().into_iter().rev().find_map(|kind| match kind {
            Kind::Decided { chosen, runner_up, reason, queue_depth, .. } => {
                Some((chosen.task.0, runner_up.map(|job| job.task.0), reason, queue_depth))
            }
            _ => None,
        });
        decided.unwrap()
    }

    /// Checks that an event is refused, and that nothing changes or is recorded.
    pub fn refuses(&mut self, event: Event, now: u64, why: Refused) {
        let before = format!("{:?}", self.state);
        let recorded = self.log.0.len();
        assert_eq!(self.try_step(event, now), Err(why));
        assert_eq!(format!("{:?}", self.state), before, "a refusal changes nothing");
        assert_eq!(self.log.0.len(), recorded, "a refusal records nothing");
    }
}

pub fn started<const LANES: usize>(actions: &Actions<LANES>, lane: usize) -> Option<u16> {
    actions.start[lane].map(|job| job.task.0)
}

pub fn job(task: u16, request: u64) -> JobRef {
    JobRef { task: TaskId(task), request }
}

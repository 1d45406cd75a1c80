//! The real dispatcher in virtual time, with executions, overheads and lateness chosen by a test.

use aegis_core::desc::{LaneDesc, Release, SystemDesc, TaskDesc};
use aegis_core::dispatch::{Actions, Event, Job, Refused, State, step};
use aegis_core::time::Instant;
use aegis_core::trace::{Kind, Sink};
use aegis_core::units::{DomainId, LaneId, TaskId};
use std::collections::HashSet;

/// The longest queue that a simulated plan may have.
pub const QUEUE: usize = 64;

/// A job that the application hands in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Submission {
    /// When the dispatcher is told, in nanoseconds; not before `arrival`.
    pub seen: u64,
    /// Its task's position.
    pub task: u16,
    /// When it arrived, in nanoseconds.
    pub arrival: u64,
}

/// How one job spends its lane's time, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    /// From the decision to the execution's begin.
    pub before: u64,
    /// The execution.
    pub execution: u64,
    /// From the execution's end until the dispatcher is told.
    pub after: u64,
}

impl Spent {
    /// The worst that the plan allows, with the overhead before the execution.
    #[must_use]
    pub fn worst(task: &TaskDesc, lane: &LaneDesc) -> Self {
        Self { before: lane.dispatch_overhead.as_ns(), execution: task.wcet.as_ns(), after: 0 }
    }
}

/// What a test decides.
pub trait World {
    /// How a started job spends its time.
    fn spend(&mut self, task: &TaskDesc, lane: &LaneDesc) -> Spent;

    /// When the timer wakes the dispatcher: not before `due` and not after `latest`, which is at least `due`.
    fn wake(&mut self, due: u64, latest: u64) -> u64;
}

/// The world at its worst: full costs, a timer that is late as long as the plan allows.
#[derive(Clone, Copy, Debug)]
pub struct Worst;

impl World for Worst {
    fn spend(&mut self, task: &TaskDesc, lane: &LaneDesc) -> Spent {
        Spent::worst(task, lane)
    }

    fn wake(&mut self, _due: u64, latest: u64) -> u64 {
        latest
    }
}

/// A fault domain whose process ends, which the dispatcher learns from the first segment that is back as failed.
#[derive(Clone, Copy, Debug)]
pub struct Failing {
    /// The domain.
    pub domain: DomainId,
    /// When the process ends, or stops to answer: segments of it that are in flight from then on are back as failed.
    pub at: u64,
    /// How long after its execution's begin such a segment is back.
    pub back_after: u64,
    /// How much longer the piece that runs then, or the next one, takes on each lane.
    pub blackout: u64,
    /// A lane whose device serves nobody meanwhile, by its position, and how much longer it takes there.
    pub device: Option<(usize, u64)>,
    /// What follows; `None`: the domain stays away.
    pub again: Option<Again>,
}

impl Failing {
    fn delay(&mut self, by: u64) {
        self.at += by;
        if let Some(again) = &mut self.again {
            again.known += by;
            again.start += by;
            again.ready = again.ready.map(|ready| ready + by);
        }
    }
}

/// That the process of a domain which has failed is started again. Its next failure comes afterwards.
#[derive(Clone, Copy, Debug)]
pub struct Again {
    /// When the end of the process is known at the latest, and the dispatcher told.
    pub known: u64,
    /// When the next process is started, to load.
    pub start: u64,
    /// When it is ready, and the dispatcher told; `None` where it fails before.
    pub ready: Option<u64>,
    /// How much longer a piece that runs between the two, or begins, takes on each lane.
    pub blackout: u64,
}

/// What happened in a run.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Each record with its time.
    pub records: Vec<(u64, Kind)>,
}

impl Sink for Observed {
    fn record(&mut self, at: Instant, kind: Kind) {
        self.records.push((at.as_ns(), kind));
    }
}

impl Observed {
    /// The longest response of a task, in nanoseconds; 0 where none completed.
    #[must_use]
    pub fn worst(&self, task: u16) -> u64 {
        let responses = self.records.iter().filter_map(|(_, kind)| match kind {
            Kind::Completed { job, response, .. } if job.task.0 == task => Some(response.as_ns()),
            _ => None,
        });
        responses.max().unwrap_or(0)
    }

    /// When each job of a task ended, in order.
    #[must_use]
    pub fn ends(&self, task: u16) -> Vec<u64> {
        let ends = self.records.iter().filter_map(|(_, kind)| match kind {
            Kind::Completed { job, ended, .. } if job.task.0 == task => Some(ended.as_ns()),
            _ => None,
        });
        ends.collect()
    }

    /// How many jobs completed.
    #[must_use]
    pub fn completed(&self) -> usize {
        self.records.iter().filter(|(_, kind)| matches!(kind, Kind::Completed { .. })).count()
    }

    /// The records that no run of a proven plan may have: misses, exceeded bounds, refused arrivals.
    #[must_use]
    pub fn faults(&self) -> Vec<Kind> {
        let fault = |kind: &Kind| matches!(kind, Kind::Missed { .. } | Kind::Exceeded { .. } | Kind::Rejected { .. });
        self.records.iter().map(|(_, kind)| *kind).filter(fault).collect()
    }
}

/// Runs a plan from 0 to `until`, then lets what waits run out. `submissions` are ordered by `seen`.
///
/// At one instant submissions come first, then the timer, then completions: a job counts as seen at an instant only if
/// the lane's decision of that instant knows it.
///
/// # Panics
/// Where the dispatcher refuses an event, starts a second job on a lane, or does not become idle; and for more than 6
/// tasks or 3 lanes.
pub fn run(system: &'static SystemDesc, submissions: &[Submission], until: u64, world: &mut impl World) -> Observed {
    run_beside(system, submissions, &[], until, world)
}

/// As [`run`], and tells the dispatcher of admissions and dismissals, ordered by their instants and before all else of these. What
/// is admitted, or dismissed, already is passed over, and so is what is submitted of a task that is not admitted.
///
/// # Panics
/// As [`run`].
pub fn run_beside(
    system: &'static SystemDesc,
    submissions: &[Submission],
    changes: &[(u64, Event)],
    until: u64,
    world: &mut impl World,
) -> Observed {
    run_failing(system, (submissions, changes), &[], until, world)
}

/// As [`run_beside`], while a fault domain fails, once or each time after it was started again: in the order of these failures.
///
/// # Panics
/// As [`run`].
pub fn run_failing(
    system: &'static SystemDesc,
    told: (&[Submission], &[(u64, Event)]),
    failing: &[Failing],
    until: u64,
    world: &mut impl World,
) -> Observed {
    macro_rules! sized {
        ($($tasks:literal)*) => {
            match (system.tasks.len(), system.lanes.len()) {
                $(($tasks, 1) => run_sized::<$tasks, 1>(system, told, failing, until, world),)*
                $(($tasks, 2) => run_sized::<$tasks, 2>(system, told, failing, until, world),)*
                $(($tasks, 3) => run_sized::<$tasks, 3>(system, told, failing, until, world),)*
                other => panic!("no simulator for {other:?} tasks and lanes"),
            }
        };
    }
    sized!(1 2 3 4 5 6)
}

/// A started job's end.
#[derive(Clone, Copy)]
struct Ending {
    noticed: u64,
    began: u64,
    ended: u64,
    /// The domain whose process has ended meanwhile, if it was its own.
    failed: Option<DomainId>,
}

struct Machine<const TASKS: usize, const LANES: usize, W> {
    system: &'static SystemDesc,
    state: State<TASKS, LANES, QUEUE>,
    world: W,
    observed: Observed,
    endings: [Option<Ending>; LANES],
    /// The timer's next wake-up.
    wake: Option<u64>,
    stopped: bool,
    /// The failure that comes or is not over, and those after it.
    failing: Vec<Failing>,
    /// Whether the dispatcher knows of it, and which lanes have stood still because of it, and of the start after it.
    told: bool,
    stood_still: [[bool; LANES]; 2],
    /// When the dispatcher is told again that the domain is ready, which it refused.
    retry: Option<u64>,
}

fn run_sized<const TASKS: usize, const LANES: usize>(
    system: &'static SystemDesc,
    (submissions, changes): (&[Submission], &[(u64, Event)]),
    failing: &[Failing],
    until: u64,
    world: &mut impl World,
) -> Observed {
    let state = State::new(system).expect("the sizes are the plan's");
    let observed = Observed::default();
    let mut machine = Machine::<TASKS, LANES, _> {
        system,
        state,
        world,
        observed,
        endings: [None; LANES],
        wake: Some(0),
        stopped: false,
        failing: failing.to_vec(),
        told: false,
        stood_still: [[false; LANES]; 2],
        retry: None,
    };
    let mut submissions = submissions.iter().take_while(|submission| submission.seen <= until).peekable();
    let mut changes = changes.iter().take_while(|(at, _)| *at <= until).peekable();
    loop {
        let change = changes.peek().map(|(at, _)| *at);
        let seen = submissions.peek().map(|submission| submission.seen);
        let noticed = machine.endings.iter().flatten().map(|ending| ending.noticed).min();
        let cycle = machine.next_of_failure();
        let next = [change, seen, machine.wake, noticed, cycle].into_iter().flatten().min();
        match next {
            Some(now) if now <= until || machine.stopped => {
                if change == Some(now) {
                    let Some((_, event)) = changes.next() else { break };
                    machine.try_step(*event, now);
                } else if cycle == Some(now) {
                    machine.follow_failure(now);
                } else if seen == Some(now) {
                    let Some(submission) = submissions.next() else { break };
                    let arrival = Instant::from_ns(submission.arrival);
                    machine.try_step(Event::Submit { task: TaskId(submission.task), arrival }, now);
                } else if machine.wake == Some(now) {
                    machine.step(Event::Timer, now);
                } else {
                    machine.complete(now);
                }
            }
            _ if machine.stopped => break,
            _ => {
                machine.stopped = true;
                machine.step(Event::Stop { end: Instant::from_ns(until) }, until);
            }
        }
    }
    assert!(machine.state.is_idle(), "nothing is left to happen, yet a job waits or runs");
    machine.observed
}

impl<const TASKS: usize, const LANES: usize, W: World> Machine<TASKS, LANES, &mut W> {
    /// When something happens that belongs to the present failure alone.
    fn next_of_failure(&self) -> Option<u64> {
        let [failing, rest @ ..] = self.failing.as_slice() else { return None };
        let again = failing.again?;
        if !self.told {
            return Some(again.known);
        }
        // What fails while it loads goes over into the next failure.
        self.retry.or(again.ready).or_else(|| rest.first().map(|next| next.at))
    }

    fn follow_failure(&mut self, now: u64) {
        let Failing { domain, again, .. } = *self.failing.first().expect("something has failed");
        if !self.told {
            self.told = true;
            return self.step(Event::Fail { domain, loss: None }, now);
        }
        let mut is_told = true;
        if let Some(ready) = again.and_then(|again| again.ready) {
            let at = Instant::from_ns(now);
            match step(self.system, &mut self.state, Event::Restored { domain }, at, &mut self.observed) {
                Err(Refused::DomainBusy { .. }) => {
                    self.retry = Some(now + 1);
                    return;
                }
                Err(refused) => panic!("{domain:?} is not restored at {now}: {refused:?}"),
                Ok(actions) => self.follow(actions, now),
            }
            is_told = false;
            // All that follows comes later by as much.
            for later in self.failing.iter_mut().skip(1) {
                later.delay(now - ready);
            }
        }
        self.failing.remove(0);
        (self.told, self.retry) = (is_told, None);
        self.stood_still = [[false; LANES]; 2];
    }

    fn complete(&mut self, now: u64) {
        let due = |ending: &Option<Ending>| ending.is_some_and(|ending| ending.noticed == now);
        let Some(position) = self.endings.iter().position(due) else { panic!("nothing ends at {now}") };
        let Some(Ending { began, ended, failed, .. }) = self.endings[position].take() else { panic!("an ending") };
        let lane = LaneId(u16::try_from(position).expect("few lanes"));
        let (began, ended) = (Instant::from_ns(began), Instant::from_ns(ended));
        match failed {
            None => self.step(Event::Completed { lane, began, ended }, now),
            Some(domain) => {
                if !self.told {
                    self.told = true;
                    self.step(Event::Fail { domain, loss: None }, now);
                }
                self.step(Event::Failed { lane, began, ended }, now);
            }
        }
    }

    /// A step that may be refused because of what is admitted.
    fn try_step(&mut self, event: Event, now: u64) {
        let task = match event {
            Event::Submit { task, .. } | Event::Admit { task } | Event::Dismiss { task } => task,
            _ => panic!("{event:?} has no task"),
        };
        let is_optional = self.system.tasks[task.index()].optional;
        match step(self.system, &mut self.state, event, Instant::from_ns(now), &mut self.observed) {
            Err(Refused::AlreadyAdmitted { .. } | Refused::NotAdmitted { .. }) => {}
            Err(Refused::DomainFailed { domain, .. }) if self.has_failed(domain) => {}
            // What came before its domain was restored.
            Err(Refused::TooEarly { .. }) if self.system.tasks[task.index()].domain.is_some() => {}
            // What came before the task was admitted, or too soon after what it was seen to submit.
            Err(Refused::TooEarly { .. }) if is_optional => {}
            Err(refused) => panic!("{event:?} at {now} is refused: {refused:?}"),
            Ok(actions) => self.follow(actions, now),
        }
    }

    /// Whether a domain was told to have failed, or failed by an answer.
    fn has_failed(&self, domain: DomainId) -> bool {
        let says = |kind: &Kind| match kind {
            Kind::DomainFailed { domain: failed, .. } if *failed == domain => Some(true),
            Kind::DomainRestored { domain: restored } if *restored == domain => Some(false),
            _ => None,
        };
        self.observed.records.iter().rev().find_map(|(_, kind)| says(kind)) == Some(true)
    }

    fn step(&mut self, event: Event, now: u64) {
        let at = Instant::from_ns(now);
        let result = step(self.system, &mut self.state, event, at, &mut self.observed);
        let actions = result.unwrap_or_else(|refused| panic!("{event:?} at {now} is refused: {refused:?}"));
        self.follow(actions, now);
    }

    fn follow(&mut self, Actions { start, wake_at }: Actions<LANES>, now: u64) {
        for (position, job) in start.into_iter().enumerate() {
            if let Some(job) = job {
                self.start(position, job, now);
            }
        }
        self.wake = wake_at.map(|due| {
            let due = due.as_ns();
            let latest = self.latest_wake(now, due).max(due);
            let wake = self.world.wake(due, latest);
            assert!((due..=latest).contains(&wake), "the world breaks its own rules");
            wake
        });
    }

    fn start(&mut self, position: usize, job: Job, now: u64) {
        assert!(self.endings[position].is_none(), "lane {position} is told to run a second job");
        let task = &self.system.tasks[job.task.index()];
        let spent = self.world.spend(task, &self.system.lanes[position]);
        let began = now + spent.before;
        let length = task.segments.get(usize::from(job.segment)).map_or(u64::MAX, |segment| segment.as_ns());
        let mut ended = began + spent.execution.min(length);
        let mut failed = None;
        if let Some(failing) = self.failing.first().filter(|failing| failing.at <= ended) {
            if task.domain == Some(failing.domain) {
                (ended, failed) = (failing.at.max(began + failing.back_after), Some(failing.domain));
            }
            let ends = failing.again.is_none_or(|again| now <= again.known);
            if ends && !std::mem::replace(&mut self.stood_still[0][position], true) {
                ended += failing.blackout;
                ended += failing.device.filter(|(lane, _)| *lane == position).map_or(0, |(_, longer)| longer);
            }
            if let Some(again) = failing.again
                && again.start <= ended
                && again.ready.is_none_or(|ready| now <= ready)
                && !std::mem::replace(&mut self.stood_still[1][position], true)
            {
                ended += again.blackout;
            }
        }
        self.endings[position] = Some(Ending { noticed: ended + spent.after, began, ended, failed });
    }

    /// The latest instant at which no timer release is seen later than the plan allows.
    fn latest_wake(&self, now: u64, due: u64) -> u64 {
        let timed = self.system.tasks.iter().filter(|task| task.release == Release::Timer);
        let limits = timed.map(|task| {
            let (phase, period) = (task.phase.as_ns(), task.period.as_ns());
            let next = if now < phase { phase } else { phase + ((now - phase) / period + 1) * period };
            let lane = &self.system.lanes[task.lane.index()];
            next + task.jitter.as_ns() + lane.wakeup_latency.as_ns()
        });
        // What is deferred comes at `due` or later.
        let deferring = self.system.tasks.iter().filter(|task| task.defers);
        let deferred = deferring
            .map(|task| due + task.jitter.as_ns() + self.system.lanes[task.lane.index()].wakeup_latency.as_ns());
        limits.chain(deferred).min().unwrap_or(0)
    }
}

/// Random arrivals of all submitted tasks up to `until`, as the plan permits them, ordered by `seen`.
///
/// With `eager` they are as close together as they may be, the first one late by its whole jitter. No two are
/// seen at one instant: what the first one's step starts would block the second for a whole cost, not for a nanosecond less.
#[must_use]
pub fn arrivals(system: &SystemDesc, rng: &mut fastrand::Rng, until: u64, eager: bool) -> Vec<Submission> {
    let mut taken = HashSet::new();
    let mut all = Vec::new();
    for (position, task) in (0u16..).zip(system.tasks) {
        if task.release != Release::Submitted {
            continue;
        }
        let period = task.period.as_ns();
        let jitter = task.jitter.as_ns() + system.lanes[task.lane.index()].wakeup_latency.as_ns();
        let mut arrival = task.phase.as_ns() + rng.u64(0..=period);
        let mut delay = jitter;
        let mut last = 0;
        while arrival <= until {
            let mut seen = (arrival + delay).max(last);
            while !taken.insert(seen) {
                seen += 1;
                arrival += 1;
            }
            last = seen;
            all.push(Submission { seen, task: position, arrival });
            arrival += period + if eager { 0 } else { rng.u64(0..=period) * rng.u64(0..=1) };
            delay = if eager { 0 } else { rng.u64(0..=jitter) };
        }
    }
    all.sort_unstable();
    all
}

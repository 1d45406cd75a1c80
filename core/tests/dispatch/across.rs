//! Random systems of two to four modes, each of which holds by an analysis that is written down here anew, run while the mode
//! changes at random: arrivals as close together as they may be, seen as late as they may be, executions mostly at their worst.
//! No response exceeds the greatest bound of the task's modes, and no change takes longer than leaving its mode may.

use crate::bench::{FP, Log, at, lane, system, task};
use aegis_core::desc::{Answer, DomainDesc, ModeDesc, Release, SystemDesc, TaskDesc};
use aegis_core::dispatch::{Actions, Event, Refused, State, step};
use aegis_core::trace::Kind;
use aegis_core::{DomainId, Duration, LaneId, ModeId, Priority, TaskId};
use std::collections::BTreeMap;

const TASKS: usize = 6;
const LANES: usize = 2;
const QUEUE: usize = 8;
const HORIZON: u64 = 400;
/// Above it an iteration counts as endless.
const LIMIT: u64 = 2_000;

/// Numbers without a dependency.
struct Rng(u64);

impl Rng {
    /// From `least` to `most`, both included.
    fn draw(&mut self, least: u64, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        least + (self.0 >> 33) % (most - least + 1)
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.draw(1, count) == 1
    }
}

/// A task's numbers; the more important ones come first.
#[derive(Clone, Copy, Debug)]
struct Load {
    lane: usize,
    cost: u64,
    period: u64,
    jitter: u64,
}

/// The least solution from `from` on of `x = f(x)`.
fn settle(from: u64, f: impl Fn(u64) -> u64) -> Option<u64> {
    let mut x = from;
    while x <= LIMIT {
        match f(x) {
            next if next == x => return Some(x),
            next => x = next,
        }
    }
    None
}

/// The bound of each of these tasks of one lane, whole jobs, and how long the lane is busy at most.
fn analyse(loads: &[Load]) -> Option<(Vec<u64>, u64)> {
    let within = |load: &Load, length: u64| (length + load.jitter).div_ceil(load.period) * load.cost;
    let up_to = |load: &Load, length: u64| ((length + load.jitter) / load.period + 1) * load.cost;
    let busy = settle(1, |length| loads.iter().map(|load| within(load, length)).sum::<u64>().max(1))?;
    let mut bounds = Vec::new();
    for (position, own) in loads.iter().enumerate() {
        let (before, after) = (&loads[..position], &loads[position + 1..]);
        let blocking = after.iter().map(|load| load.cost - 1).max().unwrap_or(0);
        let level =
            settle(1, |length| blocking + loads[..=position].iter().map(|load| within(load, length)).sum::<u64>())?;
        let mut worst = 0;
        for q in 0..(level + own.jitter).div_ceil(own.period) {
            let start =
                settle(0, |start| blocking + q * own.cost + before.iter().map(|load| up_to(load, start)).sum::<u64>())?;
            worst = worst.max((own.jitter + start + own.cost).saturating_sub(q * own.period));
        }
        bounds.push(worst);
    }
    Some((bounds, busy))
}

/// A system of which each mode holds.
fn random_system(rng: &mut Rng) -> Option<&'static SystemDesc> {
    let count = usize::try_from(rng.draw(2, 6)).unwrap();
    let loads: Vec<Load> = (0..count)
        .map(|_| {
            let period = rng.draw(4, 30);
            let jitter = if rng.one_in(2) { 0 } else { rng.draw(0, period) };
            Load { lane: usize::from(rng.one_in(3)), cost: rng.draw(1, period / 2), period, jitter }
        })
        .collect();
    let mut bounds = vec![0; count];
    let mut modes = Vec::new();
    for number in 0..rng.draw(2, 4) {
        let members: Vec<usize> = (0..count).filter(|task| number == 0 && *task == 0 || rng.one_in(2)).collect();
        if members.is_empty() {
            return None;
        }
        let mut leaves = 1;
        for lane in 0..LANES {
            let own: Vec<usize> = members.iter().copied().filter(|task| loads[*task].lane == lane).collect();
            let (found, busy) = analyse(&own.iter().map(|task| loads[*task]).collect::<Vec<_>>())?;
            leaves = leaves.max(busy);
            own.iter().zip(found).for_each(|(task, bound)| bounds[*task] = bounds[*task].max(bound));
        }
        let tasks: Vec<TaskId> = members.iter().map(|task| TaskId(u16::try_from(*task).unwrap())).collect();
        let leaves = Duration::from_ns(leaves);
        modes.push(ModeDesc { name: "mode", tasks: tasks.leak(), lanes: &[], proven: &[], leaves });
    }
    let tasks = loads.iter().zip(&bounds).enumerate().map(|(position, (load, bound))| {
        let by_timer = load.jitter == 0 && rng.one_in(2);
        let queue = u16::try_from(bound / load.period + 1).unwrap();
        TaskDesc {
            release: if by_timer { Release::Timer } else { Release::Submitted },
            priority: Priority(u16::try_from(position).unwrap()),
            period: Duration::from_ns(load.period),
            deadline: Duration::from_ns((*bound).max(1)),
            phase: Duration::from_ns(if by_timer && rng.one_in(2) { rng.draw(0, load.period) } else { 0 }),
            jitter: Duration::from_ns(load.jitter),
            wcet: Duration::from_ns(load.cost),
            budget: Duration::from_ns(load.cost),
            response_bound: Duration::from_ns(*bound),
            queue,
            ..task(u16::try_from(load.lane).unwrap(), 0)
        }
    });
    let plan = system(vec![lane(FP, 0); LANES], tasks.collect());
    let fits = plan.tasks.iter().all(|task| usize::from(task.queue) <= QUEUE);
    fits.then(|| &*Box::leak(Box::new(SystemDesc { modes: modes.leak(), ..*plan })))
}

/// The next arrival of a submitted task, and when it is seen.
#[derive(Clone, Copy)]
struct Next {
    arrival: u64,
    seen: u64,
}

struct World {
    system: &'static SystemDesc,
    state: State<TASKS, LANES, QUEUE>,
    rng: Rng,
    log: Log,
    next: BTreeMap<u16, Next>,
    /// Whether domains fail.
    fails: bool,
    /// When each lane's job ends.
    ends: [Option<(u64, u64)>; LANES],
    wake: Option<u64>,
}

impl World {
    fn new(system: &'static SystemDesc, rng: Rng, fails: bool) -> Self {
        let submitted = (0..).zip(system.tasks).filter(|(_, task)| task.release == Release::Submitted);
        let next = submitted.map(|(id, _)| (id, Next { arrival: 0, seen: 0 })).collect();
        let state = State::new(system).unwrap();
        Self { system, state, rng, log: Log::default(), next, fails, ends: [None; LANES], wake: Some(0) }
    }

    fn tell(&mut self, event: Event, now: u64) -> Result<(), Refused> {
        let Actions { start, wake_at } = step(self.system, &mut self.state, event, at(now), &mut self.log)?;
        for (end, job) in self.ends.iter_mut().zip(start) {
            if let Some(job) = job {
                let worst = self.system.tasks[job.task.index()].wcet.as_ns();
                let length = if self.rng.one_in(4) { self.rng.draw(1, worst) } else { worst };
                assert!(end.replace((now, now + length)).is_none());
            }
        }
        self.wake = wake_at.map(aegis_core::Instant::as_ns);
        Ok(())
    }

    fn delay(&mut self, jitter: u64) -> u64 {
        if self.rng.one_in(2) { jitter } else { self.rng.draw(0, jitter) }
    }

    fn submit(&mut self, id: u16, now: u64) {
        let (desc, Next { arrival, .. }) = (&self.system.tasks[usize::from(id)], self.next[&id]);
        let (period, jitter) = (desc.period.as_ns(), desc.jitter.as_ns());
        let arrival = match self.tell(Event::Submit { task: TaskId(id), arrival: at(arrival) }, now) {
            Ok(()) => arrival + period + if self.rng.one_in(6) { self.rng.draw(0, period) } else { 0 },
            Err(Refused::NotInMode { .. } | Refused::DomainFailed { .. }) => now + 1,
            Err(Refused::TooEarly { earliest }) => earliest.as_ns().max((now + 1).saturating_sub(jitter)),
            Err(other) => panic!("{other:?}"),
        };
        let seen = (arrival + self.delay(jitter)).max(now + 1);
        assert!(seen <= arrival + jitter);
        self.next.insert(id, Next { arrival, seen });
    }

    fn change(&mut self, now: u64) {
        let mode =
            ModeId(u16::try_from(self.rng.draw(0, u64::try_from(self.system.modes.len() - 1).unwrap())).unwrap());
        match self.tell(Event::Mode { mode }, now) {
            Ok(()) | Err(Refused::ChangingMode { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }

    fn fail(&mut self, now: u64) {
        let domain = DomainId(u16::from(self.rng.one_in(2)));
        self.tell(Event::Fail { domain, loss: None }, now).unwrap();
    }

    fn restore(&mut self, now: u64) {
        let domain = DomainId(u16::from(self.rng.one_in(2)));
        match self.tell(Event::Restored { domain }, now) {
            Ok(()) | Err(Refused::DomainNotFailed { .. } | Refused::DomainBusy { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }

    /// All that happens at an instant: arrivals come first, the most important ahead, and ends last.
    fn instant(&mut self, now: u64) {
        let due: Vec<u16> = self.next.iter().filter(|(_, next)| next.seen == now).map(|(id, _)| *id).collect();
        if self.wake.is_some_and(|wake| wake <= now) {
            // What the timer releases would start before what is submitted at this instant is known, so that comes later.
            for next in self.next.values_mut().filter(|next| next.seen == now) {
                *next = Next { arrival: next.arrival + 1, seen: now + 1 };
            }
            self.tell(Event::Timer, now).unwrap();
        } else {
            if self.rng.one_in(25) {
                self.change(now);
            }
            due.into_iter().for_each(|id| self.submit(id, now));
        }
        if self.fails && self.rng.one_in(150) {
            self.fail(now);
        }
        if self.fails && self.rng.one_in(30) {
            self.restore(now);
        }
        for lane in 0..LANES {
            if let Some((began, ended)) = self.ends[lane].filter(|(_, ended)| *ended == now) {
                self.ends[lane] = None;
                let (lane, began, ended) = (LaneId(u16::try_from(lane).unwrap()), at(began), at(ended));
                let fails = self.fails && self.rng.one_in(100);
                let event =
                    if fails { Event::Failed { lane, began, ended } } else { Event::Completed { lane, began, ended } };
                self.tell(event, now).unwrap();
            }
        }
        if self.rng.one_in(25) {
            self.change(now);
        }
    }
}

/// What was seen of all runs together.
#[derive(Default, Debug)]
struct Counts {
    systems: u64,
    jobs: u64,
    tight: u64,
    changes: u64,
    slow: u64,
    /// Domains that failed, and jobs that ended because of it.
    failed: u64,
    ended: u64,
    restored: u64,
}

/// Runs one in `share` of the systems that CI has time for, or with `AEGIS_LONG=1` a hundred times as many.
fn run(share: u64, fails: bool) -> Counts {
    let is_long = std::env::var_os("AEGIS_LONG").is_some_and(|value| value == "1");
    let mut counts = Counts::default();
    for seed in 0..if is_long { 2_000_000 } else { 20_000 } / share {
        let mut rng = Rng(seed);
        rng.draw(0, 9);
        let Some(mut system) = random_system(&mut rng) else { continue };
        if fails {
            system = in_domains(system, &mut rng);
        }
        counts.systems += 1;
        let mut world = World::new(system, rng, fails);
        (0..HORIZON).for_each(|now| world.instant(now));
        for (time, kind) in &world.log.0 {
            match *kind {
                Kind::Completed { job, response, .. } | Kind::Aborted { job, response, .. } => {
                    let bound = system.tasks[job.task.index()].response_bound;
                    assert!(response <= bound, "seed {seed} at {time}: {job:?} took {response:?} of {bound:?}");
                    counts.jobs += 1;
                    counts.tight += u64::from(response == bound);
                    counts.ended += u64::from(matches!(kind, Kind::Aborted { .. }));
                }
                Kind::ModeChanged { took, bound, .. } => {
                    assert!(took <= bound, "seed {seed} at {time}: {took:?} of {bound:?}");
                    counts.changes += 1;
                    counts.slow += u64::from(took == bound);
                }
                Kind::DomainFailed { .. } => counts.failed += 1,
                Kind::DomainRestored { .. } => counts.restored += 1,
                Kind::Dropped { count, .. } => counts.ended += u64::from(count),
                Kind::Rejected { .. } | Kind::Missed { .. } | Kind::Exceeded { .. } => panic!("seed {seed}: {kind:?}"),
                _ => {}
            }
        }
    }
    println!("{counts:?}");
    counts
}

/// The same system with about two thirds of its tasks in one of two domains, which may fail by a job of theirs.
fn in_domains(system: &'static SystemDesc, rng: &mut Rng) -> &'static SystemDesc {
    let tasks: Vec<TaskDesc> = system
        .tasks
        .iter()
        .map(|task| {
            let domain = rng.draw(0, 2).checked_sub(1).map(|domain| DomainId(u16::try_from(domain).unwrap()));
            let on_failure = if domain.is_some() { Answer::FailDomain } else { Answer::Continue };
            TaskDesc { domain, on_failure, ..*task }
        })
        .collect();
    let domains = &[DomainDesc { name: "domain", process: None }; 2];
    Box::leak(Box::new(SystemDesc { tasks: tasks.leak(), domains, ..*system }))
}

#[test]
fn no_response_exceeds_its_modes_bounds_and_no_change_its_own() {
    let Counts { systems, jobs, tight, changes, slow, .. } = run(1, false);
    assert!(systems > 3_000 && jobs > 100_000 && tight > 1_000 && changes > 20_000 && slow > 10);
}

#[test]
fn bounds_of_responses_and_changes_hold_while_domains_fail_and_are_restored() {
    let Counts { jobs, tight, changes, slow, failed, ended, restored, .. } = run(2, true);
    assert!(jobs > 50_000 && tight > 500 && changes > 10_000 && slow > 5 && failed > 5_000 && ended > 3_000);
    assert!(restored > 5_000);
}

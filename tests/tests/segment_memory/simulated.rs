//! The real dispatcher with a map of what is live: every decision is followed on all lanes at once. In every second run executions
//! overrun, jobs are skipped, queues are full and steps come late: what may share bytes must not rest on times.

use aegis_codegen::plan::{Level, Model, Plan};
use aegis_core::desc::SystemDesc;
use aegis_core::dispatch::{Actions, Event, Job, Refused, State, step};
use aegis_core::time::Instant;
use aegis_core::trace::{Kind, Sink};
use aegis_core::units::{LaneId, ModeId, TaskId};
use aegis_tests::live::{State as Doing, Thing, things};
use fastrand::Rng;
use std::collections::HashSet;

const TASKS: usize = 4;
const LANES: usize = 2;
const QUEUE: usize = 16;

/// Of the trace only how often something went wrong.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Wrong {
    pub(crate) overran: usize,
    pub(crate) skipped: usize,
    pub(crate) rejected: usize,
    pub(crate) aborted: usize,
    /// Changes of the mode that came to their end; nothing that is wrong.
    pub(crate) changed: usize,
}

impl Sink for Wrong {
    fn record(&mut self, _at: Instant, kind: Kind) {
        match kind {
            Kind::Overran { .. } => self.overran += 1,
            Kind::Skipped { .. } => self.skipped += 1,
            Kind::Rejected { .. } => self.rejected += 1,
            Kind::Aborted { .. } => self.aborted += 1,
            Kind::ModeChanged { .. } => self.changed += 1,
            _ => {}
        }
    }
}

/// Two things that share a byte while both are live.
pub(crate) type Clash = Box<(Thing, Thing)>;

/// What a simulation saw.
#[derive(Default)]
pub(crate) struct Seen {
    /// Distinct combinations of what the models do.
    pub(crate) instants: usize,
    /// Those in which a job waits while another runs.
    pub(crate) waiting: usize,
    pub(crate) wrong: Wrong,
}

/// A lane's running piece: its job and its end.
type Running = Option<(Job, u64)>;

/// What lives in memory, and what each model does.
struct Map<'a> {
    plan: &'a Plan,
    things: Vec<Thing>,
    /// For each model and segment the recording that the loaded one keeps to.
    keeps_to: Vec<Vec<usize>>,
    /// For each task the next segment of its job that has begun and waits.
    waits: [Option<usize>; TASKS],
    known: HashSet<Vec<(usize, usize, usize)>>,
    seen: Seen,
}

impl Map<'_> {
    /// Looks at all bytes while the lanes run these jobs.
    fn look(&mut self, lanes: &[Running; LANES]) -> Result<(), Clash> {
        let mut doing: Vec<Vec<Doing>> = vec![vec![Doing::Idle]; self.plan.models.len()];
        let mut key = Vec::new();
        for (position, task) in self.plan.tasks.iter().enumerate() {
            let model = usize::from(task.model.expect("each task runs one"));
            let running = lanes.iter().flatten().find(|(job, _)| job.task.index() == position);
            if let Some((job, _)) = running {
                let desc = &self.plan.models[model];
                let in_pieces = task.segments_ns.len() > 1;
                let segments =
                    if in_pieces { vec![usize::from(job.segment)] } else { (0..desc.segments.len()).collect() };
                key.push((position, 1, usize::from(job.segment)));
                doing[model] = segments.into_iter().flat_map(|segment| self.events(model, desc, segment)).collect();
            } else if let Some(next) = self.waits[position] {
                key.push((position, 2, next));
                doing[model] = vec![Doing::Waits { next }];
            }
        }
        let waits = key.iter().any(|(_, kind, _)| *kind == 2) && lanes.iter().any(Option::is_some);
        if self.known.insert(key) {
            self.seen.instants += 1;
            self.seen.waiting += usize::from(waits);
            self.compare(&doing)?;
        }
        Ok(())
    }

    /// What a model does, event by event, while a segment runs.
    fn events(&self, model: usize, desc: &Model, segment: usize) -> Vec<Doing> {
        let run = self.keeps_to[model][segment];
        let events = desc.segments[segment].runs.get(run).map_or(0, |run| run.steps.len());
        (0..events.max(1)).map(|after| Doing::Runs { segment, run, after }).collect()
    }

    /// Compares everything that is live while each model does one of these things, in whatever order their events come.
    fn compare(&self, doing: &[Vec<Doing>]) -> Result<(), Clash> {
        for (model, states) in doing.iter().enumerate() {
            let own: Vec<&Thing> = self.things.iter().filter(|thing| thing.model == model).collect();
            for state in states {
                for (index, one) in own.iter().enumerate().filter(|(_, thing)| thing.is_live(*state)) {
                    for other in own[index + 1..].iter().filter(|other| other.is_live(*state)) {
                        if one.overlaps(other) {
                            return Err(Box::new((**one, **other)));
                        }
                    }
                }
            }
        }
        let live = |thing: &&Thing| doing[thing.model].iter().any(|state| thing.is_live(*state));
        let all: Vec<&Thing> = self.things.iter().filter(live).collect();
        for (index, one) in all.iter().enumerate() {
            let clash = all[index + 1..].iter().find(|other| other.model != one.model && other.overlaps(one));
            if let Some(other) = clash {
                return Err(Box::new((**one, **other)));
            }
        }
        Ok(())
    }
}

/// Runs a plan, or what a level leaves of it, for some time.
pub(crate) fn run(desc: &'static SystemDesc, plan: &Plan, level: Option<&Level>, rng: &mut Rng) -> Result<Seen, Clash> {
    let recordings = |model: &Model| model.segments.iter().map(|part| rng.usize(..part.runs.len().max(1))).collect();
    let keeps_to = plan.models.iter().map(recordings).collect();
    let mut map = Map {
        plan,
        things: things(plan, level),
        keeps_to,
        waits: [None; TASKS],
        known: HashSet::new(),
        seen: Seen::default(),
    };
    let shed = |task: usize| level.is_some_and(|level| level.shed.iter().any(|shed| usize::from(*shed) == task));
    let mut state = State::<TASKS, LANES, QUEUE>::new(desc).expect("small plans");
    let mut lanes: [Running; LANES] = [None; LANES];
    let mut begun = [0; LANES];
    let wild = rng.bool();
    let mut clock = 0;
    let longest = plan.tasks.iter().map(|task| task.period_ns).max().unwrap_or(0);
    // Arrivals come at least a period apart, in the order of time.
    let mut arrivals: Vec<u64> = plan.tasks.iter().map(|task| rng.u64(..task.period_ns)).collect();
    let modes = u16::try_from(plan.modes.len()).expect("few modes");
    let mut change = if modes == 0 { u64::MAX } else { rng.u64(..=longest) };
    loop {
        let next = arrivals.iter().enumerate().filter(|(task, at)| !shed(*task) && **at < 12 * longest);
        let next = next.min_by_key(|(_, at)| **at).map(|(task, at)| (*at, task));
        let ends = lanes.iter().enumerate().filter_map(|(lane, running)| Some((running.as_ref()?.1, lane))).min();
        let first = next.map(|(at, _)| at).into_iter().chain(ends.map(|(end, _)| end)).min();
        let (now, event) = match (next, ends) {
            _ if first.is_some_and(|first| change <= first) => {
                let at = change;
                change += rng.u64(1..=longest);
                (at, Event::Mode { mode: ModeId(rng.u16(..modes)) })
            }
            (Some((at, task)), end) if end.is_none_or(|(end, _)| at < end) => {
                arrivals[task] += plan.tasks[task].period_ns + rng.u64(0..=plan.tasks[task].period_ns / 4);
                let task = TaskId(u16::try_from(task).expect("few tasks"));
                (at, Event::Submit { task, arrival: Instant::from_ns(at) })
            }
            (_, Some((at, lane))) => {
                let (job, _) = lanes[lane].take().expect("it runs");
                let pieces = plan.tasks[job.task.index()].segments_ns.len();
                let next = usize::from(job.segment) + 1;
                map.waits[job.task.index()] = (next < pieces).then_some(next);
                let id = LaneId(u16::try_from(lane).expect("few lanes"));
                let (began, ended) = (Instant::from_ns(begun[lane]), Instant::from_ns(at));
                (at, Event::Completed { lane: id, began, ended })
            }
            (_, None) => return Ok(map.seen),
        };
        map.look(&lanes)?;
        let late = if wild && rng.u32(..4) == 0 { rng.u64(..=longest) } else { 0 };
        clock = clock.max(now + late);
        let stepped = step(desc, &mut state, event, Instant::from_ns(clock), &mut map.seen.wrong);
        let Actions { start, .. } = match stepped {
            // Of a task that the mode does not have, or one instant too early for one that just came, or a second change.
            Err(Refused::NotInMode { .. } | Refused::TooEarly { .. } | Refused::ChangingMode { .. }) if modes > 0 => {
                continue;
            }
            other => other.expect("the events are as they may be"),
        };
        // What a job would have handed on is dead where it was aborted: after its segment, or instead of being resumed.
        for (task, waits) in (0..).map(TaskId).zip(&mut map.waits) {
            if state.waiting(task).all(|job| job.segment == 0) {
                *waits = None;
            }
        }
        for (lane, job) in start.into_iter().enumerate() {
            let Some(job) = job else { continue };
            let task = &plan.tasks[job.task.index()];
            let length = task.segments_ns.get(usize::from(job.segment)).copied().unwrap_or(task.wcet_ns);
            let takes = match rng.u32(..4) {
                0 if wild => length * rng.u64(2..=20),
                0 | 1 => rng.u64(1..=length),
                _ => length,
            };
            map.waits[job.task.index()] = None;
            (lanes[lane], begun[lane]) = (Some((job, clock + takes)), clock);
            map.look(&lanes)?;
        }
    }
}

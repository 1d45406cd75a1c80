//! A dispatcher that is told anything at any time, by plans that no generator makes: for whatever has to stand any trace.

use crate::planned::unproven;
use crate::replay::named;
use aegis_codegen::analysis::Load;
use aegis_core::desc::{
    Answer, DomainDesc, LaneDesc, LevelDesc, ModeDesc, Policy, Preemption, Release, Slot, StageDesc, SystemDesc,
    TaskDesc,
};
use aegis_core::dispatch::{Event, State, count_unfinished, step};
use aegis_core::time::{Duration, Instant};
use aegis_core::trace::{Kind, Loss, Sink};
use aegis_core::units::{DomainId, LaneId, LevelId, ModeId, Priority, TaskId};
use fastrand::Rng;

const TASKS: usize = 6;
const LANES: usize = 3;
/// Much smaller than a replay's.
const QUEUE: usize = 4;

/// A sink that keeps everything.
#[derive(Clone, Debug, Default)]
pub struct Log(pub Vec<(Instant, Kind)>);

impl Sink for Log {
    fn record(&mut self, at: Instant, kind: Kind) {
        self.0.push((at, kind));
    }
}

fn ns(ns: u64) -> Duration {
    Duration::from_ns(ns)
}

fn random_lane(base: &LaneDesc, rng: &mut Rng) -> LaneDesc {
    let policies = [Policy::RateMonotonic, Policy::EarliestDeadlineFirst, Policy::TimeTriggered];
    let policy = policies[rng.usize(0..3)];
    let preemption = match policy {
        Policy::TimeTriggered => Preemption::None,
        _ => [Preemption::None, Preemption::Segments, Preemption::Full][rng.usize(0..3)],
    };
    LaneDesc { policy, preemption, dispatch_overhead: ns(rng.u64(0..=2)), hyperperiod: ns(60), ..*base }
}

/// A level that sheds and rejects anything, or nothing, and settles in time or not.
fn random_level(name: &'static str, tasks: &[TaskDesc], rng: &mut Rng) -> LevelDesc {
    let mut some = || -> &'static [TaskId] {
        let all = (0u16..).take(tasks.len()).map(TaskId);
        all.filter(|_| rng.u8(0..3) == 0).collect::<Vec<_>>().leak()
    };
    let (shed, reject) = (some(), some());
    LevelDesc { name, shed, reject, pools: &[], models: &[], moves: &[], settles: ns(rng.u64(1..=30)) }
}

/// Descriptors that no plan has: any release, stages on any lane, budgets and bounds that do not hold.
fn random_system(rng: &mut Rng) -> &'static SystemDesc {
    let base = unproven(Policy::RateMonotonic, &[Load::whole(1, 10, 10, 0)]);
    let mut lanes: Vec<LaneDesc> = (0..rng.usize(1..=LANES)).map(|_| random_lane(&base.lanes[0], rng)).collect();
    let mut tasks: Vec<TaskDesc> = Vec::new();
    for position in 0..rng.u16(1..=6) {
        let lane = rng.usize(0..lanes.len());
        let is_stage = position > 0 && rng.u8(0..4) == 0;
        let after = TaskId(rng.u16(0..position.max(1)));
        let released = if rng.bool() { Release::Timer } else { Release::Submitted };
        let pieces = if lanes[lane].preemption == Preemption::Segments { rng.usize(1..=3) } else { 0 };
        tasks.push(TaskDesc {
            lane: LaneId(u16::try_from(lane).unwrap()),
            release: if is_stage { Release::Stage } else { released },
            defers: !is_stage && released == Release::Submitted && rng.bool(),
            optional: !is_stage && rng.u8(0..3) == 0,
            stage: is_stage.then_some(StageDesc { after, earliest: ns(0), latest: ns(0) }),
            priority: Priority(6 - position),
            period: ns(rng.u64(5..=40)),
            deadline: ns(rng.u64(5..=60)),
            phase: ns(rng.u64(0..=30)),
            jitter: ns(rng.u64(0..=3)),
            segments: vec![ns(2); pieces].leak(),
            budget: ns(rng.u64(1..=8)),
            on_overrun: rare(rng).unwrap_or([Answer::SkipNext, Answer::Continue, Answer::AbortJob][rng.usize(..3)]),
            on_miss: rare(rng).unwrap_or([Answer::SkipNext, Answer::Continue, Answer::AbortJob][rng.usize(..3)]),
            on_failure: rare(rng).unwrap_or(Answer::Continue),
            domain: rng.u16(0..4).checked_sub(2).map(DomainId),
            miss_window: rng.u8(1..=64),
            queue: rng.u16(1..=4),
            response_bound: ns(rng.u64(5..=60)),
            ..base.tasks[0]
        });
    }
    for (lane, desc) in (0u16..).zip(&mut lanes) {
        let own = (0u16..).zip(&tasks).filter(|(_, task)| task.lane == LaneId(lane));
        let mut slots: Vec<(u64, u16)> =
            own.flat_map(|(task, _)| [(rng.u64(0..60), task), (rng.u64(0..60), task)]).collect();
        slots.sort_unstable();
        slots.dedup_by_key(|slot| slot.0);
        if desc.policy == Policy::TimeTriggered {
            desc.slots =
                slots.into_iter().map(|(at, task)| Slot { at: ns(at), task: TaskId(task) }).collect::<Vec<_>>().leak();
        }
    }
    let levels: Vec<LevelDesc> = ["high", "critical"].map(|name| random_level(name, &tasks, rng)).to_vec();
    let modes: Vec<ModeDesc> =
        (0..[0, 3][rng.usize(..2)]).map(|number| random_mode(number, tasks.len(), rng)).collect();
    let (tasks, lanes, levels, modes) = (tasks.leak(), lanes.leak(), levels.leak(), modes.leak());
    let domains = &[DomainDesc { name: "vision", process: None }, DomainDesc { name: "maps", process: None }];
    named(&SystemDesc { tasks, lanes, levels, modes, domains, ..*base })
}

/// One task in six would have its domain fail.
fn rare(rng: &mut Rng) -> Option<Answer> {
    (rng.u8(0..6) == 0).then_some(Answer::FailDomain)
}

fn random_mode(number: usize, tasks: usize, rng: &mut Rng) -> ModeDesc {
    let tasks: Vec<TaskId> = (0..).map(TaskId).take(tasks).filter(|_| rng.bool()).collect();
    let name = format!("mode-{number}").leak();
    ModeDesc { name, tasks: tasks.leak(), lanes: &[], proven: &[], leaves: ns(rng.u64(0..=20)) }
}

/// What a run left.
#[derive(Debug)]
pub struct Ran {
    /// The plan.
    pub system: &'static SystemDesc,
    /// All records, numbered by their places.
    pub records: Vec<(Instant, Kind)>,
    /// Timer steps that left no record.
    pub silent: u64,
    /// Steps that were refused.
    pub refused: u64,
}

/// Tells the dispatcher anything that it may accept, and some of what it refuses.
///
/// # Panics
/// Never, where core is as it should be.
pub fn anything(rng: &mut Rng, steps: u64) -> Ran {
    let system = random_system(rng);
    let mut state: State<TASKS, LANES, QUEUE> = State::new(system).unwrap();
    let mut log = Log::default();
    log.record(Instant::START, Kind::Began { config_hash: system.config_hash });
    let (mut now, mut silent, mut refused) = (0, 0, 0);
    for number in 0..steps {
        now += if rng.u8(0..50) == 0 { rng.u64(0..=300) } else { rng.u64(0..=6) };
        let earlier = |rng: &mut Rng, least: u64| Instant::from_ns(rng.u64(least.min(now)..=now));
        let lane = LaneId(rng.u16(0..3));
        let began = earlier(rng, now.saturating_sub(10));
        let ended = Instant::from_ns(rng.u64(began.as_ns()..=now + 1));
        let event = match rng.u8(0..44) {
            0..20 => Event::Timer,
            20..25 => {
                let ahead = if rng.u8(0..3) == 0 { rng.u64(0..=30) } else { 0 };
                Event::Submit { task: TaskId(rng.u16(0..6)), arrival: Instant::from_ns(began.as_ns() + ahead) }
            }
            25..30 => Event::Preempted { lane, began, ended },
            // None, one of two levels, or one that no plan has.
            30 => Event::Pressure { level: rng.u16(0..4).checked_sub(1).map(LevelId) },
            32 => Event::Failed { lane, began, ended },
            33 if rng.u8(0..8) == 0 => {
                let loss = Loss::ALL.get(usize::from(rng.u8(0..8))).copied();
                Event::Fail { domain: DomainId(rng.u16(0..3)), loss }
            }
            35 if rng.bool() => Event::Restored { domain: DomainId(rng.u16(0..3)) },
            34 if rng.u8(0..24) == 0 => Event::Lost { lane, began, ended, loss: Loss::Hung },
            31 if !system.modes.is_empty() => Event::Mode { mode: ModeId(rng.u16(0..3)) },
            40..43 => Event::Admit { task: TaskId(rng.u16(0..6)) },
            43 => Event::Dismiss { task: TaskId(rng.u16(0..6)) },
            _ if number == steps * 9 / 10 => {
                Event::Stop { end: Instant::from_ns(rng.u64(now.saturating_sub(5)..=now + 20)) }
            }
            _ => Event::Completed { lane, began, ended },
        };
        if rng.u8(0..20) == 0
            && let Some(job) = state.running(lane)
        {
            // From around the dispatcher.
            log.record(began, Kind::LaneStalled { job: job.reference(), lane, elapsed: ns(2), allowed: ns(1) });
        }
        let before = log.0.len();
        match step(system, &mut state, event, Instant::from_ns(now), &mut log) {
            Ok(_) => silent += u64::from(log.0.len() == before),
            Err(_) => refused += 1,
        }
    }
    count_unfinished(system, &mut state, Instant::from_ns(now), &mut log);
    Ran { system, records: log.0, silent, refused }
}

//! The dispatcher and the [`reference`](crate::reference), told the same: any plan, anything at any time. A difference is shrunk to
//! the least plan and the fewest events that show it.

use crate::bench::{Log, QUEUE, at, lane, system, task};
use crate::reference::Reference;
use crate::watcher::Watcher;
use aegis_core::desc::{
    Answer, Backend, LaneDesc, LevelDesc, ModeDesc, ModelDesc, Policy, Preemption, Release, Slot, StageDesc,
    SystemDesc, TaskDesc, TensorLife,
};
use aegis_core::dispatch::{Event, State, step};
use aegis_core::trace::{Kind, Limit};
use aegis_core::{Bytes, Duration, Instant, LaneId, LevelId, ModeId, ModelId, PoolId, Priority, TaskId};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

const HOUR: u64 = 3_600_000_000_000;
const HYPERPERIOD: u64 = 60;

/// What a step is asked to do, in terms of the present.
#[derive(Clone, Copy, Debug)]
enum Act {
    Timer {
        after: u64,
    },
    /// At the instant that the last step asked for, or later.
    Wake {
        late: u64,
    },
    /// As often as told, each a little later, with an arrival that lies back or ahead.
    Submit {
        task: u16,
        after: u64,
        back: u64,
        ahead: u64,
        times: u8,
    },
    End {
        lane: u16,
        after: u64,
        ago: u64,
        length: u64,
        cut: bool,
    },
    Jump {
        hours: u64,
    },
    Back {
        by: u64,
    },
    Stop {
        after: u64,
        ahead: u64,
    },
    Pressure {
        after: u64,
        level: Option<u16>,
    },
    /// As often as told, without anything in between.
    Mode {
        after: u64,
        mode: u16,
        times: u16,
    },
}

#[derive(Clone, Debug)]
struct LaneSpec {
    policy: Policy,
    preemption: Preemption,
    overhead: u64,
}

#[derive(Clone, Debug)]
struct TaskSpec {
    lane: usize,
    release: Release,
    /// Which of the tasks before it is the stage before it, if it is a stage.
    after: usize,
    /// Tasks of one lane have different ones by their positions.
    priority: u16,
    times: [u64; 6],
    segments: Vec<u64>,
    on_overrun: Answer,
    on_miss: (Answer, u8),
    queue: u16,
    slots: Vec<u64>,
    model: bool,
}

#[derive(Clone, Debug)]
struct Plan {
    lanes: Vec<LaneSpec>,
    tasks: Vec<TaskSpec>,
    /// Whether periods, deadlines and phases are whole tens, so that some deadlines are equal.
    round: bool,
    /// For each mode, by 64 digits, which tasks it has; without modes there are stages.
    modes: Vec<u64>,
}

fn ns(ns: u64) -> Duration {
    Duration::from_ns(ns)
}

impl Plan {
    fn desc(&self) -> &'static SystemDesc {
        let lane_of = |spec: &TaskSpec| spec.lane % self.lanes.len();
        let tasks = self.tasks.iter().enumerate().map(|(position, spec)| {
            let lane = lane_of(spec);
            let pieces = self.lanes[lane].preemption == Preemption::Segments;
            let segments: Vec<Duration> = spec.segments.iter().filter(|_| pieces).map(|length| ns(*length)).collect();
            let is_stage = spec.release == Release::Stage && position > 0 && self.modes.is_empty();
            let after = TaskId(u16::try_from(spec.after % position.max(1)).unwrap());
            let [period, deadline, phase, jitter, budget, bound] = spec.times;
            let [period, deadline, phase] =
                [period, deadline, phase].map(|time| ns(if self.round { time.next_multiple_of(10) } else { time }));
            let [jitter, budget, bound] = [jitter, budget, bound].map(ns);
            TaskDesc {
                release: if is_stage || spec.release != Release::Stage { spec.release } else { Release::Timer },
                stage: is_stage.then_some(StageDesc { after, earliest: ns(0), latest: ns(0) }),
                priority: Priority(spec.priority / 256 * 256 + u16::try_from(position).unwrap()),
                model: spec.model.then_some(ModelId(0)),
                period,
                deadline,
                phase,
                jitter,
                budget,
                response_bound: bound,
                segments: segments.leak(),
                on_overrun: spec.on_overrun,
                on_miss: spec.on_miss.0,
                miss_window: spec.on_miss.1,
                queue: spec.queue,
                ..task(u16::try_from(lane).unwrap(), 0)
            }
        });
        let tasks: Vec<TaskDesc> = tasks.collect();
        let lanes = self.lanes.iter().enumerate().map(|(position, spec)| {
            let own = (0u16..).zip(&self.tasks).filter(|(_, spec)| lane_of(spec) == position);
            let slots: BTreeMap<u64, u16> =
                own.flat_map(|(id, spec)| spec.slots.iter().map(move |slot| (*slot, id))).collect();
            let is_table = spec.policy == Policy::TimeTriggered && !slots.is_empty();
            let slots: Vec<Slot> =
                slots.into_iter().map(|(at, task)| Slot { at: ns(at), task: TaskId(task) }).collect();
            LaneDesc {
                policy: if is_table || spec.policy != Policy::TimeTriggered {
                    spec.policy
                } else {
                    Policy::FixedPriority
                },
                preemption: spec.preemption,
                hyperperiod: ns(if is_table { HYPERPERIOD } else { 0 }),
                slots: if is_table { slots.leak() } else { &[] },
                ..lane(Policy::FixedPriority, spec.overhead)
            }
        });
        let plan = system(lanes.collect(), tasks);
        let (levels, modes) = (levels(plan.tasks.len()), self.modes(plan.tasks.len()));
        Box::leak(Box::new(SystemDesc { levels, modes, ..*plan }))
    }

    /// Its modes; a task that would have none has the first one, and so has the first task.
    fn modes(&self, tasks: usize) -> &'static [ModeDesc] {
        let has = |mode: usize, task: u16| self.modes[mode] >> (task % 64) & 1 == 1;
        let count = self.modes.len();
        let mode = |mode: usize| {
            let is_in = |task: &u16| {
                let rest = mode == 0 && (*task == 0 || !(0..count).any(|mode| has(mode, *task)));
                rest || has(mode, *task)
            };
            let tasks: Vec<TaskId> = (0..).take(tasks).filter(is_in).map(TaskId).collect();
            ModeDesc { name: "mode", tasks: tasks.leak(), lanes: &[], proven: &[], leaves: ns(20) }
        };
        (0..count).map(mode).collect::<Vec<_>>().leak()
    }
}

/// Two levels that shed and reject, and one that would move something.
fn levels(tasks: usize) -> &'static [LevelDesc] {
    let level = |name, number: u16| {
        let of = |rest: u16| (0..).take(tasks).filter(move |task: &u16| (task * 5 + number) % 3 == rest).map(TaskId);
        LevelDesc {
            name,
            shed: of(0).collect::<Vec<_>>().leak(),
            reject: of(1).collect::<Vec<_>>().leak(),
            pools: &[],
            models: &[],
            moves: &[],
            settles: ns(10),
        }
    };
    let moved = ModelDesc {
        name: "moved",
        backend: Backend::OnnxRuntime,
        pool: PoolId(0),
        weights: Bytes(0),
        tensors: TensorLife::Kept,
        inputs: &[],
        outputs: &[],
        carried: &[],
        segments: &[],
    };
    vec![level("high", 0), level("higher", 1), LevelDesc { models: vec![moved].leak(), ..level("highest", 2) }].leak()
}

fn lanes() -> impl Strategy<Value = LaneSpec> {
    let policy = prop_oneof![
        2 => Just(Policy::FixedPriority),
        1 => Just(Policy::RateMonotonic),
        1 => Just(Policy::DeadlineMonotonic),
        3 => Just(Policy::EarliestDeadlineFirst),
        2 => Just(Policy::TimeTriggered),
    ];
    let preemption =
        prop_oneof![1 => Just(Preemption::None), 2 => Just(Preemption::Segments), 1 => Just(Preemption::Full)];
    (policy, preemption, 0..3_u64).prop_map(|(policy, preemption, overhead)| LaneSpec { policy, preemption, overhead })
}

fn tasks(longest: u64) -> impl Strategy<Value = TaskSpec> {
    let release = prop_oneof![4 => Just(Release::Timer), 4 => Just(Release::Submitted), 1 => Just(Release::Stage)];
    let times = [5..longest, 5..longest, 0..longest, 0..4, 1..9, 1..longest];
    let pieces = prop::collection::vec(1..4_u64, 0..4);
    let slots = prop::collection::vec(0..HYPERPERIOD, 0..4);
    let mode = || (0..5_u16).prop_map(ModeId);
    let on_overrun = prop_oneof![
        2 => Just(Answer::Continue),
        4 => Just(Answer::SkipNext),
        2 => Just(Answer::AbortJob),
        3 => mode().prop_map(Answer::SwitchMode),
    ];
    let on_miss = prop_oneof![
        4 => Just(Answer::Continue),
        2 => Just(Answer::SkipNext),
        2 => Just(Answer::AbortJob),
        2 => mode().prop_map(Answer::SwitchMode),
    ];
    let on_miss = (on_miss, prop_oneof![3 => 1..=5_u8, 1 => Just(64)]);
    let answers = (on_overrun, on_miss);
    let rest = (pieces, answers, 1..=4_u16, slots, any::<bool>());
    (0..3_usize, release, any::<usize>(), any::<u16>(), times, rest).prop_map(
        |(lane, release, after, priority, times, (segments, (on_overrun, on_miss), queue, slots, model))| TaskSpec {
            lane,
            release,
            after,
            priority: priority % 0x8000,
            times,
            segments,
            on_overrun,
            on_miss,
            queue,
            slots,
            model,
        },
    )
}

fn plans(tasks_least: usize, tasks_most: usize, longest: u64) -> impl Strategy<Value = Plan> {
    let tasks = prop::collection::vec(tasks(longest), tasks_least..=tasks_most);
    let modes = prop_oneof![1 => Just(Vec::new()), 1 => prop::collection::vec(any::<u64>(), 1..=4)];
    (prop::collection::vec(lanes(), 1..=3), tasks, any::<bool>(), modes).prop_map(|(lanes, tasks, round, modes)| Plan {
        lanes,
        tasks,
        round,
        modes,
    })
}

fn acts(tasks: u16, steps: usize) -> impl Strategy<Value = Vec<Act>> {
    let end = |cut: bool| {
        (0..3_u16, 0..5_u64, 0..3_u64, 0..8_u64).prop_map(move |(lane, after, ago, length)| Act::End {
            lane,
            after,
            ago,
            length,
            cut,
        })
    };
    let submit = (0..tasks, 0..4_u64, 0..4_u64, 0..40_u64, 0..20_u8).prop_map(|(task, after, back, ahead, times)| {
        // One in ten lies ahead, one in twenty is a storm.
        let (ahead, times) = (if ahead < 4 { ahead } else { 0 }, if times == 0 { 12 } else { 1 });
        Act::Submit { task, after, back, ahead, times }
    });
    let act = prop_oneof![
        20 => (0..6_u64).prop_map(|after| Act::Timer { after }),
        30 => prop_oneof![3 => Just(0), 1 => 1..4_u64, 1 => 1..90_u64].prop_map(|late| Act::Wake { late }),
        60 => submit,
        80 => end(false),
        20 => end(true),
        1 => (1..20_u64).prop_map(|hours| Act::Jump { hours }),
        4 => (1..50_u64).prop_map(|by| Act::Back { by }),
        1 => (0..5_u64, 0..50_u64).prop_map(|(after, ahead)| Act::Stop { after, ahead }),
        12 => (0..5_u64, 0..8_u16).prop_map(|(after, number)| Act::Pressure { after, level: number.checked_sub(4) }),
        12 => (0..5_u64, 0..5_u16, 1..8_u16).prop_map(|(after, mode, flaps)| {
            Act::Mode { after, mode, times: if flaps == 1 { 5 } else { 1 } }
        }),
    ];
    prop::collection::vec(act, 1..=steps)
}

/// How often something was seen over all runs.
#[derive(Default, Debug)]
struct Counts(BTreeMap<&'static str, u64>);

impl Counts {
    fn add(&mut self, what: &'static str) {
        *self.0.entry(what).or_insert(0) += 1;
    }

    fn kind(&mut self, kind: &Kind) {
        self.add(match kind {
            Kind::Submitted { .. } => "submitted",
            Kind::Rejected { count: 1, .. } => "rejected",
            Kind::Rejected { .. } => "backlog",
            Kind::Skipped { .. } => "skipped",
            Kind::Withheld { count: 1, .. } => "withheld",
            Kind::Withheld { .. } => "withheld backlog",
            Kind::Pressure { .. } => "pressure",
            Kind::Settled { .. } => "settled",
            Kind::ModeRequested { .. } => "mode requested",
            Kind::ModeChanged { took, .. } if took.is_zero() => "mode changed at once",
            Kind::ModeChanged { .. } => "mode changed",
            Kind::Decided { reason, .. } => reason.name(),
            Kind::Overran { limit: Limit::Job, .. } => "job overran",
            Kind::Overran { limit: Limit::Segment, .. } => "segment overran",
            Kind::Paused { .. } => "paused",
            Kind::Completed { .. } => "completed",
            Kind::Aborted { began, ended, .. } if began == ended => "dropped",
            Kind::Aborted { .. } => "aborted",
            Kind::Missed { recent: 1, .. } => "missed",
            Kind::Missed { .. } => "missed again",
            Kind::Exceeded { .. } => "exceeded",
            _ => "other",
        });
    }
}

/// Tells both the same.
fn compare<const TASKS: usize, const LANES: usize>(
    plan: &Plan,
    acts: &[Act],
    counts: &mut Counts,
) -> Result<(), TestCaseError> {
    let system = plan.desc();
    let mut state: State<TASKS, LANES, QUEUE> = State::new(system).unwrap();
    let mut reference = Reference::new(system);
    let mut watcher = Watcher::new(system);
    let (mut now, mut wake) = (0_u64, None::<u64>);
    for act in acts {
        let mut events = Vec::new();
        match *act {
            Act::Timer { after } => events.push((Event::Timer, now + after)),
            Act::Wake { late } => events.push((Event::Timer, wake.unwrap_or(now) + late)),
            Act::Submit { task, after, back, ahead, times } => {
                for number in 1..=u64::from(times) {
                    let now = now + after * number;
                    let arrival = at((now + ahead).saturating_sub(back));
                    events.push((Event::Submit { task: TaskId(task), arrival }, now));
                }
            }
            Act::End { lane, after, ago, length, cut } => {
                let (lane, now) = (LaneId(lane), now + after);
                // One more than now is a clock that reads differently.
                let ended = (now + 1).saturating_sub(ago);
                let (began, ended) = (at(ended.saturating_sub(length)), at(ended));
                let event =
                    if cut { Event::Preempted { lane, began, ended } } else { Event::Completed { lane, began, ended } };
                events.push((event, now));
            }
            Act::Jump { hours } => events.push((Event::Timer, now + hours * HOUR)),
            Act::Back { by } => events.push((Event::Timer, now.saturating_sub(by))),
            Act::Stop { after, ahead } => {
                events.push((Event::Stop { end: at((now + ahead).saturating_sub(9)) }, now + after))
            }
            Act::Pressure { after, level } => {
                events.push((Event::Pressure { level: level.map(LevelId) }, now + after));
            }
            Act::Mode { after, mode, times } => {
                events.extend((0..times).map(|time| (Event::Mode { mode: ModeId(mode + time % 2) }, now + after)));
            }
        }
        for (event, instant) in events {
            let mut log = Log::default();
            let done = step(system, &mut state, event, at(instant), &mut log);
            let first = reference.records.len();
            let expected = reference.step(event, instant);
            prop_assert_eq!(&log.0[..], &reference.records[first..], "{:?} at {}", event, instant);
            let (done, expected) = match (done, expected) {
                (Ok(done), Ok(expected)) => (done, expected),
                (done, expected) => {
                    prop_assert_eq!(done.as_ref().err(), expected.as_ref().err(), "{:?} at {}", event, instant);
                    counts.add("refused");
                    continue;
                }
            };
            prop_assert_eq!(&done.start[..expected.0.len()], &expected.0[..], "{:?} at {}", event, instant);
            prop_assert_eq!(done.wake_at.map(Instant::as_ns), expected.1, "{:?} at {}", event, instant);
            for (_, kind) in &log.0 {
                counts.kind(kind);
                if matches!(kind, Kind::ModeRequested { .. }) && !matches!(event, Event::Mode { .. }) {
                    counts.add("mode answered");
                }
                watcher.hear(kind, instant);
            }
            prop_assert_eq!((state.mode(), state.next_mode()), reference.modes(), "{:?} at {}", event, instant);
            watcher.look(&state, &done.start);
            watcher.works(&state);
            (now, wake) = (instant, expected.1);
        }
    }
    Ok(())
}

/// Runs as many cases as CI has time for, always the same ones, or with `AEGIS_LONG=1` a hundred times as many.
fn run<const TASKS: usize, const LANES: usize>(cases: u32, plans: impl Strategy<Value = Plan>, steps: usize) -> Counts {
    let is_long = std::env::var_os("AEGIS_LONG").is_some_and(|value| value == "1");
    let config = Config {
        cases: if is_long { cases * 100 } else { cases },
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(5),
        ..Config::default()
    };
    let counts = RefCell::new(Counts::default());
    let both = (plans, acts(u16::try_from(TASKS).unwrap(), steps));
    let result = TestRunner::new(config)
        .run(&both, |(plan, acts)| compare::<TASKS, LANES>(&plan, &acts, &mut counts.borrow_mut()));
    let counts = counts.into_inner();
    println!("{counts:?}");
    if let Err(error) = result {
        panic!("{error}");
    }
    counts
}

fn assert_all_seen(counts: &Counts, least: u64) {
    let wanted = BTreeSet::from([
        "submitted",
        "rejected",
        "backlog",
        "skipped",
        "withheld",
        "withheld backlog",
        "pressure",
        "settled",
        "mode requested",
        "mode answered",
        "mode changed at once",
        "mode changed",
        "job overran",
        "segment overran",
        "paused",
        "completed",
        "aborted",
        "dropped",
        "missed again",
        "missed",
        "exceeded",
        "refused",
        "only-one-waiting",
        "arrived-first",
        "more-important",
        "earlier-deadline",
        "equal-deadline-first-in-table",
        "in-table",
        "in-gap",
    ]);
    for what in wanted {
        assert!(counts.0.get(what).is_some_and(|count| *count >= least), "{what}: {counts:?}");
    }
}

#[test]
fn a_few_tasks_are_dispatched_as_the_reference_does() {
    assert_all_seen(&run::<6, 3>(10_000, plans(1, 6, 40), 120), 400);
}

#[test]
fn many_tasks_are_dispatched_as_the_reference_does() {
    assert_all_seen(&run::<150, 3>(500, plans(60, 150, 400), 200), 30);
}

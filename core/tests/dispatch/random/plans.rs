//! Random plans, of numbers that any of them may be.

use crate::bench::{lane, system, task};
use aegis_core::desc::{
    Answer, Backend, DomainDesc, LaneDesc, LevelDesc, ModeDesc, ModelDesc, Policy, Preemption, Release, Slot,
    StageDesc, SystemDesc, TaskDesc, TensorLife,
};
use aegis_core::{Bytes, DomainId, Duration, ModeId, ModelId, PoolId, Priority, TaskId};
use proptest::prelude::*;
use std::collections::BTreeMap;

const HYPERPERIOD: u64 = 60;

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
    /// Whether what comes too early is deferred, if it is submitted.
    defers: bool,
    /// Whether it is optional; stages are not.
    optional: bool,
    /// Which of the tasks before it is the stage before it, if it is a stage.
    after: usize,
    /// Tasks of one lane have different ones by their positions.
    priority: u16,
    times: [u64; 6],
    segments: Vec<u64>,
    on_overrun: Answer,
    on_miss: (Answer, u8),
    on_failure: Answer,
    /// One of three, or none; stages, too, each have their own.
    domain: u16,
    queue: u16,
    slots: Vec<u64>,
    model: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
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
    pub(super) fn desc(&self) -> &'static SystemDesc {
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
                optional: spec.optional && !is_stage,
                defers: spec.defers && spec.release == Release::Submitted,
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
                on_failure: spec.on_failure,
                domain: spec.domain.checked_sub(1).map(DomainId),
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
        Box::leak(Box::new(SystemDesc {
            levels,
            modes,
            domains: &[DomainDesc { name: "domain", process: None }; 3],
            ..*plan
        }))
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
        engines: None,
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
        1 => Just(Answer::FailDomain),
    ];
    let on_miss = prop_oneof![
        4 => Just(Answer::Continue),
        2 => Just(Answer::SkipNext),
        2 => Just(Answer::AbortJob),
        2 => mode().prop_map(Answer::SwitchMode),
        1 => Just(Answer::FailDomain),
    ];
    let on_failure = prop_oneof![
        2 => Just(Answer::Continue),
        1 => mode().prop_map(Answer::SwitchMode),
        3 => Just(Answer::FailDomain),
    ];
    let on_miss = (on_miss, prop_oneof![3 => 1..=5_u8, 1 => Just(64)]);
    let answers = (on_overrun, on_miss, on_failure, prop_oneof![3 => Just(0), 3 => 1..=3_u16]);
    let rest = (pieces, answers, 1..=4_u16, slots, any::<(bool, bool, u8)>());
    (0..3_usize, release, any::<usize>(), any::<u16>(), times, rest).prop_map(
        |(lane, release, after, priority, times, (segments, answers, queue, slots, flags))| TaskSpec {
            lane,
            release,
            defers: flags.1,
            optional: flags.2 % 3 == 0,
            after,
            priority: priority % 0x8000,
            times,
            segments,
            on_overrun: answers.0,
            on_miss: answers.1,
            on_failure: answers.2,
            domain: answers.3,
            queue,
            slots,
            model: flags.0,
        },
    )
}

pub(super) fn plans(tasks_least: usize, tasks_most: usize, longest: u64) -> impl Strategy<Value = Plan> {
    let tasks = prop::collection::vec(tasks(longest), tasks_least..=tasks_most);
    let modes = prop_oneof![1 => Just(Vec::new()), 1 => prop::collection::vec(any::<u64>(), 1..=4)];
    (prop::collection::vec(lanes(), 1..=3), tasks, any::<bool>(), modes).prop_map(|(lanes, tasks, round, modes)| Plan {
        lanes,
        tasks,
        round,
        modes,
    })
}

//! The checker on a plan with two modes, proven by hand, and on the same plan with each rule broken once.

#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test stops at whatever it did not expect")]

use aegis_core::desc::{
    Answer, Certificate, LaneDesc, LevelDesc, MOST_MODES, ModeDesc, Policy, Preemption, Release, Slot, StageDesc,
    SystemDesc, TaskDesc,
};
use aegis_core::verify::{Violation, modes_hold, verify};
use aegis_core::{Duration, LaneId, ModeId, ModelId, Priority, TaskId};

const fn ns(ns: u64) -> Duration {
    Duration::from_ns(ns)
}

/// A lane that is busy for at most so long.
const fn lane(name: &'static str, core: u16, busy: u64) -> LaneDesc {
    LaneDesc { name, policy: Policy::RateMonotonic, core, busy_period: ns(busy), ..LaneDesc::EMPTY }
}

/// The lane of the table, whose only task has this position.
fn table(task: u16) -> LaneDesc {
    let slots = vec![Slot { at: ns(0), task: TaskId(task) }].leak();
    LaneDesc { policy: Policy::TimeTriggered, hyperperiod: ns(10), slots, ..lane("table", 2, 10) }
}

const fn task(name: &'static str, priority: u16, wcet: u64, period: u64) -> TaskDesc {
    TaskDesc {
        name,
        priority: Priority(priority),
        period: ns(period),
        deadline: ns(period),
        bcet: ns(1),
        wcet: ns(wcet),
        budget: ns(wcet),
        miss_window: 10,
        ..TaskDesc::EMPTY
    }
}

/// The tasks of the system: in both modes, in the first, in the second, and that of the table.
fn tasks() -> [TaskDesc; 4] {
    let in_table = TaskDesc { lane: LaneId(1), ..task("table", 0, 3, 10) };
    [task("both", 0, 2, 10), task("first", 1, 3, 20), task("second", 2, 4, 20), in_table]
}

/// With a bound of which one start is the whole proof.
fn proven(task: TaskDesc, bound: u64, blocking: u64, busy: u64, start: u64) -> TaskDesc {
    let (blocking, busy_period, starts) = (ns(blocking), ns(busy), vec![ns(start)].leak());
    let certificate = Certificate::FixedPriority { blocking, busy_period, starts };
    TaskDesc { response_bound: ns(bound), certificate, ..task }
}

#[derive(Clone)]
struct Mode {
    tasks: Vec<u16>,
    lanes: Vec<LaneDesc>,
    proven: Vec<TaskDesc>,
    leaves: u64,
}

#[derive(Clone)]
struct Plan {
    lanes: Vec<LaneDesc>,
    tasks: Vec<TaskDesc>,
    modes: Vec<Mode>,
    levels: Vec<LevelDesc>,
}

impl Plan {
    fn desc(&self) -> SystemDesc {
        let mode = |mode: &Mode| ModeDesc {
            name: "mode",
            tasks: mode.tasks.iter().copied().map(TaskId).collect::<Vec<_>>().leak(),
            lanes: mode.lanes.clone().leak(),
            proven: mode.proven.clone().leak(),
            leaves: ns(mode.leaves),
        };
        SystemDesc {
            name: "modes",
            lanes: self.lanes.clone().leak(),
            tasks: self.tasks.clone().leak(),
            levels: self.levels.clone().leak(),
            modes: self.modes.iter().map(mode).collect::<Vec<_>>().leak(),
            ..SystemDesc::EMPTY
        }
    }
}

/// Both modes hold; all tasks at once would not be proven by any of their certificates.
fn good() -> Plan {
    let [both, first, second, in_table] = tasks();
    let in_table = TaskDesc { response_bound: ns(3), certificate: Certificate::Table, ..in_table };
    let bound = |task, bound| TaskDesc { response_bound: ns(bound), certificate: Certificate::Unproven, ..task };
    Plan {
        lanes: vec![lane("main", 1, 6), table(3)],
        tasks: vec![bound(both, 5), bound(first, 5), bound(second, 6), bound(in_table, 3)],
        modes: vec![
            Mode {
                tasks: vec![0, 1, 3],
                lanes: vec![lane("main", 1, 5), table(2)],
                proven: vec![proven(both, 4, 2, 4, 2), proven(first, 5, 0, 5, 2), in_table],
                leaves: 10,
            },
            Mode {
                tasks: vec![0, 2, 3],
                lanes: vec![lane("main", 1, 6), table(2)],
                proven: vec![proven(both, 5, 3, 5, 3), proven(second, 6, 0, 6, 2), in_table],
                leaves: 10,
            },
        ],
        levels: Vec::new(),
    }
}

#[test]
fn a_plan_of_proven_modes_holds() {
    assert_eq!(verify(&good().desc()), Ok(()));
    let mut later = good();
    later.modes[0].leaves = 1_000;
    assert_eq!(verify(&later.desc()), Ok(()), "a later end is as true");
}

#[test]
fn all_tasks_at_once_would_have_other_bounds() {
    // What the page on mode changes compares with.
    let [both, first, second, in_table] = tasks();
    let in_table = TaskDesc { response_bound: ns(3), certificate: Certificate::Table, ..in_table };
    let tasks = vec![proven(both, 5, 3, 5, 3), proven(first, 8, 3, 8, 5), proven(second, 9, 0, 9, 5), in_table];
    let plan = Plan { lanes: vec![lane("main", 1, 9), table(3)], tasks, modes: Vec::new(), levels: Vec::new() };
    assert_eq!(verify(&plan.desc()), Ok(()));
}

#[test]
fn without_modes_nothing_is_asked_of_them() {
    let plan = Plan { modes: Vec::new(), ..good() };
    assert!(modes_hold(&plan.desc()));
    assert_eq!(verify(&plan.desc()), Err(Violation::Responses), "its own certificates are empty");
}

type Change = Box<dyn Fn(&mut Plan)>;

/// What the checker says where one thing is changed.
fn said(change: impl FnOnce(&mut Plan)) -> Result<(), Violation> {
    let mut plan = good();
    change(&mut plan);
    verify(&plan.desc())
}

#[test]
fn each_rule_of_modes_is_refused_where_it_is_broken() {
    let stage = StageDesc { after: TaskId(0), earliest: Duration::ZERO, latest: Duration::ZERO };
    let level =
        LevelDesc { name: "high", shed: &[], reject: &[], pools: &[], models: &[], moves: &[], settles: ns(100) };
    let rules: Vec<(&str, Change)> = vec![
        ("too many modes", Box::new(|plan| plan.modes = vec![plan.modes[0].clone(); MOST_MODES + 1])),
        ("a level", Box::new(move |plan| plan.levels.push(level))),
        ("a task of no mode", Box::new(|plan| drop(plan.modes.remove(1)))),
        ("an empty mode", Box::new(|plan| (plan.modes[0].tasks, plan.modes[0].proven) = (Vec::new(), Vec::new()))),
        ("a task that is not there", Box::new(|plan| plan.modes[0].tasks[2] = 4)),
        (
            "a task twice",
            Box::new(|plan| {
                plan.modes[0].tasks.insert(1, 0);
                let again = plan.modes[0].proven[0];
                plan.modes[0].proven.insert(1, again);
            }),
        ),
        (
            "tasks in another order",
            Box::new(|plan| {
                plan.modes[0].tasks.swap(0, 1);
                plan.modes[0].proven.swap(0, 1);
            }),
        ),
        ("another task's proof", Box::new(|plan| plan.modes[0].tasks[1] = 2)),
        ("a proof too few", Box::new(|plan| _ = plan.modes[0].proven.pop())),
        (
            "a proof too many",
            Box::new(|plan| {
                let last = plan.modes[0].proven[2];
                plan.modes[0].proven.push(last);
            }),
        ),
        (
            "a lane that is busy for no time",
            Box::new(|plan| {
                plan.lanes.push(lane("idle", 3, 1));
                plan.modes[0].lanes.push(lane("idle", 3, 0));
                plan.modes[1].lanes.push(lane("idle", 3, 1));
            }),
        ),
        ("a lane too few", Box::new(|plan| _ = plan.modes[0].lanes.pop())),
        ("a lane too many", Box::new(|plan| plan.modes[1].lanes.push(lane("more", 3, 1)))),
        ("left too soon for the table", Box::new(|plan| plan.modes[0].leaves = 9)),
        (
            "left too soon for a lane that is seen late",
            Box::new(|plan| {
                for lanes in [&mut plan.lanes].into_iter().chain(plan.modes.iter_mut().map(|mode| &mut mode.lanes)) {
                    lanes[0].wakeup_latency = ns(5);
                }
            }),
        ),
        ("a bound below a mode's", Box::new(|plan| plan.tasks[0].response_bound = ns(4))),
        ("a bound above every mode's", Box::new(|plan| plan.tasks[0].response_bound = ns(6))),
        ("a busy period below a mode's", Box::new(|plan| plan.lanes[0].busy_period = ns(5))),
        ("a busy period above every mode's", Box::new(|plan| plan.lanes[0].busy_period = ns(7))),
        (
            "a certificate of the system",
            Box::new(|plan| plan.tasks[0].certificate = plan.modes[0].proven[0].certificate),
        ),
        (
            "a stage",
            Box::new(move |plan| {
                (plan.tasks[2].stage, plan.tasks[2].release) = (Some(stage), Release::Stage);
                (plan.modes[1].proven[1].stage, plan.modes[1].proven[1].release) = (Some(stage), Release::Stage);
            }),
        ),
        (
            "a task of the table in one mode alone",
            Box::new(|plan| {
                plan.modes[1].tasks.pop();
                plan.modes[1].proven.pop();
                plan.modes[1].lanes[1].slots = &[];
            }),
        ),
    ];
    for (rule, breaks) in rules {
        assert_eq!(said(breaks), Err(Violation::Modes), "{rule}");
    }
}

#[test]
fn a_mode_s_task_is_the_system_s_in_all_but_its_proof() {
    let changes: Vec<fn(&mut TaskDesc)> = vec![
        |task| task.name = "bothe",
        |task| task.name = "bot",
        |task| task.lane = LaneId(1),
        |task| task.model = Some(ModelId(0)),
        |task| task.release = Release::Submitted,
        |task| task.priority = Priority(9),
        |task| task.period = ns(11),
        |task| task.deadline = ns(9),
        |task| task.phase = ns(1),
        |task| task.jitter = ns(1),
        |task| task.bcet = ns(2),
        |task| task.wcet = ns(1),
        |task| task.segments = const { &[ns(2)] },
        |task| task.region = ns(1),
        |task| task.budget = ns(1),
        |task| task.on_overrun = Answer::SkipNext,
        |task| task.on_miss = Answer::AbortJob,
        |task| task.miss_window = 11,
        |task| task.queue = 2,
    ];
    for (number, change) in changes.iter().enumerate() {
        assert_eq!(said(|plan| change(&mut plan.modes[1].proven[0])), Err(Violation::Modes), "change {number}");
    }
}

#[test]
fn a_mode_s_lane_is_the_system_s_in_all_but_its_proof() {
    let changes: Vec<fn(&mut LaneDesc)> = vec![
        |lane| lane.name = "other",
        |lane| lane.policy = Policy::DeadlineMonotonic,
        |lane| lane.preemption = Preemption::Segments,
        |lane| lane.core = 7,
        |lane| lane.dispatch_overhead = ns(1),
        |lane| lane.launch_overhead = ns(1),
        |lane| lane.domain_switch = ns(1),
        |lane| lane.thread_wait = ns(1),
        |lane| lane.wakeup_latency = ns(1),
        |lane| lane.hyperperiod = ns(20),
    ];
    for (number, change) in changes.iter().enumerate() {
        assert_eq!(said(|plan| change(&mut plan.modes[0].lanes[0])), Err(Violation::Modes), "change {number}");
    }
    let slots: Vec<fn(&mut LaneDesc)> = vec![
        |lane| lane.slots = &[],
        |lane| lane.slots = const { &[Slot { at: ns(1), task: TaskId(2) }] },
        |lane| lane.slots = const { &[Slot { at: ns(0), task: TaskId(1) }] },
        |lane| lane.slots = const { &[Slot { at: ns(0), task: TaskId(3) }] },
        |lane| lane.slots = const { &[Slot { at: ns(0), task: TaskId(2) }, Slot { at: ns(5), task: TaskId(2) }] },
    ];
    for (number, change) in slots.iter().enumerate() {
        assert_eq!(said(|plan| change(&mut plan.modes[0].lanes[1])), Err(Violation::Modes), "slots {number}");
    }
}

#[test]
fn an_answer_names_a_mode_that_the_plan_has() {
    let answers = |overrun: u16, miss: u16| {
        said(|plan| {
            for task in plan.tasks.iter_mut().chain(plan.modes.iter_mut().flat_map(|mode| &mut mode.proven)) {
                task.on_overrun = Answer::SwitchMode(ModeId(overrun));
                task.on_miss = Answer::SwitchMode(ModeId(miss));
            }
        })
    };
    assert_eq!(answers(1, 0), Ok(()));
    assert_eq!(answers(2, 0), Err(Violation::References));
    assert_eq!(answers(1, 2), Err(Violation::References));
    let differs = said(|plan| {
        plan.tasks[1].on_overrun = Answer::SwitchMode(ModeId(0));
        plan.modes[0].proven[1].on_overrun = Answer::SwitchMode(ModeId(1));
    });
    assert_eq!(differs, Err(Violation::Modes));
    let differs = said(|plan| {
        plan.tasks[1].on_miss = Answer::SwitchMode(ModeId(0));
        plan.modes[0].proven[1].on_miss = Answer::SwitchMode(ModeId(1));
    });
    assert_eq!(differs, Err(Violation::Modes));
}

#[test]
fn each_mode_is_proven_for_itself() {
    // The other mode's bound of the task, and its proof: both consistent with the system's.
    let swapped = said(|plan| {
        let (one, other) = (plan.modes[0].proven[0], plan.modes[1].proven[0]);
        (plan.modes[0].proven[0], plan.modes[1].proven[0]) = (other, one);
    });
    assert_eq!(swapped, Err(Violation::Responses));
    let busy = said(|plan| plan.modes[0].lanes[0].busy_period = ns(4));
    assert_eq!(busy, Err(Violation::Responses), "a busy period that does not solve its recurrence");
    let late = said(|plan| {
        for slots in
            [&mut plan.lanes[1].slots].into_iter().chain(plan.modes.iter_mut().map(|mode| &mut mode.lanes[1].slots))
        {
            let moved = slots.iter().map(|slot| Slot { at: ns(8), ..*slot });
            *slots = moved.collect::<Vec<_>>().leak();
        }
    });
    assert_eq!(
        late,
        Err(Violation::Responses),
        "a slot that ends after the bound, the same in the system and its modes"
    );
    let unproven = said(|plan| plan.modes[1].proven[1].certificate = Certificate::Unproven);
    assert_eq!(unproven, Err(Violation::Responses));
}

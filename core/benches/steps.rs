//! What steps of the dispatcher cost.
//!
//! ```text
//! cargo bench -p aegis-core --bench steps                 nanoseconds of every case
//! cargo bench -p aegis-core --bench steps -- --list       the cases
//! cargo bench -p aegis-core --bench steps -- --once NAME  one run of a case, for callgrind (`core/tests/cost.rs`)
//! ```
//!
//! Steps that are counted go through [`counted_step`], those that only prepare them do not.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a measurement stops at whatever it did not expect"
)]

#[path = "../tests/dispatch/bench.rs"]
#[allow(dead_code, reason = "it is the tests'; only its makers of plans are used here")]
mod makers;
mod plans;

use aegis_core::desc::{ModeDesc, Policy, Release, SystemDesc};
use aegis_core::dispatch::{Actions, Event, Refused, State, step};
use aegis_core::trace::{Record, Recorder, Ring};
use aegis_core::{Duration, Instant, LaneId, ModeId, TaskId};
use makers::at;
use plans::{PERIOD, QUEUE, SLOT, system};
use std::hint::black_box;

/// More records than any step makes.
const RING: usize = 8_192;

#[inline(never)]
fn counted_step<const TASKS: usize, const LANES: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    event: Event,
    now: Instant,
    sink: &mut Recorder,
) -> Result<Actions<LANES>, Refused> {
    step(system, state, event, now, sink)
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    /// One segment ends and the next job is chosen, while all tasks have a job waiting at first and none at last.
    Decision,
    /// The same step where nothing waits: a decision costs what the other one takes more.
    End,
    /// A timer at which nothing is due while a segment runs.
    Idle,
    /// All tasks release at one instant, and each lane starts a job.
    Release,
    /// After a jump of many periods: all queues fill, one arrival each is refused, and then all others.
    Jump,
    /// A lane ran for many laps of its table, and what waits has no slot in the two laps that one step looks at.
    Laps,
    /// A change of the mode begins and ends in one step: one task leaves and all others come.
    Mode,
    /// As [`Self::Decision`], while all tasks but one are about to leave.
    Changing,
}

/// Two modes: in the first all tasks and in the second the first one; or in the first that one and in the second all others.
fn modes(tasks: usize, all: bool) -> &'static [ModeDesc] {
    let tasks: Vec<TaskId> = (0..tasks).map(|position| TaskId(u16::try_from(position).unwrap())).collect();
    let tasks: &[TaskId] = tasks.leak();
    let (first, others) = tasks.split_at(1);
    let mode =
        |tasks| ModeDesc { name: "mode", tasks, lanes: &[], proven: &[], leaves: Duration::from_ns(1_000_000_000_000) };
    vec![mode(if all { tasks } else { first }), mode(if all { first } else { others })].leak()
}

/// Runs a case once, and hands each counted step to `measure`; says how many there were.
fn run<const TASKS: usize, const LANES: usize>(
    case: Case,
    policy: Policy,
    ring: &mut Ring<RING>,
    mut measure: impl FnMut(&mut dyn FnMut()),
) -> u32 {
    let release = if case == Case::Laps { Release::Submitted } else { Release::Timer };
    let mut system = system(TASKS, LANES, policy, release);
    if matches!(case, Case::Mode | Case::Changing) {
        system = Box::leak(Box::new(SystemDesc { modes: modes(TASKS, case == Case::Changing), ..*system }));
    }
    let mut state: Box<State<TASKS, LANES, QUEUE>> = Box::new(State::new(system).unwrap());
    let (writer, mut reader) = ring.split();
    let mut recorder = Recorder::new(writer);
    let mut steps = 0;
    let mut tell = |event: Event, now: u64, counted: bool| -> Vec<Record> {
        if counted {
            steps += 1;
            measure(&mut || {
                let done = counted_step(system, &mut state, event, at(now), &mut recorder);
                black_box(done.unwrap());
            });
        } else {
            step(system, &mut state, black_box(event), at(now), &mut recorder).unwrap();
        }
        std::iter::from_fn(|| reader.dequeue()).collect()
    };
    let end = |lane: usize, now: u64| Event::Completed {
        lane: LaneId(u16::try_from(lane).unwrap()),
        began: at(now - 1),
        ended: at(now),
    };
    let jobs = u64::try_from(TASKS).unwrap();
    match case {
        Case::Decision | Case::End | Case::Changing => {
            tell(Event::Timer, 0, false);
            if case == Case::Changing {
                tell(Event::Mode { mode: ModeId(1) }, 1, false);
            }
            // All slots are over, and the next period has not begun.
            for number in 1..=jobs {
                let now = SLOT * (jobs + 1) + number;
                let decides = number < jobs;
                let records = tell(end(0, now), now, decides == (case != Case::End));
                let least = if case == Case::Changing { 3 } else { 2 };
                assert_eq!(records.len(), if decides { 5 } else { least }, "{records:?}");
            }
        }
        Case::Mode => {
            tell(Event::Timer, 0, false);
            tell(end(0, 2), 2, false);
            let records = tell(Event::Mode { mode: ModeId(1) }, 3, true);
            assert_eq!(records.len(), 3, "{records:?}");
        }
        Case::Idle => {
            tell(Event::Timer, 0, false);
            assert!(tell(Event::Timer, 1, true).is_empty());
        }
        Case::Release => {
            tell(Event::Timer, 0, true);
        }
        Case::Jump => {
            let records = tell(Event::Timer, 1_000 * PERIOD + 1, true);
            assert!(records.len() > 4 * TASKS, "{}", records.len());
        }
        Case::Laps => {
            let submit = |task: usize, arrival: u64| Event::Submit {
                task: TaskId(u16::try_from(task).unwrap()),
                arrival: at(arrival),
            };
            tell(submit(0, 0), 0, false);
            tell(submit(TASKS - 1, 100 * PERIOD), 100 * PERIOD, false);
            let records = tell(end(0, 100 * PERIOD + 1), 100 * PERIOD + 1, true);
            assert_eq!(records.len(), 2, "{records:?}");
        }
    }
    steps
}

type Runner = fn(Case, Policy, &mut Ring<RING>, &mut dyn FnMut(&mut dyn FnMut())) -> u32;

fn one(case: Case, policy: Policy, ring: &mut Ring<RING>, measure: &mut dyn FnMut(&mut dyn FnMut())) -> u32 {
    run::<64, 1>(case, policy, ring, measure)
}

fn many(case: Case, policy: Policy, ring: &mut Ring<RING>, measure: &mut dyn FnMut(&mut dyn FnMut())) -> u32 {
    run::<1_024, 1>(case, policy, ring, measure)
}

fn on_lanes(case: Case, policy: Policy, ring: &mut Ring<RING>, measure: &mut dyn FnMut(&mut dyn FnMut())) -> u32 {
    run::<64, 4>(case, policy, ring, measure)
}

fn cases() -> Vec<(String, Case, Policy, Runner)> {
    let policies =
        [("fp", Policy::FixedPriority), ("edf", Policy::EarliestDeadlineFirst), ("tt", Policy::TimeTriggered)];
    let mut all: Vec<(String, Case, Policy, Runner)> = vec![
        ("laps-tt-64".to_owned(), Case::Laps, Policy::TimeTriggered, one),
        ("laps-tt-1024".to_owned(), Case::Laps, Policy::TimeTriggered, many),
    ];
    let cases = [
        ("decision", Case::Decision),
        ("end", Case::End),
        ("idle", Case::Idle),
        ("release", Case::Release),
        ("jump", Case::Jump),
        ("mode", Case::Mode),
        ("changing", Case::Changing),
    ];
    for (what, case) in cases {
        for (name, policy) in policies {
            // The tasks of a table are in every mode.
            if policy == Policy::TimeTriggered && matches!(case, Case::Mode | Case::Changing) {
                continue;
            }
            all.push((format!("{what}-{name}-64"), case, policy, one));
            all.push((format!("{what}-{name}-1024"), case, policy, many));
            if matches!(case, Case::Release | Case::Jump) {
                all.push((format!("{what}-{name}-64-on-4-lanes"), case, policy, on_lanes));
            }
        }
    }
    all
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let once = arguments.iter().position(|argument| argument == "--once").and_then(|at| arguments.get(at + 1));
    let mut ring: Box<Ring<RING>> = Box::new(Ring::new());
    let only_names = arguments.iter().any(|argument| argument == "--list");
    for (name, case, policy, run) in cases() {
        if only_names {
            println!("{name}");
            continue;
        }
        if let Some(wanted) = once {
            if *wanted == name {
                println!("{}", run(case, policy, &mut ring, &mut |step| step()));
            }
            continue;
        }
        let mut times = Vec::new();
        for _ in 0..200 {
            run(case, policy, &mut ring, &mut |step| {
                let begin = std::time::Instant::now();
                step();
                times.push(begin.elapsed().as_nanos());
            });
        }
        times.sort_unstable();
        let at = |share: usize| times[(times.len() - 1) * share / 1_000];
        println!("{name:30} {:>6} ns p50, {:>6} ns p99, {} steps", at(500), at(990), times.len());
    }
}

//! What steps of the dispatcher cost with a sink that forgets: what those of `steps` cost more is the trace's.
//!
//! ```text
//! cargo bench -p aegis-core --bench untraced -- --list       the cases
//! cargo bench -p aegis-core --bench untraced -- --once NAME  one run of a case, for callgrind (`core/tests/cost.rs`)
//! ```
//!
//! It is a program of its own, so that the compiler sees one sink in each.

#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "a measurement stops at whatever it did not expect"
)]

#[path = "../tests/dispatch/bench.rs"]
#[allow(dead_code, reason = "it is the tests'; only its makers of plans are used here")]
mod makers;
#[allow(dead_code, reason = "not all of it is needed here")]
mod plans;

use aegis_core::desc::{Policy, Release, SystemDesc};
use aegis_core::dispatch::{Actions, Event, Refused, State, step};
use aegis_core::trace::Discard;
use aegis_core::{Instant, LaneId};
use makers::at;
use plans::{QUEUE, SLOT, system};
use std::hint::black_box;

#[inline(never)]
fn counted_step<const TASKS: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, 1, QUEUE>,
    event: Event,
    now: Instant,
    sink: &mut Discard,
) -> Result<Actions<1>, Refused> {
    step(system, state, event, now, sink)
}

/// Ends one segment after the other: counts the steps at which the next job is chosen, or the one at which nothing waits.
fn run<const TASKS: usize>(decides: bool, policy: Policy) -> u32 {
    let system = system(TASKS, 1, policy, Release::Timer);
    let mut state: Box<State<TASKS, 1, QUEUE>> = Box::new(State::new(system).unwrap());
    step(system, &mut state, Event::Timer, at(0), &mut Discard).unwrap();
    let jobs = u64::try_from(TASKS).unwrap();
    let mut steps = 0;
    for number in 1..=jobs {
        let now = SLOT * (jobs + 1) + number;
        let event = black_box(Event::Completed { lane: LaneId(0), began: at(now - 1), ended: at(now) });
        if (number < jobs) == decides {
            steps += 1;
            black_box(counted_step(system, &mut state, event, at(now), &mut Discard).unwrap());
        } else {
            step(system, &mut state, event, at(now), &mut Discard).unwrap();
        }
    }
    assert_eq!(state.running(LaneId(0)), None);
    steps
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let once = arguments.iter().position(|argument| argument == "--once").and_then(|at| arguments.get(at + 1));
    let policies =
        [("fp", Policy::FixedPriority), ("edf", Policy::EarliestDeadlineFirst), ("tt", Policy::TimeTriggered)];
    for (name, policy) in policies {
        for (what, decides) in [("decision", true), ("end", false)] {
            for (tasks, run) in [(64, run::<64> as fn(bool, Policy) -> u32), (1_024, run::<1_024>)] {
                let case = format!("untraced-{what}-{name}-{tasks}");
                if arguments.iter().any(|argument| argument == "--list") {
                    println!("{case}");
                } else if once == Some(&case) {
                    println!("{}", run(decides, policy));
                }
            }
        }
    }
}

//! The dispatcher and the [`reference`](crate::reference), told the same: any plan, anything at any time. A difference is shrunk to
//! the least plan and the fewest events that show it.

mod plans;

use crate::bench::{Log, QUEUE, at};
use crate::reference::Reference;
use crate::watcher::Watcher;
use aegis_core::dispatch::{Event, Refused, State, step};
use aegis_core::trace::{Cause, Kind, Limit, Loss};
use aegis_core::{DomainId, Instant, LaneId, LevelId, ModeId, TaskId};
use plans::{Plan, plans};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

const HOUR: u64 = 3_600_000_000_000;

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
        how: How,
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
    Fail {
        after: u64,
        domain: u16,
    },
    /// One of those that have failed, where there are some.
    Restore {
        after: u64,
        domain: u16,
    },
    /// Admits or dismisses a task, or whichever of the two can be done.
    Admit {
        after: u64,
        task: u16,
        admits: Option<bool>,
    },
    /// As often as told, without anything in between.
    Mode {
        after: u64,
        mode: u16,
        times: u16,
    },
}

/// How a piece of a job ends.
#[derive(Clone, Copy, Debug)]
enum How {
    Well,
    Badly,
    Lost(Loss),
    Cut,
}

fn acts(tasks: u16, steps: usize) -> impl Strategy<Value = Vec<Act>> {
    let end = |how: How| {
        (0..3_u16, 0..5_u64, 0..3_u64, 0..8_u64).prop_map(move |(lane, after, ago, length)| Act::End {
            lane,
            after,
            ago,
            length,
            how,
        })
    };
    let submit = (0..tasks, 0..4_u64, 0..4_u64, 0..40_u64, 0..20_u8).prop_map(|(task, after, back, ahead, times)| {
        // One in eight lies ahead, one in twenty is a storm.
        let ahead = match ahead {
            1..4 => ahead,
            4..6 => ahead * 6,
            _ => 0,
        };
        let times = if times == 0 { 12 } else { 1 };
        Act::Submit { task, after, back, ahead, times }
    });
    let act = prop_oneof![
        20 => (0..6_u64).prop_map(|after| Act::Timer { after }),
        30 => prop_oneof![3 => Just(0), 1 => 1..4_u64, 1 => 1..90_u64].prop_map(|late| Act::Wake { late }),
        60 => submit,
        80 => end(How::Well),
        10 => end(How::Badly),
        3 => end(How::Lost(Loss::Signalled)),
        20 => end(How::Cut),
        1 => (1..20_u64).prop_map(|hours| Act::Jump { hours }),
        4 => (1..50_u64).prop_map(|by| Act::Back { by }),
        1 => (0..5_u64, 0..50_u64).prop_map(|(after, ahead)| Act::Stop { after, ahead }),
        1 => (0..5_u64, 0..4_u16).prop_map(|(after, domain)| Act::Fail { after, domain }),
        12 => (0..60_u64, 0..5_u16).prop_map(|(after, domain)| Act::Restore { after: after.saturating_sub(30), domain }),
        12 => (0..5_u64, 0..8_u16).prop_map(|(after, number)| Act::Pressure { after, level: number.checked_sub(4) }),
        24 => (0..5_u64, 0..=tasks, 0..8_u8).prop_map(|(after, task, admits)| {
            // Often one of a few, and what it is not.
            let task = if task % 2 == 0 { task } else { task % 6 };
            Act::Admit { after, task, admits: [Some(true), Some(false)].get(usize::from(admits)).copied().flatten() }
        }),
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
            Kind::Deferred { pending: 1, .. } => "deferred",
            Kind::Deferred { .. } => "deferred again",
            Kind::Forgone { .. } => "forgone",
            Kind::TaskAdmitted { .. } => "admitted",
            Kind::TaskDismissed { .. } => "dismissed",
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
            Kind::Failed { .. } => "failed",
            Kind::DomainFailed { cause, .. } => match cause {
                Cause::Overrun => "domain failed by an overrun",
                Cause::Miss => "domain failed by a miss",
                Cause::Failure => "domain failed by a failure",
                Cause::Outside => "domain failed outside",
                Cause::Process(_) => "domain lost",
            },
            Kind::DomainRestored { .. } => "domain restored",
            Kind::Dropped { count: 1, .. } => "one dropped",
            Kind::Dropped { .. } => "several dropped",
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
            Act::End { lane, after, ago, length, how } => {
                let (lane, now) = (LaneId(lane), now + after);
                // One more than now is a clock that reads differently.
                let ended = (now + 1).saturating_sub(ago);
                let (began, ended) = (at(ended.saturating_sub(length)), at(ended));
                let event = match how {
                    How::Well => Event::Completed { lane, began, ended },
                    How::Badly => Event::Failed { lane, began, ended },
                    How::Lost(loss) => Event::Lost { lane, began, ended, loss },
                    How::Cut => Event::Preempted { lane, began, ended },
                };
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
            Act::Fail { after, domain } => {
                events.push((Event::Fail { domain: DomainId(domain), loss: None }, now + after))
            }
            Act::Restore { after, domain } => {
                let mut failed = (0..64).filter(|number| state.failed_domains() >> number & 1 == 1);
                let failed = failed.nth(usize::from(domain / 3));
                events.push((Event::Restored { domain: DomainId(failed.unwrap_or(domain)) }, now + after));
            }
            Act::Admit { after, task, admits } => {
                let task = TaskId(task);
                let admits = admits.unwrap_or(!state.releases(task));
                events.push((if admits { Event::Admit { task } } else { Event::Dismiss { task } }, now + after));
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
                    counts.add(match done {
                        Err(Refused::TooManyDeferred { .. }) => "too many deferred",
                        Err(Refused::NotAdmitted { .. }) => "not admitted",
                        Err(Refused::DomainBusy { .. }) => "domain busy",
                        Err(Refused::DomainNotFailed { .. }) => "domain not failed",
                        _ => "refused",
                    });
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
                if let Kind::Submitted { job, .. } = kind
                    && watcher.was_restored(job.task)
                {
                    counts.add("arrived after its domain was restored");
                }
            }
            for task in (0..).take(system.tasks.len()).map(TaskId) {
                prop_assert_eq!(state.releases(task), reference.releases(task), "{:?} at {}", event, instant);
            }
            prop_assert_eq!(state.failed_domains(), reference.failed_domains(), "{:?} at {}", event, instant);
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
        "deferred",
        "deferred again",
        "forgone",
        "too many deferred",
        "admitted",
        "dismissed",
        "not admitted",
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
        "failed",
        "domain failed by an overrun",
        "domain failed by a miss",
        "domain failed by a failure",
        "domain failed outside",
        "domain lost",
        "domain restored",
        "domain busy",
        "domain not failed",
        "arrived after its domain was restored",
        "one dropped",
        "several dropped",
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
        // It takes a task that is submitted, defers, has something deferred, and is then dismissed or left by its mode.
        // And one that a lane still runs a job of a domain that failed a moment ago.
        let least = if ["forgone", "domain busy"].contains(&what) { least / 4 } else { least };
        assert!(counts.0.get(what).is_some_and(|count| *count >= least), "{what}: {counts:?}");
    }
}

#[test]
fn a_few_tasks_are_dispatched_as_the_reference_does() {
    assert_all_seen(&run::<6, 3>(14_000, plans(1, 6, 40), 120), 400);
}

#[test]
fn many_tasks_are_dispatched_as_the_reference_does() {
    assert_all_seen(&run::<150, 3>(500, plans(60, 150, 400), 200), 30);
}

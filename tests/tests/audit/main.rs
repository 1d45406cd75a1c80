//! What the audit says of records: every wait adds up, a plan that holds has no violation, and what is changed is found.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at whatever it did not expect"
)]

mod hostile;
mod verdict;
mod what_if;

use aegis_codegen::analysis::{Load, analyse};
use aegis_codegen::audit::check::{Allow, Check, Report, Verdict, Violation, What};
use aegis_codegen::audit::follow::Follower;
use aegis_codegen::audit::story::{End, Relation, Seen, Story};
use aegis_codegen::audit::why::{self, Search, Selector};
use aegis_codegen::system::System;
use aegis_core::desc::{LaneDesc, Policy, Preemption, Release, SystemDesc, TaskDesc};
use aegis_core::dispatch::Event;
use aegis_core::time::{Duration, Instant};
use aegis_core::trace::{Kind, Record, VoidReason};
use aegis_core::units::{LaneId, Priority};
use aegis_tests::planned::{lane, plan, system, task, with_tasks};
use aegis_tests::replay::named;
use aegis_tests::simulate::{QUEUE, Spent, World, Worst, arrivals, run};
use fastrand::Rng;
use std::collections::BTreeMap;

fn ns(ns: u64) -> Duration {
    Duration::from_ns(ns)
}

/// Anything that the plan permits; one execution in `above` is longer, if that is not 0.
struct Random {
    rng: Rng,
    above: u32,
}

impl World for Random {
    fn spend(&mut self, task: &TaskDesc, lane: &LaneDesc) -> Spent {
        let overhead = self.rng.u64(0..=lane.segment_overhead().unwrap().as_ns());
        let before = self.rng.u64(0..=overhead);
        let wcet = task.wcet.as_ns();
        let mut execution = if self.rng.bool() { wcet } else { self.rng.u64(1..=wcet) };
        if self.above > 0 && self.rng.u32(0..self.above) == 0 {
            execution = wcet + self.rng.u64(1..=wcet * 2);
        }
        Spent { before, execution, after: overhead - before }
    }

    fn wake(&mut self, due: u64, latest: u64) -> u64 {
        if self.rng.bool() { latest } else { self.rng.u64(due..=latest) }
    }
}

const POLICIES: [Policy; 4] =
    [Policy::RateMonotonic, Policy::DeadlineMonotonic, Policy::FixedPriority, Policy::EarliestDeadlineFirst];

/// Up to three lanes, with segments or without, and up to six tasks, a third of the systems with one of stages.
fn random_system(rng: &mut Rng) -> System {
    let count = rng.u64(1..=3);
    let lanes = (0..count).map(|_| {
        let overheads = if rng.bool() { (0, 0) } else { (rng.u64(0..=3 / count), rng.u64(0..=10)) };
        let mut lane = lane("lane", POLICIES[rng.usize(0..4)], overheads.0, overheads.1);
        lane.preemption = if rng.bool() { Preemption::None } else { Preemption::Segments };
        lane.launch_overhead = ns(rng.u64(0..=1));
        lane
    });
    let lanes: Vec<_> = lanes.collect();
    let scale = [30, 100, 400][rng.usize(0..3)];
    let count = rng.usize(lanes.len()..=6);
    let staged = rng.u8(0..3) == 0;
    let mut tasks = Vec::new();
    for index in 0..count {
        let on = if index < lanes.len() { index } else { rng.usize(0..lanes.len()) };
        let period = rng.u64(scale / 3..=scale);
        let cost = rng.u64(1..=(period / 5).max(1));
        let jitter = if rng.bool() { 0 } else { rng.u64(0..=period) };
        let mut one = task("task", on, Load::whole(cost, period, 3 * period, jitter));
        one.phase = ns(rng.u64(0..=period));
        one.submitted = rng.bool();
        if staged && index > 0 && tasks.len() == index {
            let first: &aegis_codegen::system::Task = &tasks[index - 1];
            if rng.bool() {
                (one.period, one.deadline, one.jitter) = (first.period, first.deadline, Duration::ZERO);
                (one.after, one.submitted) = (Some(index - 1), false);
                (one.wcet, one.budget) = (ns(1 + first.period.as_ns() / 8), ns(1 + first.period.as_ns() / 8));
            }
        }
        let wcet = one.wcet.as_ns();
        if lanes[on].preemption == Preemption::Segments && wcet > 1 && rng.bool() {
            let first = rng.u64(1..wcet);
            one.segments = vec![ns(first), ns(wcet - first)];
        }
        if lanes[on].policy == Policy::FixedPriority {
            one.priority = Some(Priority(u16::try_from(count - index).unwrap()));
        }
        tasks.push(one);
    }
    system(lanes, tasks)
}

/// A random plan that holds; `None` where these numbers have none.
fn random_plan(rng: &mut Rng) -> Option<&'static SystemDesc> {
    let mut system = random_system(rng);
    let found = analyse(&system).tasks;
    let longest = found.iter().filter_map(|found| found.bound()).max()?;
    for (task, found) in system.tasks.iter_mut().zip(&found) {
        // Stages of one task have one deadline.
        task.deadline = task.deadline.max(found.bound().unwrap_or(longest)).max(longest);
    }
    let fits = |desc: &&SystemDesc| desc.tasks.iter().all(|task| usize::from(task.queue) <= QUEUE);
    plan(&system).filter(fits).map(named)
}

fn records(system: &'static SystemDesc, rng: &mut Rng, above: u32) -> Vec<Record> {
    let until = 12 * system.tasks.iter().map(|task| task.period.as_ns()).max().unwrap();
    let eager = rng.bool();
    let submissions = arrivals(system, rng, until, eager);
    let observed = run(system, &submissions, until, &mut Random { rng: rng.fork(), above });
    let ran = observed.records.into_iter().map(|(at, kind)| (Instant::from_ns(at), kind));
    let began = (Instant::START, Kind::Began { config_hash: system.config_hash });
    numbered(std::iter::once(began).chain(ran))
}

fn numbered(kinds: impl IntoIterator<Item = (Instant, Kind)>) -> Vec<Record> {
    (0..).zip(kinds).map(|(sequence, (at, kind))| Record { sequence, at, kind }).collect()
}

fn stories(system: &'static SystemDesc, records: &[Record]) -> Vec<Story> {
    let mut follower = Follower::new(system);
    let mut stories = Vec::new();
    let mut take = |seen: Seen| {
        if let Seen::Job(story) = seen {
            stories.push(*story);
        }
    };
    for record in records {
        follower.observe(record, &mut take);
    }
    follower.finish(&mut take);
    stories
}

fn checked(system: &'static SystemDesc, records: &[Record]) -> Report {
    let mut check = Check::new(system);
    for record in records {
        check.observe(record);
    }
    check.finish(Allow::default())
}

/// Who had a lane at each nanosecond: the request, and whether it executed. From steps and decisions alone.
fn owners(records: &[Record], lane: LaneId, until: u64) -> Vec<Option<(u64, bool)>> {
    let mut owners = vec![None; usize::try_from(until).unwrap() + 1];
    let mut running = None;
    for record in records {
        match record.kind {
            Kind::Decided { lane: own, chosen, .. } if own == lane => {
                running = Some((chosen.request, record.at.as_ns()))
            }
            Kind::Stepped { event: Event::Completed { lane: own, began, ended } } if own == lane => {
                let (request, since) = running.take().unwrap();
                for instant in since..record.at.as_ns().min(until) {
                    let executes = (began.as_ns()..ended.as_ns()).contains(&instant);
                    owners[usize::try_from(instant).unwrap()] = Some((request, executes));
                }
            }
            _ => {}
        }
    }
    owners
}

#[test]
fn each_nanosecond_of_a_response_is_told_once_as_a_search_through_all_of_them_finds_it() {
    let mut rng = Rng::with_seed(8);
    let (mut jobs, mut blocked, mut interfered, mut earlier, mut staged, mut plans) = (0, 0, 0, 0, 0, 0);
    while plans < 150 {
        let Some(system) = random_plan(&mut rng) else { continue };
        plans += 1;
        let above = [0, 6][rng.usize(0..2)];
        let records = records(system, &mut rng, above);
        let until = records.last().unwrap().at.as_ns();
        let owners: Vec<_> =
            (0u16..).map(LaneId).take(system.lanes.len()).map(|lane| owners(&records, lane, until)).collect();
        let stories = stories(system, &records);
        let by_request: BTreeMap<u64, &Story> =
            stories.iter().map(|story| (story.released.job.request, story)).collect();
        for story in &stories {
            assert!(story.whole && story.end == End::Completed, "{story:#?}");
            assert_eq!(story.parts.sum(), Some(story.response()), "{story:#?}");
            let own = story.released.job;
            let (released, ended) = (story.released.at.as_ns(), story.ended.as_ns());
            let (mut execution, mut overhead, mut idle) = (0, 0, 0);
            let mut others: BTreeMap<u64, u64> = BTreeMap::new();
            for instant in released..ended {
                match owners[story.lane.index()][usize::try_from(instant).unwrap()] {
                    None => idle += 1,
                    Some((_, false)) => overhead += 1,
                    Some((request, true)) if request == own.request => execution += 1,
                    Some((request, true)) => *others.entry(request).or_default() += 1,
                }
            }
            let parts = story.parts;
            assert_eq!(parts.release.as_ns(), released - story.released.arrival.as_ns());
            assert_eq!(
                (parts.execution.as_ns(), parts.overhead.as_ns(), parts.idle.as_ns()),
                (execution, overhead, idle)
            );
            assert_eq!((idle, story.execution.as_ns()), (0, execution), "no lane is idle while a job waits");
            let of = |relation: Relation| -> u64 {
                let shares = story.shares.iter().filter(|share| share.relation == relation);
                shares.map(|share| share.execution.as_ns()).sum()
            };
            let mut told = (0, 0, 0);
            for (request, time) in others {
                let other = by_request[&request].released.job.task;
                let (other_desc, own_desc) = (&system.tasks[other.index()], &system.tasks[own.task.index()]);
                let began = by_request[&request].turns.iter().any(|turn| {
                    (turn.chosen.as_ns(), turn.sequence) < (released, u64::MAX) && turn.noticed.as_ns() > released
                });
                // A piece that began before goes after only if its job does: by its priority, or its absolute deadline.
                let goes_after = if system.lanes[story.lane.index()].policy == Policy::EarliestDeadlineFirst {
                    let deadline =
                        |story: &Story, desc: &TaskDesc| story.released.arrival.as_ns() + desc.deadline.as_ns();
                    (deadline(by_request[&request], other_desc), other.0) > (deadline(story, own_desc), own.task.0)
                } else {
                    own_desc.priority.is_more_important_than(other_desc.priority)
                };
                if other == own.task {
                    told.2 += time;
                } else if began && goes_after {
                    told.0 += time;
                } else {
                    told.1 += time;
                }
            }
            assert_eq!((of(Relation::Blocking), of(Relation::Interference), of(Relation::Earlier)), told, "{story:#?}");
            let told = (parts.blocking.as_ns(), parts.interference.as_ns(), parts.earlier.as_ns());
            assert_eq!((of(Relation::Blocking), of(Relation::Interference), of(Relation::Earlier)), told);
            jobs += 1;
            blocked += u64::from(told.0 > 0);
            interfered += u64::from(told.1 > 0);
            earlier += u64::from(told.2 > 0);
            staged += u64::from(story.released.after.is_some());
        }
    }
    println!(
        "{jobs} jobs: {blocked} blocked, {interfered} with interference, {earlier} behind their own, {staged} stages"
    );
    assert!(jobs > 5_000 && blocked > 500 && interfered > 500 && earlier > 10 && staged > 100);
}

#[test]
fn a_run_within_its_plan_has_no_violation() {
    let mut rng = Rng::with_seed(80);
    let (mut jobs, mut plans, mut waits) = (0, 0, 0);
    while plans < 400 {
        let Some(system) = random_plan(&mut rng) else { continue };
        plans += 1;
        let records = records(system, &mut rng, 0);
        let report = checked(system, &records);
        assert_eq!(report.verdict, Verdict::Holds, "{:#?}\n{system:#?}", report.violations);
        assert_eq!((report.violations.as_slice(), report.lost, report.unjudged), (&[][..], 0, 0), "{system:#?}");
        assert_eq!(report.jobs, u64::try_from(stories(system, &records).len()).unwrap());
        jobs += report.jobs;
        waits += report.tasks.iter().map(|task| task.interference.len()).sum::<usize>();
    }
    println!("{jobs} jobs of {plans} plans, {waits} pairs of tasks that waited");
    assert!(jobs > 10_000 && waits > 300);
}

/// Three tasks on one lane, the least important of which is the longest.
fn three() -> &'static SystemDesc {
    let lanes = vec![lane("lane", Policy::DeadlineMonotonic, 0, 0)];
    let loads = [Load::whole(2, 20, 20, 0), Load::whole(5, 40, 40, 0), Load::whole(8, 80, 80, 0)];
    let tasks = loads.into_iter().map(|load| task("task", 0, load)).collect();
    let system = named(plan(&system(lanes, tasks)).unwrap());
    let submitted = system.tasks.iter().map(|task| TaskDesc { release: Release::Submitted, ..*task }).collect();
    with_tasks(system, submitted)
}

/// Executions as they are listed, by the order of starts.
struct Scripted(Vec<u64>);

impl World for Scripted {
    fn spend(&mut self, task: &TaskDesc, _lane: &LaneDesc) -> Spent {
        let execution = if self.0.is_empty() { task.wcet.as_ns() } else { self.0.remove(0) };
        Spent { before: 0, execution, after: 0 }
    }

    fn wake(&mut self, due: u64, _latest: u64) -> u64 {
        due
    }
}

fn scripted(executions: &[u64], submissions: &[(u64, u16)]) -> (&'static SystemDesc, Vec<Record>) {
    let system = three();
    let submission =
        |(at, task): &(u64, u16)| aegis_tests::simulate::Submission { seen: *at, task: *task, arrival: *at };
    let submissions: Vec<_> = submissions.iter().map(submission).collect();
    let observed = run(system, &submissions, 200, &mut Scripted(executions.to_vec()));
    let began = (Instant::START, Kind::Began { config_hash: system.config_hash });
    let ran = observed.records.into_iter().map(|(at, kind)| (Instant::from_ns(at), kind));
    (system, numbered(std::iter::once(began).chain(ran)))
}

fn whats(report: &Report) -> Vec<What> {
    report.violations.iter().map(|violation| violation.what).collect()
}

#[test]
fn an_execution_above_its_wcet_is_named_as_the_cause_of_what_follows_until_the_lane_is_idle() {
    // The longest task takes 30 instead of 8; the two that come meanwhile are late. Later all is well again.
    let (system, records) = scripted(&[30, 2, 5], &[(0, 2), (1, 0), (2, 1), (100, 0)]);
    let report = checked(system, &records);
    assert_eq!(report.verdict, Verdict::Violated);
    let of = |what: What, job: &str| -> Violation {
        let mut found = report.violations.iter().filter(|one| one.what == what && one.job.as_deref() == Some(job));
        let first = found.next().unwrap_or_else(|| panic!("{what:?} of {job}: {:#?}", report.violations)).clone();
        assert_eq!(found.next(), None);
        first
    };
    let cause = of(What::Execution, "task-2#1");
    assert_eq!(cause.message, "task-2#1 (req-1) executed for 30 ns, its WCET is 8 ns");
    assert_eq!((cause.observed, cause.allowed, cause.consequence_of.as_deref()), (30, 8, None));
    let late = of(What::Response, "task-0#1");
    assert_eq!(late.message, "task-0#1 (req-2) responded after 31 ns, its bound is 9 ns");
    assert_eq!(late.consequence_of.as_ref(), Some(&cause.message));
    assert_eq!(of(What::Deadline, "task-0#1").message, "task-0#1 (req-2) was late: after 31 ns, its deadline is 20 ns");
    let blocked = of(What::Blocking, "task-0#1");
    assert_eq!(blocked.message, "task-0#1 (req-2) was blocked by `task-2` for 29 ns, its bound has 7 ns");
    assert_eq!(of(What::Response, "task-1#1").consequence_of.as_ref(), Some(&cause.message));
    assert!(report.violations.iter().all(|one| one.job.as_deref() != Some("task-0#2")), "{:#?}", report.violations);
    assert_eq!(report.counts.violations, u64::try_from(report.violations.len()).unwrap());
    assert_eq!(report.counts.consequences, report.counts.violations - 1);
    let text = aegis_codegen::audit::check::human(&report, "a.aegistrace");
    assert!(text.contains("  a consequence of: task-2#1 (req-1) executed for 30 ns, its WCET is 8 ns"), "{text}");
}

#[test]
fn what_is_changed_in_records_is_found() {
    let (system, records) = scripted(&[], &[(0, 0), (0, 1), (0, 2), (25, 0), (50, 1)]);
    assert_eq!(checked(system, &records).verdict, Verdict::Holds);
    let changed = |change: &dyn Fn(&mut Kind)| {
        let mut records = records.clone();
        for record in &mut records {
            change(&mut record.kind);
        }
        checked(system, &records)
    };
    // The second arrival of the first task comes too soon after the first one.
    let report = changed(&|kind| {
        if let Kind::Submitted { job, arrival, .. } = kind
            && job.request == 4
        {
            *arrival = Instant::from_ns(19);
        }
    });
    assert!(whats(&report).contains(&What::Arrival), "{:#?}", report.violations);
    assert_eq!(
        report.violations[0].message,
        "task-0#2 (req-4) arrived only 19 ns after the job before it, its period is 20 ns"
    );
    // A release that is seen too late is a departure, while its response holds.
    assert!(report.violations.iter().any(|one| one.what == What::Release && !one.fails), "{:#?}", report.violations);
    let report = changed(&|kind| {
        if let Kind::Completed { job, ended, .. } = kind
            && job.request == 3
        {
            *ended = Instant::from_ns(93);
        }
    });
    assert!(whats(&report).contains(&What::Response), "{:#?}", report.violations);
    // Notice after the piece's end.
    let report = changed(&|kind| {
        if let Kind::Stepped { event: Event::Completed { ended, .. } } = kind
            && ended.as_ns() == 7
        {
            *ended = Instant::from_ns(6);
        }
    });
    assert_eq!(whats(&report), [What::Overhead]);
    assert_eq!((report.verdict, report.counts.departures), (Verdict::Holds, 1));
}

#[test]
fn a_void_guarantee_is_told_and_everything_is_compared_all_the_same() {
    let (system, mut records) = scripted(&[], &[(0, 0), (0, 1), (30, 0)]);
    let middle = records.len() / 2;
    let at = records[middle].at;
    records.insert(middle, Record { sequence: 0, at, kind: Kind::GuaranteeVoid { reason: VoidReason::TooHot } });
    let records = numbered(records.into_iter().map(|record| (record.at, record.kind)));
    let report = checked(system, &records);
    assert_eq!((report.verdict, report.void.len(), report.void[0].reason), (Verdict::Void, 1, "too-hot"));
    assert_eq!((report.jobs, report.counts.violations), (3, 0));
    let mut check = Check::new(system);
    records.iter().for_each(|record| check.observe(record));
    assert_eq!(check.finish(Allow { void: true, ..Allow::default() }).verdict, Verdict::Holds);
    assert!(aegis_codegen::audit::check::human(&report, "x").starts_with("THE GUARANTEE IS VOID since "));
}

#[test]
fn what_lost_records_hide_is_counted_and_never_a_violation() {
    let mut rng = Rng::with_seed(3);
    let (mut plans, mut unjudged, mut lost) = (0, 0, 0);
    while plans < 100 {
        let Some(system) = random_plan(&mut rng) else { continue };
        plans += 1;
        let mut records = records(system, &mut rng, 0);
        for _ in 0..3 {
            if records.len() < 2 {
                break;
            }
            let from = rng.usize(1..records.len());
            let count = rng.usize(1..40).min(records.len() - from);
            records.drain(from..from + count);
            lost += 1;
        }
        let report = checked(system, &records);
        assert_eq!(report.violations, [], "{system:#?}");
        // What is missing behind the last record has no number; then the end of the run is missing, too.
        assert!(report.lost > 0 || !report.complete, "{report:#?}");
        unjudged += report.unjudged;
        for story in stories(system, &records).iter().filter(|story| story.whole) {
            assert_eq!(story.parts.sum(), Some(story.response()));
        }
    }
    println!("{lost} gaps, {unjudged} jobs could not be judged");
    assert!(unjudged > 100);
}

#[test]
fn a_job_is_found_by_number_request_miss_and_worst_and_its_summands_are_its_response() {
    let (system, records) = scripted(&[8, 2, 5], &[(0, 2), (1, 0), (2, 1), (100, 0)]);
    let search = |selector: Selector| {
        let mut search = Search::new(system, selector);
        records.iter().for_each(|record| search.observe(record));
        search.finish()
    };
    let by = |text: &str| search(Selector::parse(system, text).unwrap());
    let worst = search(Selector::worst(system, "task-0").unwrap()).unwrap();
    for found in [by("task-0#1"), by("req-2"), by("2"), Some(worst)] {
        let found = found.unwrap();
        assert_eq!((found.story.released.job.request, found.story.response()), (2, ns(9)));
        let text = why::human(&found);
        for words in [
            "task-0#1 (req-2) on lane `lane-0` (deadline-monotonic, preemption none)",
            "arrived at 1 ns, was complete 9 ns later",
            "7 ns  blocked by a piece that had begun and would go after it: task-2#1 (req-1)",
            "2 ns  its own execution",
            "9 ns  from arrival to end",
            "because it is more important than `task-1` (req-3)",
            "what its bound allows for:",
            "7 ns  blocked by `task-2`",
        ] {
            assert!(text.contains(words), "{words}\n{text}");
        }
        let json = why::json(&found);
        let parts = json["parts"].as_object().unwrap();
        assert_eq!(
            parts.values().map(|part| part.as_u64().unwrap()).sum::<u64>(),
            json["response_ns"].as_u64().unwrap()
        );
        let assumed = json["assumed"]["terms"].as_array().unwrap();
        assert_eq!(assumed.iter().map(|term| term["ns"].as_i64().unwrap()).sum::<i64>(), 9);
    }
    assert!(search(Selector::LatestMiss).is_none() && by("task-0#3").is_none());
    let unknown = Selector::parse(system, "task-9#1").unwrap_err().to_string();
    assert_eq!(unknown, "the plan has no task `task-9`, it has `task-0`, `task-1`, `task-2`");
    for text in ["task-0#0", "task-0#", "twelve", "req-", "-1", ""] {
        assert!(Selector::parse(system, text).is_err(), "{text}");
    }
    let (system, records) = scripted(&[30, 2, 5], &[(0, 2), (1, 0), (2, 1), (100, 0)]);
    let mut search = Search::new(system, Selector::LatestMiss);
    records.iter().for_each(|record| search.observe(record));
    let text = why::human(&search.finish().unwrap());
    assert!(text.contains("a consequence of: task-2#1 (req-1) executed for 30 ns, its WCET is 8 ns"), "{text}");
    assert!(text.contains("29 ns  blocked by"), "{text}");
}

#[test]
fn the_worst_case_of_a_plan_is_within_it() {
    let system = three();
    let submissions: Vec<_> = [(0, 2), (1, 0), (1, 1), (21, 0)]
        .map(|(at, task)| aegis_tests::simulate::Submission { seen: at, task, arrival: at })
        .to_vec();
    let observed = run(system, &submissions, 200, &mut Worst);
    let records = numbered(observed.records.into_iter().map(|(at, kind)| (Instant::from_ns(at), kind)));
    let report = checked(system, &records);
    let first = &report.tasks[0];
    // Reached exactly, and not exceeded.
    assert_eq!((first.response.max_ns, first.response.allowed_ns, first.response.above), (9, Some(9), 0));
    assert_eq!((first.blocking.max_ns, first.blocking.allowed_ns), (7, Some(7)));
    assert_eq!(report.verdict, Verdict::Holds);
}

//! What a check forgives, what it does not, and what it needs to have seen.

use crate::{checked, numbered, scripted, three};
use aegis_codegen::audit::check::{Allow, Check, Report, Verdict, What, human};
use aegis_core::desc::{LaneDesc, SystemDesc, TaskDesc};
use aegis_core::time::{Duration, Instant};
use aegis_core::trace::{JobRef, Kind, Record};
use aegis_tests::simulate::{Spent, Submission, World, run};

const FORGIVING: Allow = Allow { explained: true, void: false, only_complete: false };

fn allowing(system: &'static SystemDesc, records: &[Record], allow: Allow) -> Report {
    let mut check = Check::new(system);
    records.iter().for_each(|record| check.observe(record));
    check.finish(allow)
}

/// The same records, where the machine explains what the jobs with these requests took.
fn explained(records: &[Record], is_explained: impl Fn(JobRef) -> bool) -> Vec<Record> {
    let mut all = Vec::new();
    for record in records {
        all.push((record.at, record.kind));
        if let Kind::Exceeded { job, .. } = record.kind
            && is_explained(job)
        {
            let long = Duration::from_ns(1_000);
            let disturbed = Kind::Disturbed {
                job,
                wakeup_latency: Duration::ZERO,
                wakeup_excess: Duration::ZERO,
                steal: long,
                off_core: long,
                involuntary_switches: 1,
                explained: true,
            };
            all.push((record.at, disturbed));
        }
    }
    numbered(all)
}

/// Jobs of the most important task, each alone: bound 9 ns, deadline 20 ns.
fn alone(executions: impl Iterator<Item = u64>, late: u64) -> (&'static SystemDesc, Vec<Record>) {
    let system = three();
    let executions: Vec<u64> = executions.collect();
    let submissions: Vec<Submission> = (0u64..)
        .zip(&executions)
        .map(|(number, _)| Submission { seen: 100 * number + late, task: 0, arrival: 100 * number })
        .collect();
    let until = 100 * u64::try_from(executions.len()).unwrap();
    let observed = run(system, &submissions, until, &mut InOrder(executions.into_iter()));
    let began = (Instant::START, Kind::Began { config_hash: system.config_hash });
    let ran = observed.records.into_iter().map(|(at, kind)| (Instant::from_ns(at), kind));
    (system, numbered(std::iter::once(began).chain(ran)))
}

struct InOrder(std::vec::IntoIter<u64>);

impl World for InOrder {
    fn spend(&mut self, _task: &TaskDesc, _lane: &LaneDesc) -> Spent {
        Spent { before: 0, execution: self.0.next().unwrap(), after: 0 }
    }

    fn wake(&mut self, due: u64, _latest: u64) -> u64 {
        due
    }
}

fn count(report: &Report, what: What) -> u64 {
    report.counts.by_what.get(&what).copied().unwrap_or(0)
}

#[test]
fn a_disturbed_job_is_one_of_a_thousand_with_what_follows_from_it() {
    let (system, records) = alone([12, 2].into_iter(), 0);
    let all = explained(&records, |_| true);
    assert_eq!(all.len(), records.len() + 1);
    let report = allowing(system, &all, FORGIVING);
    // Its execution is above the WCET, and its response above the bound: one disturbance.
    assert_eq!((count(&report, What::Response), count(&report, What::Execution)), (1, 1), "{report:#?}");
    assert_eq!((report.counts.violations, report.counts.explained), (2, 2));
    assert_eq!((report.counts.explained_responses, report.counts.explained_steps), (1, 0));
    assert_eq!(report.verdict, Verdict::Explained);
    assert_eq!(checked(system, &all).verdict, Verdict::Violated);
    // Without the machine's explanation, and with two of two jobs, it is violated.
    assert_eq!(allowing(system, &records, FORGIVING).verdict, Verdict::Violated);
    let (system, records) = alone([12, 12].into_iter(), 0);
    assert_eq!(allowing(system, &explained(&records, |_| true), FORGIVING).verdict, Verdict::Violated);
    // Steps are counted by themselves.
    let step = |at: Instant| {
        let (length, allowed) = (Duration::from_ns(9), Duration::from_ns(3));
        let (steal, off_core) = (length, Duration::ZERO);
        (at, Kind::StepExceeded { length, allowed, steal, off_core, explained: true })
    };
    let with = |steps: usize| {
        let (system, records) = alone([12, 2].into_iter(), 0);
        let mut all: Vec<_> = explained(&records, |_| true).iter().map(|record| (record.at, record.kind)).collect();
        let (at, _) = all[all.len() - 2];
        (0..steps).for_each(|_| all.insert(all.len() - 1, step(at)));
        allowing(system, &numbered(all), FORGIVING).verdict
    };
    assert_eq!((with(1), with(2)), (Verdict::Explained, Verdict::Violated));
}

#[test]
fn a_missed_deadline_is_never_forgiven() {
    // One job in 1,501 is late, and the machine explains it.
    let (system, records) = alone((0..1_501).map(|number| if number == 700 { 25 } else { 2 }), 0);
    let report = allowing(system, &explained(&records, |_| true), FORGIVING);
    assert_eq!((count(&report, What::Deadline), count(&report, What::Response)), (1, 1), "{:#?}", report.counts);
    assert_eq!((report.counts.explained, report.counts.explained_responses), (2, 1));
    let deadline = report.violations.iter().find(|one| one.what == What::Deadline).unwrap();
    assert!(!deadline.explained);
    assert_eq!(report.verdict, Verdict::Violated);
}

#[test]
fn departures_hide_no_violation() {
    // Each release is late by more than planned, and the last job misses its deadline.
    let (system, records) = alone((0..1_100).map(|number| if number == 1_099 { 25 } else { 2 }), 1);
    let report = checked(system, &records);
    assert_eq!((report.counts.departures, count(&report, What::Release)), (1_100, 1_100));
    let fails: Vec<What> = report.violations.iter().filter(|one| one.fails).map(|one| one.what).collect();
    assert_eq!(fails, [What::Execution, What::Response, What::Deadline]);
    assert_eq!(report.violations.len(), 1_003);
    let text = human(&report, "a.aegistrace");
    let lines: Vec<&str> =
        text.lines().filter(|line| line.starts_with("violation at") || line.starts_with("departure at")).collect();
    assert_eq!(lines.len(), 20);
    assert!(lines[..3].iter().all(|line| line.starts_with("violation at")), "{lines:#?}");
    assert!(text.contains("and 1083 more; --format json lists the first 1,000 of each kind"), "{text}");
}

#[test]
fn what_is_not_listed_is_explained_all_the_same() {
    let (system, records) = alone((0..1_100).map(|_| 12), 0);
    let report = allowing(system, &explained(&records, |_| true), FORGIVING);
    let counts = &report.counts;
    assert_eq!((report.violations.len(), counts.violations), (1_000, 2_200));
    assert_eq!((counts.explained, counts.explained_responses), (2_200, 1_100));
    assert_eq!(report.verdict, Verdict::Violated);
    // All but the last one.
    let report = allowing(system, &explained(&records, |job| job.request < 1_100), FORGIVING);
    assert_eq!(report.counts.explained, 2_198);
}

#[test]
fn a_trace_that_tells_of_no_job_proves_nothing() {
    let (system, records) = scripted(&[], &[(0, 0), (0, 1)]);
    let report = checked(system, &records[..1]);
    assert_eq!((report.jobs, report.verdict), (0, Verdict::Nothing));
    assert!(!report.verdict.passes());
    let text = human(&report, "a.aegistrace");
    let end = "a.aegistrace: the records tell of no job that ended, so nothing was compared (1 records, 0 jobs, end missing)\n";
    assert!(text.ends_with(end), "{text}");
}

#[test]
fn a_whole_trace_may_be_asked_for() {
    let whole = Allow { only_complete: true, ..Allow::default() };
    let (system, records) = scripted(&[], &[(0, 0), (100, 0)]);
    let ended =
        Record { sequence: u64::try_from(records.len()).unwrap(), at: Instant::from_ns(200), kind: Kind::Ended };
    let mut records: Vec<Record> = records.into_iter().filter(|one| one.kind != Kind::Ended).collect();
    records.push(Record { sequence: u64::try_from(records.len()).unwrap(), ..ended });
    assert_eq!(allowing(system, &records, whole).verdict, Verdict::Holds);
    // Without its end, and with one record lost in the middle.
    let (_, torn) = records.split_last().unwrap();
    assert_eq!(
        (checked(system, torn).verdict, allowing(system, torn, whole).verdict),
        (Verdict::Holds, Verdict::Incomplete)
    );
    records.remove(1);
    let report = allowing(system, &records, whole);
    assert_eq!((report.lost, report.verdict), (1, Verdict::Incomplete));
    let text = human(&report, "a.aegistrace");
    assert!(
        text.contains(" 1 records lost)") && text.contains("jobs that lie wholly in a gap are not counted"),
        "{text}"
    );
}

#[test]
fn where_releases_are_not_told_the_cause_is_named_all_the_same() {
    let (system, records) = scripted(&[30, 2, 5], &[(0, 2), (1, 0), (2, 1), (100, 0)]);
    let without = records.iter().filter(|record| !matches!(record.kind, Kind::Submitted { .. }));
    let records = numbered(without.map(|record| (record.at, record.kind)));
    let report = checked(system, &records);
    let causes: Vec<&str> = report.violations.iter().filter_map(|one| one.consequence_of.as_deref()).collect();
    assert!(!causes.is_empty(), "{report:#?}");
    assert!(causes.iter().all(|cause| cause.contains("executed for 30 ns")), "{causes:#?}");
}

#[test]
fn many_jobs_that_never_end_are_followed_in_their_number() {
    // Of one job the release is told again and again, with other requests, and none of these jobs ends.
    let (system, records) = scripted(&[], &[(0, 0), (100, 0)]);
    let submitted = records.iter().find(|record| matches!(record.kind, Kind::Submitted { .. })).unwrap();
    let Kind::Submitted { job, arrival, queue_depth } = submitted.kind else { panic!("{submitted:?}") };
    let ghosts = (0..2_000).map(|number| {
        let job = JobRef { request: 1_000_000 + number, ..job };
        (submitted.at, Kind::Submitted { job, arrival, queue_depth })
    });
    let own = records.iter().map(|record| (record.at, record.kind));
    let report = checked(system, &numbered(own.clone().take(1).chain(ghosts).chain(own.skip(1))));
    let task = &report.tasks[0];
    assert_eq!((task.unfinished, task.completed), (2_000, 2));
    // The last job finds all of them, and not the one that is over.
    assert_eq!(task.queue_max, 2_001);
}

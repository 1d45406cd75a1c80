//! What `aegis trace convert` writes for viewers, asked by SQL in Perfetto's own trace processor: both forms say what the records
//! say.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod expected;
mod lost;
mod nested;
mod page;
mod runs;

use aegis_codegen::export::{Chain, Exported, Format, write};
use aegis_core::TaskId;
use aegis_core::trace::Kind;
use aegis_tests::perfetto::{SOUND, ask, assert_sound, engine, number, table, text};
use expected::{EVENTS, Expected, count};
use runs::{Run, any_run, overloaded, real_runs};
use std::collections::BTreeSet;

const FORMATS: [Format; 2] = [Format::Perfetto, Format::Chrome];

fn exported(format: Format, run: &Run, chains: &[Chain]) -> (Vec<u8>, Exported) {
    let mut out = Vec::new();
    let exported = write(format, run.system, chains, run.records.iter().copied(), &mut out).unwrap();
    (out, exported)
}

/// A run in both forms.
fn in_both(run: &Run, chains: &[Chain]) -> [(Format, Vec<u8>); 2] {
    FORMATS.map(|format| (format, exported(format, run, chains).0))
}

const SAID: [&str; 11] = [
    "select name, count(*) as count from slice where category = 'job' group by name",
    "select name, sum(dur) as count from slice where category = 'lane' group by name",
    "select extract_arg(arg_set_id, 'debug.outcome') as name, count(*) as count from slice where category = 'job' group by 1",
    "select name, count(*) as count from slice where category = 'event' group by name",
    "select name, count(*) as count from slice where category = 'decision' group by name",
    "select extract_arg(arg_set_id, 'debug.reason') as name, count(*) as count from slice where category = 'decision' group by 1",
    "select extract_arg(arg_set_id, 'debug.task') as name, sum(extract_arg(arg_set_id, 'debug.lateness_ns')) as count
     from slice where name = 'miss' and extract_arg(arg_set_id, 'debug.request') > 0 group by 1",
    "select name, sum(dur) as count from slice where category = 'job'
     and extract_arg(arg_set_id, 'debug.outcome') in ('completed', 'failure') group by name",
    "select t.name, sum(c.value) as count from counter as c join track as t on t.id = c.track_id
     where t.name glob '* slack' group by 1",
    "select t.name, max(c.value) as count from counter as c join track as t on t.id = c.track_id
     where t.name glob '* depth' group by 1",
    "select 'flows' as name, count(*) as count from flow",
];

#[test]
fn both_forms_say_what_the_records_say() {
    let Some(engine) = engine() else { return };
    let mut seen = BTreeSet::new();
    let runs: Vec<Run> = real_runs().into_iter().chain([1, 2].map(any_run)).collect();
    let traces: Vec<_> = runs.iter().flat_map(|run| in_both(run, &[])).collect();
    let mut answers = ask(engine, &traces, &[&SOUND[..], &SAID].concat()).into_iter();
    for run in &runs {
        let expected = Expected::of(run);
        assert!(!expected.jobs.is_empty(), "{}", run.name);
        for format in FORMATS {
            let name = format!("{} as {format:?}", run.name);
            let exported = exported(format, run, &[]).1;
            let answers = answers.next().unwrap();
            let (sound, said) = answers.split_at(SOUND.len());
            assert_sound(sound, &name);
            let said: Vec<_> = said.iter().map(|rows| table(rows, "name", "count")).collect();
            assert_eq!(said[0], expected.jobs, "jobs of {name}");
            assert_eq!(i128::from(exported.jobs), i128::from(expected.jobs.values().sum::<i64>()), "{name}");
            assert_eq!((exported.records, exported.lost), (u64::try_from(run.records.len()).unwrap(), 0), "{name}");
            let outcome = |names: &[&str]| names.iter().filter_map(|name| said[2].get(*name)).sum::<i64>();
            assert_eq!(outcome(&["completed", "failure"]), count(run, |kind| matches!(kind, Kind::Completed { .. })));
            assert_eq!(outcome(&["aborted"]), count(run, |kind| matches!(kind, Kind::Aborted { .. })), "{name}");
            assert_eq!(outcome(&["dropped"]), expected.dropped, "{name}");
            assert_eq!(outcome(&["lost records"]), 0, "{name}");
            for (event, is) in EVENTS {
                let expected = count(run, is);
                assert_eq!(said[3].get(*event).copied().unwrap_or(0), expected, "{event} in {name}");
                if expected > 0 {
                    seen.insert(*event);
                }
            }
            assert_eq!(said[4], expected.decisions, "decisions of {name}");
            assert_eq!(said[5], expected.reasons, "reasons in {name}");
            assert_eq!(said[6], expected.lateness, "lateness in {name}");
            assert_eq!(said[8], expected.slack, "slack in {name}");
            if run.is_real {
                assert_eq!(said[1], expected.ran, "times on lanes of {name}");
                assert_eq!(said[7], expected.responses, "responses of {name}");
                assert_eq!(said[9], expected.depths, "queues of {name}");
                assert_eq!(said[10]["flows"], expected.flows, "flows of {name}");
            }
        }
    }
    let never: Vec<_> = EVENTS.iter().map(|(event, _)| event).filter(|event| !seen.contains(**event)).collect();
    assert!(never.is_empty(), "in no run: {never:?}");
}

#[test]
fn the_same_records_are_the_same_bytes() {
    let run = overloaded(aegis_core::desc::Policy::RateMonotonic);
    for format in FORMATS {
        assert_eq!(exported(format, &run, &[]), exported(format, &run, &[]));
    }
}

#[test]
fn arenas_are_in_use_within_their_height() {
    let Some(engine) = engine() else { return };
    let run = runs::reference();
    let query = "select t.name, min(c.value) as least, max(c.value) as most, count(*) as changes from counter as c
                 join track as t on t.id = c.track_id where t.name glob '* arena in use' group by t.name order by t.name";
    for mut answers in ask(engine, &in_both(&run, &[]), &[query]) {
        let rows = answers.remove(0);
        let used = |name: &str| run.system.models.iter().any(|model| run.system.pools[model.pool.index()].name == name);
        let pools: Vec<_> = run.system.pools.iter().filter(|pool| used(pool.name)).collect();
        assert_eq!(rows.len(), pools.len(), "{rows:?}");
        for pool in pools {
            let row = rows.iter().find(|row| text(row, "name") == format!("{} arena in use", pool.name)).unwrap();
            let height = i64::try_from(pool.height.0).unwrap();
            assert!(number(row, "least") < number(row, "most"), "{row:?}");
            assert!(number(row, "most") <= height && number(row, "changes") > 20, "{row:?}, height {height}");
        }
    }
}

#[test]
fn along_a_chain_each_job_has_arrows_from_what_it_read() {
    let Some(engine) = engine() else { return };
    let run = overloaded(aegis_core::desc::Policy::RateMonotonic);
    let (writer, reader) = (TaskId(0), TaskId(2));
    let chain = Chain { members: vec![(writer, writer), (reader, reader)] };
    let (mut wrote, mut reads) = (false, 0);
    for record in &run.records {
        match record.kind {
            Kind::Completed { job, .. } if job.task == writer => wrote = true,
            Kind::Started { job, .. } if job.task == reader => reads += i64::from(wrote),
            _ => {}
        }
    }
    assert!(reads > 5, "{reads}");
    let reader = run.system.tasks[reader.index()].name;
    let queries = [
        SOUND[0],
        "select count(*) as count from flow",
        "select to_.name, count(*) as count from flow join slice as from_ on from_.id = slice_out
         join slice as to_ on to_.id = slice_in where to_.category = 'lane' and from_.category in ('outcome', 'job') group by to_.name",
    ];
    let without = Expected::of(&run).flows;
    let [perfetto, chrome] = ask(engine, &in_both(&run, &[chain]), &queries).try_into().unwrap();
    for answers in [&perfetto, &chrome] {
        assert!(answers[0].is_empty(), "{:?}", answers[0]);
        assert_eq!(number(&answers[1][0], "count"), without + reads);
    }
    assert!(table(&perfetto[2], "name", "count").keys().eq([reader]), "{:?}", perfetto[2]);
}

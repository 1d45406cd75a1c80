//! Traces with gaps, and traces that end in the middle: what is written of them is well-formed and says what is missing.

use super::runs::{Run, any_run, overloaded, reference};
use super::{FORMATS, exported, in_both};
use aegis_core::desc::Policy;
use aegis_core::trace::Kind;
use aegis_tests::perfetto::{SOUND, ask, assert_sound, engine, number, table, text};
use fastrand::Rng;

/// The run without some pieces of its records.
pub(crate) fn with_gaps(mut run: Run, seed: u64) -> (Run, u64) {
    let mut rng = Rng::with_seed(seed);
    let mut gap = 0_u32;
    let before = run.records.len();
    let last = run.records.last().map_or(0, |record| record.sequence);
    run.records.retain(|record| {
        if gap == 0 && rng.u8(0..12) == 0 {
            gap = rng.u32(1..40);
        }
        let is_lost = gap > 0 && record.sequence != 0 && record.sequence != last;
        gap = gap.saturating_sub(1);
        !is_lost
    });
    let lost = u64::try_from(before - run.records.len()).unwrap();
    (run, lost)
}

#[test]
fn what_has_gaps_is_well_formed_and_says_how_much_is_missing() {
    let Some(engine) = engine() else { return };
    let runs = [overloaded(Policy::RateMonotonic), reference(), any_run(21)];
    for (run, seed) in runs.into_iter().zip(1..) {
        let (run, lost) = with_gaps(run, seed);
        assert!(lost > 100, "{}: {lost} of {}", run.name, run.records.len());
        let queries = [
            "select sum(extract_arg(arg_set_id, 'debug.count')) as lost from slice where name = 'lost records' and category = 'event'",
            "select extract_arg(arg_set_id, 'debug.outcome') as name, count(*) as count from slice where category = 'job' group by 1",
        ];
        let answers = ask(engine, &in_both(&run, &[]), &[&SOUND[..], &queries].concat());
        for (format, answers) in FORMATS.into_iter().zip(answers) {
            let name = format!("{} with gaps as {format:?}", run.name);
            assert_eq!(exported(format, &run, &[]).1.lost, lost, "{name}");
            let (sound, said) = answers.split_at(SOUND.len());
            assert_sound(sound, &name);
            assert_eq!(number(&said[0][0], "lost"), i64::try_from(lost).unwrap(), "{name}");
            let outcomes = table(&said[1], "name", "count");
            assert!(outcomes["completed"] > 0 && outcomes["lost records"] > 0, "{name}: {outcomes:?}");
        }
    }
}

#[test]
fn what_ends_in_the_middle_has_its_open_jobs_until_there() {
    let Some(engine) = engine() else { return };
    let mut run = overloaded(Policy::EarliestDeadlineFirst);
    let started = run.records.iter().rposition(|record| matches!(record.kind, Kind::Started { .. })).unwrap();
    // A job runs, others wait.
    let middle =
        run.records[..started / 2].iter().rposition(|record| matches!(record.kind, Kind::Started { .. })).unwrap();
    run.records.truncate(middle + 1);
    let last = run.records.iter().map(|record| record.at.as_ns()).max().unwrap();
    let queries = [
            "select ts + dur as ended from slice where category = 'job' and extract_arg(arg_set_id, 'debug.outcome') = 'unfinished'",
            "select ts + dur as ended, extract_arg(arg_set_id, 'debug.outcome') as outcome from slice where category = 'lane'
             order by ts desc limit 1",
        ];
    for answers in ask(engine, &in_both(&run, &[]), &[&SOUND[..], &queries].concat()) {
        let (sound, said) = answers.split_at(SOUND.len());
        assert_sound(sound, "what ends in the middle");
        assert!(said[0].len() > 1, "{:?}", said[0]);
        let ends = said[0].iter().chain(&said[1]).map(|row| number(row, "ended"));
        assert!(
            ends.clone().all(|ended| ended == i64::try_from(last).unwrap()),
            "{:?} {last}",
            ends.collect::<Vec<_>>()
        );
        assert_eq!(text(&said[1][0], "outcome"), "unfinished");
    }
}

#[test]
fn a_trace_without_records_is_one() {
    let Some(engine) = engine() else { return };
    let mut run = overloaded(Policy::RateMonotonic);
    run.records.clear();
    let queries = [&SOUND[..], &["select count(*) as count from slice"]].concat();
    for answers in ask(engine, &in_both(&run, &[]), &queries) {
        assert_sound(&answers, "nothing");
        assert_eq!(number(&answers[SOUND.len()][0], "count"), 0);
    }
}

//! Records that no dispatcher makes: whatever they say, nothing stops, and what is divided adds up.

use crate::{checked, random_plan, stories};
use aegis_codegen::audit::what_if::{Inputs, same, what_if};
use aegis_codegen::audit::why::{self, Search, Selector};
use aegis_core::dispatch::Event;
use aegis_core::time::Instant;
use aegis_core::trace::{Kind, Record};
use aegis_core::units::TaskId;
use fastrand::Rng;

/// Another instant, another request or another count in some of the places where a record has one.
fn changed(record: &mut Record, rng: &mut Rng, until: u64, tasks: u16) {
    let mut instant = || Instant::from_ns(rng.u64(0..=until));
    match &mut record.kind {
        Kind::Submitted { arrival, .. } => *arrival = instant(),
        Kind::Completed { ended, .. } => *ended = instant(),
        Kind::Paused { job, .. } | Kind::Started { job, .. } => job.request ^= 1,
        Kind::Decided { chosen, .. } => chosen.task = TaskId(chosen.task.0.wrapping_add(1) % tasks),
        Kind::Stepped { event: Event::Completed { began, ended, .. } } => {
            (*began, *ended) = (instant(), instant());
        }
        Kind::Rejected { count, .. } | Kind::Withheld { count, .. } => *count = u64::MAX,
        _ if rng.u8(0..20) == 0 => {
            record.kind = Kind::Rejected { task: TaskId(rng.u16(0..tasks)), arrival: record.at, count: u64::MAX };
        }
        _ => record.at = Instant::from_ns(rng.u64(0..=until)),
    }
}

#[test]
fn changed_records_stop_nothing_and_every_response_is_still_divided_whole() {
    let mut rng = Rng::with_seed(99);
    let (mut plans, mut jobs, mut violated) = (0, 0, 0);
    while plans < 100 {
        let Some(system) = random_plan(&mut rng) else { continue };
        plans += 1;
        let mut records = crate::records(system, &mut rng, 4);
        let until = records.last().unwrap().at.as_ns();
        let tasks = u16::try_from(system.tasks.len()).unwrap();
        for record in &mut records {
            if rng.u8(0..10) == 0 {
                changed(record, &mut rng, until, tasks);
            }
        }
        for story in stories(system, &records) {
            jobs += 1;
            if story.ended >= story.released.arrival {
                assert_eq!(story.parts.sum(), Some(story.response()), "{story:#?}");
            }
        }
        let report = checked(system, &records);
        violated += u64::from(report.counts.violations > 0);
        let mut inputs = Inputs::new(system);
        let mut search = Search::new(system, Selector::Worst(TaskId(0)));
        for record in &records {
            inputs.observe(record);
            search.observe(record);
        }
        // A time that leaves the range of the dispatcher may be refused.
        let _ = what_if(system, inputs, &same(system));
        if let Some(found) = search.finish() {
            assert!(why::human(&found).contains("from arrival to end"));
            assert!(why::json(&found).is_object());
        }
    }
    println!("{jobs} jobs of {plans} plans, {violated} of them violated");
    assert!(jobs > 2_000 && violated > 90);
}

/// Runs of a world that exceeds its WCETs are violated, and say so of nothing else than what follows from that.
#[test]
fn what_follows_from_an_execution_above_its_wcet_is_a_consequence_of_one() {
    let mut rng = Rng::with_seed(98);
    let (mut plans, mut late, mut causes) = (0, 0, 0);
    while plans < 200 {
        let Some(system) = random_plan(&mut rng) else { continue };
        plans += 1;
        let records = crate::records(system, &mut rng, 5);
        for violation in checked(system, &records).violations {
            use aegis_codegen::audit::check::What;
            match violation.what {
                What::Execution | What::Segment => causes += 1,
                // Whatever else is seen goes back to an execution that was too long.
                What::Response | What::Blocking | What::Interference | What::Deadline => {
                    let cause = violation.consequence_of.unwrap_or_else(|| panic!("{}", violation.message));
                    assert!(cause.contains(" executed "), "{cause}");
                    late += 1;
                }
                _ => {}
            }
        }
    }
    println!("{causes} executions too long, {late} consequences");
    assert!(late > 50 && causes > 100);
}

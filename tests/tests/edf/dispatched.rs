//! The pattern of a bound through the dispatcher.

use super::oracle::{SMALL, loads, random_bounded};
use aegis_codegen::analysis::{Pieces, edf};
use aegis_core::desc::Policy;
use aegis_tests::planned::unproven;
use aegis_tests::simulate::{Submission, Worst, run};
use fastrand::Rng;

#[test]
fn whole_jobs_attain_their_bounds_in_the_dispatcher() {
    let mut rng = Rng::with_seed(30);
    let (mut tasks, mut blocked) = (0, 0);
    while tasks < 4_000 {
        let mut loads =
            loads(&random_bounded(&mut rng, &SMALL, |loads| loads.iter().all(|load| load.pieces == Pieces::Whole)));
        // The last of the plan goes last where deadlines are equal.
        let last = rng.usize(0..loads.len());
        let load = loads.remove(last);
        loads.push(load);
        let own = loads.len() - 1;
        let bound = super::bounds::responses(&loads)[own];
        let witness = edf::witness(&loads, own).unwrap();
        if witness.releases.len() > 60 {
            continue;
        }
        let index = |load: usize| u16::try_from(load).unwrap();
        let mut jobs: Vec<Submission> = Vec::new();
        if let Some(load) = witness.blocked_by {
            jobs.push(Submission { seen: witness.begin - 1, task: index(load), arrival: witness.begin - 1 });
        }
        let released = witness.releases.iter();
        jobs.extend(released.map(|job| Submission { seen: job.seen, task: index(job.load), arrival: job.arrival }));
        // Of what is seen together the dispatcher is told the earliest deadline first: an idle lane starts it at once.
        let due = |job: &Submission| job.arrival + loads[usize::from(job.task)].deadline;
        jobs.sort_unstable_by_key(|job| (job.seen, due(job), job.task));
        let until = witness.finish.max(jobs.last().unwrap().seen) + 1;
        let observed = run(unproven(Policy::EarliestDeadlineFirst, &loads), &jobs, until, &mut Worst);
        assert_eq!(observed.worst(index(own)), bound, "{witness:?}: {loads:?}");
        tasks += 1;
        blocked += usize::from(witness.blocking > 0);
    }
    println!("{tasks} tasks, {blocked} blocked");
    assert!(blocked > 300);
}

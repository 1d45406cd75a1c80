//! Witnesses: what is found for a task that may miss, replayed through the dispatcher, misses exactly as it says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

use aegis_codegen::analysis::exact::Limits;
use aegis_codegen::analysis::{Analysis, Holds, Load, analyse};
use aegis_codegen::certify::draft;
use aegis_codegen::lock::Lock;
use aegis_codegen::simulate::witness::{Arrivals, NoWitness, Witness, find};
use aegis_codegen::simulate::{SimulationError, replay, worst};
use aegis_codegen::system::{System, Task};
use aegis_codegen::{memory, tables};
use aegis_core::desc::{Policy, Preemption, SystemDesc};
use aegis_core::time::Duration;
use aegis_tests::planned::{lane, system, task};
use fastrand::Rng;
use std::collections::BTreeMap;

const PREEMPTIONS: [Preemption; 3] = [Preemption::None, Preemption::Segments, Preemption::Full];

fn ns(ns: u64) -> Duration {
    Duration::from_ns(ns)
}

fn with_pieces(mut task: Task, preemption: Preemption, rng: &mut Rng) -> Task {
    let wcet = task.wcet.as_ns();
    match preemption {
        Preemption::Segments if wcet > 2 => {
            let first = rng.u64(1..wcet - 1);
            let second = rng.u64(1..wcet - first);
            task.segments = vec![ns(first), ns(second), ns(wcet - first - second)];
        }
        Preemption::Full if rng.bool() => task.region = ns(rng.u64(1..=wcet)),
        _ => {}
    }
    task.bcet = ns(rng.u64(1..=wcet));
    task
}

/// One lane, usually too tight.
fn random_system(rng: &mut Rng, policy: Policy, preemption: Preemption, with_overhead: bool) -> System {
    let (dispatch, wakeup) = if with_overhead { (rng.u64(1..=3), rng.u64(1..=5)) } else { (0, 0) };
    let mut on = lane("main", policy, dispatch, wakeup);
    on.preemption = preemption;
    if with_overhead {
        on.launch_overhead = ns(rng.u64(0..=2));
    }
    let periods = [12, 16, 20, 24, 30, 40, 48, 60];
    let tasks = (0..rng.usize(2..=4)).map(|index| {
        let period = periods[rng.usize(0..periods.len())];
        let load = Load::whole(
            rng.u64(1..=period / 2),
            period,
            rng.u64(period / 2..=period * 3 / 2),
            if rng.bool() { 0 } else { rng.u64(0..=period / 4) },
        );
        let mut task = with_pieces(task(&format!("t{index}"), 0, load), preemption, rng);
        task.phase = ns(rng.u64(0..period));
        task
    });
    let tasks = tasks.collect();
    system(vec![on], tasks)
}

fn drafted(system: &System, analysis: &Analysis) -> &'static SystemDesc {
    let priorities: Vec<_> = analysis.tasks.iter().map(|task| task.priority).collect();
    let plan = draft(system, analysis, &memory::plan(system, &priorities).unwrap()).unwrap();
    tables::leak(&Lock::new(plan, Vec::new()).unwrap()).unwrap()
}

/// Whether all that a witness does is what the plan permits.
fn is_permitted(system: &System, witness: &Witness) {
    for task in &system.tasks {
        let lane = &system.lanes[task.lane];
        let most = (lane.segment_overhead().unwrap().as_ns(), task.wcet.as_ns());
        let late = lane.lateness().unwrap().as_ns() + task.jitter.as_ns();
        let mut jobs: Vec<_> = witness.jobs.iter().filter(|job| job.task == task.name).collect();
        jobs.sort_unstable_by_key(|job| job.arrival_ns);
        for job in &jobs {
            assert!((job.arrival_ns..=job.arrival_ns + late).contains(&job.release_ns), "{job:?}");
            for (overhead, execution) in &job.pieces_ns {
                assert!(*overhead <= most.0 && *execution <= most.1, "{job:?}");
            }
            if witness.arrivals == Arrivals::Periodic {
                assert_eq!(job.arrival_ns % task.period.as_ns(), task.phase.as_ns() % task.period.as_ns(), "{job:?}");
                let execution: u64 = job.pieces_ns.iter().map(|(_, execution)| *execution).sum();
                assert!(execution >= task.bcet.as_ns(), "{job:?}");
            }
        }
        for pair in jobs.windows(2) {
            assert!(pair[1].arrival_ns - pair[0].arrival_ns >= task.period.as_ns(), "{witness:#?}");
            assert!(pair[1].release_ns >= pair[0].release_ns, "{witness:#?}");
        }
    }
}

fn kind(witness: &Witness) -> &'static str {
    match witness.arrivals {
        Arrivals::Periodic => "periodic",
        Arrivals::Sporadic => "sporadic",
    }
}

/// Replays the witness of each task that may miss; how many of which kind.
fn replayed(system: &System, limits: Limits, with_overhead: bool, counts: &mut BTreeMap<String, usize>) {
    let analysis = analyse(system);
    let lane = &system.lanes[0];
    let failing: Vec<usize> = (0..system.tasks.len())
        .filter(|at| analysis.tasks[*at].holds(system.tasks[*at].deadline) == Holds::No)
        .collect();
    if failing.is_empty() {
        return;
    }
    let plan = drafted(system, &analysis);
    for position in failing {
        let (task, bound) = (&system.tasks[position], analysis.tasks[position].bound());
        let name = |kind: &str| format!("{} {} {kind}", lane.policy.name(), lane.preemption.name());
        let is_last = system.tasks.iter().all(|other| other.deadline <= task.deadline);
        // On an overloaded EDF lane only what goes before a task's own first job is looked at.
        if lane.policy == Policy::EarliestDeadlineFirst && bound.is_none() && (with_overhead || !is_last) {
            *counts.entry(name("overloaded")).or_default() += 1;
            continue;
        }
        let witness = match find(system, &analysis, plan, position, limits) {
            Ok(witness) => witness,
            Err(NoWitness::Holds(_) | NoWitness::NotAttained) if lane.preemption == Preemption::None => {
                *counts.entry(name("holds at these phases")).or_default() += 1;
                continue;
            }
            // Overheads are folded in at their most, a region lies at a job's start, and of equal deadlines the theory takes
            // the worse order.
            Err(NoWitness::NotAttained)
                if with_overhead || !task.region.is_zero() || lane.policy == Policy::EarliestDeadlineFirst =>
            {
                *counts.entry(name("not reached")).or_default() += 1;
                continue;
            }
            // A utilization of exactly 1: no bound is found, and no miss.
            Err(NoWitness::NotFound(_)) if bound.is_none() => {
                *counts.entry(name("not found")).or_default() += 1;
                continue;
            }
            Err(why) => panic!("{}: {why}\n{system:#?}", task.name),
        };
        assert!(witness.response_ns > task.deadline.as_ns() && witness.deadline_ns == task.deadline.as_ns());
        assert_eq!((&witness.task, &witness.system), (&task.name, &system.name));
        is_permitted(system, &witness);
        let seen = replay(plan, &witness).unwrap();
        let place = plan.tasks.iter().position(|other| other.name == task.name).unwrap();
        assert_eq!(seen[place].response.as_ns(), witness.response_ns, "{witness:#?}");
        assert_eq!(seen[place].arrival.as_ns(), witness.arrival_ns, "{witness:#?}");
        assert!(seen[place].misses > 0 && seen.iter().all(|seen| seen.refused == 0), "{witness:#?}");
        if let Some(bound) = bound {
            assert!(witness.response_ns <= bound.as_ns(), "{witness:#?}");
            if witness.arrivals == Arrivals::Sporadic && !with_overhead && task.region.is_zero() {
                let is_tight = witness.response_ns == bound.as_ns();
                let may_differ = lane.policy == Policy::EarliestDeadlineFirst;
                assert!(is_tight || may_differ, "{witness:#?}\n{system:#?}");
                let kind = if is_tight { "tight" } else { "below the bound" };
                *counts.entry(format!("{} {kind}", lane.policy.name())).or_default() += 1;
            }
        } else {
            *counts.entry(name("without a bound")).or_default() += 1;
        }
        let text = toml::to_string(&witness).unwrap();
        let again: Witness = toml::from_str(&text).unwrap();
        assert_eq!(again, witness);
        assert_eq!(replay(plan, &again), Ok(seen));
        *counts.entry(name(kind(&witness))).or_default() += 1;
    }
}

#[test]
fn a_witness_misses_exactly_as_it_says() {
    let mut rng = Rng::with_seed(7);
    let mut counts = BTreeMap::new();
    let none = Limits { steps: 0, ..Limits::default() };
    for round in 0..60 {
        for policy in [Policy::DeadlineMonotonic, Policy::EarliestDeadlineFirst] {
            for preemption in PREEMPTIONS {
                for with_overhead in [false, true] {
                    let system = random_system(&mut rng, policy, preemption, with_overhead);
                    let limits = if round % 2 == 0 { Limits::default() } else { none };
                    replayed(&system, limits, with_overhead, &mut counts);
                }
            }
        }
    }
    println!("{counts:#?}");
    for (policy, preemption) in
        ["deadline-monotonic", "edf"].into_iter().flat_map(|policy| PREEMPTIONS.map(|one| (policy, one.name())))
    {
        let kinds = if preemption == "none" { &["periodic", "sporadic"][..] } else { &["sporadic"] };
        for kind in kinds {
            let name = format!("{policy} {preemption} {kind}");
            assert!(counts.get(&name).is_some_and(|count| *count >= 10), "{name}");
        }
    }
    let count = |name: &str| counts.get(name).copied().unwrap_or(0);
    assert!(count("deadline-monotonic tight") > 60 && count("edf tight") > 15);
    assert!(count("edf below the bound") * 5 < count("edf tight"));
    let not_found: usize = counts.iter().filter(|(name, _)| name.ends_with("not found")).map(|(_, count)| count).sum();
    assert!(not_found < 10);
}

fn tight() -> (System, Witness, &'static SystemDesc) {
    let mut on = lane("main", Policy::RateMonotonic, 0, 0);
    on.preemption = Preemption::Full;
    let load = Load::whole;
    let tight = system(vec![on], vec![task("often", 0, load(4, 10, 10, 0)), task("late", 0, load(8, 30, 15, 0))]);
    let analysis = analyse(&tight);
    let plan = drafted(&tight, &analysis);
    let witness = find(&tight, &analysis, plan, 1, Limits::default()).unwrap();
    (tight, witness, plan)
}

#[test]
fn a_witness_of_two_tasks_is_as_by_hand() {
    let (_, witness, plan) = tight();
    // 0..4 often, 4..10 late, 10..14 often, 14..16 late: 1 ns after its deadline.
    assert_eq!((witness.response_ns, witness.deadline_ns, witness.arrivals), (16, 15, Arrivals::Sporadic));
    assert_eq!(replay(plan, &witness).unwrap()[1].misses, 1);
    let holds = |(system, _, plan): (System, Witness, &'static SystemDesc)| {
        find(&system, &analyse(&system), plan, 0, Limits::default()).unwrap_err().to_string()
    };
    assert_eq!(holds(tight()), "no job of the task misses its deadline");
}

#[test]
fn what_no_plan_permits_is_refused() {
    let (_, witness, plan) = tight();
    let refused = |change: &dyn Fn(&mut Witness)| {
        let mut changed = witness.clone();
        change(&mut changed);
        replay(plan, &changed).unwrap_err()
    };
    let unknown = refused(&|witness| witness.jobs[0].task = "nobody".to_owned());
    assert_eq!(unknown, SimulationError::UnknownTask("nobody".to_owned()));
    let second = witness.jobs.iter().rposition(|job| job.task == "often").unwrap();
    assert!(second > 0 && witness.jobs[second].arrival_ns > 0);
    let near = refused(&|witness| witness.jobs[second].arrival_ns -= 1);
    assert!(matches!(near, SimulationError::Refused(_)), "{near}");
    let early = refused(&|witness| witness.jobs[second].release_ns = witness.jobs[second].arrival_ns - 1);
    assert!(matches!(early, SimulationError::Refused(_)), "{early}");
    let far = refused(&|witness| {
        (witness.jobs[0].arrival_ns, witness.jobs[0].release_ns) = (u64::MAX, u64::MAX);
    });
    assert!(matches!(far, SimulationError::Overflow | SimulationError::Refused(_)), "{far}");
}

#[test]
fn the_schedule_behind_a_bound_is_as_long_as_the_bound_and_without_overlap() {
    let mut rng = Rng::with_seed(11);
    let (mut attained, mut shorter) = (0, 0);
    for _ in 0..60 {
        for policy in [Policy::DeadlineMonotonic, Policy::EarliestDeadlineFirst] {
            for preemption in PREEMPTIONS {
                let with_overhead = rng.bool();
                let system = random_system(&mut rng, policy, preemption, with_overhead);
                let analysis = analyse(&system);
                let plan = drafted(&system, &analysis);
                for (position, task) in system.tasks.iter().enumerate() {
                    let Some(bound) = analysis.tasks[position].bound() else { continue };
                    let schedule = worst::schedule(&system, &analysis, plan, position).unwrap();
                    let last = schedule.pieces.last().unwrap();
                    assert!(last.is_own && last.end == schedule.end && last.task == task.name, "{schedule:#?}");
                    for piece in &schedule.pieces {
                        assert!(piece.start <= piece.began && piece.began <= piece.end, "{schedule:#?}");
                    }
                    for pair in schedule.pieces.windows(2) {
                        assert!(pair[0].end <= pair[1].start, "{schedule:#?}");
                    }
                    let own = schedule.pieces.iter().filter(|piece| piece.is_own).map(|piece| piece.end - piece.began);
                    assert_eq!(own.sum::<u64>(), task.wcet.as_ns(), "all of the job is shown: {schedule:#?}");
                    assert!(schedule.response() <= bound.as_ns(), "{schedule:#?}");
                    let is_tight = policy == Policy::DeadlineMonotonic && preemption != Preemption::Full;
                    assert!(!is_tight || schedule.response() == bound.as_ns(), "bound {bound:?}: {schedule:#?}");
                    *(if schedule.response() == bound.as_ns() { &mut attained } else { &mut shorter }) += 1;
                }
            }
        }
    }
    assert!(attained > 20 * shorter && attained > 300, "{attained} of {} bounds are attained", attained + shorter);
}

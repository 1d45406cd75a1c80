//! Records of simulated runs: several policies, preemption, stages, failing domains, real plans, and anything at all.

use aegis_codegen::analysis::Load;
use aegis_codegen::lock::Lock;
use aegis_codegen::tables;
use aegis_core::desc::{DomainDesc, Policy, Preemption, SystemDesc, TaskDesc};
use aegis_core::time::{Duration, Instant};
use aegis_core::trace::{Kind, Record};
use aegis_core::units::DomainId;
use aegis_tests::anything::anything;
use aegis_tests::planned::{lane, plan, system, task, unproven, with_tasks};
use aegis_tests::replay::named;
use aegis_tests::simulate::{Again, Failing, Spent, World, Worst, arrivals, run, run_failing};
use fastrand::Rng;
use std::path::Path;

/// A run.
pub(crate) struct Run {
    pub(crate) name: String,
    pub(crate) system: &'static SystemDesc,
    pub(crate) records: Vec<Record>,
    /// Pieces of a lane do not overlap and nothing runs before it is released, as on a machine.
    pub(crate) is_real: bool,
}

impl Run {
    fn of(name: &str, system: &'static SystemDesc, records: Vec<(u64, Kind)>) -> Self {
        let last = records.iter().map(|(at, _)| *at).max().unwrap_or(0);
        let began = (0, Kind::Began { config_hash: system.config_hash });
        let all = std::iter::once(began).chain(records).chain([(last, Kind::Ended)]);
        let records =
            (0..).zip(all).map(|(sequence, (at, kind))| Record { sequence, at: Instant::from_ns(at), kind }).collect();
        Self { name: name.to_owned(), system, records, is_real: true }
    }
}

/// Executions of any length up to a quarter more than the WCET.
pub(crate) struct Loose(pub(crate) Rng);

impl World for Loose {
    fn spend(&mut self, task: &TaskDesc, lane: &aegis_core::desc::LaneDesc) -> Spent {
        let worst = Spent::worst(task, lane);
        Spent { execution: self.0.u64(worst.execution / 2..=worst.execution * 5 / 4), ..worst }
    }

    fn wake(&mut self, due: u64, latest: u64) -> u64 {
        self.0.u64(due..=latest)
    }
}

fn committed(path: &str) -> &'static SystemDesc {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    tables::leak(&Lock::read(&root.join(path)).unwrap()).unwrap()
}

/// One lane that has too much to do: jobs queue, miss, and are many at once.
pub(crate) fn overloaded(policy: Policy) -> Run {
    let loads = [Load::whole(30, 100, 90, 0), Load::whole(50, 150, 150, 0), Load::whole(80, 200, 120, 5)];
    let system = named(unproven(policy, &loads));
    let jobs = arrivals(system, &mut Rng::with_seed(3), 4_000, true);
    Run::of(&format!("{} overloaded", policy.name()), system, run(system, &jobs, 4_000, &mut Worst).records)
}

/// The reference vehicle, two of whose domains fail; the one comes back.
pub(crate) fn reference() -> Run {
    let system = committed("system.lock");
    let (ms, until) = (1_000_000, 3_000_000_000);
    let again = Again { known: 700 * ms, start: 750 * ms, ready: Some(1_500 * ms), blackout: 0 };
    let first = Failing {
        domain: DomainId(0),
        at: 500 * ms,
        back_after: 5 * ms,
        blackout: 0,
        device: None,
        again: Some(again),
    };
    let mut world = Loose(Rng::with_seed(5));
    let seen = run_failing(system, (&[], &[]), &[first], until, &mut world);
    Run::of("reference", system, seen.records)
}

fn real(path: &str) -> Run {
    let system = committed(path);
    let mut world = Loose(Rng::with_seed(7));
    let until = 20 * system.tasks.iter().map(|task| task.period.as_ns()).max().unwrap();
    let jobs = arrivals(system, &mut Rng::with_seed(9), until, false);
    Run::of(path, system, run(system, &jobs, until, &mut world).records)
}

pub(crate) fn two_stages(policy: Policy, preemption: Preemption) -> Run {
    let mut lanes = vec![lane("cpu", policy, 3, 2), lane("gpu", policy, 3, 2)];
    for lane in &mut lanes {
        lane.preemption = preemption;
    }
    let mut first = task("detect.1", 0, Load::whole(40, 1_000, 900, 0));
    let mut second = task("detect.2", 1, Load::whole(60, 1_000, 900, 0));
    second.after = Some(0);
    let mut long = task("map", 1, Load::whole(120, 1_500, 1_400, 0));
    if preemption == Preemption::Segments {
        long.segments = vec![Duration::from_ns(40); 3];
    }
    let mut control = task("control", 0, Load::whole(20, 400, 300, 0));
    (first.submitted, second.submitted, long.submitted, control.submitted) = (true, false, true, true);
    let system = system(lanes, vec![first, second, long, control]);
    let desc = plan(&system).unwrap_or_else(|| panic!("{policy:?} {preemption:?} is not schedulable"));
    let jobs = arrivals(desc, &mut Rng::with_seed(11), 60_000, false);
    Run::of(&format!("{} in stages, {}", policy.name(), preemption.name()), desc, {
        run(desc, &jobs, 60_000, &mut Loose(Rng::with_seed(13))).records
    })
}

/// A task whose domain fails by its misses, beside one that goes on.
fn failing_by_a_miss() -> Run {
    let loads = [Load::whole(30, 100, 90, 0), Load::whole(50, 150, 60, 0)];
    let system = named(unproven(Policy::RateMonotonic, &loads));
    let [first, second] = system.tasks else { panic!("two tasks") };
    let second = TaskDesc { domain: Some(DomainId(0)), on_miss: aegis_core::desc::Answer::FailDomain, ..*second };
    let system = with_tasks(system, vec![*first, second]);
    let domains = &[DomainDesc { name: "vision", process: None }];
    let system: &'static SystemDesc = Box::leak(Box::new(SystemDesc { domains, ..*system }));
    let jobs = arrivals(system, &mut Rng::with_seed(17), 700, true);
    Run::of("failing by a miss", system, run(system, &jobs, 700, &mut Worst).records)
}

/// Runs as a machine can do them.
pub(crate) fn real_runs() -> Vec<Run> {
    vec![
        overloaded(Policy::RateMonotonic),
        overloaded(Policy::EarliestDeadlineFirst),
        reference(),
        real("examples/reader/system.lock"),
        failing_by_a_miss(),
        two_stages(Policy::DeadlineMonotonic, Preemption::None),
        two_stages(Policy::EarliestDeadlineFirst, Preemption::Segments),
    ]
}

/// A run in which the dispatcher is told anything, also what no machine does.
pub(crate) fn any_run(seed: u64) -> Run {
    let many = (0..).map(|more| anything(&mut Rng::with_seed(seed + 1_000 * more), 2_000));
    let ran = many.skip_while(|ran| ran.records.len() < 2_000).next().unwrap();
    let records = (0..).zip(ran.records).map(|(sequence, (at, kind))| Record { sequence, at, kind }).collect();
    Run { name: format!("anything, seed {seed}"), system: ran.system, records, is_real: false }
}

//! Random systems in the memory of GPUs: everything begins at multiples of 256 bytes, nothing that begins elsewhere is accepted, and
//! a capacity holds exactly as long as arenas, what backends hold, what drivers take and what is copied from and to fit it together.

use super::random::random_system;
use super::{SIZE, leaked};
use aegis_codegen::lock::Lock;
use aegis_codegen::plan::{Model, Plan, Step};
use aegis_codegen::system::{Device, Gpu, Partition, System};
use aegis_core::desc::Waiting;
use aegis_core::units::Bytes;
use aegis_core::verify::{Violation, verify};
use aegis_tests::planned;
use fastrand::Rng;

/// A system without processes of domains: these have no lanes on GPUs.
fn in_one_process(rng: &mut Rng) -> System {
    loop {
        let system = random_system(rng, SIZE);
        if system.domains.iter().all(|domain| domain.process.is_none()) {
            return system;
        }
    }
}

/// The system with all its lanes on parts of GPUs, and a device of a CPU without lanes.
fn on_gpus(rng: &mut Rng, mut system: System) -> System {
    let cpu = Device { name: "cpu".to_owned(), shares: None, ..system.devices[0].clone() };
    system.devices.push(cpu);
    for (number, device) in (0_u16..2).zip(&mut system.devices) {
        device.gpu = Some(Gpu {
            ordinal: number,
            name: String::new(),
            driver: String::new(),
            compute_capability: (9, 0),
            sms: 132,
            unit: 8,
            units: 15,
            context_bytes: rng.bool().then(|| rng.u64(..1 << 16)),
            staging: [None, Some(number), Some(2)][rng.usize(..3)],
        });
    }
    for lane in &mut system.lanes {
        lane.partition = Some(Partition { sms: 8, completion: Waiting::Polling, switch: aegis_core::Duration::ZERO });
    }
    system
}

/// Where everything of a plan lies, to be looked at or changed.
fn places(plan: &mut Plan) -> Vec<&mut u64> {
    let mut places: Vec<&mut u64> = Vec::new();
    for model in &mut plan.models {
        let Model { inputs, outputs, carried, segments, .. } = model;
        places.extend(inputs.iter_mut().chain(outputs).chain(carried).map(|tensor| &mut tensor.at));
        for segment in segments {
            places.extend([&mut segment.persistent_at, &mut segment.scratch_at]);
        }
    }
    places
}

/// The requests of all sequences of a plan.
fn requests(plan: &mut Plan) -> Vec<&mut Step> {
    let segments = plan.models.iter_mut().flat_map(|model| &mut model.segments);
    let steps = segments.flat_map(|segment| {
        segment.load.iter_mut().chain(segment.runs.iter_mut().flat_map(|recording| &mut recording.steps))
    });
    steps.filter(|step| step.len() > 1).collect()
}

/// What of a pool's capacity the plan takes, from its words: of the pool itself and of those that share it, and what copies have
/// that count with it.
fn taken(plan: &Plan, pool: usize) -> u64 {
    let owner = |pool: usize| plan.pools[pool].shares.map_or(pool, usize::from);
    let mut sum = 0;
    for (number, own) in plan.pools.iter().enumerate() {
        let gpu = own.gpu.as_ref();
        if owner(number) == pool {
            sum += own.height_bytes + own.weights_bytes + gpu.and_then(|gpu| gpu.context_bytes).unwrap_or(0);
        }
        if gpu.and_then(|gpu| gpu.staging).is_some_and(|with| owner(usize::from(with)) == pool) {
            let here = plan.models.iter().filter(|model| usize::from(model.pool) == number);
            let ends = here.flat_map(|model| model.inputs.iter().chain(&model.outputs));
            sum += ends.map(|tensor| tensor.bytes.next_multiple_of(64)).sum::<u64>();
        }
    }
    sum
}

fn refused(lock: &Lock) -> bool {
    verify(leaked(lock)) == Err(Violation::Memory)
}

#[test]
fn everything_begins_where_a_gpus_memory_may_and_a_capacity_counts_all_that_is_taken() {
    let mut rng = Rng::with_seed(41);
    let (mut plans, mut moved, mut staged) = (0, 0, 0);
    for _ in 0..200 {
        let plain = in_one_process(&mut rng);
        let bounds =
            planned::lock(&plain).map(|lock| lock.plan.pools.iter().map(|pool| pool.lower_bound_bytes).collect());
        let bounds: Vec<u64> = bounds.unwrap_or_default();
        let system = on_gpus(&mut rng, plain);
        let Some(lock) = planned::lock(&system) else { continue };
        plans += 1;
        assert_eq!(verify(leaked(&lock)), Ok(()), "{system:#?}");
        let mut plan = lock.plan.clone();
        assert!(places(&mut plan).into_iter().all(|at| *at % 256 == 0), "{plan:#?}");
        assert!(requests(&mut plan).into_iter().all(|step| step[2] % 256 == 0), "{plan:#?}");
        let coarser = lock.plan.pools.iter().zip(bounds);
        assert!(coarser.into_iter().all(|(pool, bound)| bound <= pool.lower_bound_bytes), "{plan:#?}");
        // One thing somewhere else.
        let off = [64, 128, 192][rng.usize(..3)];
        let mut changed = lock.clone();
        let mut all = places(&mut changed.plan);
        let one = rng.usize(..all.len());
        *all[one] += off;
        assert!(refused(&changed), "place {one} of {system:#?}");
        let mut changed = lock.clone();
        let mut all = requests(&mut changed.plan);
        if !all.is_empty() {
            let one = rng.usize(..all.len());
            all[one][2] += i64::try_from(off).unwrap();
            assert!(refused(&changed), "request {one} of {system:#?}");
            moved += 1;
        }
        // Exactly what is taken suffices, of each pool that has a capacity of its own.
        for pool in (0..3).filter(|pool| lock.plan.pools[*pool].shares.is_none()) {
            let needed = taken(&lock.plan, pool);
            let with = |capacity: u64| {
                let mut lock = lock.clone();
                lock.plan.pools[pool].capacity_bytes = capacity;
                lock
            };
            assert_eq!(verify(leaked(&with(needed))), Ok(()), "pool {pool} of {system:#?}");
            assert!(needed == 0 || refused(&with(needed - 1)), "pool {pool} of {system:#?}");
            staged += usize::from(pool == 2 && needed > 0);
        }
    }
    assert!(plans > 100 && moved > 80 && staged > 30, "{plans} {moved} {staged}");
}

#[test]
fn copies_count_with_a_pool_of_the_cpu_or_with_the_gpus_own() {
    let mut rng = Rng::with_seed(42);
    let lock = (0..100).find_map(|_| {
        let plain = in_one_process(&mut rng);
        planned::lock(&on_gpus(&mut rng, plain))
    });
    let lock = lock.unwrap();
    let with = |staging| {
        let mut lock = lock.clone();
        lock.plan.pools.iter_mut().for_each(|pool| pool.capacity_bytes = Bytes(1 << 30).0);
        lock.plan.pools[0].gpu.as_mut().unwrap().staging = staging;
        lock
    };
    for staging in [None, Some(0), Some(2)] {
        assert_eq!(verify(leaked(&with(staging))), Ok(()), "{staging:?}");
    }
    assert!(refused(&with(Some(1))), "another device's memory");
    assert!(refused(&with(Some(3))), "no pool");
}

//! Whether an accepted plan keeps its promises: by the generator's analysis of the plan's own numbers, by walking tables,
//! and by comparing regions pair by pair.

use aegis_codegen::analysis::{Load, analyse_in_order};
use aegis_codegen::plan::{self, Plan};
use aegis_codegen::system::{Lane, System, Task};
use aegis_codegen::tables;
use aegis_core::desc::{Policy, Preemption};
use aegis_core::time::Duration;
use aegis_core::units::Priority;
use aegis_tests::planned;

fn ns(ns: u64) -> Duration {
    Duration::from_ns(ns)
}

fn lane(lane: &plan::Lane) -> Lane {
    let mut built = planned::lane(
        &lane.name,
        tables::policy(&lane.policy).unwrap(),
        lane.dispatch_overhead_ns,
        lane.wakeup_latency_ns,
    );
    let preemptions = [Preemption::None, Preemption::Segments, Preemption::Full];
    built.preemption = preemptions.into_iter().find(|one| one.name() == lane.preemption).unwrap();
    built.launch_overhead = ns(lane.launch_overhead_ns);
    built.domain_switch = ns(lane.domain_switch_ns);
    built.thread_wait = ns(lane.thread_wait_ns);
    built
}

/// The plan's system, without what is in tables: stages after those before them; and each task's place in the plan.
fn system(plan: &Plan, what: &str) -> (System, Vec<Priority>, Vec<usize>) {
    let depth = |mut place: usize| {
        let mut depth = 0;
        while let Some(stage) = &plan.tasks[place].stage {
            (place, depth) = (usize::from(stage.after), depth + 1);
            assert!(depth <= plan.tasks.len(), "{what}: stages in a circle");
        }
        depth
    };
    let lanes: Vec<Lane> = plan.lanes.iter().map(lane).collect();
    let on_table = |place: &usize| lanes[usize::from(plan.tasks[*place].lane)].policy == Policy::TimeTriggered;
    let mut places: Vec<usize> = (0..plan.tasks.len()).filter(|place| !on_table(place)).collect();
    places.sort_by_key(|place| depth(*place));
    let tasks: Vec<Task> = places
        .iter()
        .map(|place| {
            let task = &plan.tasks[*place];
            let load = Load::whole(task.wcet_ns, task.period_ns, task.deadline_ns, task.jitter_ns);
            let mut built = planned::task(&task.name, usize::from(task.lane), load);
            let before = |stage: &plan::Stage| places.iter().position(|other| *other == usize::from(stage.after));
            built.after = task.stage.as_ref().map(|stage| before(stage).expect("the stage before is on a lane"));
            built.bcet = ns(task.bcet_ns);
            built.segments = task.segments_ns.iter().copied().map(ns).collect();
            built.region = ns(task.region_ns);
            built
        })
        .collect();
    let order = places.iter().map(|place| Priority(plan.tasks[*place].priority)).collect();
    (planned::system(lanes, tasks), order, places)
}

/// Panics where an accepted plan does not keep a promise.
pub(crate) fn sound(plan: &Plan, what: &str) {
    let (system, order, places) = system(plan, what);
    let analysis = analyse_in_order(&system, &order);
    for (found, place) in analysis.tasks.iter().zip(&places) {
        let task = &plan.tasks[*place];
        let bound = found.bound().unwrap_or_else(|| panic!("{what}: {} has no bound: {:?}", task.name, found.response));
        assert!(bound.as_ns() <= task.response_ns, "{what}: {} has the bound {bound:?}", task.name);
    }
    for (lane, (found, built)) in plan.lanes.iter().zip(analysis.lanes.iter().zip(&system.lanes)) {
        if built.policy != Policy::TimeTriggered
            && system.tasks.iter().any(|task| system.lanes[task.lane].name == lane.name)
        {
            assert!(found.busy_period.unwrap().as_ns() <= lane.busy_period_ns, "{what}: {}", lane.name);
        }
    }
    for (position, (lane, built)) in plan.lanes.iter().zip(&system.lanes).enumerate() {
        if built.policy == Policy::TimeTriggered {
            walk(plan, lane, position, what);
        } else {
            assert!(lane.slots.is_empty(), "{what}");
        }
        let others = plan.lanes[position + 1..].iter().map(|other| other.core);
        assert!(others.chain([plan.orchestration_core]).all(|core| core != lane.core), "{what}: a shared core");
    }
    for task in &plan.tasks {
        assert!(task.response_ns <= task.deadline_ns && (1..=task.wcet_ns).contains(&task.budget_ns), "{what}");
        assert!(u64::from(task.queue) > task.response_ns / task.period_ns, "{what}");
        assert!(task.bcet_ns <= task.wcet_ns, "{what}");
    }
    memory_sound(plan, what);
}

/// Runs a table with everything as late as permitted, lap by lap, job by job.
fn walk(plan: &Plan, lane: &plan::Lane, position: usize, what: &str) {
    const LAPS: u64 = 6;
    let late = lane.wakeup_latency_ns + lane.thread_wait_ns;
    let overhead = lane.dispatch_overhead_ns + lane.launch_overhead_ns + lane.domain_switch_ns + lane.thread_wait_ns;
    let laps = (0..LAPS)
        .flat_map(|lap| lane.slots.iter().map(move |(at, task)| (lap * lane.hyperperiod_ns + at, usize::from(*task))));
    let mut busy_until = 0;
    let mut done = vec![0; plan.tasks.len()];
    for (at, place) in laps {
        assert!(at >= busy_until, "{what}: the slot at {at} begins before the one before it ends");
        let task = &plan.tasks[place];
        assert_eq!(usize::from(task.lane), position, "{what}");
        busy_until = at + late + overhead + task.wcet_ns;
        let arrival = task.phase_ns % task.period_ns + done[place] * task.period_ns;
        if arrival + task.jitter_ns <= at {
            done[place] += 1;
            assert!(busy_until - arrival <= task.response_ns, "{what}: {} responds later", task.name);
        }
    }
    for (place, task) in plan.tasks.iter().enumerate().filter(|(_, task)| usize::from(task.lane) == position) {
        let jobs = (LAPS - 3) * lane.hyperperiod_ns / task.period_ns;
        assert!(done[place] >= jobs, "{what}: {} has no slot for some of its jobs", task.name);
    }
}

/// Pool, begin, end, and for what is used only while its model runs: the model, and the lane that shares it.
type Region = (u16, u64, u64, Option<(usize, u16)>);

fn memory_sound(plan: &Plan, what: &str) {
    let lane_of = |model: usize| {
        let users = plan.tasks.iter().filter(|task| task.model.map(usize::from) == Some(model));
        let lanes: Vec<u16> = users.map(|task| task.lane).collect();
        assert!(lanes.len() <= 1, "{what}: {} tasks use model {model} in place", lanes.len());
        lanes.first().copied()
    };
    let mut regions: Vec<Region> = Vec::new();
    for (index, model) in plan.models.iter().enumerate() {
        let shared = lane_of(index).map(|lane| (index, lane));
        for tensor in model.inputs.iter().chain(&model.outputs) {
            let shared = shared.filter(|_| model.tensors == "job");
            regions.push((model.pool, tensor.at, tensor.at + tensor.bytes, shared));
        }
        regions.push((model.pool, model.scratch_at, model.scratch_at + model.scratch_bytes, shared));
        regions.push((model.pool, model.persistent_at, model.persistent_at + model.persistent_bytes, None));
        assert_eq!(model.memory == "planned", !model.runs.is_empty(), "{what}");
        let kept = blocks_sound(&model.load, model.persistent_bytes, what);
        assert!(kept <= model.persistent_bytes, "{what}");
        for run in &model.runs {
            assert_eq!(blocks_sound(&run.steps, model.scratch_bytes, what), 0, "{what}: a run leaves blocks behind");
        }
    }
    for (index, one) in regions.iter().enumerate() {
        let pool = &plan.pools[usize::from(one.0)];
        assert!(one.2 <= pool.height_bytes && pool.height_bytes + pool.weights_bytes <= pool.capacity_bytes, "{what}");
        assert!(one.1 % 64 == 0, "{what}");
        for other in &regions[index + 1..] {
            let overlap = one.0 == other.0 && one.1.max(other.1) < one.2.min(other.2);
            let shared =
                matches!((one.3, other.3), (Some((one, lane)), Some((two, same))) if one != two && lane == same);
            assert!(!overlap || shared, "{what}: {one:?} and {other:?} overlap");
        }
    }
}

/// Compares every new block with every live one; returns the bytes that are live at the end.
fn blocks_sound(steps: &[Vec<i64>], region: u64, what: &str) -> u64 {
    let mut live: Vec<(i64, u64, u64)> = Vec::new();
    for step in steps {
        let number = |at: usize| u64::try_from(step[at]).unwrap();
        if step.len() == 1 {
            let before = live.len();
            live.retain(|(slot, ..)| *slot != step[0]);
            assert_eq!(live.len() + 1, before, "{what}: slot {} is not live", step[0]);
            continue;
        }
        let (start, end) = (number(2), number(2) + number(1).max(1).next_multiple_of(64));
        assert!(start % 64 == 0 && end <= region, "{what}: {step:?}");
        for (slot, other, other_end) in &live {
            assert!(*slot != step[0] && (end <= *other || *other_end <= start), "{what}: {step:?} overlaps");
        }
        live.push((step[0], start, end));
    }
    live.iter().map(|(_, start, end)| end - start).sum()
}

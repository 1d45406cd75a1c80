//! Whether an accepted plan keeps its promises: by the generator's analysis of the plan's own numbers, by walking tables,
//! and by what of the memory can be live at once.

use aegis_codegen::analysis::{Load, analyse_in_order};
use aegis_codegen::plan::{self, Level, LevelPool, Plan};
use aegis_codegen::system::{Lane, System, Task};
use aegis_codegen::tables;
use aegis_core::desc::{Policy, Preemption};
use aegis_core::time::Duration;
use aegis_core::units::Priority;
use aegis_tests::{copies, live, planned};

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

/// The plan of one mode, as if its tasks were all there are; without models.
fn alone(plan: &Plan, mode: &plan::Mode) -> Plan {
    let place = |task: u16| u16::try_from(mode.tasks.iter().position(|own| own.task == task).unwrap()).unwrap();
    let lanes = plan.lanes.iter().zip(&mode.lanes).map(|(lane, own)| plan::Lane {
        busy_period_ns: own.busy_period_ns,
        points_ns: own.points_ns.clone(),
        slots: lane.slots.iter().map(|(at, task)| (*at, place(*task))).collect(),
        ..lane.clone()
    });
    let tasks = mode.tasks.iter().map(|own| plan::Task {
        model: None,
        response_ns: own.response_ns,
        certificate: own.certificate.clone(),
        ..plan.tasks[usize::from(own.task)].clone()
    });
    let (lanes, tasks) = (lanes.collect(), tasks.collect());
    Plan { lanes, tasks, modes: Vec::new(), levels: Vec::new(), models: Vec::new(), pools: Vec::new(), ..plan.clone() }
}

/// A plan with modes keeps its promises if each mode does, and if what it says of all of them is the worst.
fn in_modes(plan: &Plan, what: &str) {
    assert!(plan.modes.len() <= 16 && plan.levels.is_empty(), "{what}");
    for mode in &plan.modes {
        assert!(!mode.tasks.is_empty() && mode.tasks.windows(2).all(|pair| pair[0].task < pair[1].task), "{what}");
        assert_eq!(mode.lanes.len(), plan.lanes.len(), "{what}");
        sound(&alone(plan, mode), &format!("{what}, in {}", mode.name));
        for (own, lane) in mode.lanes.iter().zip(&plan.lanes) {
            assert!(own.busy_period_ns <= lane.busy_period_ns, "{what}: {} is busy for longer", lane.name);
            let end = own.busy_period_ns + lane.wakeup_latency_ns + lane.thread_wait_ns;
            assert!(mode.leaves_ns >= end, "{what}: {} is left before {} is idle", mode.name, lane.name);
        }
    }
    for (position, task) in plan.tasks.iter().enumerate() {
        let own = |mode: &plan::Mode| mode.tasks.iter().find(|own| usize::from(own.task) == position).cloned();
        let own: Vec<plan::ModeTask> = plan.modes.iter().filter_map(own).collect();
        assert!(!own.is_empty() && task.stage.is_none(), "{what}: {} never runs", task.name);
        assert!(own.iter().all(|own| own.response_ns <= task.response_ns), "{what}: {}", task.name);
        assert!(u64::from(task.queue) > task.response_ns / task.period_ns, "{what}");
        let in_table = plan.lanes[usize::from(task.lane)].policy == "time-triggered";
        assert!(!in_table || own.len() == plan.modes.len(), "{what}: {} leaves its table", task.name);
    }
    memory_sound(plan, what);
}

/// Panics where an accepted plan does not keep a promise.
pub(crate) fn sound(plan: &Plan, what: &str) {
    if !plan.modes.is_empty() {
        return in_modes(plan, what);
    }
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
    gaps(plan, lane, position, what);
    let on_lane = |task: &plan::Task| usize::from(task.lane) == position && !task.submitted;
    for (place, task) in plan.tasks.iter().enumerate().filter(|(_, task)| on_lane(task)) {
        let jobs = (LAPS - 3) * lane.hyperperiod_ns / task.period_ns;
        assert!(done[place] >= jobs, "{what}: {} has no slot for some of its jobs", task.name);
    }
}

/// Bounds the tasks without slots anew, instant by instant.
fn gaps(plan: &Plan, lane: &plan::Lane, position: usize, what: &str) {
    let late = lane.wakeup_latency_ns + lane.thread_wait_ns;
    let overhead = lane.dispatch_overhead_ns + lane.launch_overhead_ns + lane.domain_switch_ns + lane.thread_wait_ns;
    let lap = lane.hyperperiod_ns;
    // Whether each instant of three laps is free, and until when.
    let mut until = vec![0; usize::try_from(3 * lap).unwrap()];
    let slots = lane.slots.iter().chain(&lane.slots).chain(&lane.slots).chain(&lane.slots).enumerate();
    let slots = slots.map(|(number, (at, task))| {
        let at = at + lap * u64::try_from(number / lane.slots.len()).unwrap();
        (at, at + late + overhead + plan.tasks[usize::from(*task)].wcet_ns)
    });
    let slots: Vec<(u64, u64)> = slots.collect();
    for pair in slots.windows(2) {
        (pair[0].1..pair[1].0.min(3 * lap)).for_each(|at| until[usize::try_from(at).unwrap()] = pair[1].0);
    }
    let of_gaps = plan.tasks.iter().filter(|task| usize::from(task.lane) == position && task.submitted);
    let of_gaps: Vec<&plan::Task> = of_gaps.collect();
    for own in &of_gaps {
        assert!(lane.slots.iter().all(|(_, task)| plan.tasks[usize::from(*task)].name != own.name), "{what}");
        let pieces = |task: &plan::Task| {
            let whole = vec![task.wcet_ns];
            let pieces = if task.segments_ns.is_empty() { &whole } else { &task.segments_ns };
            pieces.iter().map(|piece| piece + overhead).collect::<Vec<u64>>()
        };
        let cost = |task: &plan::Task| pieces(task).iter().sum::<u64>();
        let longest = |task: &plan::Task| *pieces(task).iter().max().unwrap();
        let seen = |task: &plan::Task, window: u64| window + task.jitter_ns + late;
        let before: Vec<&&plan::Task> = of_gaps.iter().filter(|task| task.priority < own.priority).collect();
        let blocking = of_gaps.iter().filter(|task| task.priority > own.priority).map(|task| longest(task) - 1);
        let blocking = blocking.max().unwrap_or(0);
        let piece = before.iter().map(|task| longest(task)).max().unwrap_or(0).max(longest(own));
        let is_sure: Vec<bool> = (lap..2 * lap).map(|at| at + piece <= until[usize::try_from(at).unwrap()]).collect();
        assert!(is_sure.contains(&true), "{what}: {} fits no gap", own.name);
        let window = |asked: u64| {
            let one = |begin: u64| {
                let (mut length, mut given) = (0, 0);
                while given < asked {
                    given += u64::from(is_sure[usize::try_from((begin + length) % lap).unwrap()]);
                    length += 1;
                }
                length
            };
            (0..lap).map(one).max().unwrap()
        };
        let solve = |least: u64, asked: &dyn Fn(u64) -> u64, more: u64| {
            (least..).find(|length| window(asked(*length)) <= length + more).unwrap()
        };
        let all = |length: u64| {
            before
                .iter()
                .copied()
                .chain([own])
                .map(|task| seen(task, length).div_ceil(task.period_ns) * cost(task))
                .sum::<u64>()
        };
        let busy = solve(1, &|length| blocking + all(length), 0);
        let last = *pieces(own).last().unwrap();
        for q in 0..seen(own, busy).div_ceil(own.period_ns) {
            let asked = |start: u64| {
                let others = before.iter().map(|task| (seen(task, start) / task.period_ns + 1) * cost(task));
                blocking + (q + 1) * cost(own) - last + others.sum::<u64>() + 1
            };
            let response = seen(own, solve(0, &asked, 1)) + last - q * own.period_ns;
            assert!(response <= own.response_ns, "{what}: {} responds within {response}", own.name);
        }
    }
}

/// Judges the memory by what can be live at once, in the plan's own layout and in each level's.
fn memory_sound(plan: &Plan, what: &str) {
    for model in 0..plan.models.len() {
        let users = plan.tasks.iter().filter(|task| task.model.map(usize::from) == Some(model));
        let users: Vec<_> = users.collect();
        assert!(users.len() <= 1, "{what}: {} tasks use model {model} in place", users.len());
        let (pieces, segments) =
            (users.first().map_or(0, |task| task.segments_ns.len()), plan.models[model].segments.len());
        assert!(pieces <= 1 || pieces == segments, "{what}: {pieces} pieces of {segments} segments");
    }
    for model in &plan.models {
        model_sound(plan, model, what);
    }
    let pools: Vec<LevelPool> = plan.pools.iter().map(own_part).collect();
    layout_sound(plan, None, &pools, what);
    for (number, pool) in plan.pools.iter().enumerate() {
        let shares = |other: &plan::Pool| other.shares.map(usize::from) == Some(number);
        let takes = |pool: &plan::Pool| {
            let context = pool.gpu.as_ref().and_then(|gpu| gpu.context_bytes).unwrap_or(0);
            u128::from(pool.height_bytes) + u128::from(pool.weights_bytes) + u128::from(context)
        };
        let sharing: u128 = plan.pools.iter().filter(|other| shares(other)).map(takes).sum();
        assert!(pool.shares.is_none() || sharing == 0, "{what}: a chain of devices that share");
        let own = takes(pool) + sharing + copied_with(plan, number, what);
        assert!(pool.shares.is_some() || own <= pool.capacity_bytes.into(), "{what}: {own} bytes of {}", pool.name);
    }
    for level in &plan.levels {
        level_sound(plan, level, &format!("{what}, at {}", level.name));
    }
}

/// What the inputs and outputs of GPUs' models have of the memory of a pool that has its own.
fn copied_with(plan: &Plan, pool: usize, what: &str) -> u128 {
    let gpus = plan.pools.iter().enumerate().filter_map(|(number, own)| Some((number, own.gpu.as_ref()?.staging?)));
    let mut sum = 0;
    for (number, staging) in gpus {
        let with = &plan.pools[usize::from(staging)];
        assert!(usize::from(staging) == number || with.gpu.is_none(), "{what}: copies in another device's memory");
        if with.shares.unwrap_or(staging) == u16::try_from(pool).unwrap() {
            let here = plan.models.iter().filter(|model| usize::from(model.pool) == number);
            let ends = here.flat_map(|model| model.inputs.iter().chain(&model.outputs));
            sum += ends.map(|tensor| u128::from(tensor.bytes.next_multiple_of(64))).sum::<u128>();
        }
    }
    sum
}

fn own_part(pool: &plan::Pool) -> LevelPool {
    LevelPool {
        weights_bytes: pool.weights_bytes,
        height_bytes: pool.height_bytes,
        lower_bound_bytes: pool.lower_bound_bytes,
        copied_bytes: 0,
        unused: Vec::new(),
    }
}

/// What lies in each pool: below its height, apart where it must be, and as much at once as the bound says.
fn layout_sound(plan: &Plan, level: Option<&Level>, pools: &[LevelPool], what: &str) {
    let things = live::things(plan, level);
    assert_eq!(pools.len(), plan.pools.len(), "{what}");
    for (number, pool) in (0_u16..).zip(pools) {
        let here = plan.models.iter().enumerate().filter(|(_, model)| model.pool == number);
        let stays = here.filter(|(model, _)| !level.is_some_and(|level| live::is_shed(plan, level, *model)));
        assert_eq!(stays.map(|(_, model)| model.weights_bytes).sum::<u64>(), pool.weights_bytes, "{what}");
        let demand = live::demand(plan, level, &things, number);
        assert_eq!(demand, pool.lower_bound_bytes, "{what}: what is live at once in pool {number}");
        assert!(demand <= pool.height_bytes, "{what}: {demand} bytes at once");
    }
    for (index, one) in things.iter().enumerate() {
        assert!(one.end <= pools[usize::from(one.pool)].height_bytes && one.at % one.alignment == 0, "{what}: {one:?}");
        for other in &things[index + 1..] {
            assert!(!one.overlaps(other) || !live::meet(plan, one, other), "{what}: {one:?} and {other:?} overlap");
        }
    }
}

fn level_sound(plan: &Plan, level: &Level, what: &str) {
    let ascending = |tasks: &[u16]| tasks.windows(2).all(|pair| pair[0] < pair[1]);
    let known = |task: &u16| usize::from(*task) < plan.tasks.len();
    assert!(ascending(&level.shed) && ascending(&level.reject), "{what}");
    assert!(level.shed.iter().chain(&level.reject).all(known) && level.shed.len() < plan.tasks.len(), "{what}");
    assert!(level.shed.iter().all(|task| !level.reject.contains(task)), "{what}: a task is shed and rejected");
    for (position, task) in (0_u16..).zip(&plan.tasks) {
        if let Some(stage) = &task.stage {
            for list in [&level.shed, &level.reject] {
                assert_eq!(list.contains(&position), list.contains(&stage.after), "{what}: a part of a task");
            }
        }
    }
    // Where something moves, every job has to end before, and otherwise those of tasks that stop.
    let stops = |task: &u16| !level.models.is_empty() || level.shed.contains(task);
    let ends = (0_u16..).zip(&plan.tasks).filter(|(position, _)| stops(position)).map(|(_, task)| task.response_ns);
    let copies = level.moves.iter().map(|(model, tensor)| {
        let model = &plan.models[usize::from(*model)];
        let bytes = live::tensors(model).nth(usize::from(*tensor)).unwrap().bytes;
        u128::from(bytes.div_ceil(1 << 20)) * u128::from(plan.pools[usize::from(model.pool)].copy_per_mib_ns)
    });
    let least = u128::from(ends.max().unwrap_or(0)) + copies.sum::<u128>();
    assert!(least <= level.settles_ns.into(), "{what}: a job or a copy ends later");
    layout_sound(plan, Some(level), &level.pools, what);
    for (pool, left) in plan.pools.iter().zip(&level.pools) {
        assert!(left.height_bytes <= pool.height_bytes, "{what}: a higher arena than was taken");
    }
    let mut copied = vec![0; plan.pools.len()];
    for (number, (moved, own)) in level.models.iter().zip(&plan.models).enumerate() {
        if live::is_shed(plan, level, number) {
            continue;
        }
        model_sound(plan, moved, what);
        assert_eq!((&moved.tensors, moved.weights_bytes), (&own.tensors, own.weights_bytes), "{what}");
        for (moved, own) in moved.segments.iter().zip(&own.segments) {
            let loaded = |segment: &plan::Segment| (segment.persistent_at, segment.persistent_bytes);
            assert_eq!(loaded(moved), loaded(own), "{what}: what the runtime has addresses of moves");
            let places = |segment: &plan::Segment| {
                segment.load.iter().map(|step| step[..step.len().min(3)].to_vec()).collect::<Vec<_>>()
            };
            assert_eq!(places(moved), places(own), "{what}: a block of loading moves");
        }
        for ((one, other), life) in live::tensors(moved).zip(live::tensors(own)).zip(live::lives(own)) {
            assert_eq!((&one.shape, one.bytes), (&other.shape, other.bytes), "{what}");
            if life == live::When::Kept && one.at != other.at {
                copied[usize::from(own.pool)] += one.bytes.next_multiple_of(live::alignment(plan, own.pool));
            }
        }
    }
    let claimed: Vec<u64> = level.pools.iter().map(|pool| pool.copied_bytes).collect();
    assert_eq!(copied, claimed, "{what}");
    let rated = plan.pools.iter().zip(&copied).all(|(pool, bytes)| *bytes == 0 || pool.copy_per_mib_ns > 0);
    assert!(rated, "{what}: a copy takes no time");
    copies::carried_out(plan, level).unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
}

/// Whether a model's segments read what is there, and its sequences keep to their regions.
fn model_sound(plan: &Plan, model: &plan::Model, what: &str) {
    let alignment = live::alignment(plan, model.pool);
    let count = live::tensors(model).count();
    let mut there: Vec<usize> = (0..model.inputs.len()).collect();
    for segment in &model.segments {
        let named = |list: &[u16]| list.iter().map(|tensor| usize::from(*tensor)).collect::<Vec<_>>();
        assert!(named(&segment.reads).iter().all(|tensor| there.contains(tensor)), "{what}: reads what is not there");
        for tensor in named(&segment.writes) {
            assert!(tensor < count && !there.contains(&tensor), "{what}: writes what is there, or nothing");
            there.push(tensor);
        }
        assert_eq!(segment.memory == "planned", !segment.runs.is_empty(), "{what}");
        blocks_sound(&segment.load, segment.persistent_bytes, alignment, what);
        for run in &segment.runs {
            assert_eq!(
                blocks_sound(&run.steps, segment.scratch_bytes, alignment, what),
                0,
                "{what}: a run leaves blocks behind"
            );
        }
    }
    assert_eq!(there.len(), count, "{what}: nothing writes a tensor");
}

/// Compares every new block with every live one; returns the bytes that are live at the end.
fn blocks_sound(steps: &[Vec<i64>], region: u64, alignment: u64, what: &str) -> u64 {
    let mut live: Vec<(i64, u64, u64)> = Vec::new();
    for step in steps {
        let number = |at: usize| u64::try_from(step[at]).unwrap();
        if step.len() == 1 {
            let before = live.len();
            live.retain(|(slot, ..)| *slot != step[0]);
            assert_eq!(live.len() + 1, before, "{what}: slot {} is not live", step[0]);
            continue;
        }
        let (start, end) = (number(2), number(2) + number(1).max(1).next_multiple_of(alignment));
        assert!(start % alignment == 0 && end <= region, "{what}: {step:?}");
        for (slot, other, other_end) in &live {
            assert!(*slot != step[0] && (end <= *other || *other_end <= start), "{what}: {step:?} overlaps");
        }
        live.push((step[0], start, end));
    }
    live.iter().map(|(_, start, end)| end - start).sum()
}

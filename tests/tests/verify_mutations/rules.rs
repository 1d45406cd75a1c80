//! Each rule is named by what breaks it, to the last nanosecond.

use super::plans::{descriptors, good};
use aegis_codegen::analysis::Load;
use aegis_codegen::plan::{Certificate, Plan};
use aegis_codegen::system::{Level, Task};
use aegis_core::desc::{BETWEEN_LEVELS, Policy, SystemDesc};
use aegis_core::layout::TABLE_LAYOUT;
use aegis_core::time::Duration;
use aegis_core::verify::{Broken, Place, Violation, place, verify};
use aegis_core::{LevelId, TaskId};
use aegis_tests::planned::{lane, lock, system, task};

#[test]
fn an_event_waits_for_all_that_the_thread_may_do_first() {
    let on = |name, lane| task(name, lane, Load::whole(10, 10_000, 9_000, 0));
    let submitted = Task { submitted: true, ..on("x", 1) };
    let lanes = vec![lane("a", Policy::RateMonotonic, 30, 7), lane("b", Policy::EarliestDeadlineFirst, 5, 0)];
    let mut vehicle = system(lanes, vec![on("w", 0), submitted]);
    let shed = Level { name: "high".to_owned(), shed: vec![0], reject: Vec::new(), compact: false, span: 0..0 };
    // The other lane twice, the submission once, and the dearest lane for a change of level.
    for (levels, waits) in [(Vec::new(), [2 * 5 + 5, 2 * 30 + 5]), (vec![shed], [2 * 5 + 5 + 30, 2 * 30 + 5 + 30])] {
        let has_levels = !levels.is_empty();
        vehicle.levels = levels;
        for (lane, wait) in vehicle.lanes.iter_mut().zip(waits) {
            lane.thread_wait = Duration::from_ns(wait);
        }
        let plan = lock(&vehicle).unwrap().plan;
        let with = |lane: usize, wait: u64| {
            let mut changed = plan.clone();
            changed.lanes[lane].thread_wait_ns = wait;
            verify(descriptors(changed))
        };
        for (lane, wait) in waits.into_iter().enumerate() {
            assert_eq!(with(lane, wait), Ok(()));
            assert_eq!(with(lane, wait - 1), Err(Violation::Waits));
            let too_long = if has_levels { Violation::Waits } else { Violation::Responses };
            assert_eq!(with(lane, BETWEEN_LEVELS.as_ns()), Err(too_long));
        }
    }
}

#[test]
fn vacuous_and_foreign_certificates_are_refused() {
    let plan = good().plan;
    let refused = |change: &dyn Fn(&mut Plan), why: Violation| {
        let mut changed = plan.clone();
        change(&mut changed);
        assert_eq!(verify(descriptors(changed)), Err(why));
    };
    let certificate = |blocking_ns, busy_period_ns, starts_ns: &[u64]| Certificate::FixedPriority {
        blocking_ns,
        busy_period_ns,
        starts_ns: starts_ns.to_vec(),
    };
    let Certificate::FixedPriority { blocking_ns, busy_period_ns, starts_ns } = plan.tasks[2].certificate.clone()
    else {
        panic!("the third task's lane has fixed priorities")
    };
    assert!(starts_ns.len() > 1);
    let with = |certificate: Certificate, response: u64| {
        move |plan: &mut Plan| {
            plan.tasks[2].certificate = certificate.clone();
            plan.tasks[2].response_ns = response;
        }
    };
    let response = plan.tasks[2].response_ns;
    // An empty interval solves every recurrence and holds no instance: it would prove anything.
    refused(&with(certificate(0, 0, &[]), 0), Violation::Responses);
    refused(&with(certificate(blocking_ns, 0, &[]), 0), Violation::Responses);
    refused(&with(certificate(blocking_ns, 0, &starts_ns), response), Violation::Responses);
    refused(&with(certificate(blocking_ns, busy_period_ns, &[]), 0), Violation::Responses);
    // Too few instances, too many, or in another order.
    let first = starts_ns[0] + plan.tasks[2].wcet_ns + 2 + 3;
    refused(&with(certificate(blocking_ns, busy_period_ns, &starts_ns[..1]), first), Violation::Responses);
    let longer: Vec<u64> = starts_ns.iter().copied().chain([busy_period_ns]).collect();
    refused(&with(certificate(blocking_ns, busy_period_ns, &longer), response), Violation::Responses);
    let reversed: Vec<u64> = starts_ns.iter().rev().copied().collect();
    refused(&with(certificate(blocking_ns, busy_period_ns, &reversed), response), Violation::Responses);
    // Nothing, and the other policies' certificates.
    refused(&with(Certificate::Unproven {}, response), Violation::Responses);
    refused(&with(Certificate::Edf { starts_ns: Vec::new() }, plan.tasks[2].deadline_ns), Violation::Responses);
    refused(&with(Certificate::Table {}, plan.tasks[2].deadline_ns), Violation::Responses);
    refused(&|plan| plan.lanes[0].policy = "edf".to_owned(), Violation::Responses);
    refused(&|plan| plan.lanes[2].policy = "rate-monotonic".to_owned(), Violation::Responses);
    let of = |policy: &str| plan.lanes.iter().position(|lane| lane.policy == policy).unwrap();
    let (edf, table) = (of("edf"), of("time-triggered"));
    let on = |lane: usize| plan.tasks.iter().position(|task| usize::from(task.lane) == lane).unwrap();
    refused(&|plan| plan.tasks[on(edf)].certificate = certificate(0, 20, &[0]), Violation::Responses);
    refused(&|plan| plan.tasks[on(edf)].certificate = Certificate::Unproven {}, Violation::Responses);
    refused(&|plan| plan.tasks[on(table)].certificate = Certificate::Unproven {}, Violation::Responses);
    // Without points there is no deadline to look at, and whatever is due later is claimed to be in time.
    refused(&|plan| plan.lanes[edf].points_ns.clear(), Violation::Responses);
    refused(
        &|plan| {
            plan.lanes[edf].points_ns.clear();
            plan.lanes[edf].busy_period_ns = 1;
        },
        Violation::Responses,
    );
    refused(
        &|plan| {
            plan.lanes[edf].points_ns.pop();
        },
        Violation::Responses,
    );
    // No slots, and a table of no length.
    refused(&|plan| plan.lanes[table].slots.clear(), Violation::Responses);
    refused(&|plan| plan.lanes[table].hyperperiod_ns = 0, Violation::Responses);
    refused(
        &|plan| {
            plan.lanes[table].slots.clear();
            (plan.lanes[table].hyperperiod_ns, plan.lanes[table].busy_period_ns) = (0, 1);
        },
        Violation::Responses,
    );
    // What only EDF lanes and tables have, elsewhere.
    refused(&|plan| plan.lanes[0].points_ns = plan.lanes[edf].points_ns.clone(), Violation::Points);
    refused(&|plan| plan.lanes[0].slots = vec![(0, 0)], Violation::Slots);
    refused(&|plan| plan.lanes[0].hyperperiod_ns = 1, Violation::Slots);
    refused(&|plan| plan.lanes[edf].slots = vec![(0, 5)], Violation::Slots);
    refused(&|plan| plan.lanes[table].points_ns = vec![(10, 10)], Violation::Points);
    // A lane that is never busy.
    refused(&|plan| plan.lanes[0].busy_period_ns = 0, Violation::References);
    refused(&|plan| plan.lanes[edf].busy_period_ns = 1, Violation::Responses);
    // No tasks at all.
    refused(&|plan| plan.tasks.clear(), Violation::References);
}

#[test]
fn an_empty_busy_period_proves_nothing_even_where_it_solves_every_recurrence() {
    // Without jitter and blocking, 0 = 0 · C holds, and there is no instance to look at.
    let load = Load::whole(9, 10, 10, 0);
    let plan =
        lock(&system(vec![lane("main", Policy::RateMonotonic, 0, 0)], vec![task("only", 0, load)])).unwrap().plan;
    assert_eq!(verify(descriptors(plan.clone())), Ok(()));
    for (busy_period_ns, starts_ns) in [(0, vec![]), (0, vec![0]), (9, vec![]), (10, vec![0])] {
        let mut vacuous = plan.clone();
        vacuous.tasks[0].response_ns = if starts_ns.is_empty() { 0 } else { 9 };
        vacuous.tasks[0].certificate = Certificate::FixedPriority { blocking_ns: 0, busy_period_ns, starts_ns };
        assert_eq!(verify(descriptors(vacuous)), Err(Violation::Responses), "{busy_period_ns}");
    }
}

#[test]
fn the_last_nanosecond_decides() {
    let load = |cost, period, deadline| Load::whole(cost, period, deadline, 0);
    let with_deadline = |plan: &Plan, task: usize, deadline: u64, response: u64| {
        let mut plan = plan.clone();
        (plan.tasks[task].deadline_ns, plan.tasks[task].response_ns) = (deadline, response);
        verify(descriptors(plan))
    };
    // Under EDF, 4 of blocking and 2 of demand fit 6, and do not fit 5.
    let lanes = vec![lane("main", Policy::EarliestDeadlineFirst, 0, 0)];
    let plan = lock(&system(lanes, vec![task("x", 0, load(2, 10, 6)), task("y", 0, load(5, 20, 20))])).unwrap().plan;
    assert_eq!((plan.tasks[0].response_ns, plan.lanes[0].points_ns[0].0), (6, 6));
    assert_eq!(with_deadline(&plan, 0, 6, 6), Ok(()));
    assert_eq!(with_deadline(&plan, 0, 6, 5), Err(Violation::Responses));
    assert_eq!(with_deadline(&plan, 0, 5, 6), Err(Violation::Responses));
    // With points at the deadlines that a deadline of 5 would have.
    let mut tight = plan.clone();
    (tight.tasks[0].deadline_ns, tight.tasks[0].response_ns) = (5, 5);
    for point in tight.lanes[0].points_ns.iter_mut().filter(|point| point.0 % 10 == 6) {
        point.0 -= 1;
    }
    assert_eq!(verify(descriptors(tight)), Err(Violation::Responses));
    // Under fixed priorities the bound of 6 must not exceed the deadline.
    let lanes = vec![lane("main", Policy::RateMonotonic, 0, 0)];
    let plan = lock(&system(lanes, vec![task("x", 0, load(2, 10, 6)), task("y", 0, load(5, 20, 20))])).unwrap().plan;
    assert_eq!(with_deadline(&plan, 0, 6, 6), Ok(()));
    assert_eq!(with_deadline(&plan, 0, 5, 6), Err(Violation::Responses));
}

/// A plan's tables after a change.
fn changed(plan: &Plan, change: &dyn Fn(&mut Plan)) -> &'static SystemDesc {
    let mut changed = plan.clone();
    change(&mut changed);
    descriptors(changed)
}

#[test]
fn each_rule_is_named() {
    let plan = good().plan;
    let verdict = |change: &dyn Fn(&mut Plan)| verify(changed(&plan, change)).err();
    assert_eq!(verdict(&|plan| plan.tasks[0].lane = 9), Some(Violation::References));
    assert_eq!(verdict(&|plan| plan.tasks[0].model = Some(99)), Some(Violation::References));
    assert_eq!(verdict(&|plan| plan.tasks[1].priority = 0), Some(Violation::Priorities));
    assert_eq!(verdict(&|plan| plan.tasks[1].response_ns -= 1), Some(Violation::Responses));
    assert_eq!(verdict(&|plan| plan.tasks[0].queue = 0), Some(Violation::References));
    assert_eq!(verdict(&|plan| plan.pools[0].weights_bytes += 1), Some(Violation::Memory));
    assert_eq!(
        verdict(&|plan| plan.pools[1].gpu.as_mut().unwrap().context_bytes = Some(59_000)),
        Some(Violation::Memory)
    );
    assert_eq!(verdict(&|plan| plan.pools[1].gpu.as_mut().unwrap().staging = Some(2)), Some(Violation::Memory));
    // A tensor in a GPU's memory where one of the CPU could begin.
    let on_gpu = plan.models.iter().position(|model| model.pool == 1).unwrap();
    assert_eq!(verdict(&|plan| plan.models[on_gpu].inputs[0].at += 64), Some(Violation::Memory));
    // Two pieces of a model of three segments, and the other way round.
    let [two, three] = ["e", "i"].map(|name| plan.tasks.iter().position(|task| task.name == name).unwrap());
    let swapped = |plan: &mut Plan| {
        let model = plan.tasks[two].model;
        plan.tasks[two].model = plan.tasks[three].model;
        plan.tasks[three].model = model;
    };
    assert_eq!(verdict(&swapped), Some(Violation::Pieces));
    assert_eq!(verdict(&|plan| plan.levels[1].settles_ns -= 1), Some(Violation::Levels));
    assert_eq!(verdict(&|plan| plan.pools[0].copy_per_mib_ns = 0), Some(Violation::Levels));
    assert_eq!(verdict(&|plan| plan.levels[1].pools[0].copied_bytes += 64), Some(Violation::Levels));
    assert_eq!(verdict(&|plan| plan.levels[1].moves.truncate(1)), Some(Violation::Levels));
    assert_eq!(verdict(&|plan| plan.levels[1].models[1].pool = 99), Some(Violation::Levels));
    let all: Vec<u16> = (0..).take(plan.tasks.len()).collect();
    assert_eq!(verdict(&|plan| plan.levels[0].shed.clone_from(&all)), Some(Violation::Levels));
    // A queue of 1 where a response lasts longer than a period.
    let deep = plan.tasks.iter().position(|task| task.queue > 1).expect("a response longer than its period");
    assert_eq!(verdict(&|plan| plan.tasks[deep].queue -= 1), Some(Violation::Queues));
    let edf = plan.lanes.iter().position(|lane| lane.policy == "edf").unwrap();
    assert_eq!(verdict(&|plan| plan.lanes[edf].points_ns[0].1 -= 1), Some(Violation::Points));
    let table = plan.lanes.iter().position(|lane| lane.policy == "time-triggered").unwrap();
    for other in ["none", "full"] {
        assert_eq!(verdict(&|plan| plan.lanes[table].preemption = other.to_owned()), Some(Violation::References));
    }
    // A slot holds a whole job, also where what is in the gaps gives way.
    let slot = usize::from(plan.lanes[table].slots[0].1);
    let halves = [1, plan.tasks[slot].wcet_ns - 1];
    assert_eq!(verdict(&|plan| plan.tasks[slot].segments_ns = halves.to_vec()), Some(Violation::Responses));
    let layout = SystemDesc { layout: TABLE_LAYOUT + 1, ..*descriptors(plan.clone()) };
    assert_eq!(verify(&layout), Err(Violation::Layout));
}

#[test]
fn the_task_or_level_that_breaks_a_rule_by_itself_is_named() {
    let plan = good().plan;
    let named = |change: &dyn Fn(&mut Plan)| {
        let desc = changed(&plan, change);
        let violation = verify(desc).unwrap_err();
        let (at, told) = (place(desc, violation), Broken { system: desc, violation }.to_string());
        let name = match at {
            Some(Place::Task(task)) => format!(": task \"{}\", number {}", desc.tasks[task.index()].name, task.0),
            Some(Place::Level(level)) => format!(": level \"{}\", number {}", desc.levels[level.index()].name, level.0),
            None => String::new(),
        };
        assert_eq!(told, format!("{violation}{name}"));
        (violation, at)
    };
    let task = |task| Some(Place::Task(TaskId(task)));
    for (position, number) in (0..plan.tasks.len()).zip(0_u16..) {
        assert_eq!(named(&|plan| plan.tasks[position].lane = 9), (Violation::References, task(number)));
        // A stage rests on the one before it, and may be told in its place.
        if plan.tasks.iter().any(|other| other.stage.as_ref().is_some_and(|stage| stage.after == number)) {
            continue;
        }
        assert_eq!(named(&|plan| plan.tasks[position].domain = Some(9)), (Violation::Domains, task(number)));
        let bound = named(&|plan| plan.tasks[position].response_ns = 1);
        assert!(bound == (Violation::Responses, task(number)), "{position}: {bound:?}");
    }
    // Of two with one priority the later one is told.
    assert_eq!(named(&|plan| plan.tasks[1].priority = plan.tasks[0].priority), (Violation::Priorities, task(1)));
    let deep = plan.tasks.iter().position(|task| task.queue > 1).unwrap();
    let short = named(&|plan| plan.tasks[deep].queue -= 1);
    assert_eq!(short, (Violation::Queues, task(u16::try_from(deep).unwrap())));
    let level = named(&|plan| plan.levels[1].settles_ns -= 1);
    assert_eq!(level, (Violation::Levels, Some(Place::Level(LevelId(1)))));
    // Two tasks run one model: neither by itself.
    assert_eq!(named(&|plan| plan.tasks[1].model = Some(0)).1, None);
}

#[test]
fn two_tasks_that_run_one_model_are_refused() {
    // Inputs, outputs and scratch are used in place: on two lanes both tasks would write them at once.
    let memory = Violation::Memory;
    // The second is on a lane of a GPU, in whose memory its model does not lie.
    for (task, model, refused) in [(1, 0, memory), (3, 1, Violation::Partitions), (5, 0, memory), (6, 3, memory)] {
        let mut plan = good().plan;
        plan.tasks[task].model = Some(model);
        let verdict = verify(descriptors(plan));
        assert_eq!(verdict, Err(refused), "task {task} runs model {model}, which another task runs");
    }
}

#[test]
fn parts_that_a_device_cannot_give_are_refused() {
    let of = |change: &dyn Fn(&mut Plan)| {
        let mut plan = good().plan;
        change(&mut plan);
        verify(descriptors(plan))
    };
    let part = |lane: usize, change: fn(&mut aegis_codegen::plan::Partition)| {
        of(&|plan| change(plan.lanes[lane].partition.as_mut().unwrap()))
    };
    let gpu = |pool: usize, change: fn(&mut aegis_codegen::system::Gpu)| {
        of(&|plan| change(plan.pools[pool].gpu.as_mut().unwrap()))
    };
    let refused = Err(Violation::Partitions);
    for verdict in [
        part(1, |part| part.sms = 9),
        part(1, |part| part.sms = 0),
        part(5, |part| part.sms = 24),
        part(1, |part| part.pool = 0),
        part(1, |part| part.pool = 2),
        part(1, |part| part.pool = 3),
        gpu(1, |gpu| gpu.unit = 0),
        gpu(1, |gpu| gpu.unit = 16),
        gpu(1, |gpu| gpu.sms = 23),
        gpu(1, |gpu| gpu.units = 2),
        gpu(1, |gpu| gpu.units = 4),
        gpu(2, |gpu| gpu.ordinal = 0),
        of(&|plan| plan.pools[1].gpu = None),
        of(&|plan| plan.lanes[1].partition = None),
        of(&|plan| plan.lanes[0].partition = plan.lanes[1].partition.clone()),
    ] {
        assert_eq!(verdict, refused);
    }
    // How the thread waits is no term of a proof, and fewer SMs are as possible as more.
    assert_eq!(part(1, |part| part.completion = "blocking".to_owned()), Ok(()));
    assert_eq!(part(5, |part| part.sms = 8), Ok(()));
}

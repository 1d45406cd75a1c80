//! Every number of a plan, changed: the core's checker must refuse it, or the change is one that the proof allows.
//!
//! What may be accepted is written down per field with the reason, and each accepted plan is analysed anew: its bounds
//! must hold for the changed numbers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at whatever it did not expect"
)]

use aegis_codegen::analysis::{Load, Pieces, demand, fixed_priority};
use aegis_codegen::lock::Lock;
use aegis_codegen::plan::{Certificate, Plan};
use aegis_codegen::system::{Device, File, Model, System, Tensor};
use aegis_codegen::tables;
use aegis_core::desc::{Backend, ElementType, Policy, SystemDesc};
use aegis_core::layout::TABLE_LAYOUT;
use aegis_core::units::{Bytes, Priority};
use aegis_core::verify::{Violation, verify};
use aegis_tests::planned::{lane, lock, system, task};
use std::collections::BTreeMap;

type Get = Box<dyn Fn(&Plan) -> u64>;
type Set = Box<dyn Fn(&mut Plan, u64)>;

/// A number of a plan: its name without positions, its place, and how to reach it.
struct Field {
    name: &'static str,
    place: String,
    get: Get,
    set: Set,
    /// The greatest value of the number's type.
    greatest: u64,
}

macro_rules! field {
    ($fields:ident, $name:literal, $place:expr, $greatest:expr, |$plan:ident| $path:expr) => {
        $fields.push(Field {
            name: $name,
            place: format!("{} of {}", $name, $place),
            get: Box::new(move |$plan: &Plan| u64::from($path)),
            set: Box::new(move |$plan: &mut Plan, value| $path = value.try_into().unwrap()),
            greatest: u64::from($greatest),
        });
    };
}

/// Every number that the proof speaks of, and the numbers beside them.
fn fields(plan: &Plan) -> Vec<Field> {
    let mut fields = Vec::new();
    for i in 0..plan.lanes.len() {
        let place = format!("lane {i}");
        field!(fields, "lane.dispatch-overhead", place, u64::MAX, |plan| plan.lanes[i].dispatch_overhead_ns);
        field!(fields, "lane.wakeup-latency", place, u64::MAX, |plan| plan.lanes[i].wakeup_latency_ns);
        field!(fields, "lane.busy-period", place, u64::MAX, |plan| plan.lanes[i].busy_period_ns);
    }
    for i in 0..plan.pools.len() {
        let place = format!("pool {i}");
        field!(fields, "pool.capacity", place, u64::MAX, |plan| plan.pools[i].capacity_bytes);
        field!(fields, "pool.weights", place, u64::MAX, |plan| plan.pools[i].weights_bytes);
        field!(fields, "pool.height", place, u64::MAX, |plan| plan.pools[i].height_bytes);
        field!(fields, "pool.private", place, u64::MAX, |plan| plan.pools[i].private_bytes);
    }
    for i in 0..plan.models.len() {
        let place = format!("model {i}");
        field!(fields, "model.pool", place, u16::MAX, |plan| plan.models[i].pool);
        field!(fields, "model.weights", place, u64::MAX, |plan| plan.models[i].weights_bytes);
        field!(fields, "model.scratch-at", place, u64::MAX, |plan| plan.models[i].scratch_at);
        field!(fields, "model.scratch", place, u64::MAX, |plan| plan.models[i].scratch_bytes);
        for k in 0..plan.models[i].inputs.len() {
            let place = format!("input {k} of {place}");
            field!(fields, "tensor.at", place, u64::MAX, |plan| plan.models[i].inputs[k].at);
            field!(fields, "tensor.bytes", place, u64::MAX, |plan| plan.models[i].inputs[k].bytes);
            field!(fields, "tensor.shape", place, u32::MAX, |plan| plan.models[i].inputs[k].shape[0]);
        }
        for k in 0..plan.models[i].outputs.len() {
            let place = format!("output {k} of {place}");
            field!(fields, "tensor.at", place, u64::MAX, |plan| plan.models[i].outputs[k].at);
            field!(fields, "tensor.bytes", place, u64::MAX, |plan| plan.models[i].outputs[k].bytes);
            field!(fields, "tensor.shape", place, u32::MAX, |plan| plan.models[i].outputs[k].shape[0]);
        }
    }
    for i in 0..plan.tasks.len() {
        task_fields(&mut fields, plan, i);
    }
    fields
}

fn task_fields(fields: &mut Vec<Field>, plan: &Plan, i: usize) {
    let place = format!("task {i}");
    field!(fields, "task.lane", place, u16::MAX, |plan| plan.tasks[i].lane);
    field!(fields, "task.priority", place, u16::MAX, |plan| plan.tasks[i].priority);
    field!(fields, "task.period", place, u64::MAX, |plan| plan.tasks[i].period_ns);
    field!(fields, "task.deadline", place, u64::MAX, |plan| plan.tasks[i].deadline_ns);
    field!(fields, "task.phase", place, u64::MAX, |plan| plan.tasks[i].phase_ns);
    field!(fields, "task.jitter", place, u64::MAX, |plan| plan.tasks[i].jitter_ns);
    field!(fields, "task.wcet", place, u64::MAX, |plan| plan.tasks[i].wcet_ns);
    field!(fields, "task.budget", place, u64::MAX, |plan| plan.tasks[i].budget_ns);
    field!(fields, "task.queue", place, u16::MAX, |plan| plan.tasks[i].queue);
    field!(fields, "task.response", place, u64::MAX, |plan| plan.tasks[i].response_ns);
    if plan.tasks[i].model.is_some() {
        fields.push(Field {
            name: "task.model",
            place: format!("task.model of {place}"),
            get: Box::new(move |plan| u64::from(plan.tasks[i].model.unwrap())),
            set: Box::new(move |plan, value| plan.tasks[i].model = Some(value.try_into().unwrap())),
            greatest: u64::from(u16::MAX),
        });
    }
    let Certificate::FixedPriority { starts_ns, .. } = &plan.tasks[i].certificate else { return };
    let mut numbers: Vec<(&'static str, usize)> = vec![("certificate.blocking", 0), ("certificate.busy-period", 0)];
    numbers.extend((0..starts_ns.len()).map(|q| ("certificate.start", q)));
    for (name, q) in numbers {
        fields.push(Field {
            name,
            place: format!("{name} {q} of {place}"),
            get: Box::new(move |plan| *certified(&mut plan.clone(), i, name, q)),
            set: Box::new(move |plan, value| *certified(plan, i, name, q) = value),
            greatest: u64::MAX,
        });
    }
}

fn certified<'p>(plan: &'p mut Plan, task: usize, name: &str, q: usize) -> &'p mut u64 {
    let Certificate::FixedPriority { blocking_ns, busy_period_ns, starts_ns } = &mut plan.tasks[task].certificate
    else {
        panic!("a fixed-priority certificate")
    };
    match name {
        "certificate.blocking" => blocking_ns,
        "certificate.busy-period" => busy_period_ns,
        _ => &mut starts_ns[q],
    }
}

/// The fields of which some changed values are accepted, with the reason.
const MAY_BE_ACCEPTED: &[(&str, &str)] = &[
    ("task.phase", "arrivals are taken as sporadic, so every phase is proven"),
    ("task.budget", "an overrun that is recorded earlier breaks no bound; a budget above the WCET is refused"),
    ("task.queue", "a longer queue holds all that may wait, too"),
    ("task.deadline", "under fixed priorities the bound does not depend on it; it stays at or below a later deadline"),
    ("task.priority", "a number that keeps the order, and under EDF any unique number"),
    ("task.period", "the certificate solves the recurrences of the other period, too"),
    (
        "task.jitter",
        "the certificate solves the recurrences of the other jitter, and under EDF the demand is recomputed",
    ),
    ("lane.busy-period", "the other length solves the recurrence, too, and every solution is long enough"),
    ("lane.wakeup-latency", "as for the jitter: under EDF the demand is recomputed"),
    ("pool.capacity", "a device that grants more, or still enough"),
    ("pool.height", "a longer arena inside the capacity"),
    ("pool.private", "a number for people; nothing rests on it"),
    ("model.scratch-at", "another aligned place in the arena that is free"),
    ("model.scratch", "what a run needs is measured, not proven; a shorter or still free region is consistent"),
];

/// Two fixed-priority lanes and an EDF lane, jitter, several instances a busy period, models that share scratch.
fn vehicle() -> System {
    let load = Load::whole;
    let mut main = lane("main", Policy::RateMonotonic, 2, 3);
    let mut side = lane("side", Policy::FixedPriority, 1, 0);
    let mut edf = lane("edf", Policy::EarliestDeadlineFirst, 1, 4);
    main.device = Some(0);
    side.device = Some(1);
    edf.device = Some(0);
    let mut tasks = vec![
        // Together with the overhead 0.4 + 0.29 + 0.29 of the lane: C answers latest in its second instance.
        task("a", 0, load(98, 250, 400, 0)),
        task("b", 0, load(98, 350, 700, 11)),
        task("c", 0, load(98, 351, 900, 0)),
        task("p", 1, load(7, 40, 60, 25)),
        task("q", 1, load(11, 60, 90, 0)),
        task("x", 2, load(20, 100, 90, 5)),
        task("y", 2, load(35, 170, 150, 0)),
        task("z", 2, load(50, 290, 400, 40)),
    ];
    for (priority, task) in [(2, 3), (5, 4)] {
        tasks[task].priority = Some(Priority(priority));
    }
    let tensor = |name: &str, elements: u32| Tensor {
        name: name.to_owned(),
        element: ElementType::F32,
        shape: vec![elements, 3],
        size: Bytes(u64::from(elements) * 12),
    };
    let model = |name: &str, weights, scratch, elements| Model {
        file: File { name: name.to_owned(), sha256: "0".repeat(64), version: String::new() },
        backend: Backend::OnnxRuntime,
        weights: Bytes(weights),
        scratch: Bytes(scratch),
        inputs: vec![tensor("in", elements), tensor("more", 16)],
        outputs: vec![tensor("out", elements + 1)],
        span: 0..0,
    };
    let mut vehicle = system(vec![main, side, edf], tasks);
    vehicle.models = vec![
        model("one", 1_000, 640, 10),
        model("two", 500, 3_000, 33),
        model("three", 77, 128, 16),
        model("four", 9, 1_000, 5),
        model("five", 1, 900, 6),
    ];
    for (model, task) in [0, 1, 3, 5, 6].into_iter().enumerate() {
        vehicle.tasks[task].model = Some(model);
    }
    let device = |name: &str, memory| Device { name: name.to_owned(), memory: Bytes(memory), span: 0..0 };
    vehicle.devices = vec![device("cpu0", 20_000), device("cpu1", 4_000)];
    vehicle
}

fn relock(plan: Plan) -> Lock {
    Lock::new(plan, Vec::new()).unwrap()
}

/// The descriptors of a plan that the lock could not hold, because TOML's integers end at 2⁶³ − 1.
fn descriptors(plan: Plan) -> &'static SystemDesc {
    let mut lock = relock(good().plan);
    lock.plan = plan;
    tables::leak(&lock).unwrap()
}

fn good() -> Lock {
    lock(&vehicle()).expect("the vehicle holds")
}

#[test]
fn the_vehicle_is_what_the_mutations_need() {
    let plan = good().plan;
    assert_eq!(verify(descriptors(plan.clone())), Ok(()));
    let instances = plan.tasks.iter().map(|task| match &task.certificate {
        Certificate::FixedPriority { starts_ns, .. } => starts_ns.len(),
        Certificate::Demand {} => 0,
    });
    assert!(instances.max() > Some(1), "several instances a busy period");
    assert!(plan.tasks.iter().any(|task| task.certificate == Certificate::Demand {}));
    let scratch: Vec<u64> = plan.models.iter().map(|model| model.scratch_at).collect();
    assert!(scratch[0] == scratch[1] && scratch[3] == scratch[4], "models of a lane share scratch");
    assert_ne!(scratch[0], scratch[3], "models of two lanes do not");
    let edf = plan.lanes.iter().find(|lane| lane.policy == "edf").unwrap();
    let shortest = plan.tasks.iter().filter(|task| task.certificate == Certificate::Demand {});
    assert!(edf.busy_period_ns > shortest.map(|task| task.deadline_ns).min().unwrap(), "the demand is evaluated");
}

#[test]
fn every_changed_number_is_refused_or_allowed_for_a_reason() {
    let plan = good().plan;
    let mut refused = 0;
    let mut accepted: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for field in fields(&plan) {
        let old = (field.get)(&plan);
        let greatest = field.greatest;
        let values =
            [old.wrapping_add(1), old.wrapping_sub(1), 0, old.wrapping_mul(2), greatest, greatest - 1, old + 64];
        for new in values.into_iter().filter(|new| *new != old && *new <= greatest) {
            let mut changed = plan.clone();
            (field.set)(&mut changed, new);
            match verify(descriptors(changed.clone())) {
                Err(_) => refused += 1,
                Ok(()) => {
                    sound(&changed, &format!("{}: {old} -> {new}", field.place));
                    accepted.entry(field.name).or_default().push(format!("{}: {old} -> {new}", field.place));
                }
            }
        }
    }
    for (name, cases) in &accepted {
        let reason = MAY_BE_ACCEPTED.iter().find(|(field, _)| field == name);
        assert!(reason.is_some(), "changes of {name} are accepted without a reason: {cases:#?}");
        println!("{name}: {} accepted", cases.len());
    }
    let idle: Vec<_> = MAY_BE_ACCEPTED.iter().filter(|(name, _)| !accepted.contains_key(name)).collect();
    assert!(idle.is_empty(), "these need no exception: {idle:?}");
    println!("{refused} refused");
    assert!(refused > 300);
}

/// Whether an accepted plan keeps its promises, by the generator's analysis and by comparing regions pair by pair.
fn sound(plan: &Plan, what: &str) {
    for (position, lane) in plan.lanes.iter().enumerate() {
        let mut members: Vec<_> = plan.tasks.iter().filter(|task| usize::from(task.lane) == position).collect();
        members.sort_by_key(|task| task.priority);
        let load = |task: &&aegis_codegen::plan::Task| Load {
            cost: task.wcet_ns + lane.dispatch_overhead_ns,
            period: task.period_ns,
            deadline: task.deadline_ns,
            jitter: task.jitter_ns + lane.wakeup_latency_ns,
            pieces: Pieces::Whole,
        };
        let loads: Vec<Load> = members.iter().map(load).collect();
        if lane.policy == "edf" {
            let verdict = fixed_priority::busy_period(0, &loads).and_then(|busy| demand::test(&loads, busy));
            assert_eq!(verdict, Ok(()), "{what}");
            assert!(members.iter().all(|task| task.response_ns == task.deadline_ns), "{what}");
        } else {
            for (task, found) in members.iter().zip(fixed_priority::analyse(&loads)) {
                let bound = found.response.unwrap_or_else(|why| panic!("{what}: {why}")).0.as_ns();
                assert!(bound <= task.response_ns && task.response_ns <= task.deadline_ns, "{what}: {bound}");
            }
        }
        for task in members {
            assert!(u64::from(task.queue) > task.response_ns / task.period_ns, "{what}");
        }
    }
    memory_sound(plan, what);
}

fn memory_sound(plan: &Plan, what: &str) {
    let lane_of = |model: usize| {
        let users = plan.tasks.iter().filter(|task| task.model.map(usize::from) == Some(model));
        let lanes: Vec<u16> = users.map(|task| task.lane).collect();
        assert!(lanes.len() <= 1, "{what}: {} tasks use model {model} in place", lanes.len());
        lanes.first().copied()
    };
    // Pool, begin, end, and for scratch the lane that shares it.
    let mut regions: Vec<(u16, u64, u64, Option<u16>)> = Vec::new();
    for (index, model) in plan.models.iter().enumerate() {
        for tensor in model.inputs.iter().chain(&model.outputs) {
            regions.push((model.pool, tensor.at, tensor.at + tensor.bytes, None));
        }
        regions.push((model.pool, model.scratch_at, model.scratch_at + model.scratch_bytes, lane_of(index)));
    }
    for (index, one) in regions.iter().enumerate() {
        let pool = &plan.pools[usize::from(one.0)];
        assert!(one.2 <= pool.height_bytes && pool.height_bytes + pool.weights_bytes <= pool.capacity_bytes, "{what}");
        assert!(one.1 % 64 == 0, "{what}");
        for other in &regions[index + 1..] {
            let overlap = one.0 == other.0 && one.1.max(other.1) < one.2.min(other.2);
            let shared = one.3.is_some() && one.3 == other.3;
            assert!(!overlap || shared, "{what}: {one:?} and {other:?} overlap");
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
    // The other policy's certificate.
    refused(&with(Certificate::Demand {}, plan.tasks[2].deadline_ns), Violation::Responses);
    let edf = plan.tasks.iter().position(|task| task.certificate == Certificate::Demand {}).unwrap();
    refused(&|plan| plan.tasks[edf].certificate = certificate(0, 20, &[0]), Violation::Responses);
    refused(&|plan| plan.lanes[0].policy = "edf".to_owned(), Violation::Responses);
    refused(&|plan| plan.lanes[2].policy = "rate-monotonic".to_owned(), Violation::Responses);
    // A lane that is never busy.
    refused(&|plan| plan.lanes[0].busy_period_ns = 0, Violation::References);
    refused(&|plan| plan.lanes[2].busy_period_ns = 1, Violation::Responses);
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
    assert_eq!(with_deadline(&plan, 0, 6, 6), Ok(()));
    assert_eq!(with_deadline(&plan, 0, 5, 5), Err(Violation::Demand));
    // Under fixed priorities the bound of 6 must not exceed the deadline.
    let lanes = vec![lane("main", Policy::RateMonotonic, 0, 0)];
    let plan = lock(&system(lanes, vec![task("x", 0, load(2, 10, 6)), task("y", 0, load(5, 20, 20))])).unwrap().plan;
    assert_eq!(with_deadline(&plan, 0, 6, 6), Ok(()));
    assert_eq!(with_deadline(&plan, 0, 5, 6), Err(Violation::Responses));
}

#[test]
fn each_rule_is_named() {
    let plan = good().plan;
    let verdict = |change: &dyn Fn(&mut Plan)| {
        let mut changed = plan.clone();
        change(&mut changed);
        verify(descriptors(changed)).err()
    };
    assert_eq!(verdict(&|plan| plan.tasks[0].lane = 9), Some(Violation::References));
    assert_eq!(verdict(&|plan| plan.tasks[0].model = Some(9)), Some(Violation::References));
    assert_eq!(verdict(&|plan| plan.tasks[1].priority = 0), Some(Violation::Priorities));
    assert_eq!(verdict(&|plan| plan.tasks[1].response_ns -= 1), Some(Violation::Responses));
    assert_eq!(verdict(&|plan| plan.tasks[0].queue = 0), Some(Violation::References));
    assert_eq!(verdict(&|plan| plan.pools[0].weights_bytes += 1), Some(Violation::Memory));
    // A queue of 1 where a response lasts longer than a period.
    let deep = plan.tasks.iter().position(|task| task.queue > 1).expect("a response longer than its period");
    assert_eq!(verdict(&|plan| plan.tasks[deep].queue -= 1), Some(Violation::Queues));
    // An EDF deadline so short that demand and blocking exceed it, with its bound beside it.
    let edf = plan.tasks.iter().position(|task| task.certificate == Certificate::Demand {}).unwrap();
    let short = |plan: &mut Plan| {
        plan.tasks[edf].deadline_ns = 30;
        plan.tasks[edf].response_ns = 30;
    };
    assert_eq!(verdict(&short), Some(Violation::Demand));
    let layout = SystemDesc { layout: TABLE_LAYOUT + 1, ..*descriptors(plan.clone()) };
    assert_eq!(verify(&layout), Err(Violation::Layout));
}

#[test]
fn two_tasks_that_run_one_model_are_refused() {
    // Inputs, outputs and scratch are used in place: on two lanes both tasks would write them at once.
    for (task, model) in [(1, 0), (3, 1), (5, 0), (6, 3)] {
        let mut plan = good().plan;
        plan.tasks[task].model = Some(model);
        let verdict = verify(descriptors(plan));
        assert_eq!(verdict, Err(Violation::Memory), "task {task} runs model {model}, which another task runs");
    }
}

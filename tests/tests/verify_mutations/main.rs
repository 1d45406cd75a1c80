//! Every number, word and list of a plan, changed: the core's checker must refuse it, or the change is one that the proof
//! allows.
//!
//! The plan is walked as data, so no number is forgotten. What may be accepted is written down per field with the reason,
//! and each accepted plan is analysed anew: its bounds must hold for the changed numbers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at whatever it did not expect"
)]

mod again;
mod domains;
mod interleaved;
mod models;
mod modes;
mod plans;
mod rules;
mod values;

use aegis_codegen::plan::{Certificate, Plan};
use aegis_core::verify::verify;
use plans::{descriptors, good};
use serde_json::Value;
use std::collections::BTreeMap;

/// The models of a compacting level that run only tasks which it sheds.
const SHED: &str = "level.model of a shed task";
/// Where they are.
const SHED_MODELS: [&str; 2] = [".level[1].model[0].", ".level[1].model[7]."];

/// The field at a path; of certificates in the gaps of a table a name of their own.
fn field(path: &values::Path) -> String {
    let (text, name) = (path.to_string(), path.name());
    if SHED_MODELS.iter().any(|model| text.starts_with(model)) {
        return SHED.to_owned();
    }
    let task = text.strip_prefix(".task[").and_then(|rest| rest.split_once(']')?.0.parse::<usize>().ok());
    let in_gaps = task.is_some_and(|task| matches!(good().plan.tasks[task].certificate, Certificate::Gaps { .. }));
    if in_gaps { name.replace("task.certificate.", "task.certificate.gaps.") } else { name }
}

/// The fields of which some changed values are accepted, with the reason.
const MAY_BE_ACCEPTED: &[(&str, &str)] = &[
    ("conditions.recheck-ns", "another interval between the shortest and the longest: no bound rests on it"),
    ("lane.busy-period-ns", "the other length solves the recurrence, too, and every solution is long enough"),
    ("lane.core", "any core that no other thread has"),
    ("lane.partition.sms", "fewer whole groups: how long a model takes on how many is measured, not proven"),
    ("lane.points-ns.0", "a point between two deadlines repeats what the one before it says"),
    ("lane.points-ns.1", "a later finish is as true, and still in time for every bound"),
    ("level.model.segment.run.peak", "a witness that shows less, where another one needs more"),
    ("level.model.segment.run.steps.2", "another aligned place between its neighbours"),
    ("level.model.segment.scratch-at", "another aligned place that is free at this level"),
    ("level.model.segment.scratch-bytes", "a longer region that is free as well"),
    ("level.pool.height-bytes", "a longer part of the arena, or one without the unused rest of the last tensor"),
    ("level.reject", "another task of which nothing waits for an arrival"),
    ("level.settles-ns", "a later end is as true"),
    (SHED, "a model that holds no bytes at its level"),
    ("machine.cores", "what the machine is, is compared by the vehicle"),
    ("model.output.at", "another aligned place in the arena that is free"),
    ("model.segment.load.0", "another free slot for a block that is never given back"),
    ("model.segment.load.1", "another size that fits beside its neighbours: what is requested is recorded, not proven"),
    ("model.segment.persistent-at", "another aligned place in the arena that is free"),
    (
        "model.segment.reads",
        "another input, whose life fits: what a segment reads is compared with its file at the start",
    ),
    (
        "model.segment.run.peak",
        "a witness that shows less, where another model of the lane or another recording needs more",
    ),
    (
        "model.segment.run.steps.1",
        "another size that fits beside its neighbours: what is requested is recorded, not proven",
    ),
    ("model.segment.run.steps.2", "another aligned place between its neighbours"),
    ("model.segment.scratch-at", "another aligned place in the arena that is free"),
    (
        "model.segment.scratch-bytes",
        "what a run needs is measured, not proven; a shorter or still free region is consistent",
    ),
    ("orchestration-core", "any core that no lane has"),
    ("pool.capacity-bytes", "a device that grants more, or still enough"),
    ("pool.copy-per-mib-ns", "another rate, by which the copies still end before the level has settled"),
    ("pool.gpu.compute-capability", "what the device is, is compared by the vehicle"),
    ("pool.gpu.context-bytes", "a driver that takes less, or still little enough: it is measured, not proven"),
    ("pool.gpu.ordinal", "another number that no other device has"),
    ("pool.gpu.sms", "a device with more multiprocessors, or with as many in groups: compared by the vehicle"),
    ("pool.gpu.staging", "another memory that has room for it, too"),
    ("pool.gpu.unit", "other groups of which the lanes have whole ones: compared by the vehicle"),
    ("pool.gpu.units", "fewer or more groups that are there, of which the lanes have theirs: compared by the vehicle"),
    ("pool.height-bytes", "a longer arena inside the capacity"),
    ("pool.private-bytes", "a number for people; nothing rests on it"),
    ("pool.shares", "another memory that has room for it, too"),
    ("task.bcet-ns", "only the earliest release of a later stage rests on it, and on a longer one as well"),
    ("task.budget-ns", "an overrun that is recorded earlier breaks no bound; a budget above the WCET is refused"),
    (
        "task.certificate.gaps.busy-period-ns",
        "in the gaps of a table what is asked for in a longer one is given, too, to as many instances",
    ),
    ("task.certificate.starts-ns.1", "a later start is as true, and still in time for the bound"),
    ("task.deadline-ns", "under fixed priorities and in tables the bound stays at or below another deadline"),
    ("task.jitter-ns", "the certificate proves the other jitter, too"),
    ("task.miss-window", "over how many jobs misses are counted: a number for people, on which no bound rests"),
    ("task.period-ns", "the certificate proves the other period, too"),
    ("task.phase-ns", "arrivals are taken as sporadic outside of tables, so every phase is proven"),
    ("task.priority", "a number that keeps the order, and under EDF and in slots any unique number"),
    ("task.queue", "a longer queue holds all that may wait, too"),
    ("task.region-ns", "1 ns is no region, and one that is shorter blocks for less"),
    ("task.response-ns", "under EDF and in tables a later bound is as true, up to the deadline"),
    ("task.stage.earliest-ns", "an earlier release that its jitter allows for"),
];

/// Values of a certificate's number at which it must be refused where it is not the proven one.
fn others(old: u64) -> Vec<u64> {
    let greatest = [u64::MAX, u64::MAX - 1, u64::from(u16::MAX)];
    let near = [old.wrapping_add(1), old.wrapping_sub(1), 0, old.wrapping_mul(2), old / 2, old.wrapping_add(64)];
    let mut values: Vec<u64> = near.into_iter().chain(greatest).filter(|new| *new != old).collect();
    values.sort_unstable();
    values.dedup();
    values
}

/// What became of the mutations of a plan.
#[derive(Default)]
struct Outcomes {
    tried: usize,
    /// Of those that are a plan at all.
    refused: BTreeMap<String, usize>,
    accepted: BTreeMap<String, Vec<String>>,
}

impl Outcomes {
    /// Tries one changed plan.
    fn try_out(&mut self, name: &str, what: &str, changed: Value) {
        self.tried += 1;
        let Ok(plan) = serde_json::from_value::<Plan>(changed) else { return };
        let Some(desc) = plans::try_descriptors(plan.clone()) else { return };
        if verify(desc).is_err() {
            *self.refused.entry(name.to_owned()).or_default() += 1;
        } else {
            again::sound(&plan, what);
            self.accepted.entry(name.to_owned()).or_default().push(what.to_owned());
        }
    }

    /// Compares what was accepted with what may be.
    fn judge(&self, allowed: &[(&str, &str)], least: usize) {
        let refused: usize = self.refused.values().sum();
        let accepted: usize = self.accepted.values().map(Vec::len).sum();
        println!("{} tried, {refused} refused, {accepted} accepted and sound", self.tried);
        for (name, cases) in &self.accepted {
            println!("{name}: {} accepted, {} refused", cases.len(), self.refused.get(name).unwrap_or(&0));
        }
        let unexpected: Vec<_> =
            self.accepted.iter().filter(|(name, _)| allowed.iter().all(|(field, _)| field != name)).collect();
        assert!(unexpected.is_empty(), "accepted without a reason: {unexpected:#?}");
        let idle: Vec<_> = allowed.iter().filter(|(name, _)| !self.accepted.contains_key(*name)).collect();
        assert!(idle.is_empty(), "these need no exception: {idle:?}");
        assert!(refused >= least, "{refused} refused");
    }
}

#[test]
fn the_vehicle_is_what_the_mutations_need() {
    let plan = good().plan;
    assert_eq!(verify(descriptors(plan.clone())), Ok(()));
    again::sound(&plan, "the vehicle");
    let instances = plan.tasks.iter().map(|task| match &task.certificate {
        Certificate::FixedPriority { starts_ns, .. } => starts_ns.len(),
        _ => 0,
    });
    assert!(instances.max() > Some(1), "several instances a busy period");
    assert!(plans::starts(&plan) > 1, "EDF certificates with starts");
    let edf = plan.lanes.iter().filter(|lane| lane.policy == "edf");
    assert!(edf.clone().all(|lane| lane.points_ns.len() > 1) && edf.count() == 4, "points");
    let table = plan.lanes.iter().find(|lane| lane.policy == "time-triggered").unwrap();
    assert!(table.slots.len() > 3 && table.hyperperiod_ns > 0);
    assert_eq!(plan.tasks.iter().filter(|task| matches!(task.certificate, Certificate::Gaps { .. })).count(), 3);
    let stages: Vec<u16> = plan.tasks.iter().filter(|task| task.stage.is_some()).map(|task| task.lane).collect();
    assert_eq!(stages, [3, 4, 6], "stages of three lanes");
    assert!(plan.tasks.iter().filter(|task| task.segments_ns.len() > 1).count() > 4);
    assert!(plan.tasks.iter().filter(|task| task.region_ns > 0).count() > 2);
    // Where the memory begins that is used only while a model runs.
    let begins = |model: usize| {
        let model = &plan.models[model];
        if model.tensors == "job" { model.inputs[0].at } else { model.segments[0].scratch_at }
    };
    assert!(begins(0) == begins(1) && begins(3) == begins(4), "models of a lane share what they use while they run");
    assert_ne!(begins(0), begins(3), "models of two lanes do not");
    let job = plan.models.iter().filter(|model| model.tensors == "job").count();
    let recordings = |model: &aegis_codegen::plan::Model| model.segments.iter().map(|part| part.runs.len()).collect();
    let recordings: Vec<Vec<usize>> = plan.models.iter().map(recordings).collect();
    let cut = [vec![1, 0, 1], vec![2], vec![1, 2, 1], vec![1, 1], vec![1, 2, 1]];
    assert_eq!((job, &recordings[..5]), (6, &[vec![1], vec![2], vec![0], vec![1], vec![0]][..]), "planned and capped");
    assert_eq!(recordings[5..], cut, "one to three segments");
    let met: Vec<bool> = plan.pools.iter().map(|pool| pool.lower_bound_bytes == pool.height_bytes).collect();
    assert_eq!(met, [true; 3], "the witnesses show it");
}

#[test]
fn every_changed_number_is_refused_or_allowed_for_a_reason() {
    let plan = values::of(&good().plan);
    let mut outcomes = Outcomes::default();
    let numbers = values::numbers(&plan);
    assert!(numbers.len() > 500, "{} numbers", numbers.len());
    for (path, old) in &numbers {
        for new in others(*old) {
            let mut changed = plan.clone();
            *values::at(&mut changed, path) = new.into();
            outcomes.try_out(&field(path), &format!("{path}: {old} -> {new}"), changed);
        }
    }
    outcomes.judge(MAY_BE_ACCEPTED, 2_000);
}

/// The lists of which some changes are accepted, with the reason.
const LISTS_MAY_BE_ACCEPTED: &[(&str, &str)] = &[
    ("level", "a level more or less, or another order: nothing refers to a level"),
    ("level.moves", "another order in which no copy destroys what a later one reads"),
    ("level.reject", "a task more whose arrivals come as ever"),
    (SHED, "a model that holds no bytes at its level"),
    ("model.carried.shape", "as for inputs"),
    ("model.input", "what a model takes is compared with its file at the start; each tensor has its room"),
    ("model.input.shape", "another shape of the same length, compared at the start"),
    ("model.output.shape", "as for inputs"),
    (
        "model.segment.reads",
        "as for numbers, and where an input is kept or the first segment reads it, its life is the same",
    ),
    ("model.segment.run", "fewer recordings: a run that keeps to none of them is refused when it happens"),
    ("model.segment.run.steps", "two events in another order, between which nothing overlaps"),
    ("model.segment.writes", "the file's order, which is compared at the start"),
    ("pool.gpu.compute-capability", "what the device is, is compared by the vehicle"),
    ("task", "the order of the table means nothing where nothing refers to it"),
    ("task.segments-ns", "the same last and longest segment"),
];

#[test]
fn every_changed_list_is_refused_or_allowed_for_a_reason() {
    let plan = values::of(&good().plan);
    let mut outcomes = Outcomes::default();
    for (path, length) in values::lists(&plan) {
        let mut change = |how: String, change: &dyn Fn(&mut Vec<Value>)| {
            let mut changed = plan.clone();
            let list = values::at(&mut changed, &path).as_array_mut().unwrap();
            let before = list.clone();
            change(list);
            if *list != before {
                outcomes.try_out(&field(&path), &format!("{path}: {how}"), changed);
            }
        };
        change("cleared".to_owned(), &Vec::clear);
        change("reversed".to_owned(), &|list| list.reverse());
        change("halved".to_owned(), &|list| list.truncate(length / 2));
        for i in 0..length {
            change(format!("{i} dropped"), &|list| drop(list.remove(i)));
            change(format!("{i} twice"), &|list| list.insert(i, list[i].clone()));
            if i + 1 < length {
                change(format!("{i} swapped with the next"), &|list| list.swap(i, i + 1));
            }
        }
    }
    outcomes.judge(LISTS_MAY_BE_ACCEPTED, 300);
}

/// The words of which some changes are accepted, with the reason.
const WORDS_MAY_BE_ACCEPTED: &[(&str, &str)] = &[
    ("lane.policy", "fixed priorities of any kind go by the same certificates"),
    ("lane.preemption", "without segments and regions, jobs of one piece and jobs of one segment are the same"),
    ("task.certificate", "under EDF a bound at the deadline may follow from the lane's points alone"),
    ("task.stage", "an earlier release that its jitter allows for"),
];

#[test]
fn every_changed_policy_preemption_and_certificate_is_refused_or_allowed_for_a_reason() {
    let plan = good().plan;
    let mut outcomes = Outcomes::default();
    let mut try_out = |name: &str, what: String, change: &dyn Fn(&mut Plan)| {
        let mut changed = plan.clone();
        change(&mut changed);
        if changed != plan {
            outcomes.try_out(name, &what, values::of(&changed));
        }
    };
    for lane in 0..plan.lanes.len() {
        for policy in ["rate-monotonic", "deadline-monotonic", "fixed-priority", "edf", "time-triggered"] {
            try_out("lane.policy", format!("lane {lane} {policy}"), &|plan| {
                plan.lanes[lane].policy = policy.to_owned()
            });
        }
        for preemption in ["none", "segments", "full"] {
            try_out("lane.preemption", format!("lane {lane} {preemption}"), &|plan| {
                plan.lanes[lane].preemption = preemption.to_owned();
            });
        }
    }
    let same_theory =
        |one: &Certificate, other: &Certificate| std::mem::discriminant(one) == std::mem::discriminant(other);
    for task in 0..plan.tasks.len() {
        let own = plan.tasks[task].certificate.clone();
        let name = format!("certificate of {}", plan.tasks[task].name);
        for (other, from) in plan.tasks.iter().enumerate().filter(|(_, from)| !same_theory(&from.certificate, &own)) {
            try_out("task.certificate", format!("{name} as of task {other}"), &|plan| {
                plan.tasks[task].certificate = from.certificate.clone();
            });
        }
        for nothing in [
            Certificate::Unproven {},
            Certificate::Table {},
            Certificate::Edf { starts_ns: Vec::new() },
            Certificate::FixedPriority { blocking_ns: 0, busy_period_ns: 0, starts_ns: Vec::new() },
            Certificate::FixedPriority { blocking_ns: 0, busy_period_ns: 1, starts_ns: Vec::new() },
        ] {
            for response in [plan.tasks[task].response_ns, 0, plan.tasks[task].deadline_ns] {
                if nothing != own {
                    try_out("task.certificate", format!("{name}: {nothing:?}, {response}"), &|plan| {
                        (plan.tasks[task].certificate, plan.tasks[task].response_ns) = (nothing.clone(), response);
                    });
                }
            }
        }
        // A first stage that follows another task, and a later one that does not.
        for after in 0..plan.tasks.len() {
            let (earliest_ns, latest_ns) = (0, plan.tasks[after].response_ns + 1);
            let after = u16::try_from(after).unwrap();
            let stage = aegis_codegen::plan::Stage { after, earliest_ns, latest_ns };
            try_out("task.stage", format!("task {task} after {after}"), &|plan| {
                plan.tasks[task].stage = Some(stage.clone());
            });
        }
        try_out("task.stage", format!("task {task} after nothing"), &|plan| plan.tasks[task].stage = None);
    }
    outcomes.judge(WORDS_MAY_BE_ACCEPTED, 1_000);
}

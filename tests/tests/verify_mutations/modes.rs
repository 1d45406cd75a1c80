//! The same for a plan with modes, where each mode has a proof of its own.

use super::{Outcomes, again, others, plans, values};
use aegis_codegen::analysis::Load;
use aegis_codegen::plan::Plan;
use aegis_codegen::system::{Lane, Mode};
use aegis_core::desc::{Policy, Preemption};
use aegis_core::time::Duration;
use aegis_core::units::Priority;
use aegis_core::verify::verify;
use aegis_tests::planned::{lane, lock, system, task};
use serde_json::Value;

/// A plan of four lanes and three modes.
fn good() -> Plan {
    // Lanes that launch and do not dispatch wait for no other.
    let launching =
        |name: &str, policy, wakeup| Lane { launch_overhead: Duration::from_ns(1), ..lane(name, policy, 0, wakeup) };
    let full = Lane { preemption: Preemption::Full, ..launching("full", Policy::FixedPriority, 2) };
    let main = launching("main", Policy::DeadlineMonotonic, 2);
    let edf = launching("edf", Policy::EarliestDeadlineFirst, 0);
    let lanes = vec![full, main, edf, lane("table", Policy::TimeTriggered, 0, 0)];
    let load = Load::whole;
    let mut tasks = vec![
        task("a", 0, load(5, 50, 40, 0)),
        task("b", 0, load(20, 100, 90, 3)),
        task("c", 0, load(30, 200, 190, 0)),
        task("p", 1, load(7, 40, 35, 0)),
        task("q", 1, load(9, 60, 50, 2)),
        task("x", 2, load(10, 60, 50, 0)),
        task("y", 2, load(20, 90, 80, 4)),
        task("t", 3, load(3, 20, 15, 0)),
        task("u", 3, load(2, 40, 30, 0)),
    ];
    tasks[2].region = Duration::from_ns(6);
    for (task, priority) in tasks.iter_mut().take(3).zip(0..) {
        task.priority = Some(Priority(priority));
    }
    let mut system = system(lanes, tasks);
    let mode = |name: &str, tasks: &[usize]| Mode { name: name.to_owned(), tasks: tasks.to_vec(), span: 0..0 };
    system.modes = vec![
        mode("all", &[0, 1, 2, 3, 4, 5, 6, 7, 8]),
        mode("less", &[0, 2, 4, 6, 7, 8]),
        mode("other", &[1, 2, 3, 5, 7, 8]),
    ];
    lock(&system).expect("it holds").plan
}

/// The fields of which some changed values are accepted, with the reason, besides [`AS_WITHOUT_MODES`].
const MAY_BE_ACCEPTED: &[(&str, &str)] = &[
    ("mode.leaves-ns", "a longer change is as true"),
    ("mode.task.response-ns", "under EDF a later bound is as true, as long as another mode's is greater"),
];

/// The fields that may change for the same reasons as in a plan without modes.
const AS_WITHOUT_MODES: [&str; 14] = [
    "conditions.recheck-ns",
    "lane.core",
    "machine.cores",
    "orchestration-core",
    "task.bcet-ns",
    "task.budget-ns",
    "task.deadline-ns",
    "task.jitter-ns",
    "task.miss-window",
    "task.period-ns",
    "task.phase-ns",
    "task.priority",
    "task.queue",
    "task.region-ns",
];

/// The lists of which some changes are accepted, with the reason.
const LISTS_MAY_BE_ACCEPTED: &[(&str, &str)] = &[(
    "mode",
    "a mode twice, or fewer or in another order, where each task is still in one: nothing refers to a mode",
)];

#[test]
fn every_changed_number_of_a_plan_with_modes_is_refused_or_allowed_for_a_reason() {
    let good = good();
    assert_eq!(verify(plans::descriptors(good.clone())), Ok(()));
    again::sound(&good, "the vehicle");
    let plan = values::of(&good);
    let mut outcomes = Outcomes::default();
    for (path, old) in &values::numbers(&plan) {
        // Numbers near the greatest are among those of the vehicle without modes; of these no analysis says anything.
        for new in others(*old).into_iter().filter(|new| *new < 1 << 62) {
            let mut changed = plan.clone();
            *values::at(&mut changed, path) = new.into();
            outcomes.try_out(&path.name(), &format!("{path}: {old} -> {new}"), changed);
        }
    }
    let same = super::MAY_BE_ACCEPTED.iter().filter(|(name, _)| AS_WITHOUT_MODES.contains(name));
    let allowed: Vec<(&str, &str)> = MAY_BE_ACCEPTED.iter().chain(same).copied().collect();
    outcomes.judge(&allowed, 1_000);
}

#[test]
fn every_changed_list_of_a_plan_with_modes_is_refused_or_allowed_for_a_reason() {
    let plan = values::of(&good());
    let mut outcomes = Outcomes::default();
    for (path, length) in values::lists(&plan) {
        let mut change = |how: String, change: &dyn Fn(&mut Vec<Value>)| {
            let mut changed = plan.clone();
            let list = values::at(&mut changed, &path).as_array_mut().unwrap();
            let before = list.clone();
            change(list);
            if *list != before {
                outcomes.try_out(&path.name(), &format!("{path}: {how}"), changed);
            }
        };
        change("cleared".to_owned(), &Vec::clear);
        change("reversed".to_owned(), &|list| list.reverse());
        for i in 0..length {
            change(format!("{i} dropped"), &|list| drop(list.remove(i)));
            change(format!("{i} twice"), &|list| list.insert(i, list[i].clone()));
            if i + 1 < length {
                change(format!("{i} swapped with the next"), &|list| list.swap(i, i + 1));
            }
        }
    }
    outcomes.judge(LISTS_MAY_BE_ACCEPTED, 100);
}

//! Under what conditions the bounds hold, and who sees to each.

use crate::check::{Checked, show};
use crate::system::System;
use aegis_core::desc::{LimitDesc, MemoryControl, Subject, Waiting};

/// A condition: what has to be, in this plan, and who sees to it.
pub(super) struct Condition {
    pub(super) what: &'static str,
    pub(super) here: String,
    pub(super) seen: &'static str,
}

/// The conditions of a plan.
pub(super) fn of(checked: &Checked, system: &System) -> Vec<Condition> {
    let mut all = Vec::new();
    let mut add = |what, here: String, seen| all.push(Condition { what, here, seen });
    add(
        "No execution exceeds its WCET",
        executions(checked, system),
        "an overrun is recorded and answered by on-overrun",
    );
    let late: Vec<String> = system
        .lanes
        .iter()
        .filter(|lane| !lane.wakeup_latency.is_zero())
        .map(|lane| format!("{} {}", lane.name, show(lane.wakeup_latency)))
        .collect();
    let late = if late.is_empty() { "no wake-up latency".to_owned() } else { format!("wake-up: {}", late.join(", ")) };
    add(
        "A release is seen within its jitter and the lane's wake-up latency",
        late,
        "the lane's profile; recorded with each exceeded bound",
    );
    add(
        "A job costs its lane no more than the planned overheads besides",
        "see the lanes above".to_owned(),
        "the lane's profile; the trace shows planned and observed",
    );
    let cores = system.lanes.iter().filter(|lane| lane.device.is_some()).map(|lane| lane.core.to_string());
    let cores: Vec<String> = cores.collect();
    if !cores.is_empty() {
        let waiting = match system.waiting {
            Waiting::Blocking => "blocking",
            Waiting::Polling => "polling",
        };
        let here = format!(
            "lanes on core {}, orchestration on core {}, {waiting}",
            cores.join(", "),
            system.orchestration_core
        );
        add(
            "Threads are not preempted: SCHED_FIFO, each on its core, memory locked, not throttled",
            here,
            "compared at the start",
        );
    }
    let machine = &system.machine;
    if !machine.cpu_model.is_empty() {
        let governor = if machine.governor.is_empty() { "no clock governor" } else { &machine.governor };
        let here = format!("{}, {}, {} cores, {governor}", machine.cpu_model, machine.arch, machine.cores);
        add("It is the machine that was profiled", here, "compared at the start: guarantee void otherwise");
    }
    if !system.libraries.is_empty() {
        let here: Vec<String> =
            system.libraries.iter().map(|library| format!("{} {}", library.name, library.version)).collect();
        add("It is the runtime that was profiled", here.join(", "), "compared at the start: guarantee void otherwise");
    }
    let conditions = &system.conditions;
    let mut limits: Vec<String> = conditions.limits.iter().map(|limit| self::limit(system, limit)).collect();
    if !conditions.power_mode.is_empty() {
        limits.insert(0, format!("power mode {}", conditions.power_mode));
    }
    if !limits.is_empty() {
        let here = format!("{}; looked at every {}", limits.join(", "), show(conditions.recheck));
        add(
            "Clocks, power and heat are as in the measurements",
            here,
            "compared at the start and while the vehicle runs",
        );
    }
    let is_measured =
        |control| system.models.iter().flat_map(|model| &model.segments).any(|segment| segment.memory == control);
    if !system.models.is_empty() {
        let here = if is_measured(MemoryControl::Measured) {
            "some models were only measured: their memory is not planned"
        } else if is_measured(MemoryControl::Capped) {
            "some models' runtimes divide a region of their own, which is capped"
        } else {
            "every byte is planned"
        };
        add(
            "A model requests the memory that was recorded, in that order",
            here.to_owned(),
            "the job that asks for something else fails, alone",
        );
    }
    all
}

fn executions(checked: &Checked, system: &System) -> String {
    let origins = checked.resolved.as_ref().map_or(&[][..], |resolved| &resolved.origins);
    let tails = origins.iter().filter(|origin| origin.is_tail).count();
    let declared = system.tasks.len().saturating_sub(origins.len());
    let parts = [
        (origins.len().saturating_sub(tails), "measured, times a margin"),
        (tails, "from a tail, exceeded with a stated probability"),
        (declared, "declared in the manifest"),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    format!("WCETs: {}", parts.join("; "))
}

fn limit(system: &System, limit: &LimitDesc) -> String {
    let of = match limit.of {
        Subject::Core(core) => format!("core {core}"),
        Subject::Pool(pool) => {
            system.devices.get(usize::from(pool.0)).map_or_else(String::new, |device| device.name.clone())
        }
    };
    format!("{of} {} {} {}", limit.what.name(), limit.value, limit.what.unit())
}

//! A state of clocks, power and heat beside the plan, and beside an earlier state.

use super::{CoreState, Gpu, Readings, State, Zone};
use crate::machine::Void;
use aegis_core::desc::{Quantity, Subject, SystemDesc};
use aegis_core::trace::VoidReason;

/// Everything in which a state is not what the plan states, and what is too hot or slowed down at this moment.
#[must_use]
pub fn against_plan(system: &SystemDesc, state: &State) -> Vec<Void> {
    let mut voids = Vec::new();
    let planned = system.conditions.power_mode;
    match &state.power_mode {
        _ if planned.is_empty() => {}
        Some(found) if found == planned => {}
        Some(found) => {
            let text = format!("the power mode is \"{found}\", the plan was made for \"{planned}\"");
            voids.push(Void { reason: VoidReason::OtherPower, text });
        }
        None => {
            let text = format!("the power mode cannot be read, the plan was made for \"{planned}\"");
            voids.push(Void { reason: VoidReason::ConditionsUnknown, text });
        }
    }
    for limit in system.conditions.limits {
        let (who, readings) = match limit.of {
            Subject::Core(core) => {
                let found = state.cores.iter().find(|state| state.core == core);
                (format!("core {core}"), found.map_or_else(Readings::default, |state| state.readings))
            }
            Subject::Pool(pool) => {
                let name = system.pools.get(pool.index()).map_or("", |pool| pool.name);
                (format!("\"{name}\""), state.pool(system, pool))
            }
        };
        let (what, value, unit) = (shown(limit.what), limit.value, limit.what.unit());
        let plan = if limit.what == Quantity::Temperature { "the plan allows" } else { "the plan was made for" };
        match readings.get(limit.what) {
            None => {
                let text = format!("the {what} of {who} cannot be read, {plan} {value} {unit}");
                voids.push(Void { reason: VoidReason::ConditionsUnknown, text });
            }
            Some(found) if !limit.what.meets(value, found) => {
                let text = format!("the {what} of {who} is {found} {unit}, {plan} {value} {unit}");
                voids.push(Void { reason: reason(limit.what), text });
            }
            Some(_) => {}
        }
    }
    // The first core's is compared with the machine.
    let planned = system.machine.governor;
    for core in state.cores.iter().filter(|_| !planned.is_empty()) {
        let number = core.core;
        match &core.governor {
            Some(found) if found == planned => {}
            Some(found) => {
                let text =
                    format!("the clock governor of core {number} is \"{found}\", the plan was made for \"{planned}\"");
                voids.push(Void { reason: VoidReason::OtherGovernor, text });
            }
            None => {
                let text =
                    format!("the clock governor of core {number} cannot be read, the plan was made for \"{planned}\"");
                voids.push(Void { reason: VoidReason::ConditionsUnknown, text });
            }
        }
    }
    voids.extend(strained(state));
    voids
}

/// What is too hot or slowed down at this moment, whatever the plan states.
fn strained(state: &State) -> impl Iterator<Item = Void> + '_ {
    let hot = state.zones.iter().filter_map(|zone| {
        let (name, now) = (&zone.name, zone.temperature_mc);
        let trip = zone.trip_mc.filter(|trip| now >= *trip)?;
        let text = format!("zone \"{name}\" is at {now} m°C, from {trip} m°C on clocks fall");
        Some(Void { reason: VoidReason::TooHot, text })
    });
    let slowed = state.gpus.iter().filter_map(|gpu| {
        let text = format!("\"{}\" is slowed down: {}", gpu.name, gpu.state.slowed.as_ref()?);
        Some(Void { reason: VoidReason::SlowedDown, text })
    });
    hot.chain(slowed)
}

/// What has become worse since an earlier state, or cannot be read any more.
#[must_use]
pub fn moved(first: &State, now: &State) -> Vec<Void> {
    compare(first, now, |what, was, is| !what.meets(was, is))
}

/// What has changed in any way since an earlier state, and what is too hot or slowed down now: one sentence each.
#[must_use]
pub fn changed(first: &State, now: &State) -> Vec<String> {
    let compared = compare(first, now, |_, was, is| was != is);
    compared.into_iter().chain(strained(now)).map(|void| void.text).collect()
}

fn compare(first: &State, now: &State, is_told: fn(Quantity, u64, u64) -> bool) -> Vec<Void> {
    let mut voids = Vec::new();
    let words = |voids: &mut Vec<Void>, reason, what: &str, was: &Option<String>, is: &Option<String>| match (was, is) {
        (Some(was), Some(is)) if was != is => {
            voids.push(Void { reason, text: format!("{what} went from \"{was}\" to \"{is}\"") });
        }
        (Some(was), None) => {
            let text = format!("{what} was \"{was}\" and cannot be read any more");
            voids.push(Void { reason: VoidReason::ConditionsUnknown, text });
        }
        _ => {}
    };
    words(&mut voids, VoidReason::OtherPower, "the power mode", &first.power_mode, &now.power_mode);
    for (was, is) in first.cores.iter().zip(&now.cores) {
        let CoreState { core, .. } = was;
        let what = format!("the clock governor of core {core}");
        words(&mut voids, VoidReason::OtherGovernor, &what, &was.governor, &is.governor);
        let who = format!("core {core}");
        limits(&mut voids, &who, (&was.readings, &is.readings), is_told);
        counts(&mut voids, &who, (was.slowdowns, is.slowdowns));
    }
    for was in &first.zones {
        // Names need not differ: as many of one have to be there as were.
        let same = |zones: &[Zone]| zones.iter().filter(|zone| zone.name == was.name).count();
        if same(&now.zones) < same(&first.zones) {
            let text = format!("zone \"{}\" was at {} m°C and cannot be read any more", was.name, was.temperature_mc);
            voids.push(Void { reason: VoidReason::ConditionsUnknown, text });
        }
    }
    for (Gpu { name, state: was, .. }, Gpu { state: is, .. }) in first.gpus.iter().zip(&now.gpus) {
        let who = format!("\"{name}\"");
        limits(&mut voids, &who, (&was.readings, &is.readings), is_told);
        counts(&mut voids, &who, (was.slowdowns, is.slowdowns));
    }
    voids
}

fn limits(
    voids: &mut Vec<Void>,
    who: &str,
    (was, is): (&Readings, &Readings),
    is_told: fn(Quantity, u64, u64) -> bool,
) {
    for what in Quantity::SET {
        let (name, unit) = (shown(what), what.unit());
        match (was.get(what), is.get(what)) {
            (Some(was), Some(is)) if is_told(what, was, is) => {
                let text = format!("the {name} of {who} went from {was} {unit} to {is} {unit}");
                voids.push(Void { reason: reason(what), text });
            }
            (Some(was), None) => {
                let text = format!("the {name} of {who} was {was} {unit} and cannot be read any more");
                voids.push(Void { reason: VoidReason::ConditionsUnknown, text });
            }
            _ => {}
        }
    }
}

fn counts(voids: &mut Vec<Void>, who: &str, both: (Option<u64>, Option<u64>)) {
    match both {
        (Some(was), Some(is)) if is > was => {
            let text = format!("heat or power slowed {who} down: its count went from {was} to {is}");
            voids.push(Void { reason: VoidReason::SlowedDown, text });
        }
        // It is a sum, and only grows while all of it can be read.
        (Some(was), is) if is.is_none_or(|is| is < was) => {
            let text = format!("the count of slow-downs of {who} cannot be read any more");
            voids.push(Void { reason: VoidReason::ConditionsUnknown, text });
        }
        _ => {}
    }
}

/// Why a quantity that is worse than planned voids the guarantee.
const fn reason(what: Quantity) -> VoidReason {
    match what {
        Quantity::PowerLimit => VoidReason::OtherPower,
        Quantity::Temperature => VoidReason::TooHot,
        _ => VoidReason::OtherClocks,
    }
}

/// A quantity as people write it.
fn shown(what: Quantity) -> String {
    what.name().replace('-', " ")
}

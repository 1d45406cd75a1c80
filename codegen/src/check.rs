//! The whole check: from a manifest to a verdict, all findings, and the lock of a plan that passes.

use crate::analysis::{self, Analysis, NoBound};
use crate::certify::certify;
use crate::finding::{Code, Finding};
use crate::lock::Lock;
use crate::manifest;
use crate::memory::{self, Layout};
use crate::resolve::{Loaded, Resolved, resolve};
use crate::system::{System, Task};
use crate::tables;
use aegis_core::time::Duration;
use std::path::Path;

/// What a check found.
#[derive(Debug)]
pub struct Checked {
    /// The resolved system, where the manifest and its profiles are sound.
    pub resolved: Option<Resolved>,
    /// The analysis of that system.
    pub analysis: Option<Analysis>,
    /// The memory layout of that system.
    pub layout: Option<Layout>,
    /// The certified plan, where every deadline and capacity holds.
    pub lock: Option<Lock>,
    /// Everything that was found.
    pub findings: Vec<Finding>,
}

impl Checked {
    /// Whether the plan holds: no finding is an error.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.lock.is_some() && !self.findings.iter().any(Finding::is_error)
    }

    fn without_system(findings: Vec<Finding>) -> Self {
        Self { resolved: None, analysis: None, layout: None, lock: None, findings }
    }
}

/// The checker refuses what the generator made: an error inside AegisRT, never the user's.
#[derive(Debug, thiserror::Error)]
pub enum Internal {
    /// Certification failed although every test passed.
    #[error("certification: {0}")]
    Certify(#[from] crate::certify::NotCertifiable),
    /// The plan cannot be written.
    #[error("writing the plan: {0}")]
    Write(#[from] toml::ser::Error),
    /// The plan names something unknown.
    #[error("tables: {0}")]
    Tables(#[from] tables::Unknown),
    /// The core's checker refuses the plan.
    #[error("the checker refuses the plan: {0}")]
    Refused(#[from] aegis_core::verify::Violation),
}

/// Reads a manifest's text.
#[must_use]
pub fn load(file: &str, text: String) -> (Option<Loaded>, Vec<Finding>) {
    let (manifest, findings) = manifest::parse(file, &text);
    (manifest.map(|manifest| Loaded { file: file.to_owned(), text, manifest }), findings)
}

/// Checks a manifest with its profiles; `substitute` as for [`resolve`].
///
/// # Errors
/// [`Internal`], which is a bug in AegisRT.
pub fn check(file: &str, text: String, substitute: Option<&Path>) -> Result<Checked, Internal> {
    let (loaded, findings) = load(file, text);
    let Some(loaded) = loaded else { return Ok(Checked::without_system(findings)) };
    check_loaded(&loaded, findings, substitute)
}

/// As [`check`], for a manifest that was read before; `findings` are those of reading it.
///
/// # Errors
/// As for [`check`].
pub fn check_loaded(
    loaded: &Loaded,
    mut findings: Vec<Finding>,
    substitute: Option<&Path>,
) -> Result<Checked, Internal> {
    let (resolved, found) = resolve(loaded, substitute);
    findings.extend(found);
    let Some(resolved) = resolved else { return Ok(Checked::without_system(findings)) };
    let system = &resolved.system;
    let analysis = analysis::analyse(system);
    findings.extend(judge(system, &analysis));
    let layout = match memory::plan(system) {
        Ok(layout) => Some(layout),
        Err(error) => {
            let device = system.devices.get(error.device);
            let name = device.map_or("", |device| device.name.as_str());
            let message = format!("the sizes of the models on device `{name}` sum to more than 2^64 - 1 bytes");
            let span = device.map_or(0..0, |device| device.span.clone());
            let finding = Finding::error(Code::MemoryOverflow, message).at(&system.file, span, "this device");
            findings.push(finding.help("measure its models again with `aegis profile`"));
            None
        }
    };
    if let Some(layout) = &layout {
        findings.extend(judge_memory(system, layout));
    }
    let lock = match (&layout, findings.iter().any(Finding::is_error)) {
        (Some(layout), false) => {
            let lock = Lock::new(certify(system, &analysis, layout)?, resolved.inputs.clone())?;
            aegis_core::verify::verify(tables::leak(&lock)?)?;
            Some(lock)
        }
        _ => None,
    };
    Ok(Checked { analysis: Some(analysis), layout, lock, findings, resolved: Some(resolved) })
}

/// Findings of the schedule: one a lane that is overloaded, one a task that has no bound at or below its deadline.
fn judge(system: &System, analysis: &Analysis) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (position, (lane, result)) in system.lanes.iter().zip(&analysis.lanes).enumerate() {
        if matches!(result.busy_period, Err(NoBound::Overloaded)) {
            findings.push(overloaded(system, position, result.utilization_ppm));
        } else if let Err(why) = result.busy_period {
            let message = format!("no busy period was found for lane `{}`: {why}", lane.name);
            let finding = Finding::error(Code::NoBound, message).at(&system.file, lane.span.clone(), "this lane");
            findings.push(finding.help(NO_BOUND_HELP));
        } else if let Some(finding) = demand_exceeded(system, analysis, position) {
            findings.push(finding);
        }
    }
    for (position, (task, result)) in system.tasks.iter().zip(&analysis.tasks).enumerate() {
        match &result.response {
            Ok((bound, _)) if *bound > task.deadline => findings.push(missed(system, analysis, position, *bound)),
            Err(NoBound::Overflow | NoBound::GaveUp) if system_lane_settles(system, analysis, position) => {
                let why = result.response.as_ref().err().map(ToString::to_string).unwrap_or_default();
                let message = format!("no response bound was found for task `{}`: {why}", task.name);
                let finding = Finding::error(Code::NoBound, message).at(&system.file, task.span.clone(), "this task");
                findings.push(finding.help(NO_BOUND_HELP));
            }
            // What is overloaded is reported once, at its lane.
            Ok(_) | Err(_) => {}
        }
    }
    findings
}

/// What mends a recurrence that does not settle.
const NO_BOUND_HELP: &str = "lower the utilization below 1, or use times that differ less in magnitude";

fn system_lane_settles(system: &System, analysis: &Analysis, task: usize) -> bool {
    let lane = system.tasks.get(task).and_then(|task| analysis.lanes.get(task.lane));
    lane.is_some_and(|lane| lane.busy_period.is_ok())
}

fn overloaded(system: &System, lane: usize, ppm: u64) -> Finding {
    let (name, span) = system.lanes.get(lane).map_or(("", 0..0), |lane| (lane.name.as_str(), lane.span.clone()));
    let overhead = system.lanes.get(lane).map_or(Duration::ZERO, |lane| lane.dispatch_overhead);
    let percent = format!("{}.{:02} %", ppm / 10_000, ppm % 10_000 / 100);
    let message = format!("lane `{name}` has a utilization of {percent}: its tasks ask for more time than passes");
    let mut finding = Finding::error(Code::Overloaded, message).at(&system.file, span, "this lane");
    for task in system.tasks.iter().filter(|task| task.lane == lane) {
        let cost = task.wcet.checked_add(overhead).unwrap_or(Duration::MAX);
        let share = u128::from(cost.as_ns()).saturating_mul(10_000).checked_div(u128::from(task.period.as_ns()));
        let share = share.unwrap_or(u128::MAX);
        let text = format!("{} every {}: {}.{:02} %", show(cost), show(task.period), share / 100, share % 100);
        finding = finding.also(&system.file, task.span.clone(), text);
    }
    finding.help("move a task to another lane, lengthen periods, or use faster models")
}

fn demand_exceeded(system: &System, analysis: &Analysis, lane: usize) -> Option<Finding> {
    let mut members = system.tasks.iter().zip(&analysis.tasks).filter(|(task, _)| task.lane == lane);
    let (at, needed) = members.find_map(|(_, result)| match result.response {
        Err(NoBound::Demand { at, needed }) => Some((at, needed)),
        _ => None,
    })?;
    let desc = system.lanes.get(lane)?;
    let message = format!(
        "on EDF lane `{}`, {} of execution can be due within {}",
        desc.name,
        show(Duration::from_ns(needed)),
        show(Duration::from_ns(at))
    );
    let mut finding = Finding::error(Code::DemandExceeded, message).at(&system.file, desc.span.clone(), "this lane");
    // A job that is seen late by its whole jitter is due that much earlier after it is seen.
    let due = |task: &&Task| {
        let jitter = task.jitter.as_ns().saturating_add(desc.wakeup_latency.as_ns());
        task.deadline.as_ns().saturating_sub(jitter) <= at
    };
    let later = system.tasks.iter().filter(|task| task.lane == lane && !due(task));
    if let Some(blocker) = later.max_by_key(|task| task.wcet) {
        let text = format!("`{}` can block for {}", blocker.name, show(blocker.wcet));
        finding = finding.also(&system.file, blocker.span.clone(), text);
    }
    for task in system.tasks.iter().filter(|task| task.lane == lane && due(task)) {
        let text = format!(
            "`{}`: {} due every {} within {}",
            task.name,
            show(task.wcet),
            show(task.period),
            show(task.deadline)
        );
        finding = finding.also(&system.file, task.span.clone(), text);
    }
    Some(finding.help("shorten what is due until then, shorten the blocking job, or move a task to another lane"))
}

fn missed(system: &System, analysis: &Analysis, position: usize, bound: Duration) -> Finding {
    let (Some(task), Some(result)) = (system.tasks.get(position), analysis.tasks.get(position)) else {
        return Finding::error(Code::DeadlineMissed, "a task's bound exceeds its deadline");
    };
    let message =
        format!("task `{}` may respond only after {}, its deadline is {}", task.name, show(bound), show(task.deadline));
    let over = bound.saturating_sub(task.deadline);
    let text = format!("{} too short", show(over));
    let mut finding = Finding::error(Code::DeadlineMissed, message).at(&system.file, task.deadline_span.clone(), text);
    if let Some(blocker) = result.blocked_by.and_then(|index| system.tasks.get(index)) {
        let text = format!("`{}` can block it for {}", blocker.name, show(result.blocking));
        finding = finding.also(&system.file, blocker.span.clone(), text);
    }
    let more_important = system
        .tasks
        .iter()
        .zip(&analysis.tasks)
        .filter(|(other, found)| other.lane == task.lane && found.priority.is_more_important_than(result.priority));
    for (other, _) in more_important {
        let text = format!("`{}` goes before it: {} every {}", other.name, show(other.wcet), show(other.period));
        finding = finding.also(&system.file, other.span.clone(), text);
    }
    // Blocking is C − 1 of a less important job, so this is the longest C that leaves the bound at the deadline.
    let overhead = system.lanes.get(task.lane).map_or(Duration::ZERO, |lane| lane.dispatch_overhead);
    let tolerable = result.blocking.checked_sub(over).and_then(|most| most.checked_add(Duration::from_ns(1)));
    let tolerable = tolerable.and_then(|most| most.checked_sub(overhead)).filter(|most| !most.is_zero());
    let advice = match tolerable.filter(|_| result.blocked_by.is_some()) {
        Some(most) => format!(
            "shorten every less important job of the lane to at most {}, lengthen the deadline to {}, or use another lane",
            show_down(most),
            show(bound)
        ),
        None => format!("lengthen the deadline to {}, shorten what goes before it, or use another lane", show(bound)),
    };
    finding.help(advice)
}

fn judge_memory(system: &System, layout: &Layout) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (position, (device, pool)) in system.devices.iter().zip(&layout.pools).enumerate() {
        let needed = u128::from(pool.height.0).saturating_add(u128::from(pool.weights.0));
        if needed <= u128::from(device.memory.0) {
            continue;
        }
        let message = format!(
            "the models need {needed} bytes of device `{}`, which grants {} bytes",
            device.name, device.memory.0
        );
        let text = format!("arena {} bytes, weights {} bytes", pool.height.0, pool.weights.0);
        let mut finding = Finding::error(Code::MemoryExceeded, message).at(&system.file, device.span.clone(), text);
        let residents = system.models.iter().zip(&layout.models).filter(|(_, placement)| placement.pool == position);
        for (model, _) in residents {
            let text = format!(
                "weights {}, inputs and outputs {}, scratch {} bytes",
                model.weights.0,
                memory::bound_bytes(model).0,
                model.scratch.0
            );
            finding = finding.also(&system.file, model.span.clone(), text);
        }
        findings.push(finding.help("grant more memory, use smaller models, or move a lane to another device"));
    }
    findings
}

/// A time for people in a fitting unit, rounded up, so that no bound looks shorter than it is.
#[must_use]
pub fn show(time: Duration) -> String {
    rounded(time, u64::div_ceil)
}

/// As [`show`], rounded down: for what must not look longer than it is, a slack or an allowance.
#[must_use]
pub fn show_down(time: Duration) -> String {
    rounded(time, |ns, unit| ns / unit)
}

/// Three decimals of the largest unit that the time fills.
fn rounded(time: Duration, divide: fn(u64, u64) -> u64) -> String {
    let ns = time.as_ns();
    let (unit, per_thousandth) = match ns {
        0..=999 => return format!("{ns} ns"),
        1_000..=999_999 => ("us", 1),
        1_000_000..=999_999_999 => ("ms", 1_000),
        _ => ("s", 1_000_000),
    };
    let thousandths = divide(ns, per_thousandth);
    let text = format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000);
    format!("{} {unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::{show, show_down};
    use aegis_core::Duration;

    #[test]
    fn times_are_rounded_to_the_safe_side() {
        let both = |ns| (show(Duration::from_ns(ns)), show_down(Duration::from_ns(ns)));
        assert_eq!(both(0), ("0 ns".to_owned(), "0 ns".to_owned()));
        assert_eq!(both(33_000_000), ("33 ms".to_owned(), "33 ms".to_owned()));
        assert_eq!(both(1_000_001), ("1.001 ms".to_owned(), "1 ms".to_owned()));
        assert_eq!(both(1_234), ("1.234 us".to_owned(), "1.234 us".to_owned()));
        assert_eq!(both(2_500_000_001), ("2.501 s".to_owned(), "2.5 s".to_owned()));
        assert!(show(Duration::MAX).ends_with(" s"));
    }
}

//! A lane as a task set for POET, which turns response bounds into proofs that the Rocq prover checks.
//!
//! M. Maida, S. Bozhko, B. Brandenburg, "Foundational Response-Time Analysis as Explainable Evidence of Timeliness",
//! ECRTS 2022. The format is that of POET 0.1 to 0.3: one YAML mapping with `scheduling policy` (FP, EDF), `preemption
//! model` (FP: fully preemptive, NP: fully non-preemptive) and `task set`; each task has a unique `id`, positive
//! integers without a unit, one of `period`, `min interarrival` and `arrival curve`, and under FP a `priority`, where
//! larger is more important. Here a time is in nanoseconds, and ids count from 1 in the lane's order.
//!
//! What a proof of the file says about the lane, whose overheads are part of the costs:
//! 1. Without jitter, arrivals are at least T apart (`min interarrival`) in both, and POET's bounds hold for the lane.
//! 2. With jitter J, POET's arrivals are our releases. At most ⌈(Δ + J)/T⌉ of them lie in an interval of length Δ. The
//!    `arrival curve` is exact up to the end of the longest busy period. Beyond, POET repeats it every N T − J ns with N
//!    releases, which is never less. The deadline from release is D − J.
//! 3. Fixed priority does not look at deadlines: J plus POET's bound is a bound from arrival. It can be above ours where
//!    a busy period holds several jobs of the task, for only the first can be seen as late as J.
//! 4. Under EDF, only that deadlines are met carries over, for POET orders jobs by release + D − J, which is at most the
//!    absolute deadline that the lane orders them by. Preemptive EDF meets deadlines whenever any order does. For whole
//!    jobs, let tasks with D − J ≤ t be released as late and as densely as they may, just after a job with D − J > t
//!    started. POET's order then completes by t all that the demand test ([`crate::analysis`]) counts, so the test
//!    passes at every t.

use crate::analysis::fixed_priority::busy_period;
use crate::analysis::{Analysis, Load, NoBound, lane_loads};
use crate::system::System;
use aegis_core::desc::Policy;
use askama::Template;

/// The most steps that an arrival curve may have; the longest that POET's authors publish has 122.
pub const CURVE_STEPS: u64 = 1_000;

/// Why POET cannot be given a lane.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unsupported {
    /// A proof needs a task.
    #[error("the lane has no tasks")]
    NoTasks,
    /// It is not scheduled online.
    #[error("POET covers fixed priorities and EDF, not a time-triggered lane")]
    Policy,
    /// POET knows one preemption model for all tasks, and only the two extremes.
    #[error("POET covers jobs that can be preempted anywhere or nowhere, all of a lane alike; `{task}` differs")]
    Preemption {
        /// The first task that does not fit.
        task: String,
    },
    /// POET's deadlines count from release and are positive.
    #[error("jitter lets `{task}` be seen only at its deadline or later")]
    Late {
        /// The task.
        task: String,
    },
    /// The arrival curve would be too long for a proof.
    #[error("jitter gives `{task}` an arrival curve of more than {CURVE_STEPS} steps")]
    Curve {
        /// The task.
        task: String,
    },
    /// With jitter, arrival curves must reach to the end of the busy period.
    #[error("the busy period, which the curves for jitter need, has no bound: {0}")]
    BusyPeriod(NoBound),
    /// A time leaves the range.
    #[error("a time exceeds 2^64 - 1 ns")]
    Overflow,
}

/// The file for one lane of an analysed system.
///
/// # Errors
/// [`Unsupported`], where the lane is outside of what POET covers.
pub fn lane(system: &System, analysis: &Analysis, lane: usize) -> Result<String, Unsupported> {
    let (members, loads) = lane_loads(system, analysis, lane).ok_or(Unsupported::Overflow)?;
    let names = members.iter().filter_map(|member| system.tasks.get(*member)).map(|task| task.name.as_str());
    let tasks: Vec<(&str, Load)> = names.zip(loads).collect();
    let described = system.lanes.get(lane).ok_or(Unsupported::NoTasks)?;
    export(&format!("{}: lane {}", system.name, described.name), &tasks, described.policy)
}

/// The file for named loads, the most important first; `title` becomes a comment.
///
/// # Errors
/// [`Unsupported`], where they are outside of what POET covers.
pub fn export(title: &str, tasks: &[(&str, Load)], policy: Policy) -> Result<String, Unsupported> {
    let policy = match policy {
        Policy::RateMonotonic | Policy::DeadlineMonotonic | Policy::FixedPriority => "FP",
        Policy::EarliestDeadlineFirst => "EDF",
        Policy::TimeTriggered => return Err(Unsupported::Policy),
    };
    let preemption = preemption(tasks)?;
    let reach = if tasks.iter().any(|(_, load)| load.jitter > 0) { reach(tasks)? } else { 0 };
    let mut entries = Vec::with_capacity(tasks.len());
    for (id, (name, load)) in (1..).zip(tasks) {
        let named = || (*name).to_owned();
        let arrivals = match load.jitter {
            0 => Arrivals::Sporadic(load.period),
            _ => Arrivals::Curve(Curve::of(load, reach).ok_or_else(|| Unsupported::Curve { task: named() })?),
        };
        let deadline = load.deadline.checked_sub(load.jitter).filter(|deadline| *deadline > 0);
        entries.push(Entry {
            id,
            name: name.escape_debug().to_string(),
            cost: load.cost,
            arrivals,
            jitter: load.jitter,
            deadline: deadline.ok_or_else(|| Unsupported::Late { task: named() })?,
            priority: (policy == "FP").then_some(tasks.len() + 1 - id),
        });
    }
    let file = File { lane: title.escape_debug().to_string(), policy, preemption, tasks: entries };
    Ok(file.to_string())
}

/// Where all jobs can be preempted alike: "FP" for anywhere, "NP" for nowhere.
fn preemption(tasks: &[(&str, Load)]) -> Result<&'static str, Unsupported> {
    let nowhere = |load: &Load| load.last() == load.cost;
    let anywhere = |load: &Load| load.longest() == 1;
    // A job of 1 ns is both.
    let model = match tasks.iter().find(|(_, load)| load.cost > 1).or(tasks.first()) {
        None => return Err(Unsupported::NoTasks),
        Some((_, load)) if nowhere(load) => "NP",
        Some(_) => "FP",
    };
    let fits = |load: &Load| if model == "NP" { nowhere(load) } else { anywhere(load) };
    match tasks.iter().find(|(_, load)| !fits(load)) {
        Some((name, _)) => Err(Unsupported::Preemption { task: (*name).to_owned() }),
        None => Ok(model),
    }
}

/// The end of the longest busy period of any task.
fn reach(tasks: &[(&str, Load)]) -> Result<u64, Unsupported> {
    let loads: Vec<Load> = tasks.iter().map(|(_, load)| *load).collect();
    let blocking = loads.iter().map(Load::longest).max().unwrap_or(0).saturating_sub(1);
    busy_period(blocking, &loads).map_err(Unsupported::BusyPeriod)
}

/// One file.
#[derive(Template)]
#[template(path = "poet.yaml.askama", escape = "none")]
struct File {
    lane: String,
    policy: &'static str,
    preemption: &'static str,
    tasks: Vec<Entry>,
}

/// One task of it.
struct Entry {
    id: usize,
    name: String,
    cost: u64,
    arrivals: Arrivals,
    jitter: u64,
    deadline: u64,
    priority: Option<usize>,
}

enum Arrivals {
    /// At least this far apart.
    Sporadic(u64),
    Curve(Curve),
}

/// The most releases in an interval: steps (length, releases) below the horizon, repeated beyond.
struct Curve {
    horizon: u64,
    steps: Vec<(u64, u64)>,
}

impl Curve {
    /// ⌈(Δ + J)/T⌉, exact for each Δ up to `reach`; `None` where that takes more than [`CURVE_STEPS`] steps.
    fn of(load: &Load, reach: u64) -> Option<Self> {
        // The horizon N T − J must lie at or beyond the reach, and beyond the first step.
        let last = reach.max(2).checked_add(load.jitter)?.div_ceil(load.period);
        let first = load.jitter / load.period + 1;
        if last - first >= CURVE_STEPS {
            return None;
        }
        // Release k + 1 can fall into an interval that is longer than k T − J.
        let later = |k: u64| Some((k.checked_mul(load.period)?.checked_sub(load.jitter)?.checked_add(1)?, k + 1));
        let steps = std::iter::once(Some((1, first))).chain((first..last).map(later)).collect::<Option<_>>()?;
        Some(Self { horizon: last.checked_mul(load.period)?.checked_sub(load.jitter)?, steps })
    }
}

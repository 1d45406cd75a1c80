//! Other plans: the same one, or the same tasks under another policy.

use crate::analysis::{analyse, is_schedulable};
use crate::audit::model::Model;
use crate::certify::{NotCertifiable, certify, draft};
use crate::lock::{Input, Lock, sha256};
use crate::{memory, tables};
use aegis_core::Priority;
use aegis_core::desc::{Policy, SystemDesc};

/// A plan, and what is proven of it.
#[derive(Clone, Debug)]
pub struct Other {
    /// Its descriptors.
    pub system: &'static SystemDesc,
    /// It in words, to follow "under".
    pub words: String,
    /// For each of its tasks whether it is proven to meet its deadline.
    pub holds: Vec<bool>,
}

impl Other {
    /// A plan that was checked elsewhere.
    #[must_use]
    pub fn checked(system: &'static SystemDesc, words: String, is_proven: bool) -> Self {
        let of = |task: &aegis_core::desc::TaskDesc| is_proven || task.response_bound <= task.deadline;
        let mut holds: Vec<bool> = system.tasks.iter().map(of).collect();
        if !is_proven && holds.iter().all(|holds| *holds) {
            holds.fill(false);
        }
        Self { system, words, holds }
    }

    /// Whether all of it is proven.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.holds.iter().all(|holds| *holds)
    }
}

/// Why there is no other plan.
#[derive(Debug, thiserror::Error)]
pub enum NoPlan {
    /// The lane's name is unknown.
    #[error("the plan has no lane `{name}`, it has {known}")]
    UnknownLane {
        /// The name.
        name: String,
        /// The plan's.
        known: String,
    },
    /// There is no table for a lane.
    #[error("no time-triggered table was found for the lane `{0}`, so nothing can be run under it")]
    NoTable(String),
    /// A time exceeds the range, or positions contradict each other.
    #[error("a time of the plan exceeds 2^64 - 1 ns")]
    Overflow,
    /// The plan cannot be built.
    #[error("the plan cannot be built: {0}")]
    Certify(#[from] NotCertifiable),
    /// The plan cannot be written.
    #[error("the plan cannot be written: {0}")]
    Write(#[from] toml::ser::Error),
    /// The plan has no tables.
    #[error("the plan has no tables: {0}")]
    Tables(#[from] tables::Unknown),
}

/// The recorded plan itself.
#[must_use]
pub fn same(plan: &'static SystemDesc) -> Other {
    let holds = plan.tasks.iter().map(|task| task.response_bound <= task.deadline).collect();
    Other { system: plan, words: "the same plan".to_owned(), holds }
}

/// The plan's tasks under another policy: on one lane, or on all.
///
/// # Errors
/// [`NoPlan`].
pub fn under(plan: &'static SystemDesc, policy: Policy, lane: Option<&str>) -> Result<Other, NoPlan> {
    let Model { mut system, .. } = Model::of(plan).ok_or(NoPlan::Overflow)?;
    if let Some(name) = lane
        && system.lanes.iter().all(|own| own.name != name)
    {
        let known = system.lanes.iter().map(|own| format!("`{}`", own.name)).collect::<Vec<_>>().join(", ");
        return Err(NoPlan::UnknownLane { name: name.to_owned(), known });
    }
    for own in &mut system.lanes {
        if lane.is_none_or(|name| own.name == name) {
            own.policy = policy;
        }
        // Memory and devices are not planned here; what going to a partition costs is in the executions.
        own.partition = None;
    }
    // Failures are replayed as they were; that a process is handed segments is in the executions.
    for domain in &mut system.domains {
        domain.process = None;
    }
    for task in &mut system.tasks {
        (task.handed, task.hand_over) = (false, aegis_core::Duration::ZERO);
    }
    let analysis = analyse(&system);
    for (own, found) in system.lanes.iter().zip(&analysis.lanes) {
        let has_slots = |task: &crate::system::Task| {
            !task.submitted && system.lanes.get(task.lane).is_some_and(|lane| lane.name == own.name)
        };
        if own.policy == Policy::TimeTriggered && found.table.is_none() && system.tasks.iter().any(has_slots) {
            return Err(NoPlan::NoTable(own.name.clone()));
        }
    }
    let priorities: Vec<Priority> = analysis.tasks.iter().map(|task| task.priority).collect();
    let layout = memory::plan(&system, &priorities).map_err(|_| NoPlan::Overflow)?;
    let is_proven = (0..system.tasks.len()).all(|task| is_schedulable(&system, &analysis, task));
    let drafted = match is_proven && analysis.has_certificate() {
        true => certify(&system, &analysis, &layout)?,
        false => draft(&system, &analysis, &layout)?,
    };
    let input = Input { path: "system.toml".to_owned(), sha256: sha256(b"") };
    let other = tables::leak(&Lock::new(drafted, vec![input])?)?;
    let holds = other.tasks.iter().map(|task| {
        let position = system.tasks.iter().position(|own| own.name == task.name);
        position.is_some_and(|position| is_schedulable(&system, &analysis, position))
    });
    let on = lane.map_or_else(|| "on every lane".to_owned(), |name| format!("on the lane `{name}`"));
    Ok(Other { system: other, words: format!("{} {on}", policy.name()), holds: holds.collect() })
}

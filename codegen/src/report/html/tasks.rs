//! The tasks with their bounds.

use super::factors::Factors;
use super::format::{Clock, Data, percent, ratio};
use crate::analysis::{Analysis, Holds, TaskResult};
use crate::report::explain;
use crate::system::{System, Task};

/// Whether something promised holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// By a proof that has a certificate.
    Holds,
    /// By the exact analysis only.
    Exactly,
    /// Not proven, but enforced while the vehicle runs.
    Enforced,
    /// Not shown to hold.
    Fails,
}

impl State {
    pub(super) const fn of(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Fails }
    }

    /// The name of its look.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Holds | Self::Exactly => "pass",
            Self::Enforced => "enforced",
            Self::Fails => "fail",
        }
    }

    /// In words, with a sign: colour alone says nothing.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Holds => "✓ holds",
            Self::Exactly => "✓ holds (exact)",
            Self::Enforced => "– enforced",
            Self::Fails => "✗ fails",
        }
    }
}

/// One row.
pub(super) struct TaskRow<'a> {
    /// The task's position.
    pub(super) position: usize,
    pub(super) name: &'a str,
    pub(super) optional: bool,
    pub(super) lane: &'a str,
    pub(super) priority: u16,
    pub(super) wcet: Data,
    /// How many, where a job has more than one.
    pub(super) segments: Option<usize>,
    pub(super) period: Data,
    pub(super) deadline: Data,
    pub(super) jitter: Option<Data>,
    pub(super) blocking: Data,
    pub(super) blocked_by: Option<&'a str>,
    pub(super) response: Option<Data>,
    pub(super) slack: Option<Data>,
    /// R as a share of D, and what of that a bar shows, in thousandths of its length.
    pub(super) share: Option<(String, u64)>,
    /// By what factor C may grow, and who misses then.
    pub(super) breaks: Option<(String, Option<&'a str>)>,
    pub(super) state: State,
    pub(super) test: &'static str,
    pub(super) page: &'static str,
}

/// All tasks, lane by lane, the most important first.
pub(super) fn rows<'a>(
    system: &'a System,
    analysis: &Analysis,
    factors: &Factors<'a>,
    clock: Clock,
) -> Vec<TaskRow<'a>> {
    let mut order: Vec<usize> = (0..system.tasks.len()).collect();
    order.sort_by_key(|index| {
        (system.tasks.get(*index).map(|task| task.lane), analysis.tasks.get(*index).map(|result| result.priority.0))
    });
    let row = |position: usize| {
        let (task, result) = (system.tasks.get(position)?, analysis.tasks.get(position)?);
        Some(self::row(system, analysis, (position, task, result), factors, clock))
    };
    order.into_iter().filter_map(row).collect()
}

fn row<'a>(
    system: &'a System,
    analysis: &Analysis,
    (position, task, result): (usize, &'a Task, &TaskResult),
    factors: &Factors<'a>,
    clock: Clock,
) -> TaskRow<'a> {
    let (bound, deadline) = (result.bound().map(|bound| bound.as_ns()), task.deadline.as_ns());
    let blocker = result.blocked_by.filter(|_| !result.blocking.is_zero());
    let test = explain::test(system, analysis, position);
    TaskRow {
        position,
        name: &task.name,
        optional: task.optional,
        lane: system.lanes.get(task.lane).map_or("", |lane| &lane.name),
        priority: result.priority.0,
        wcet: clock.up(task.wcet.as_ns()),
        segments: Some(task.segments.len()).filter(|segments| *segments > 1),
        period: clock.down(task.period.as_ns()),
        deadline: clock.down(deadline),
        jitter: (!task.jitter.is_zero()).then(|| clock.up(task.jitter.as_ns())),
        blocking: clock.up(result.blocking.as_ns()),
        blocked_by: blocker.and_then(|blocker| Some(system.tasks.get(blocker)?.name.as_str())),
        response: bound.map(|bound| clock.up(bound)),
        slack: bound.map(|bound| clock.signed(i128::from(deadline).saturating_sub(i128::from(bound)))),
        share: bound.map(|bound| {
            let ppm = ratio(bound, deadline);
            (percent(ppm), (ppm / 1_000).min(1_000))
        }),
        breaks: factors.tasks.get(position).cloned().flatten(),
        state: match result.holds(task.deadline) {
            Holds::Proven => State::Holds,
            Holds::Exactly => State::Exactly,
            Holds::No => State::Fails,
        },
        test,
        page: page(test),
    }
}

/// The page of `docs/theory/` that a test's theorem is on.
pub(super) fn page(test: &str) -> &'static str {
    match test {
        "schedule-abstraction-graph" => "schedule-abstraction",
        "table" | "table-gaps" => "time-triggered",
        "np-edf-rta" | "lp-edf-rta" | "fnpr-edf-rta" | "edf-rta" => "edf-response-times",
        "np-fp-rta" => "non-preemptive-fixed-priority",
        "lp-fp-rta" | "fnpr-fp-rta" => "limited-preemption",
        "fp-rta" => "preemptive-fixed-priority",
        _ => "self-suspension",
    }
}

#[cfg(test)]
mod tests {
    use super::page;

    #[test]
    fn each_test_has_a_page_of_theory() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/theory");
        let tests =
            ["schedule-abstraction-graph", "table", "edf-rta", "np-fp-rta", "lp-fp-rta", "fp-rta", "suspension"];
        for test in tests {
            assert!(folder.join(page(test)).with_extension("md").is_file(), "{test}");
        }
        for other in ["chains", "memory-planning", "domain-failures", "sensitivity", "certificates", "overheads"] {
            assert!(folder.join(other).with_extension("md").is_file(), "{other}");
        }
    }
}

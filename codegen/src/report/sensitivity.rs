//! How far each number of a plan that holds can move, as tables for people and as JSON.

use crate::analysis::Analysis;
use crate::analysis::sensitivity::{self, FirstMiss};
use crate::check::{show, show_down};
use crate::report::table::table;
use crate::system::System;
use aegis_core::Duration;
use comfy_table::CellAlignment;
use serde::Serialize;
use std::fmt::Write as _;

/// The limits of a whole plan. Times in nanoseconds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Sensitivity {
    /// Per lane that is accepted.
    pub lanes: Vec<LaneSensitivity>,
    /// Per task of these lanes.
    pub tasks: Vec<TaskSensitivity>,
    /// Whether the search ended at its limit, so that lanes or tasks are missing.
    pub gave_up: bool,
}

/// The limits of a lane.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LaneSensitivity {
    /// Its name.
    pub name: String,
    /// The factor that all its WCETs can be multiplied by, in millionths.
    pub breakdown_ppm: u64,
    /// The largest dispatch overhead per segment.
    pub largest_dispatch_overhead_ns: u64,
}

/// The limits of a task: each with the first task that misses beyond it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TaskSensitivity {
    /// Its name.
    pub name: String,
    /// Its WCET.
    pub wcet_ns: u64,
    /// The largest WCET.
    pub largest_wcet_ns: u64,
    /// Who misses with 1 ns more.
    pub wcet_first_miss: Option<String>,
    /// The largest longest segment, where a job has several; the WCET grows with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_segment_ns: Option<u64>,
    /// Who misses with 1 ns more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment_first_miss: Option<String>,
    /// The shortest period, at the present priorities.
    pub shortest_period_ns: u64,
    /// Who misses with 1 ns less.
    pub period_first_miss: Option<String>,
    /// The shortest deadline, at the present priorities.
    pub shortest_deadline_ns: u64,
    /// Who misses with 1 ns less.
    pub deadline_first_miss: Option<String>,
}

/// The limits of a system that is accepted; none of time-triggered lanes, nor where something is not proven.
#[must_use]
pub fn of(system: &System, analysis: &Analysis) -> Sensitivity {
    let mut found = Sensitivity { lanes: Vec::new(), tasks: Vec::new(), gave_up: false };
    let Some(limits) = sensitivity::Sensitivity::new(system, analysis) else { return found };
    let name = |miss: FirstMiss| miss.and_then(|task| system.tasks.get(task)).map(|task| task.name.clone());
    for (position, lane) in system.lanes.iter().enumerate() {
        let (Some(breakdown_ppm), Some(largest_dispatch_overhead_ns)) =
            (limits.breakdown_ppm(position), limits.largest_overhead(position))
        else {
            continue;
        };
        if limits.is_exhausted() {
            break;
        }
        found.lanes.push(LaneSensitivity { name: lane.name.clone(), breakdown_ppm, largest_dispatch_overhead_ns });
    }
    for (position, task) in system.tasks.iter().enumerate() {
        let Some(own) = limits.limits(position) else { continue };
        if limits.is_exhausted() {
            break;
        }
        let limits = own;
        found.tasks.push(TaskSensitivity {
            name: task.name.clone(),
            wcet_ns: task.wcet.as_ns(),
            largest_wcet_ns: limits.wcet.0,
            wcet_first_miss: name(limits.wcet.1),
            largest_segment_ns: limits.segment.map(|segment| segment.0),
            segment_first_miss: limits.segment.and_then(|segment| name(segment.1)),
            shortest_period_ns: limits.period.0,
            period_first_miss: name(limits.period.1),
            shortest_deadline_ns: limits.deadline.0,
            deadline_first_miss: name(limits.deadline.1),
        });
    }
    found.gave_up = limits.is_exhausted();
    found
}

impl Sensitivity {
    /// The tables for people.
    #[must_use]
    pub fn render(&self) -> String {
        let mut limits = table(&[
            "task",
            "WCET",
            "may grow to",
            "then misses",
            "longest segment to",
            "then misses",
            "period down to",
            "then misses",
            "deadline down to",
            "then misses",
        ]);
        let who = |miss: &Option<String>| miss.clone().unwrap_or_else(|| "-".to_owned());
        for task in &self.tasks {
            limits.add_row([
                task.name.clone(),
                show(Duration::from_ns(task.wcet_ns)),
                show_down(Duration::from_ns(task.largest_wcet_ns)),
                who(&task.wcet_first_miss),
                task.largest_segment_ns.map_or_else(|| "-".to_owned(), |most| show_down(Duration::from_ns(most))),
                who(&task.segment_first_miss),
                show(Duration::from_ns(task.shortest_period_ns)),
                who(&task.period_first_miss),
                show(Duration::from_ns(task.shortest_deadline_ns)),
                who(&task.deadline_first_miss),
            ]);
        }
        for column in limits.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let mut text = format!("{limits}\n");
        if self.gave_up {
            text.push_str("the search for limits ended at its own limit: what is missing here was not looked at\n");
        }
        for lane in &self.lanes {
            let (whole, rest) = (lane.breakdown_ppm / 1_000_000, lane.breakdown_ppm % 1_000_000 / 1_000);
            let overhead = show_down(Duration::from_ns(lane.largest_dispatch_overhead_ns));
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "lane {}: breaks beyond x{whole}.{rest:03} of all WCETs; tolerates {overhead} of dispatch overhead per segment",
                lane.name
            );
        }
        text
    }
}

//! How much of each lane its tasks take, and what a segment and a release cost there.

use super::factors::Factors;
use super::format::{Clock, Data, percent, ratio};
use crate::analysis::{Analysis, lane_loads};
use crate::report::ink::{COLORS, Px, Xml, share};
use crate::system::{Lane, System};
use std::fmt::Write as _;

/// A lane.
pub(super) struct LaneRow<'a> {
    pub(super) name: &'a str,
    pub(super) policy: &'static str,
    pub(super) preemption: &'static str,
    pub(super) core: u16,
    pub(super) sms: Option<u16>,
    pub(super) utilization: String,
    pub(super) is_over: bool,
    /// The longest busy interval, or a table's length; or why there is none.
    pub(super) busy: Result<Data, String>,
    /// At which factor of all execution times something misses, and what.
    pub(super) breakdown: Option<(String, Option<&'a str>)>,
    /// Overheads that are not zero, named.
    pub(super) overheads: Vec<(&'static str, Data)>,
    /// Its tasks' shares, as a drawing and in numbers.
    pub(super) bar: String,
    pub(super) parts: Vec<Part<'a>>,
}

/// A task's share of its lane.
pub(super) struct Part<'a> {
    pub(super) task: &'a str,
    /// With overheads.
    pub(super) cost: Data,
    pub(super) period: Data,
    pub(super) share: String,
    ppm: u64,
}

/// All lanes with tasks.
pub(super) fn rows<'a>(
    system: &'a System,
    analysis: &Analysis,
    factors: &Factors<'a>,
    clock: Clock,
) -> Vec<LaneRow<'a>> {
    let row = |(position, (lane, result)): (usize, (&'a Lane, &crate::analysis::LaneResult))| {
        let mut parts = parts(system, analysis, position, clock);
        parts.sort_by_key(|part| std::cmp::Reverse(part.ppm));
        let overheads = [
            ("dispatch per segment", lane.dispatch_overhead),
            ("launch per segment", lane.launch_overhead),
            ("domain switch per segment", lane.domain_switch),
            ("thread wait per segment and release", lane.thread_wait),
            ("wake-up per release", lane.wakeup_latency),
            ("fault blackout", lane.blackout),
        ];
        LaneRow {
            name: &lane.name,
            policy: lane.policy.name(),
            preemption: lane.preemption.name(),
            core: lane.core,
            sms: lane.partition.map(|part| part.sms),
            utilization: percent(result.utilization_ppm),
            is_over: result.utilization_ppm > 1_000_000,
            busy: result.busy_period.map(|busy| clock.up(busy.as_ns())).map_err(|why| why.to_string()),
            breakdown: factors.lanes.get(position).cloned().flatten(),
            overheads: overheads
                .iter()
                .filter(|(_, time)| !time.is_zero())
                .map(|(name, time)| (*name, clock.up(time.as_ns())))
                .collect(),
            bar: bar(&lane.name, result.utilization_ppm, &parts),
            parts,
        }
    };
    system.lanes.iter().zip(&analysis.lanes).enumerate().map(row).collect()
}

/// As analysed, with overheads; of a system with modes C / T alone, for tasks of different modes never compete.
fn parts<'a>(system: &'a System, analysis: &Analysis, lane: usize, clock: Clock) -> Vec<Part<'a>> {
    let part = |task: &'a crate::system::Task, cost: u64| {
        let ppm = ratio(cost, task.period.as_ns());
        let period = clock.down(task.period.as_ns());
        Part { task: &task.name, cost: clock.up(cost), period, share: percent(ppm), ppm }
    };
    if let Some((members, loads)) = lane_loads(system, analysis, lane) {
        let loaded = members.iter().zip(&loads);
        return loaded.filter_map(|(member, load)| Some(part(system.tasks.get(*member)?, load.cost))).collect();
    }
    let here = system.tasks.iter().filter(|task| task.lane == lane);
    here.map(|task| part(task, task.wcet.as_ns())).collect()
}

const WIDTH: u64 = 960_000;

/// The shares beside each other, over a line of the whole lane.
fn bar(lane: &str, utilization: u64, parts: &[Part<'_>]) -> String {
    let mut text = String::new();
    let whole = utilization.max(1_000_000);
    let title = format!("Load of lane {lane}: {}", percent(utilization));
    let named: Vec<String> = parts.iter().take(24).map(|part| format!("{} {}", part.task, part.share)).collect();
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "<svg class=\"load\" viewBox=\"0 0 960 34\" role=\"img\" aria-label=\"{}. {}\"><rect class=\"free\" width=\"{}\" \
         height=\"22\" y=\"6\"/>",
        Xml(&title),
        Xml(&named.join(", ")),
        Px(share(1_000_000, whole, WIDTH)),
    );
    let mut from: u64 = 0;
    for (part, index) in parts.iter().zip(0_usize..) {
        let until = from.saturating_add(part.ppm);
        let (x, end) = (share(from, whole, WIDTH), share(until, whole, WIDTH));
        let _ = write!(
            text,
            "<rect class=\"c{}\" x=\"{}\" y=\"6\" width=\"{}\" height=\"22\"><title>{} {}</title></rect>",
            index % COLORS.len(),
            Px(x),
            Px((end - x).max(500)),
            Xml(part.task),
            part.share,
        );
        let letters = u64::try_from(part.task.chars().count()).unwrap_or(u64::MAX);
        if letters.saturating_mul(7_400).saturating_add(10_000) < end - x {
            let (color, x) = (index % COLORS.len(), Px(x + 6_000));
            let _ = write!(text, "<text class=\"on c{color}\" x=\"{x}\" y=\"21.5\">{}</text>", Xml(part.task));
        }
        from = until;
    }
    let all = Px(share(1_000_000, whole, WIDTH).saturating_sub(1_000));
    let _ = writeln!(text, "<path class=\"all\" d=\"M{all} 1V33\"/></svg>");
    text
}

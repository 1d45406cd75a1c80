//! The report as JSON, schema `aegis.report/1`: integers only, the same bytes for the same input.

use crate::analysis::{Proof, TaskResult, is_schedulable};
use crate::check::Checked;
use crate::finding::{Finding, Position};
use crate::memory::Layout;
use crate::report::sensitivity::Sensitivity;
use crate::system::System;
use serde::Serialize;

/// The schema's name.
pub const SCHEMA: &str = "aegis.report/1";

#[derive(Serialize)]
struct Report<'a> {
    schema: &'a str,
    system: &'a str,
    verdict: &'a str,
    lanes: Vec<Lane<'a>>,
    tasks: Vec<Task<'a>>,
    memory: Memory<'a>,
    /// Chains are not analysed by this version; a manifest that declares one is refused.
    chains: [(); 0],
    /// Only where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    sensitivity: Option<Sensitivity>,
    findings: Vec<FindingView<'a>>,
}

#[derive(Serialize)]
struct Lane<'a> {
    name: &'a str,
    policy: &'a str,
    preemption: &'a str,
    utilization_ppm: u64,
    core: u16,
    dispatch_overhead_ns: u64,
    wakeup_latency_ns: u64,
    busy_period_ns: Option<u64>,
}

#[derive(Serialize)]
struct Task<'a> {
    name: &'a str,
    lane: &'a str,
    priority: u16,
    period_ns: u64,
    deadline_ns: u64,
    jitter_ns: u64,
    wcet_ns: u64,
    segments_ns: [u64; 1],
    blocking_ns: u64,
    blocked_by: Option<&'a str>,
    response_ns: Option<u64>,
    response_from_release_ns: Option<u64>,
    slack_ns: Option<i128>,
    schedulable: bool,
    test: &'a str,
}

#[derive(Serialize)]
struct Memory<'a> {
    pools: Vec<Pool<'a>>,
}

#[derive(Serialize)]
struct Pool<'a> {
    name: &'a str,
    capacity_bytes: u64,
    height_bytes: u64,
    lower_bound_bytes: u64,
    private_bytes: u64,
    optimal: bool,
    weights_bytes: u64,
}

#[derive(Serialize)]
struct FindingView<'a> {
    code: &'a str,
    severity: &'a str,
    message: &'a str,
    help: Option<&'a str>,
    labels: Vec<LabelView<'a>>,
}

#[derive(Serialize)]
struct LabelView<'a> {
    file: &'a str,
    line: Option<usize>,
    column: Option<usize>,
    text: &'a str,
}

/// Renders a check. `name` stands for the system where the manifest could not be read; `text` is the manifest's.
///
/// # Errors
/// Only what the serializer says, which is an internal error.
pub fn render(
    checked: &Checked,
    name: &str,
    text: &str,
    passes: bool,
    sensitivity: Option<Sensitivity>,
) -> serde_json::Result<String> {
    let system = checked.resolved.as_ref().map(|resolved| &resolved.system);
    let report = Report {
        schema: SCHEMA,
        system: system.map_or(name, |system| &system.name),
        verdict: if passes { "pass" } else { "fail" },
        lanes: system.map_or_else(Vec::new, |system| lanes(system, checked)),
        tasks: system.map_or_else(Vec::new, |system| tasks(system, checked)),
        memory: Memory {
            pools: match (system, &checked.layout) {
                (Some(system), Some(layout)) => pools(system, layout),
                _ => Vec::new(),
            },
        },
        chains: [],
        sensitivity,
        findings: checked.findings.iter().map(|finding| view(finding, text)).collect(),
    };
    let mut json = serde_json::to_string_pretty(&report)?;
    json.push('\n');
    Ok(json)
}

fn lanes<'a>(system: &'a System, checked: &Checked) -> Vec<Lane<'a>> {
    let results = checked.analysis.iter().flat_map(|analysis| &analysis.lanes);
    let lane = |(lane, result): (&'a crate::system::Lane, &crate::analysis::LaneResult)| Lane {
        name: &lane.name,
        policy: lane.policy.name(),
        preemption: "none",
        utilization_ppm: result.utilization_ppm,
        core: lane.core,
        dispatch_overhead_ns: lane.dispatch_overhead.as_ns(),
        wakeup_latency_ns: lane.wakeup_latency.as_ns(),
        busy_period_ns: result.busy_period.ok().map(|busy| busy.as_ns()),
    };
    system.lanes.iter().zip(results).map(lane).collect()
}

fn tasks<'a>(system: &'a System, checked: &Checked) -> Vec<Task<'a>> {
    let Some(analysis) = &checked.analysis else { return Vec::new() };
    let mut tasks = Vec::with_capacity(system.tasks.len());
    for (position, (task, result)) in system.tasks.iter().zip(&analysis.tasks).enumerate() {
        let Some(lane) = system.lanes.get(task.lane) else { continue };
        let response_ns = result.bound().map(|bound| bound.as_ns());
        let blocked_by = result.blocked_by.and_then(|index| system.tasks.get(index));
        tasks.push(Task {
            name: &task.name,
            lane: &lane.name,
            priority: result.priority.0,
            period_ns: task.period.as_ns(),
            deadline_ns: task.deadline.as_ns(),
            jitter_ns: task.jitter.as_ns(),
            wcet_ns: task.wcet.as_ns(),
            segments_ns: [task.wcet.as_ns()],
            blocking_ns: result.blocking.as_ns(),
            blocked_by: blocked_by.map(|task| task.name.as_str()),
            response_ns,
            response_from_release_ns: from_release(task, lane, result),
            slack_ns: response_ns.map(|response| i128::from(task.deadline.as_ns()) - i128::from(response)),
            schedulable: is_schedulable(system, analysis, position),
            test: if lane.policy.is_fixed_priority() { "np-fp-rta" } else { "np-edf-demand" },
        });
    }
    tasks
}

/// The bound from release, which comes at most the jitter after the arrival: max over q of s(q) + C − max(0, q T − J).
fn from_release(task: &crate::system::Task, lane: &crate::system::Lane, result: &TaskResult) -> Option<u64> {
    let (bound, proof) = result.response.as_ref().ok()?;
    let Proof::FixedPriority { starts, .. } = proof else { return Some(bound.as_ns()) };
    let cost = task.wcet.checked_add(lane.dispatch_overhead)?.as_ns();
    let jitter = task.jitter.checked_add(lane.wakeup_latency)?.as_ns();
    let mut worst = 0;
    for (q, start) in (0u64..).zip(starts) {
        let release = q.checked_mul(task.period.as_ns())?.saturating_sub(jitter);
        worst = worst.max(start.as_ns().checked_add(cost)?.saturating_sub(release));
    }
    Some(worst)
}

fn pools<'a>(system: &'a System, layout: &Layout) -> Vec<Pool<'a>> {
    let pool = |(device, pool): (&'a crate::system::Device, &crate::memory::Pool)| Pool {
        name: &device.name,
        capacity_bytes: device.memory.0,
        height_bytes: pool.height.0,
        lower_bound_bytes: pool.lower_bound.0,
        private_bytes: pool.private.0,
        optimal: pool.height == pool.lower_bound,
        weights_bytes: pool.weights.0,
    };
    system.devices.iter().zip(&layout.pools).map(pool).collect()
}

fn view<'a>(finding: &'a Finding, text: &str) -> FindingView<'a> {
    let labels = finding.labels.iter().map(|label| {
        let position: Option<Position> = label.position(text);
        LabelView {
            file: &label.file,
            line: position.map(|position| position.line),
            column: position.map(|position| position.column),
            text: &label.text,
        }
    });
    FindingView {
        code: finding.code.id(),
        severity: finding.severity.name(),
        message: &finding.message,
        help: finding.help.as_deref(),
        labels: labels.collect(),
    }
}

//! The report as JSON, schema `aegis.report/1`: integers only, the same bytes for the same input.

use crate::analysis::{Analysis, Proof, TaskResult, is_schedulable, lane_loads, modes};
use crate::check::Checked;
use crate::finding::{Finding, Patch, Position};
use crate::memory::Layout;
use crate::plan::{self, Certificate, Plan};
use crate::report::explain::{self, Explanation};
use crate::report::failures;
use crate::report::sensitivity::Sensitivity;
use crate::report::wcet::{self, WcetView};
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
    chains: Vec<Chain<'a>>,
    /// Only where there are some: then `lanes` and `tasks` have the greatest bounds of all modes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    modes: Vec<Mode<'a>>,
    /// Only where fault domains are processes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    domains: Vec<failures::Domain<'a>>,
    /// Only where a WCET comes from a tail.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    wcets: Vec<WcetView<'a>>,
    /// Only where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    sensitivity: Option<Sensitivity>,
    findings: Vec<FindingView<'a>>,
}

#[derive(Serialize)]
struct Mode<'a> {
    name: &'a str,
    /// Whether it holds when the vehicle starts.
    is_first: bool,
    schedulable: bool,
    /// How long leaving it takes, at most.
    leaves_ns: Option<u64>,
    lanes: Vec<Lane<'a>>,
    tasks: Vec<Task<'a>>,
}

#[derive(Serialize)]
struct Lane<'a> {
    name: &'a str,
    policy: &'a str,
    preemption: &'a str,
    utilization_ppm: u64,
    core: u16,
    /// The SMs of the device that are the lane's; absent where none are.
    #[serde(skip_serializing_if = "Option::is_none")]
    sms: Option<u16>,
    dispatch_overhead_ns: u64,
    launch_overhead_ns: u64,
    domain_switch_ns: u64,
    /// On a part of a GPU that several processes have by turns: what a switch between them adds to each WCET.
    #[serde(skip_serializing_if = "crate::plan::is_zero")]
    process_switch_ns: u64,
    /// For how long its device may serve nobody when a process ends that has models there.
    #[serde(skip_serializing_if = "crate::plan::is_zero")]
    fault_blackout_ns: u64,
    thread_wait_ns: u64,
    wakeup_latency_ns: u64,
    busy_period_ns: Option<u64>,
    /// What the certificates of the lane's tasks share.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<LaneCertificate<'a>>,
}

#[derive(Serialize)]
struct LaneCertificate<'a> {
    /// EDF: absolute deadlines of the busy period, and by when all that is due then is complete.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    points_ns: &'a [(u64, u64)],
    /// Time-triggered: the table's length, and its instants with the positions of tasks in the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    hyperperiod_ns: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    slots: Vec<(u64, u16)>,
}

#[derive(Serialize)]
struct Chain<'a> {
    name: &'a str,
    tasks: Vec<&'a str>,
    communication: &'a str,
    reaction_ns: Option<u64>,
    max_reaction_ns: Option<u64>,
    age_ns: Option<u64>,
    age_at_write_ns: Option<u64>,
    max_age_ns: Option<u64>,
    holds: bool,
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
    segments_ns: Vec<u64>,
    blocking_ns: u64,
    blocked_by: Option<&'a str>,
    response_ns: Option<u64>,
    response_from_release_ns: Option<u64>,
    slack_ns: Option<i128>,
    schedulable: bool,
    /// Whether it is released only while it is admitted; absent where it always is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    optional: bool,
    test: &'a str,
    /// The longest response of the exact analysis, where it was made and did not give up.
    #[serde(skip_serializing_if = "Option::is_none")]
    exact_response_ns: Option<u64>,
    /// Why the exact analysis gave up, where it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    exact_gave_up: Option<String>,
    /// What the bound consists of; absent where there is none, or one without terms.
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<Explanation>,
    /// What re-proves the bound; absent where the plan does not pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<&'a Certificate>,
}

#[derive(Serialize)]
struct Memory<'a> {
    pools: Vec<Pool<'a>>,
}

#[derive(Serialize)]
struct Pool<'a> {
    name: &'a str,
    capacity_bytes: u64,
    shares: Option<&'a str>,
    taken_bytes: u64,
    weights_bytes: u64,
    context_bytes: Option<u64>,
    pinned_bytes: u64,
    pinned_with: Option<&'a str>,
    height_bytes: u64,
    lower_bound_bytes: u64,
    private_bytes: u64,
    optimal: bool,
    models: Vec<Model<'a>>,
}

#[derive(Serialize)]
struct Model<'a> {
    name: &'a str,
    control: &'a str,
}

/// A finding with its places.
#[derive(Serialize)]
pub struct FindingView<'a> {
    code: &'a str,
    severity: &'a str,
    message: &'a str,
    help: Option<&'a str>,
    labels: Vec<LabelView<'a>>,
    patches: Vec<PatchView<'a>>,
}

/// A change that fixes a finding, its end being the place behind what it replaces.
#[derive(Serialize)]
struct PatchView<'a> {
    file: &'a str,
    line: Option<usize>,
    column: Option<usize>,
    end_line: Option<usize>,
    end_column: Option<usize>,
    replacement: &'a str,
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
    let of_modes: Vec<System> =
        system.map_or_else(Vec::new, |system| system.modes.iter().map(|mode| modes::alone(system, mode)).collect());
    let report = Report {
        schema: SCHEMA,
        system: system.map_or(name, |system| &system.name),
        verdict: if passes { "pass" } else { "fail" },
        lanes: whole(system, checked).map_or_else(Vec::new, |whole| whole.lanes()),
        tasks: whole(system, checked).map_or_else(Vec::new, |whole| whole.tasks()),
        memory: Memory {
            pools: match (system, &checked.layout) {
                (Some(system), Some(layout)) => pools(system, layout),
                _ => Vec::new(),
            },
        },
        chains: system.map_or_else(Vec::new, |system| chains(system, checked)),
        modes: system.map_or_else(Vec::new, |system| modes_of(system, &of_modes, checked)),
        domains: match (system, &checked.analysis) {
            (Some(system), Some(analysis)) => failures::views(system, analysis),
            _ => Vec::new(),
        },
        wcets: checked.resolved.as_ref().map_or_else(Vec::new, |resolved| wcet::views(&resolved.origins)),
        sensitivity,
        findings: findings(&checked.findings, text),
    };
    let mut json = serde_json::to_string_pretty(&report)?;
    json.push('\n');
    Ok(json)
}

/// What is shown of a system: as a whole, or in one of its modes.
struct View<'a> {
    system: &'a System,
    analysis: &'a Analysis,
    plan: Option<&'a Plan>,
    /// The mode's place and plan.
    mode: Option<(usize, &'a plan::Mode)>,
}

fn whole<'a>(system: Option<&'a System>, checked: &'a Checked) -> Option<View<'a>> {
    let plan = checked.lock.as_ref().map(|lock| &lock.plan);
    Some(View { system: system?, analysis: checked.analysis.as_ref()?, plan, mode: None })
}

/// Each mode as if it were all there is.
fn modes_of<'a>(system: &'a System, alone: &'a [System], checked: &'a Checked) -> Vec<Mode<'a>> {
    let Some(analysis) = &checked.analysis else { return Vec::new() };
    let plan = checked.lock.as_ref().map(|lock| &lock.plan);
    let all = system.modes.iter().zip(alone).zip(&analysis.modes).enumerate();
    let shown = all.map(|(place, ((mode, own), found))| {
        let planned = plan.and_then(|plan| Some((place, plan.modes.get(place)?)));
        let view = View { system: own, analysis: &found.analysis, plan, mode: planned };
        Mode {
            name: &mode.name,
            is_first: place == 0,
            schedulable: (0..own.tasks.len()).all(|task| is_schedulable(own, &found.analysis, task)),
            leaves_ns: found.leaves.map(aegis_core::Duration::as_ns),
            lanes: view.lanes(),
            tasks: view.tasks(),
        }
    });
    shown.collect()
}

impl<'a> View<'a> {
    fn lanes(&self) -> Vec<Lane<'a>> {
        let lane = |(lane, result): (&'a crate::system::Lane, &crate::analysis::LaneResult)| Lane {
            name: &lane.name,
            policy: lane.policy.name(),
            preemption: lane.preemption.name(),
            utilization_ppm: result.utilization_ppm,
            core: lane.core,
            sms: lane.partition.map(|part| part.sms),
            dispatch_overhead_ns: lane.dispatch_overhead.as_ns(),
            launch_overhead_ns: lane.launch_overhead.as_ns(),
            domain_switch_ns: lane.domain_switch.as_ns(),
            process_switch_ns: lane.partition.map_or(0, |part| part.switch.as_ns()),
            fault_blackout_ns: lane.blackout.as_ns(),
            thread_wait_ns: lane.thread_wait.as_ns(),
            wakeup_latency_ns: lane.wakeup_latency.as_ns(),
            busy_period_ns: result.busy_period.ok().map(|busy| busy.as_ns()),
            certificate: self.lane_certificate(&lane.name),
        };
        self.system.lanes.iter().zip(&self.analysis.lanes).map(lane).collect()
    }

    fn lane_certificate(&self, name: &str) -> Option<LaneCertificate<'a>> {
        let (place, lane) = self.plan?.lanes.iter().enumerate().find(|(_, lane)| lane.name == name)?;
        let points_ns: &[(u64, u64)] = match self.mode {
            Some((_, mode)) => &mode.lanes.get(place)?.points_ns,
            None => &lane.points_ns,
        };
        let hyperperiod_ns = (lane.hyperperiod_ns > 0).then_some(lane.hyperperiod_ns);
        (hyperperiod_ns.is_some() || !points_ns.is_empty()).then(|| LaneCertificate {
            points_ns,
            hyperperiod_ns,
            slots: lane.slots.clone(),
        })
    }

    /// What re-proves a task's bound; of a whole with modes, each of them does.
    fn certificate(&self, name: &str) -> Option<&'a Certificate> {
        let (place, task) = self.plan?.tasks.iter().enumerate().find(|(_, task)| task.name == name)?;
        let certificate = match self.mode {
            Some((_, mode)) => &mode.tasks.iter().find(|task| usize::from(task.task) == place)?.certificate,
            None => &task.certificate,
        };
        Some(certificate).filter(|certificate| !matches!(certificate, Certificate::Unproven {}))
    }

    fn tasks(&self) -> Vec<Task<'a>> {
        let (system, analysis) = (self.system, self.analysis);
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
                segments_ns: match task.segments.as_slice() {
                    [] => vec![task.wcet.as_ns()],
                    segments => segments.iter().map(|segment| segment.as_ns()).collect(),
                },
                blocking_ns: result.blocking.as_ns(),
                blocked_by: blocked_by.map(|task| task.name.as_str()),
                response_ns,
                response_from_release_ns: from_release(system, analysis, position),
                slack_ns: response_ns.map(|response| i128::from(task.deadline.as_ns()) - i128::from(response)),
                schedulable: is_schedulable(system, analysis, position),
                optional: task.optional,
                test: explain::test(system, analysis, position),
                exact_response_ns: result.exact_response().map(|longest| longest.as_ns()),
                exact_gave_up: result.exact.as_ref().and_then(|found| found.as_ref().err()).map(ToString::to_string),
                explain: explain::of(system, analysis, position),
                certificate: self.certificate(&task.name),
            });
        }
        tasks
    }
}

fn chains<'a>(system: &'a System, checked: &Checked) -> Vec<Chain<'a>> {
    let bounds = checked.analysis.iter().flat_map(|analysis| &analysis.chains);
    let within = |bound: u64, limit: Option<aegis_core::Duration>| limit.is_none_or(|limit| bound <= limit.as_ns());
    let name = |(first, last): &(usize, usize)| {
        let name = system.tasks.get(*first).map_or("", |task| task.name.as_str());
        // A staged task's name is that of its first stage without the number.
        if first == last { name } else { name.rsplit_once('.').map_or(name, |(name, _)| name) }
    };
    let chain = |(chain, bounds): (&'a crate::system::Chain, &Option<crate::analysis::chains::Bounds>)| Chain {
        name: &chain.name,
        tasks: chain.members.iter().map(name).collect(),
        communication: if chain.is_let { "let" } else { "register" },
        reaction_ns: bounds.map(|bounds| bounds.reaction),
        max_reaction_ns: chain.max_reaction.map(aegis_core::Duration::as_ns),
        age_ns: bounds.map(|bounds| bounds.age),
        age_at_write_ns: bounds.map(|bounds| bounds.age_at_write),
        max_age_ns: chain.max_age.map(aegis_core::Duration::as_ns),
        holds: bounds
            .is_some_and(|bounds| within(bounds.reaction, chain.max_reaction) && within(bounds.age, chain.max_age)),
    };
    system.chains.iter().zip(bounds).map(chain).collect()
}

/// The bound from release, which comes at most the jitter after the arrival: max over q of s(q) + last − max(0, q T − J);
/// of later stages from the end of the stage before, and where no such terms are known the bound from arrival.
fn from_release(system: &System, analysis: &Analysis, position: usize) -> Option<u64> {
    if !system.modes.is_empty() {
        // The greatest of the modes.
        let in_mode = |(mode, found): (&crate::system::Mode, &modes::ModeResult)| {
            let place = found.tasks.iter().position(|task| *task == position)?;
            Some(from_release(&modes::alone(system, mode), &found.analysis, place))
        };
        let all = system.modes.iter().zip(&analysis.modes).filter_map(in_mode).collect::<Option<Vec<u64>>>();
        return all?.into_iter().max();
    }
    let (task, result): (_, &TaskResult) = (system.tasks.get(position)?, analysis.tasks.get(position)?);
    let (bound, proof) = result.response.as_ref().ok()?;
    let (Proof::FixedPriority { starts, .. } | Proof::Gaps { starts, .. }) = proof else { return Some(bound.as_ns()) };
    let (members, loads) = lane_loads(system, analysis, task.lane)?;
    let load = loads.get(members.iter().position(|member| *member == position)?)?;
    let mut worst = 0;
    for (q, start) in (0u64..).zip(starts) {
        let release = q.checked_mul(load.period)?.saturating_sub(load.jitter);
        worst = worst.max(start.as_ns().checked_add(load.last())?.saturating_sub(release));
    }
    Some(worst)
}

fn pools<'a>(system: &'a System, layout: &Layout) -> Vec<Pool<'a>> {
    let pool = |(position, (device, pool)): (usize, (&'a crate::system::Device, &crate::memory::Pool))| Pool {
        name: &device.name,
        capacity_bytes: device.memory.0,
        shares: system.shared_name(device),
        taken_bytes: layout.taken(system, position),
        weights_bytes: pool.weights.0,
        context_bytes: device.context().map(|bytes| bytes.0),
        pinned_bytes: pool.pinned.0,
        pinned_with: system.staging_name(device),
        height_bytes: pool.height.0,
        lower_bound_bytes: pool.lower_bound.0,
        private_bytes: pool.private.0,
        optimal: pool.height == pool.lower_bound,
        models: residents(system, position),
    };
    system.devices.iter().zip(&layout.pools).enumerate().map(pool).collect()
}

/// The models that lie in this device's memory, or in this part of it: those of tasks that run on its lanes.
fn residents(system: &System, device: usize) -> Vec<Model<'_>> {
    let is_here = |model: usize, domain: Option<usize>| {
        let task = system.tasks.iter().find(|task| task.model == Some(model));
        let lane = task.and_then(|task| system.lanes.get(task.lane)?.device);
        lane.is_some_and(|of| system.home(of, domain) == device)
    };
    let here = system.models.iter().enumerate().filter(|(position, model)| is_here(*position, model.domain));
    here.map(|(_, model)| Model { name: &model.name, control: model.memory().name() }).collect()
}

/// Findings as every report shows them; `text` is the manifest's.
#[must_use]
pub fn findings<'a>(findings: &'a [Finding], text: &str) -> Vec<FindingView<'a>> {
    findings_of(findings, |_| Some(text))
}

/// The same, where findings speak of several files; `text` has those that are known.
#[must_use]
pub fn findings_of<'a, 't>(findings: &'a [Finding], text: impl Fn(&str) -> Option<&'t str>) -> Vec<FindingView<'a>> {
    findings.iter().map(|finding| view(finding, &text)).collect()
}

fn view<'a, 't>(finding: &'a Finding, text: &impl Fn(&str) -> Option<&'t str>) -> FindingView<'a> {
    let labels = finding.labels.iter().map(|label| {
        let position: Option<Position> = text(&label.file).and_then(|text| label.position(text));
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
        patches: finding.patches.iter().map(|patch| patch_view(patch, text(&patch.file))).collect(),
    }
}

fn patch_view<'a>(patch: &'a Patch, text: Option<&str>) -> PatchView<'a> {
    let begin = text.map(|text| Position::of(text, patch.span.start));
    let end = text.map(|text| Position::of(text, patch.span.end));
    PatchView {
        file: &patch.file,
        line: begin.map(|begin| begin.line),
        column: begin.map(|begin| begin.column),
        end_line: end.map(|end| end.line),
        end_column: end.map(|end| end.column),
        replacement: &patch.replacement,
    }
}

//! Adds the profiles' measurements to a validated manifest: after this every number is there.
//!
//! All problems are reported at once, each at the place in the manifest that names the profile or file.

mod conditions;
mod domains;
mod engines;
mod facts;
mod gpu;
mod models;
mod shared;
mod wcet;

pub use models::launches_digest;

use crate::device::Facts;
use crate::engines::Built;
use crate::finding::{Code, Finding};
use crate::lock::{Input, sha256};
use crate::manifest::{self, Communication, Execution, Manifest, Overheads, Source};
use crate::profile::{Conditions, GpuConditions, LANE_SCHEMA, LaneProfile};
use crate::system::{
    Chain, Device, File, Lane, Level, Machine, Mode, Model, Origin, System, Task, Watch, Watchdog, changes,
    thread_waits,
};
use aegis_core::desc::{LimitDesc, Policy, Preemption};
use aegis_core::time::Duration;
use aegis_core::units::Bytes;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// A manifest with where it came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The path as the user gave it.
    pub file: String,
    /// The text.
    pub text: String,
    /// The checked content.
    pub manifest: Manifest,
}

impl Loaded {
    /// The folder that the manifest's paths are relative to.
    #[must_use]
    pub fn folder(&self) -> &Path {
        match Path::new(&self.file).parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    /// The manifest's own file name.
    #[must_use]
    pub fn file_name(&self) -> String {
        Path::new(&self.file).file_name().map_or_else(|| self.file.clone(), |name| name.to_string_lossy().into_owned())
    }

    /// The file that a profile path of the manifest means: itself, or its namesake in the substitute folder.
    #[must_use]
    pub fn profile_file(&self, path: &str, substitute: Option<&Path>) -> PathBuf {
        match (substitute, Path::new(path).file_name()) {
            (Some(folder), Some(name)) => folder.join(name),
            _ => self.folder().join(path),
        }
    }
}

/// A resolved system, and the files it was made from.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The system.
    pub system: System,
    /// The manifest first, then the devices' profiles that are files, then each other profile, once and in the manifest's order.
    pub inputs: Vec<Input>,
    /// Where the WCETs of tasks with profiles come from, in the order of the tasks.
    pub origins: Vec<Origin>,
}

/// Resolves a manifest. `substitute` is a folder whose profiles stand in for the ones that the manifest names: those of
/// a machine for which none are committed.
///
/// The system is there if and only if no finding is an error.
#[must_use]
pub fn resolve(loaded: &Loaded, substitute: Option<&Path>) -> (Option<Resolved>, Vec<Finding>) {
    let mut resolver = Resolver {
        loaded,
        substitute,
        inputs: vec![Input { path: loaded.file_name(), sha256: sha256(loaded.text.as_bytes()) }],
        conditions: None,
        gpus: Vec::new(),
        measured_gpus: BTreeMap::new(),
        measured_after: BTreeMap::new(),
        engines: Vec::new(),
        limits: Vec::new(),
        power_mode: None,
        findings: Vec::new(),
        origins: Vec::new(),
    };
    let system = resolver.system();
    let Resolver { inputs, findings, origins, .. } = resolver;
    if findings.iter().any(Finding::is_error) {
        return (None, findings);
    }
    (system.map(|system| Resolved { system, inputs, origins }), findings)
}

struct Resolver<'a> {
    loaded: &'a Loaded,
    substitute: Option<&'a Path>,
    inputs: Vec<Input>,
    /// The first profile's conditions with its path: all others must agree.
    conditions: Option<(String, Conditions)>,
    /// What is known of each device.
    gpus: Vec<Option<Facts>>,
    /// By device the first profile that was measured on it: all others must agree.
    measured_gpus: BTreeMap<usize, (String, GpuConditions)>,
    /// By device, for each of its models those that had been loaded there before it was measured.
    measured_after: BTreeMap<usize, BTreeMap<String, Vec<String>>>,
    /// The first profile of engines of each library: all others must have the same version.
    engines: Vec<(String, Built)>,
    /// What profiles tell of cores and devices, the highest limit of each.
    limits: Vec<LimitDesc>,
    /// The first profile that tells its power mode, with it.
    power_mode: Option<(String, String)>,
    findings: Vec<Finding>,
    origins: Vec<Origin>,
}

impl Resolver<'_> {
    fn system(&mut self) -> Option<System> {
        let manifest = &self.loaded.manifest;
        self.gpus = self.gpus();
        self.shared_devices();
        let lanes: Vec<Option<Lane>> = manifest.lanes.iter().map(|lane| self.lane(lane)).collect();
        let lanes = lanes.into_iter().collect::<Option<Vec<Lane>>>().map(|lanes| self.share_thread(lanes));
        let mut models: Vec<Option<Model>> = vec![None; manifest.models.len()];
        let mut tasks = Vec::with_capacity(manifest.tasks.len());
        for task in &manifest.tasks {
            let (resolved, model) = self.task(task);
            tasks.push(resolved);
            if let (Some(position), Some(model)) = (task.model, model)
                && let Some(slot) = models.get_mut(position)
            {
                *slot = Some(model);
            }
        }
        let machine = self.conditions.as_ref().map(|(_, conditions)| conditions.machine()).unwrap_or_default();
        self.have_cores(machine.cores);
        let libraries = self.libraries(&machine);
        let assets = manifest.assets.iter().map(|asset| self.file(&asset.name, &asset.source, ""));
        let assets: Vec<Option<File>> = assets.collect();
        // Models that no task runs, or whose task is not profiled, have no place in a plan.
        let mut place = Vec::with_capacity(models.len());
        let mut kept = Vec::new();
        for model in models {
            place.push(model.as_ref().map(|_| kept.len()));
            kept.extend(model);
        }
        for task in manifest.tasks.iter().filter(|task| task.suspension.is_some()) {
            if manifest.lanes.get(task.lane).is_some_and(|lane| lane.optimal) {
                let message = format!("task `{}` suspends itself on a lane of optimal priorities", task.name.get_ref());
                let text = "no search for priorities covers self-suspension";
                self.error(Code::SuspensionRefused, &task.span, message, text, "give the lane's tasks priorities");
            }
        }
        let mut tasks = tasks.into_iter().collect::<Option<Vec<Task>>>()?;
        for task in &mut tasks {
            task.model = task.model.and_then(|model| place.get(model).copied().flatten());
        }
        Some(System {
            name: manifest.name.get_ref().clone(),
            file: self.loaded.file.clone(),
            orchestration_core: manifest.orchestration_core,
            waiting: manifest.waiting,
            watchdog: manifest.watchdog.as_ref().map(|watchdog| Watchdog {
                timeout: *watchdog.timeout.get_ref(),
                device: watchdog.device.as_ref().map(|device| device.get_ref().clone()),
                on_stall: watchdog.on_stall,
                span: watchdog.timeout.span(),
            }),
            watch: manifest.watch.as_ref().map(|watch| Watch {
                interval: watch.interval,
                hold: watch.hold,
                thresholds: watch.thresholds.clone(),
            }),
            machine,
            conditions: self.conditions(),
            libraries,
            assets: assets.into_iter().collect::<Option<_>>()?,
            devices: self.devices(),
            lanes: lanes??,
            models: kept,
            domains: self.domains(&tasks),
            tasks,
            chains: manifest.chains.iter().map(chain).collect(),
            levels: manifest.pressure.iter().map(level).collect(),
            modes: manifest.modes.iter().map(mode).collect(),
        })
    }

    fn devices(&self) -> Vec<Device> {
        let devices = self.loaded.manifest.devices.iter().zip(&self.gpus).enumerate();
        let whole =
            devices.map(|(position, (one, facts))| Device { gpu: self.gpu(position, facts.as_ref()), ..device(one) });
        let whole: Vec<Device> = whole.collect();
        let parts = self.parts(&whole);
        whole.into_iter().chain(parts).collect()
    }

    fn error(&mut self, code: Code, span: &std::ops::Range<usize>, message: String, text: &str, help: &str) {
        self.findings.push(Finding::error(code, message).at(&self.loaded.file, span.clone(), text).help(help));
    }

    fn lane(&mut self, lane: &manifest::Lane) -> Option<Lane> {
        let (dispatch, wakeup) = match &lane.overheads {
            Overheads::Zero => (Duration::ZERO, Duration::ZERO),
            Overheads::Declared { dispatch, wakeup } => (*dispatch.get_ref(), *wakeup.get_ref()),
            Overheads::Profile(path) => {
                let profile: LaneProfile = self.read_profile(path, LANE_SCHEMA, |profile: &LaneProfile| {
                    (profile.conditions.clone(), vec![profile.dispatch, profile.wakeup])
                })?;
                let core = *lane.core.get_ref();
                self.compare_core(path, &profile.conditions, (lane, core));
                self.compare_state(path, &profile.conditions, (lane, core));
                self.compare_device(path, &profile.conditions, lane.device);
                self.compare_waiting(path, &profile.waiting);
                let margin = self.loaded.manifest.margin_ppm;
                let dispatch = self.with_margin(path, profile.dispatch.with_margin(margin))?;
                (dispatch, self.with_margin(path, profile.wakeup.with_margin(margin))?)
            }
        };
        Some(Lane {
            name: lane.name.get_ref().clone(),
            device: lane.device,
            policy: lane.policy,
            optimal: lane.optimal,
            preemption: lane.preemption,
            core: *lane.core.get_ref(),
            partition: self.partition(lane),
            dispatch_overhead: dispatch,
            launch_overhead: lane.launch,
            domain_switch: self.domain_switch(lane),
            blackout: lane.device.map_or(Duration::ZERO, |device| self.blackout(device)),
            thread_wait: Duration::ZERO,
            wakeup_latency: wakeup,
            span: lane.span.clone(),
        })
    }

    /// What a segment of the lane may have to wait for its device to switch domains: nothing where all its tasks lie in
    /// one. Lanes of one GPU never differ in their domains, which the manifest's rules ensure. On a part of a device it is part of the
    /// tasks' times instead.
    fn domain_switch(&self, lane: &manifest::Lane) -> Duration {
        let manifest = &self.loaded.manifest;
        let is_lane = |index: usize| manifest.lanes.get(index).is_some_and(|other| std::ptr::eq(other, lane));
        let mut domains = manifest.tasks.iter().filter(|task| is_lane(task.lane)).map(|task| task.domain);
        let first = domains.next();
        let switches = domains.any(|domain| Some(domain) != first);
        let device = lane.device.and_then(|device| manifest.devices.get(device)).filter(|_| switches);
        let device = device.filter(|_| lane.partition.is_none());
        device.and_then(|device| device.domain_switch.as_ref()).map_or(Duration::ZERO, |switch| *switch.get_ref())
    }

    /// One orchestration thread serves all lanes, so each of a lane's events may wait until it has served every other lane twice:
    /// by the other lanes' dispatch overheads, which bound a step with its hand-over. And it may wait for a submission of each
    /// task that the application submits: they come at any instant, one step each, and each turn of the thread takes at most one
    /// of a task. And for a change of the level, the mode or what is admitted, for the failure of each domain, and for its return.
    fn share_thread(&mut self, mut lanes: Vec<Lane>) -> Option<Vec<Lane>> {
        let own: Vec<Duration> = lanes.iter().map(|lane| lane.dispatch_overhead).collect();
        let submitted = self.loaded.manifest.tasks.iter().filter(|task| task.submitted).map(|task| task.lane);
        let manifest = &self.loaded.manifest;
        let has_changes = manifest.tasks.iter().any(|task| task.optional)
            || !(manifest.pressure.is_empty() && manifest.modes.is_empty());
        let with_models = manifest.tasks.iter().filter(|task| task.model.is_some()).map(|task| task.domain);
        // Only a process is started again.
        let restored = manifest.domains.iter().filter(|domain| domain.restart.is_some()).count();
        let waits = thread_waits(&own, submitted, changes((has_changes, restored), with_models));
        for (lane, wait) in lanes.iter_mut().zip(waits) {
            lane.thread_wait = wait.unwrap_or(Duration::MAX);
            if lane.segment_overhead().is_none() || lane.lateness().is_none() {
                let message = format!("the overheads of lane `{}` sum to more than 2^64 - 1 ns", lane.name);
                self.error(Code::ProfileUnreadable, &lane.span, message, "this lane", "measure them again");
                return None;
            }
        }
        Some(lanes)
    }

    fn with_margin(&mut self, path: &Spanned<String>, time: Option<u64>) -> Option<Duration> {
        if time.is_none() {
            let message = format!("the measured maximum of `{}` times the margin exceeds 2^64 - 1 ns", path.get_ref());
            self.error(Code::ProfileUnreadable, &path.span(), message, "this profile", "measure again");
        }
        time.map(Duration::from_ns)
    }

    fn task(&mut self, task: &manifest::Task) -> (Option<Task>, Option<Model>) {
        let mut model = None;
        let pieces: Option<Vec<Duration>> = match &task.execution {
            Execution::Wcet(wcet) => Some(vec![*wcet.get_ref()]),
            Execution::Segments(segments) => Some(segments.iter().map(|segment| *segment.get_ref()).collect()),
            Execution::Profile(path) => {
                let found = self.profiled(task, path);
                model = found.as_ref().and_then(|(_, model)| model.clone());
                found.map(|(pieces, _)| pieces)
            }
        };
        let Some(mut pieces) = pieces else { return (None, model) };
        // A slot holds a whole job.
        let has_slots = |lane: &manifest::Lane| lane.policy == Policy::TimeTriggered && !task.submitted;
        let lane = self.loaded.manifest.lanes.get(task.lane);
        let gives_way = lane.is_some_and(|lane| lane.preemption == Preemption::Segments && !has_slots(lane));
        let Some(wcet) = with_hooks(&mut pieces, task.hooks, gives_way) else {
            let message = format!("the WCET and hooks of task `{}` sum to more than 2^64 - 1 ns", task.name.get_ref());
            let (span, text) = match &task.execution {
                Execution::Profile(path) => (path.span(), "its times are added to those of the hooks"),
                Execution::Wcet(_) | Execution::Segments(_) => (task.span.clone(), "this task"),
            };
            self.error(Code::ProfileUnreadable, &span, message, text, "shorten one of them");
            return (None, model);
        };
        let budget = task.budget.time.as_ref().map_or(wcet, |budget| *budget.get_ref());
        let Some(handed) = self.handed_over(task, model.as_ref(), pieces, budget) else { return (None, model) };
        if budget > wcet
            && let Some(given) = &task.budget.time
        {
            let message = format!(
                "the budget of task `{}` is {} ns, above its analysed WCET of {} ns",
                task.name.get_ref(),
                budget.as_ns(),
                wcet.as_ns()
            );
            let text = "an execution between the two would break bounds unseen";
            self.error(Code::BudgetAboveWcet, &given.span(), message, text, "lower the budget or raise the WCET");
        }
        let resolved = Task {
            name: task.name.get_ref().clone(),
            lane: task.lane,
            model: task.model,
            domain: task.domain,
            period: *task.period.get_ref(),
            deadline: *task.deadline.get_ref(),
            phase: task.phase,
            submitted: task.submitted,
            defers: task.defers,
            optional: task.optional,
            jitter: task.jitter,
            priority: task.priority.as_ref().map(|priority| *priority.get_ref()),
            after: task.after,
            bcet: task.bcet.as_ref().map_or(Duration::ZERO, |bcet| (*bcet.get_ref()).min(wcet)),
            wcet: handed.wcet,
            hand_over: handed.over,
            handed: handed.is_handed,
            segments: if gives_way && handed.pieces.len() > 1 { handed.pieces } else { Vec::new() },
            region: task.region.as_ref().map_or(Duration::ZERO, |region| *region.get_ref()),
            suspension: task.suspension.as_ref().map_or(Duration::ZERO, |suspension| *suspension.get_ref()),
            budget: handed.budget,
            memory: task.budget.memory.as_ref().map(|budget| (*budget.get_ref(), budget.span())),
            on_overrun: task.on_overrun,
            on_miss: task.on_miss,
            on_failure: task.on_failure,
            miss_window: task.miss_window,
            span: task.span.clone(),
            deadline_span: task.deadline.span(),
        };
        (Some(resolved), model)
    }

    fn libraries(&mut self, machine: &Machine) -> Vec<File> {
        let mut libraries = Vec::new();
        for runtime in &self.loaded.manifest.runtimes {
            let arch = if machine.arch.is_empty() { std::env::consts::ARCH } else { &machine.arch };
            let source = runtime.source_for(arch);
            libraries.extend(self.file(&runtime.name, source, runtime.version.get_ref()));
            for beside in runtime.beside_for(arch) {
                let file = self.file(&runtime.name, beside, "");
                libraries.extend(file.map(|file| File { name: beside.file_name().to_owned(), ..file }));
            }
        }
        libraries
    }

    /// A source's name and checksum; a file beside the manifest is read for it.
    fn file(&mut self, name: &Spanned<String>, source: &Source, version: &str) -> Option<File> {
        let sha256 = match source {
            Source::Package { sha256, .. } => sha256.get_ref().clone(),
            Source::File { path } => match std::fs::read(self.loaded.folder().join(path.get_ref())) {
                Ok(bytes) => sha256(&bytes),
                Err(error) => {
                    let message = format!("cannot read `{}`: {error}", path.get_ref());
                    let help = "the path is relative to the manifest's folder";
                    self.error(Code::FileUnreadable, &path.span(), message, "this file", help);
                    return None;
                }
            },
        };
        Some(File { name: name.get_ref().clone(), sha256, version: version.to_owned() })
    }
}

/// Adds the hooks' time to a job's pieces, and returns the sum of all.
///
/// A job that does not give way runs both hooks in one go. One that does runs the input hook in its first piece and the output
/// hook in its last; `hooks` bounds both together, so each of the two pieces is given all of it.
fn with_hooks(pieces: &mut Vec<Duration>, hooks: Duration, gives_way: bool) -> Option<Duration> {
    if !gives_way || pieces.len() < 2 {
        let sum = pieces.iter().try_fold(hooks, |sum, piece| sum.checked_add(*piece))?;
        *pieces = vec![sum];
        return Some(sum);
    }
    for end in [0, pieces.len().saturating_sub(1)] {
        let piece = pieces.get_mut(end)?;
        *piece = piece.checked_add(hooks)?;
    }
    pieces.iter().try_fold(Duration::ZERO, |sum, piece| sum.checked_add(*piece))
}

fn device(device: &manifest::Device) -> Device {
    let memory: Bytes = *device.memory.get_ref();
    Device {
        name: device.name.get_ref().clone(),
        memory,
        shares: device.shares,
        copy_per_mib: device.copy_per_mib.as_ref().map(|time| *time.get_ref()),
        page: device.page_size.as_ref().map(|size| *size.get_ref()),
        part: None,
        gpu: None,
        span: device.span.clone(),
    }
}

fn level(pressure: &manifest::Pressure) -> Level {
    let tasks = |ranges: &[std::ops::RangeInclusive<usize>]| {
        let mut tasks: Vec<usize> = ranges.iter().cloned().flatten().collect();
        tasks.sort_unstable();
        tasks
    };
    Level {
        name: pressure.name.get_ref().clone(),
        shed: tasks(&pressure.shed),
        reject: tasks(&pressure.reject),
        compact: pressure.compact,
        span: pressure.span.clone(),
    }
}

fn mode(mode: &manifest::Mode) -> Mode {
    Mode { name: mode.name.get_ref().clone(), tasks: mode.tasks.clone(), span: mode.span.clone() }
}

fn chain(chain: &manifest::Chain) -> Chain {
    let place = |limit: &Option<Spanned<Duration>>| limit.as_ref().map_or(chain.span.clone(), Spanned::span);
    Chain {
        name: chain.name.get_ref().clone(),
        members: chain.tasks.iter().map(|member| (*member.start(), *member.end())).collect(),
        max_reaction: chain.max_reaction.as_ref().map(|limit| *limit.get_ref()),
        max_age: chain.max_age.as_ref().map(|limit| *limit.get_ref()),
        is_let: chain.communication == Communication::Let,
        span: chain.span.clone(),
        limit_spans: (place(&chain.max_reaction), place(&chain.max_age)),
    }
}

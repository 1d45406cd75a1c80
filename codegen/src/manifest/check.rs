//! The rules that span several tables; each is a function that reports every place that breaks it.

mod chains;
mod devices;
mod domains;
mod gpu;
mod lanes;
mod models;
mod modes;
mod optional;
mod pressure;
mod restarts;
mod runtimes;
mod tasks;
mod watch;
mod wcet;

use std::collections::BTreeMap;

use aegis_core::desc::{Policy, Waiting};
use toml::Spanned;

use super::model::{LaneKind, Manifest, Span};
use super::raw::{Lane, Model, Raw, Task};
use super::reader::Sink;
use super::suggest::nearest;
use crate::finding::{Code, Finding};

/// The references between tables, as positions; `None` where a name is absent or refers to nothing.
pub(crate) struct Links {
    /// The device whose memory each device draws on.
    pub(crate) shares: Vec<Option<usize>>,
    /// Each lane's device.
    pub(crate) devices: Vec<Option<usize>>,
    /// Each task's lane.
    pub(crate) lanes: Vec<Option<usize>>,
    /// Each task's model.
    pub(crate) models: Vec<Option<usize>>,
    /// Each model's domain.
    pub(crate) model_domains: Vec<Option<usize>>,
    /// Each task's domain: its own, or else its model's.
    pub(crate) domains: Vec<Option<usize>>,
    /// For each domain the lanes that it names a core for.
    pub(crate) domain_lanes: Vec<Vec<Option<usize>>>,
    /// Each chain's members, as positions of tables.
    pub(crate) chains: Vec<Option<Vec<usize>>>,
    /// Each pressure level's tasks.
    pub(crate) pressure: Vec<LevelLinks>,
    /// The mode that a stall is answered with.
    pub(crate) on_stall: Option<usize>,
    /// The modes that each task's overruns, misses and failed jobs are answered with.
    pub(crate) answers: Vec<[Option<usize>; 3]>,
    /// The mode that each domain's failure asks for.
    pub(crate) meanwhile: Vec<Option<usize>>,
    /// Each mode's tasks, as positions of tables.
    pub(crate) modes: Vec<Option<Vec<usize>>>,
}

/// What a pressure level names, as positions of tables.
pub(crate) struct LevelLinks {
    /// The tasks that stop.
    pub(crate) shed: Option<Vec<usize>>,
    /// The tasks whose arrivals are refused.
    pub(crate) reject: Option<Vec<usize>>,
}

impl Links {
    /// Whether no reference is broken that could say in which domain something lies.
    fn domains_are_known(&self, raw: &Raw) -> bool {
        let task = |((task, model), domain): ((&Task, &Option<usize>), &Option<usize>)| {
            (model.is_some() || !task.has_model) && (domain.is_some() || !task.has_domain)
        };
        let model = |(model, domain): (&Model, &Option<usize>)| domain.is_some() || !model.has_domain;
        raw.tasks.iter().zip(&self.models).zip(&self.domains).all(task)
            && raw.models.iter().zip(&self.model_domains).all(model)
    }
}

/// Applies all rules and resolves all references.
pub(crate) fn check(raw: &Raw, sink: &Sink<'_>) -> Links {
    let links = resolve(raw, sink);
    counts(raw, sink);
    name_clashes("task", raw.tasks.iter().map(|task| &task.name), sink);
    name_clashes("asset", raw.assets.iter().map(|asset| &asset.name), sink);
    name_clashes("mode", raw.modes.iter().map(|mode| &mode.name), sink);
    name_clashes("domain", raw.domains.iter().map(|domain| &domain.name), sink);
    name_clashes("pressure level", raw.pressure.iter().map(|level| &level.name), sink);
    cores(raw, sink);
    watched_while_polling(raw, sink);
    for (index, lane) in raw.lanes.iter().enumerate() {
        let tasks: Vec<&Task> = (0..raw.tasks.len())
            .filter(|&task| links.lanes[task] == Some(index))
            .map(|task| &raw.tasks[task])
            .collect();
        lanes::check(lane, kind_of(raw, &links, index), policy_of(raw, lane), &tasks, sink);
    }
    devices::check(raw, &links, sink);
    gpu::check(raw, &links, sink);
    lanes::shared_devices(raw, &links, sink);
    shared_models(raw, &links, sink);
    models::check(raw, &links, sink);
    runtimes::check(raw, sink);
    unused(raw, &links, sink);
    for member in &raw.members {
        tasks::check(member, raw.tasks.get(member.tasks.clone()).unwrap_or_default(), sink);
    }
    chains::check(raw, &links, sink);
    pressure::check(raw, &links, sink);
    domains::check(raw, &links, sink);
    restarts::check(raw, &links, sink);
    modes::check(raw, &links, sink);
    watch::check(raw, &links, sink);
    optional::check(raw, &links, sink);
    wcet::check(raw, sink);
    links
}

/// What executes a lane's jobs: its own kind, or else its device's.
pub(crate) fn kind_of(raw: &Raw, links: &Links, lane: usize) -> Option<LaneKind> {
    let device = links.devices.get(lane).copied().flatten().and_then(|device| raw.devices.get(device));
    raw.lanes.get(lane)?.kind.or_else(|| device?.kind)
}

/// Whether the priorities of a lane's `tasks` are to be found: the lane says so, or one of them does.
pub(crate) fn is_optimal<'r>(lane: &Lane, policy: Policy, mut tasks: impl Iterator<Item = &'r Task>) -> bool {
    policy == Policy::FixedPriority && (lane.optimal.is_some() || tasks.any(Task::is_optimal))
}

/// A lane's policy and where it is given: its own, or else the system's.
pub(crate) fn policy_of(raw: &Raw, lane: &Lane) -> Option<(Policy, Span)> {
    let system = raw.system.as_ref().and_then(|system| system.policy.as_ref());
    let policy = if lane.has_policy { lane.policy.as_ref() } else { system };
    policy.map(|policy| (*policy.get_ref(), policy.span()))
}

fn resolve(raw: &Raw, sink: &Sink<'_>) -> Links {
    let devices: Vec<_> = raw.devices.iter().map(|device| device.name.get_ref().as_str()).collect();
    let lanes: Vec<_> = raw.lanes.iter().map(|lane| lane.name.get_ref().as_str()).collect();
    let models: Vec<_> = raw.models.iter().map(|model| model.name.get_ref().as_str()).collect();
    let find = |name: Option<&Spanned<String>>, what: &'static str, known: &[&str]| {
        reference(name?, what, known, &[], !raw.incomplete.contains(&what), sink)
    };
    let domains: Vec<_> = raw.domains.iter().map(|domain| domain.name.get_ref().as_str()).collect();
    let members: Vec<_> = raw.members.iter().map(|member| member.name.get_ref().as_str()).collect();
    let task_models: Vec<_> = raw.tasks.iter().map(|task| find(task.model.as_ref(), "model", &models)).collect();
    let model_domains: Vec<_> =
        raw.models.iter().map(|model| find(model.domain.as_ref(), "domain", &domains)).collect();
    let mut task_domains: Vec<Option<usize>> = vec![None; raw.tasks.len()];
    for member in &raw.members {
        // All stages have their task's domain, which is looked up once, or else that of the first model that has one.
        let of_model = |task: usize| model_domains.get(task_models.get(task).copied().flatten()?).copied().flatten();
        let own = raw.tasks.get(member.tasks.start).and_then(|task| find(task.domain.as_ref(), "domain", &domains));
        let own = own.or_else(|| member.tasks.clone().find_map(of_model));
        task_domains.get_mut(member.tasks.clone()).into_iter().for_each(|stages| stages.fill(own));
    }
    let modes: Vec<_> = raw.modes.iter().map(|mode| mode.name.get_ref().as_str()).collect();
    let answers = |task: &Task| {
        // All stages have their task's, which is reported once.
        let first = |name| if task.after.is_none() { find(name, "mode", &modes) } else { None };
        [&task.on_overrun, &task.on_miss, &task.on_failure].map(|answer| first(answer.mode()))
    };
    let all_of = |names: &Vec<Spanned<String>>| {
        // All are looked up, so that each unknown one is reported.
        let complete = !raw.incomplete.contains(&"task");
        let found: Vec<_> = names.iter().map(|name| reference(name, "task", &members, names, complete, sink)).collect();
        found.into_iter().collect::<Option<Vec<usize>>>()
    };
    Links {
        shares: raw.devices.iter().map(|device| find(device.shares.as_ref(), "device", &devices)).collect(),
        devices: raw.lanes.iter().map(|lane| find(lane.device.as_ref(), "device", &devices)).collect(),
        lanes: raw.tasks.iter().map(|task| find(task.lane.as_ref(), "lane", &lanes)).collect(),
        models: task_models,
        model_domains,
        domains: task_domains,
        domain_lanes: raw
            .domains
            .iter()
            .map(|domain| {
                let named: Vec<_> = domain.named_cores().iter().map(|(lane, _)| lane.clone()).collect();
                let complete = !raw.incomplete.contains(&"lane");
                named.iter().map(|lane| reference(lane, "lane", &lanes, &named, complete, sink)).collect()
            })
            .collect(),
        chains: raw.chains.iter().map(|found| found.tasks.as_ref().and_then(all_of)).collect(),
        pressure: raw
            .pressure
            .iter()
            .map(|level| LevelLinks {
                shed: level.shed.as_ref().and_then(all_of),
                reject: level.reject.as_ref().and_then(all_of),
            })
            .collect(),
        answers: raw.tasks.iter().map(answers).collect(),
        on_stall: raw.watchdog.as_ref().and_then(|watchdog| find(watchdog.on_stall.as_ref()?.mode(), "mode", &modes)),
        meanwhile: raw.domains.iter().map(|domain| find(domain.meanwhile.as_ref(), "mode", &modes)).collect(),
        modes: raw.modes.iter().map(|mode| mode.tasks.as_ref().and_then(all_of)).collect(),
    }
}

/// The position of `name` among the `known` names of a kind; reported only if these are `complete`. Where it is one of a list it is not
/// taken for another one of that.
fn reference(
    name: &Spanned<String>,
    what: &str,
    known: &[&str],
    list: &[Spanned<String>],
    complete: bool,
    sink: &Sink<'_>,
) -> Option<usize> {
    let word = name.get_ref().as_str();
    if let Some(index) = known.iter().position(|&known| known == word) {
        return Some(index);
    }
    if !complete {
        return None;
    }
    let finding = Finding::error(Code::UnknownReference, format!("there is no {what} `{word}`"));
    let is_free = |known: &&str| !list.iter().any(|other| other.get_ref() == known);
    let finding = match nearest(word, known.iter().copied().filter(is_free)) {
        Some(near) => {
            sink.instead(finding.at(sink.file, name.span(), format!("did you mean `{near}`?")), &name.span(), near)
        }
        None if known.is_empty() => finding
            .at(sink.file, name.span(), "not found")
            .help(format!("add a table [{what}.{word}]; the manifest has no {what} yet")),
        None => finding.at(sink.file, name.span(), "not found").help(format!("the manifest has {}", known.join(", "))),
    };
    sink.push(finding);
    None
}

fn counts(raw: &Raw, sink: &Sink<'_>) {
    if raw.tasks.is_empty() && !raw.incomplete.contains(&"task") {
        let finding = Finding::error(Code::NoTask, "the manifest has no task");
        let finding = finding.in_file(sink.file, "");
        sink.push(finding.help("add a table [task.NAME] with `lane`, `period`, and `wcet` or `profile`"));
    }
    let limit = |what: &str, count: usize, most: usize, first_over: Option<Span>| {
        if let Some(span) = first_over {
            let message = format!("the manifest has {count} {what}s, more than {most}");
            let finding = Finding::error(Code::TooMany, message);
            sink.push(finding.at(sink.file, span, format!("this is {what} {}", most + 1)));
        }
    };
    let over = raw.tasks.get(Manifest::MAX_TASKS).map(|task| task.span.clone());
    limit("task", raw.tasks.len(), Manifest::MAX_TASKS, over);
    let over = raw.lanes.get(Manifest::MAX_LANES).map(|lane| lane.span.clone());
    limit("lane", raw.lanes.len(), Manifest::MAX_LANES, over);
    let over = raw.pressure.get(Manifest::MAX_LEVELS).map(|level| level.span.clone());
    limit("pressure level", raw.pressure.len(), Manifest::MAX_LEVELS, over);
    let over = raw.domains.get(Manifest::MAX_DOMAINS).map(|domain| domain.span.clone());
    limit("domain", raw.domains.len(), Manifest::MAX_DOMAINS, over);
    let over = raw.modes.get(Manifest::MAX_MODES).map(|mode| mode.span.clone());
    limit("mode", raw.modes.len(), Manifest::MAX_MODES, over);
}

/// Names that become the same Rust constant.
fn name_clashes<'r>(kind: &str, names: impl Iterator<Item = &'r Spanned<String>>, sink: &Sink<'_>) {
    let mut seen: BTreeMap<String, &Spanned<String>> = BTreeMap::new();
    for name in names {
        let constant = name.get_ref().replace(['-', '.'], "_").to_uppercase();
        if let Some(first) = seen.get(&constant) {
            let message = format!(
                "the {kind}s `{}` and `{}` would both become the constant `{constant}`",
                first.get_ref(),
                name.get_ref()
            );
            let finding = Finding::error(Code::NameClash, message).at(sink.file, name.span(), "rename this one").also(
                sink.file,
                first.span(),
                "or this one",
            );
            sink.push(finding);
        } else {
            seen.insert(constant, name);
        }
    }
}

/// The thread that watches the orchestration thread shares its core, which a thread that looks again and again never leaves.
fn watched_while_polling(raw: &Raw, sink: &Sink<'_>) {
    let (Some(system), Some(watchdog)) = (&raw.system, &raw.watchdog) else { return };
    if let (Some(Waiting::Polling), Some(key)) = (system.waiting, &system.waiting_key) {
        let message = "a vehicle with waiting = \"polling\" has a [watchdog]";
        let finding = Finding::error(Code::WatchedWhilePolling, message);
        let finding = finding.at(sink.file, watchdog.span.clone(), "its thread would never run");
        let finding =
            finding.also(sink.file, key.clone(), "the orchestration thread never leaves the core that both have");
        sink.push(finding.help("let the vehicle wait \"blocking\", or remove [watchdog]"));
    }
}

/// A core belongs to one lane, to the process of one domain for one lane, or to the orchestration thread.
fn cores(raw: &Raw, sink: &Sink<'_>) {
    let help = match raw.domains.iter().all(|domain| domain.named_cores().is_empty()) {
        true => "give each lane a core of its own, none of them the orchestration thread's",
        false => {
            "give each lane, and each process for each of its lanes, a core of its own, none of them the orchestration thread's"
        }
    };
    let orchestration = raw.system.as_ref().and_then(|system| system.orchestration_core.clone());
    let of_lanes = raw.lanes.iter().map(|lane| (format!("the lane `{}`", lane.name.get_ref()), lane.core.as_ref()));
    let of_processes = raw.domains.iter().flat_map(|domain| {
        let name = domain.name.get_ref();
        let who = move |lane: &str| format!("the process of the domain `{name}` for the lane `{lane}`");
        domain.named_cores().iter().map(move |(lane, core)| (who(lane.get_ref()), core.as_ref()))
    });
    let mut owners: BTreeMap<u16, (String, Span)> = BTreeMap::new();
    for (who, core) in of_lanes.chain(of_processes) {
        let Some(core) = core else { continue };
        let number = *core.get_ref();
        let shared = |with: &str| {
            let message = format!("{who} and {with} are both on core {number}");
            Finding::error(Code::SharedCore, message).at(sink.file, core.span(), "this core is taken").help(help)
        };
        match &orchestration {
            Some((taken, Some(span))) if *taken == number => {
                let finding = shared("the orchestration thread");
                sink.push(finding.also(sink.file, span.clone(), "the orchestration thread's core"));
            }
            Some((taken, None)) if *taken == number => {
                sink.push(shared("the orchestration thread (by default)"));
            }
            _ => {}
        }
        match owners.get(&number) {
            Some((other, span)) => {
                let of = other.trim_start_matches("the lane ");
                sink.push(shared(other).also(sink.file, span.clone(), format!("the core of {of}")));
            }
            None => {
                owners.insert(number, (who, core.span()));
            }
        }
    }
}

fn shared_models(raw: &Raw, links: &Links, sink: &Sink<'_>) {
    let mut users: BTreeMap<usize, &Task> = BTreeMap::new();
    for (task, link) in raw.tasks.iter().zip(&links.models) {
        let (Some(link), Some(model)) = (link, &task.model) else { continue };
        let Some(first) = users.get(link) else {
            users.insert(*link, task);
            continue;
        };
        let message = format!(
            "the tasks `{}` and `{}` both use the model `{}`",
            first.name.get_ref(),
            task.name.get_ref(),
            model.get_ref()
        );
        let mut finding = Finding::error(Code::SharedModel, message)
            .at(sink.file, model.span(), "used again here")
            .help("a model's inputs are bound in place, so declare it once per task, under two names");
        if let Some(model) = &first.model {
            finding = finding.also(sink.file, model.span(), "first used here");
        }
        sink.push(finding);
    }
}

/// Lanes, models and domains that nothing uses; where a reference is broken, that may be what was meant to use them.
fn unused(raw: &Raw, links: &Links, sink: &Sink<'_>) {
    if raw.tasks.is_empty() || raw.incomplete.contains(&"task") {
        return;
    }
    if links.lanes.iter().all(Option::is_some) {
        for (index, lane) in raw.lanes.iter().enumerate() {
            if !links.lanes.contains(&Some(index)) {
                let message = format!("the lane `{}` has no task", lane.name.get_ref());
                let finding = Finding::warning(Code::UnusedLane, message);
                sink.push(finding.at(sink.file, lane.span.clone(), "nothing runs here"));
            }
        }
    }
    let broken = |(task, link): (&Task, &Option<usize>)| task.has_model && link.is_none();
    if !raw.tasks.iter().zip(&links.models).any(broken) {
        for (index, model) in raw.models.iter().enumerate() {
            if !links.models.contains(&Some(index)) {
                let message = format!("no task uses the model `{}`", model.name.get_ref());
                let finding = Finding::warning(Code::UnusedModel, message);
                sink.push(finding.at(sink.file, model.span.clone(), "not used"));
            }
        }
    }
    if links.domains_are_known(raw) && !raw.incomplete.contains(&"model") {
        for (index, domain) in raw.domains.iter().enumerate() {
            if !links.domains.contains(&Some(index)) && !links.model_domains.contains(&Some(index)) {
                let message = format!("nothing lies in the domain `{}`", domain.name.get_ref());
                let finding = Finding::warning(Code::UnusedDomain, message);
                sink.push(finding.at(sink.file, domain.span.clone(), "not used"));
            }
        }
    }
}

//! The manifest as it is written: each table on its own, references still names, faulty values absent.
//!
//! A field is `None` where its key is absent or its value was reported; only a manifest without an error
//! becomes a [`Manifest`](super::model::Manifest).

mod conditions;
mod domain;
mod engines;
mod gpu;
mod kernels;
mod mode;
mod model;
mod pressure;
mod source;
mod task;
mod watch;
mod watchdog;
mod wcet;

use aegis_core::desc::{Backend, EngineLibrary, Policy, Preemption, Waiting};
use aegis_core::time::Duration;
use aegis_core::units::Bytes;
use toml::Spanned;

use super::model::{Communication, LaneKind, Overheads, Source, Span};
use super::reader::Section;
use crate::finding::{Code, Finding};
use conditions::{DeviceConditions, SystemConditions};
pub(crate) use domain::{Domain, Restart};
pub(crate) use engines::OPTIONS;
use gpu::{DeviceGpu, LaneGpu};
pub(crate) use mode::Mode;
pub(crate) use model::Model;
pub(crate) use pressure::Pressure;
pub(crate) use task::{Member, RawAnswer, Task};
pub(crate) use watch::{Threshold, Thresholds, Watch};
pub(crate) use watchdog::{RawStall, Watchdog};
pub(crate) use wcet::WcetKeys;

/// The margin where the manifest gives none.
const DEFAULT_MARGIN_PPM: u64 = 1_250_000;

/// The policies by their names in manifests.
const POLICIES: &[(&str, Policy)] = &[
    (Policy::RateMonotonic.name(), Policy::RateMonotonic),
    (Policy::DeadlineMonotonic.name(), Policy::DeadlineMonotonic),
    (Policy::FixedPriority.name(), Policy::FixedPriority),
    (Policy::EarliestDeadlineFirst.name(), Policy::EarliestDeadlineFirst),
    (Policy::TimeTriggered.name(), Policy::TimeTriggered),
];

/// The kinds of devices and lanes by their names in manifests.
const KINDS: &[(&str, LaneKind)] = &[(LaneKind::Cpu.name(), LaneKind::Cpu), (LaneKind::Gpu.name(), LaneKind::Gpu)];

/// The ways to preempt by their names in manifests.
const PREEMPTIONS: &[(&str, Preemption)] = &[
    (Preemption::None.name(), Preemption::None),
    (Preemption::Segments.name(), Preemption::Segments),
    (Preemption::Full.name(), Preemption::Full),
];

/// The whole file.
pub(crate) struct Raw {
    pub(crate) system: Option<System>,
    pub(crate) watchdog: Option<Watchdog>,
    pub(crate) watch: Option<Watch>,
    pub(crate) runtimes: Vec<Runtime>,
    pub(crate) devices: Vec<Device>,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) models: Vec<Model>,
    pub(crate) assets: Vec<Asset>,
    pub(crate) domains: Vec<Domain>,
    /// Each stage of a task is one.
    pub(crate) tasks: Vec<Task>,
    /// The tables `[task.NAME]`, each with its place in `tasks`.
    pub(crate) members: Vec<Member>,
    pub(crate) chains: Vec<Chain>,
    pub(crate) pressure: Vec<Pressure>,
    pub(crate) modes: Vec<Mode>,
    /// The kinds that have more tables than could be read, so that an unknown name may be one of these.
    pub(crate) incomplete: Vec<&'static str>,
}

/// `[system]`.
pub(crate) struct System {
    pub(crate) name: Option<Spanned<String>>,
    pub(crate) crate_dir: Option<Spanned<String>>,
    pub(crate) policy: Option<Spanned<Policy>>,
    /// The core and where it is given; without a place it is the default.
    pub(crate) orchestration_core: Option<(u16, Option<Span>)>,
    pub(crate) waiting: Option<Waiting>,
    /// Where it is given, be it readable or not.
    pub(crate) waiting_key: Option<Span>,
    pub(crate) margin_ppm: u64,
    pub(crate) wcet: WcetKeys,
    pub(crate) conditions: SystemConditions,
}

/// `[runtime.NAME]`.
pub(crate) struct Runtime {
    pub(crate) name: Spanned<String>,
    pub(crate) span: Span,
    pub(crate) version: Option<Spanned<String>>,
    pub(crate) source: Option<Source>,
    pub(crate) source_aarch64: Option<Source>,
    pub(crate) beside: Option<Vec<Source>>,
}

/// `[device.NAME]`.
pub(crate) struct Device {
    pub(crate) name: Spanned<String>,
    pub(crate) span: Span,
    pub(crate) kind: Option<LaneKind>,
    pub(crate) domain_switch: Option<Spanned<Duration>>,
    pub(crate) memory: Option<Spanned<Bytes>>,
    /// Where `shares` is given, be it readable or not.
    pub(crate) shares_key: Option<Span>,
    pub(crate) shares: Option<Spanned<String>>,
    /// Whether `copy-per-mib` is given, be it readable or not.
    pub(crate) has_copy: bool,
    pub(crate) copy_per_mib: Option<Spanned<Duration>>,
    /// Whether `page-size` is given, be it readable or not.
    pub(crate) has_pages: bool,
    pub(crate) page_size: Option<Spanned<Bytes>>,
    pub(crate) cpu_model: Option<Spanned<String>>,
    pub(crate) governor: Option<Spanned<String>>,
    pub(crate) gpu: DeviceGpu,
    pub(crate) conditions: DeviceConditions,
}

/// `[lane.NAME]`.
pub(crate) struct Lane {
    pub(crate) name: Spanned<String>,
    pub(crate) span: Span,
    /// Whether `device` is given, be it readable or not.
    pub(crate) has_device: bool,
    pub(crate) device: Option<Spanned<String>>,
    pub(crate) kind: Option<LaneKind>,
    pub(crate) core: Option<Spanned<u16>>,
    pub(crate) gpu: LaneGpu,
    /// Whether `policy` is given, be it readable or not.
    pub(crate) has_policy: bool,
    pub(crate) policy: Option<Spanned<Policy>>,
    /// The preemption and where it is given; without a place it is the default.
    pub(crate) preemption: Option<(Preemption, Option<Span>)>,
    pub(crate) launch: Duration,
    /// Where the lane's `priority` is given, which can only ask for optimal ones.
    pub(crate) optimal: Option<Span>,
    pub(crate) overheads: Option<Overheads>,
}

/// `[asset.NAME]`.
pub(crate) struct Asset {
    pub(crate) name: Spanned<String>,
    pub(crate) span: Span,
    pub(crate) source: Option<Source>,
}

/// `[chain.NAME]`.
pub(crate) struct Chain {
    pub(crate) name: Spanned<String>,
    pub(crate) span: Span,
    pub(crate) tasks: Option<Vec<Spanned<String>>>,
    pub(crate) max_reaction: Option<Spanned<Duration>>,
    pub(crate) max_age: Option<Spanned<Duration>>,
    pub(crate) communication: Option<(Communication, Option<Span>)>,
}

/// Reads the whole file.
pub(crate) fn read(mut root: Section<'_>) -> Raw {
    let mut incomplete = Vec::new();
    let system = system(&mut root);
    let watchdog = watchdog::watchdog(&mut root);
    let watch = watch::watch(&mut root);
    let runtimes = each(&mut root, "runtime", &mut incomplete, runtime);
    let devices = each(&mut root, "device", &mut incomplete, device);
    let lanes = each(&mut root, "lane", &mut incomplete, lane);
    let models = each(&mut root, "model", &mut incomplete, model::model);
    let assets = each(&mut root, "asset", &mut incomplete, asset);
    let domains = each(&mut root, "domain", &mut incomplete, domain::domain);
    let declared = each(&mut root, "task", &mut incomplete, task::task);
    let (tasks, members) = task::line_up(declared, &mut incomplete);
    let chains = each(&mut root, "chain", &mut incomplete, chain);
    let pressure = each(&mut root, "pressure", &mut incomplete, pressure::pressure);
    let modes = each(&mut root, "mode", &mut incomplete, mode::mode);
    root.finish();
    Raw {
        system,
        watchdog,
        watch,
        runtimes,
        devices,
        lanes,
        models,
        assets,
        domains,
        tasks,
        members,
        chains,
        pressure,
        modes,
        incomplete,
    }
}

/// Reads all tables `[key.NAME]`.
fn each<'a, T>(
    root: &mut Section<'a>,
    key: &'static str,
    incomplete: &mut Vec<&'static str>,
    read: impl Fn(Spanned<String>, &mut Section<'a>) -> T,
) -> Vec<T> {
    let mut all = Vec::new();
    let (tables, complete) = root.named(key);
    if !complete {
        incomplete.push(key);
    }
    for (name, mut section) in tables {
        if key != "runtime" {
            check_name(&section, &name, &format!("{key}'s name"), true);
        }
        all.push(read(name, &mut section));
        section.finish();
    }
    all
}

/// Reports a name that is not made of the allowed characters.
fn check_name(section: &Section<'_>, name: &Spanned<String>, what: &str, underscore: bool) {
    let text = name.get_ref();
    let label = match text.chars().next() {
        None => "this is empty".to_owned(),
        Some(first) if !first.is_ascii_lowercase() => format!("this begins with `{first}`"),
        Some(_) => {
            let allowed =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || (underscore && c == '_');
            match text.chars().find(|&c| !allowed(c)) {
                None => return,
                Some(other) => format!("this has `{other}`"),
            }
        }
    };
    let rest = if underscore { "digits, `-` and `_`" } else { "digits and `-`" };
    let message = format!("the {what} must be lower-case letters, {rest}, and begin with a letter");
    let finding = Finding::error(Code::BadName, message);
    section.sink.push(finding.at(section.sink.file, name.span(), label));
}

fn system(root: &mut Section<'_>) -> Option<System> {
    if !root.must_have("system") {
        let finding = Finding::error(Code::MissingKey, "the manifest needs a table [system]");
        let finding = finding.in_file(root.sink.file, "");
        root.sink.push(finding.help("add [system] with the keys `name` and `policy`"));
    }
    let mut section = root.top("system")?;
    let name = section.required("name", "name = \"courier\"", Section::text);
    if let Some(name) = &name {
        check_name(&section, name, "vehicle's name", false);
    }
    let orchestration_core = if section.has("orchestration-core") {
        section.small("orchestration-core").map(|core| (*core.get_ref(), Some(core.span())))
    } else {
        Some((0, None))
    };
    let system = System {
        name,
        crate_dir: text_or(&mut section, "crate", "."),
        policy: section.required("policy", "policy = \"rate-monotonic\"", policy),
        orchestration_core,
        waiting_key: section.key_span("waiting"),
        waiting: gpu::waiting(&mut section, "waiting", Waiting::Blocking),
        margin_ppm: section.margin("margin").map_or(DEFAULT_MARGIN_PPM, Spanned::into_inner),
        wcet: wcet::keys(&mut section),
        conditions: conditions::system(&mut section),
    };
    section.finish();
    Some(system)
}

/// The text under `key`, or `default` with the section's place.
fn text_or(section: &mut Section<'_>, key: &'static str, default: &str) -> Option<Spanned<String>> {
    if section.has(key) { section.text(key) } else { Some(Spanned::new(section.span.clone(), default.to_owned())) }
}

fn policy(section: &mut Section<'_>, key: &'static str) -> Option<Spanned<Policy>> {
    section.choice(key, POLICIES, &[])
}

fn runtime(name: Spanned<String>, section: &mut Section<'_>) -> Runtime {
    let word = name.get_ref().as_str();
    let libraries = Backend::ALL.into_iter().filter(|backend| backend.has_library()).map(Backend::name);
    let libraries: Vec<&str> = libraries.collect();
    section.names_are(&libraries);
    let help = match libraries.as_slice() {
        [only] => format!("this version has only `{only}`"),
        all => format!("this version has `{}`", all.join("`, `")),
    };
    if !libraries.contains(&word) {
        let finding = Finding::error(Code::UnknownValue, format!("there is no runtime `{word}`"));
        let (label, help) = if word == EngineLibrary::TensorRt.name() {
            let help = "name the provider's library by `beside` in [runtime.onnxruntime], and let models have `provider = \"tensorrt\"`";
            ("ONNX Runtime's provider runs it", help.to_owned())
        } else {
            ("not known", help)
        };
        section.sink.push(finding.at(section.sink.file, name.span(), label).help(help));
    }
    Runtime {
        name,
        span: section.span.clone(),
        version: section.required("version", "version = \"1.24.0\"", Section::text),
        source: source::one(section),
        source_aarch64: source::package(section, "source-aarch64"),
        beside: source::beside(section),
    }
}

fn device(name: Spanned<String>, section: &mut Section<'_>) -> Device {
    let kind = section.required("kind", "kind = \"cpu\"", |s, key| s.choice(key, KINDS, &[]));
    section.exactly_one(
        &["memory", "shares"],
        "`memory` is the device's own, such as \"256MiB\"; `shares` names the device whose memory it draws on",
    );
    let conditions = conditions::device(name.get_ref(), section);
    Device {
        name,
        span: section.span.clone(),
        kind: kind.map(Spanned::into_inner),
        domain_switch: section.duration("domain-switch", true),
        memory: section.size("memory"),
        shares_key: section.key_span("shares"),
        shares: section.text("shares"),
        has_copy: section.has("copy-per-mib"),
        copy_per_mib: section.duration("copy-per-mib", false),
        has_pages: section.has("page-size"),
        page_size: section.page_size("page-size"),
        cpu_model: section.text("cpu-model"),
        governor: section.text("governor"),
        gpu: gpu::device(section),
        conditions,
    }
}

fn lane(name: Spanned<String>, section: &mut Section<'_>) -> Lane {
    section.exactly_one(
        &["device", "kind"],
        "`device` names the device whose memory the lane's models use; `kind = \"cpu\"` is for lanes \
         without models",
    );
    let kind = section.choice("kind", KINDS, &["dla"]);
    let gpu = gpu::lane(name.get_ref(), section);
    section.choice("priority", &[("optimal", ())], &[]);
    let preemption = if section.has("preemption") {
        let given = section.choice("preemption", PREEMPTIONS, &[]);
        given.map(|given| (*given.get_ref(), Some(given.span())))
    } else {
        Some((Preemption::None, None))
    };
    Lane {
        name,
        span: section.span.clone(),
        has_device: section.has("device"),
        device: section.text("device"),
        kind: kind.map(Spanned::into_inner),
        core: section.required("core", "core = 1", Section::small),
        gpu,
        has_policy: section.has("policy"),
        policy: policy(section, "policy"),
        preemption,
        launch: section.duration("launch-overhead", true).map_or(Duration::ZERO, Spanned::into_inner),
        optimal: section.key_span("priority"),
        overheads: overheads(section),
    }
}

fn overheads(section: &mut Section<'_>) -> Option<Overheads> {
    let dispatch = section.key_span("dispatch-overhead");
    let wakeup = section.key_span("wakeup-latency");
    let declared = dispatch.as_ref().or(wakeup.as_ref()).cloned();
    match (section.key_span("profile"), declared) {
        (None, None) => Some(Overheads::Zero),
        (Some(_), None) => section.text("profile").map(Overheads::Profile),
        (None, Some(_)) => {
            let time = |section: &mut Section<'_>, key| section.duration(key, true);
            let dispatch = section.required("dispatch-overhead", "dispatch-overhead = \"20us\"", time);
            let wakeup = section.required("wakeup-latency", "wakeup-latency = \"50us\"", time);
            Some(Overheads::Declared { dispatch: dispatch?, wakeup: wakeup? })
        }
        (Some(profile), Some(declared)) => {
            // The values are read too, so that all that is wrong with them is reported now.
            section.text("profile");
            section.duration("dispatch-overhead", true);
            section.duration("wakeup-latency", true);
            let message = "a lane's overheads must not be both declared and profiled";
            let finding = Finding::error(Code::KeyConflict, message)
                .at(section.sink.file, profile, "measured here")
                .also(section.sink.file, declared, "declared here");
            section.sink.push(finding.help("remove one of them"));
            None
        }
    }
}

fn chain(name: Spanned<String>, section: &mut Section<'_>) -> Chain {
    let example = "[\"detect\", \"brake\"]";
    let tasks = section.required("tasks", &format!("tasks = {example}"), |s, key| s.names(key, example));
    if !section.has("max-reaction") && !section.has("max-age") {
        let message = "a chain needs `max-reaction` or `max-age`, or both";
        let finding = Finding::error(Code::MissingKey, message);
        let finding = finding.at(section.sink.file, section.span.clone(), "both are missing here");
        section.sink.push(finding.help(
            "`max-reaction` bounds the time from a change to the first output that follows from it, `max-age` the time \
             for which an output follows from one input",
        ));
    }
    let communication = if section.has("communication") {
        let words = &[("register", Communication::Register), ("let", Communication::Let)];
        let given = section.choice("communication", words, &[]);
        given.map(|given| (*given.get_ref(), Some(given.span())))
    } else {
        Some((Communication::Register, None))
    };
    Chain {
        name,
        span: section.span.clone(),
        tasks,
        max_reaction: section.duration("max-reaction", false),
        max_age: section.duration("max-age", false),
        communication,
    }
}

fn asset(name: Spanned<String>, section: &mut Section<'_>) -> Asset {
    Asset { name, span: section.span.clone(), source: source::one(section) }
}

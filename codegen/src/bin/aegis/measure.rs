//! `aegis fetch` and `aegis profile`.

use crate::build::load_sound;
use crate::output::write_atomically;
use crate::vehicle::Vehicle;
use crate::{Failure, Outcome, print, show_findings};
use aegis_codegen::check::{Checked, show};
use aegis_codegen::fetch;
use aegis_codegen::finding::{Code, Finding};
use aegis_codegen::manifest::{Exceedance, Execution, Lane, Manifest, Overheads, Runtime, WcetFrom};
use aegis_codegen::probe::{
    self, EnginesRequest, GpuRequest, KernelsRequest, LaneRequest, Library, ModelRequest, Request, SCHEMA, ShapeRequest,
};
use aegis_codegen::profile::{ModelProfile, Statistics};
use aegis_codegen::report;
use aegis_codegen::resolve::{Loaded, launches_digest};
use aegis_codegen::system::Origin;
use aegis_core::Duration;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Runs of one model that a profile needs at least.
const MIN_RUNS: u64 = 500;
/// Seconds of one model that a profile needs at least.
const MIN_SECONDS: u64 = 5;
/// Runs before counting.
const WARM_UP: u64 = 50;

/// The arguments of `aegis profile`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The manifest.
    #[arg(default_value = "system.toml")]
    manifest: PathBuf,
    /// Write into this folder instead of the files that the manifest names.
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
    /// The probe program to ask, `aegis-host-probe`, instead of building it: for a machine without Cargo.
    #[arg(long, value_name = "PROGRAM")]
    probe: Option<PathBuf>,
    /// Measure each model for at least so many seconds: the longer, the more is known of the tail.
    #[arg(long, value_name = "SECONDS", default_value_t = MIN_SECONDS)]
    seconds: u64,
    /// Also draw how often each segment's times are exceeded, with the fitted tail: an SVG file each in this folder.
    #[arg(long, value_name = "FOLDER")]
    plot: Option<PathBuf>,
}

/// How to measure.
#[derive(Clone, Copy)]
pub(crate) struct Measuring<'a> {
    /// The folder of the profiles, where it is not the manifest's.
    pub(crate) into: Option<&'a Path>,
    /// The least seconds of each model.
    pub(crate) seconds: u64,
    /// The folder of the plots, if there are any.
    pub(crate) plot: Option<&'a Path>,
}

impl<'a> Measuring<'a> {
    /// What is written into a folder by a command that only needs profiles.
    pub(crate) fn into(folder: &'a Path) -> Self {
        Self { into: Some(folder), seconds: MIN_SECONDS, plot: None }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let (loaded, findings) = load_sound(&arguments.manifest)?;
    show_findings(&findings, &loaded.file, &loaded.text);
    let vehicle = arguments.probe.is_none().then(|| Vehicle::find(&loaded)).transpose()?;
    fetch_all(&loaded)?;
    let program = given_or_built(arguments.probe.as_deref(), vehicle.as_ref())?;
    let Arguments { into, seconds, plot, .. } = arguments;
    measure(&loaded, &program, Measuring { into: into.as_deref(), seconds: *seconds, plot: plot.as_deref() })
}

/// The probe program that was given, or that of a vehicle's target library.
pub(crate) fn given_or_built(given: Option<&Path>, vehicle: Option<&Vehicle>) -> Result<PathBuf, Failure> {
    match (given, vehicle) {
        (Some(program), _) => Ok(program.to_owned()),
        (None, Some(vehicle)) => vehicle.build_probe(),
        (None, None) => Err(Failure::internal("no probe was given, and no vehicle looked for")),
    }
}

pub(crate) fn fetch(manifest: &Path) -> Outcome {
    let (loaded, _) = load_sound(manifest)?;
    for file in fetch_all(&loaded)?.files {
        print(&format!("{:<12} {}\n", file.name, file.path.display()));
    }
    Ok(())
}

/// Gets every file that the manifest names, with progress.
pub(crate) fn fetch_all(loaded: &Loaded) -> Result<fetch::Outcome, Failure> {
    let context = fetch::Context::from_environment().map_err(Failure::input)?;
    let outcome = fetch::fetch(loaded, std::env::consts::ARCH, &context, &fetch::Terminal::new());
    show_findings(&outcome.findings, &loaded.file, &loaded.text);
    if outcome.is_complete() { Ok(outcome) } else { Err(Failure::Findings) }
}

/// What only asks for the machine.
pub(crate) fn machine_request() -> Request {
    Request {
        schema: SCHEMA,
        command: "machine",
        device: None,
        libraries: Vec::new(),
        orchestration_core: 0,
        lanes: Vec::new(),
        models: Vec::new(),
        min_runs: MIN_RUNS,
        min_seconds: MIN_SECONDS,
        warmup_runs: WARM_UP,
    }
}

/// Whether a check's profiles are there and were taken on this machine.
pub(crate) fn is_of(checked: &Checked, answer: &probe::Answer) -> bool {
    let machine = &answer.machine;
    let grants = answer.realtime.fifo && answer.realtime.memory_locked;
    checked.resolved.as_ref().is_some_and(|resolved| {
        let profiled = &resolved.system.machine;
        let doubted = checked.findings.iter().any(|finding| match finding.code {
            Code::ProfileConditions => true,
            // Measured again only where that would change it.
            Code::ProfileOfOrdinaryThreads => grants,
            _ => false,
        });
        !doubted
            && profiled.arch == machine.arch
            && profiled.cpu_model == machine.cpu_model
            && profiled.cores == machine.cores
            && profiled.governor == machine.governor
    })
}

/// Whether the models, loaded once, request memory as their profiles recorded it. Two processors of one name may differ in their
/// vector units, and with them in how the runtime lays out weights; a vehicle refuses the other one's recordings. And whether they
/// were measured on the GPU that is here, with its driver.
pub(crate) fn loads_as_recorded(loaded: &Loaded, program: &Path) -> Result<bool, Failure> {
    let (request, _, models) = request(loaded, &fetch_all(loaded)?)?;
    let recorded = |model: &Wanted| -> Option<ModelProfile> {
        let text = std::fs::read_to_string(loaded.profile_file(&model.profile, None)).ok()?;
        toml::from_str(&text).ok()
    };
    // Engines are not built anew for it: those that the profiles are of have to be there.
    let with_engines = models.iter().map(|model| {
        let engines = model.request.engines.clone().map(|asked| {
            let segments = recorded(model).map(|profile| profile.segments).unwrap_or_default();
            let built = segments.into_iter().map(|segment| segment.engine_sha256.unwrap_or_default()).collect();
            EnginesRequest { built, ..asked }
        });
        ModelRequest { engines, ..model.request.clone() }
    });
    let asked = with_engines.collect();
    let once = Request { lanes: Vec::new(), models: asked, min_runs: 1, min_seconds: 0, warmup_runs: 0, ..request };
    let answer = probe::ask(program, &once, |_, _, _| {}).map_err(Failure::input)?;
    Ok(models.iter().all(|model| {
        let recorded = recorded(model);
        // To a device the runtime loads weights in another order each time, and any will do.
        let loads = |profile: &ModelProfile| {
            let load = |mut load: Vec<i64>| {
                if profile.conditions.gpu.is_some() {
                    load.sort_unstable();
                }
                load
            };
            profile.segments.iter().map(|part| load(part.load.clone())).collect::<Vec<_>>()
        };
        let is_same = |recorded: &ModelProfile, here: &ModelProfile| {
            let same_engines = recorded.conditions.engines == here.conditions.engines;
            loads(recorded) == loads(here) && recorded.conditions.gpu == here.conditions.gpu && same_engines
        };
        recorded
            .zip(answer.model_profile(&model.request).ok())
            .is_some_and(|(recorded, here)| is_same(&recorded, &here))
    }))
}

/// Measures every model and lane whose profile the manifest names, and writes the profiles.
pub(crate) fn measure(loaded: &Loaded, program: &Path, measuring: Measuring<'_>) -> Outcome {
    let Measuring { into, seconds, .. } = measuring;
    let fetched = fetch_all(loaded)?;
    let (request, lanes, models) = request(loaded, &fetched)?;
    let request = Request { min_seconds: seconds, ..request };
    print(&format!(
        "profiling {} models and {} lanes: at least {MIN_RUNS} runs and {seconds} s each\n",
        models.len(),
        lanes.len()
    ));
    let bars = MultiProgress::new();
    let mut shown: BTreeMap<String, ProgressBar> = BTreeMap::new();
    let answer = probe::ask(program, &request, |name, done, total| {
        let bar = shown.entry(name.to_owned()).or_insert_with(|| {
            let bar = bars.add(ProgressBar::new(total));
            if let Ok(style) = ProgressStyle::with_template("{msg:>12} {wide_bar} {pos}/{len} {elapsed}") {
                bar.set_style(style);
            }
            bar.with_message(name.to_owned())
        });
        bar.set_length(total);
        bar.set_position(done);
    })
    .map_err(Failure::input)?;
    for bar in shown.values() {
        bar.finish_and_clear();
    }
    let mut findings = Vec::new();
    for (lane, path) in &lanes {
        let file = loaded.profile_file(path, into);
        let profile = answer.lane_profile(lane);
        let profile =
            profile.ok_or_else(|| Failure::Input(format!("the probe did not measure lane `{}`", lane.name)))?;
        describe(&format!("{} dispatch", lane.name), &profile.dispatch);
        describe(&format!("{} wake-up", lane.name), &profile.wakeup);
        write(&file, &profile)?;
    }
    for model in &models {
        match answer.model_profile(&model.request) {
            Ok(profile) => {
                model.tell(&profile, &answer, measuring.plot)?;
                write(&loaded.profile_file(&model.profile, into), &profile)?;
            }
            Err(words) => {
                let message = format!("the runtime cannot run model `{}`: {words}", model.request.name);
                let finding = Finding::error(Code::ModelUnreadable, message);
                let help = "fetch it again, name its `inputs` with fixed dimensions, or use another file";
                findings.push(finding.at(&loaded.file, model.span.clone(), "this model").help(help));
            }
        }
    }
    for changed in &answer.state.changed {
        eprintln!("warning: while this was measured, {changed}; the profiles say so, and `aegis check` warns (AEG413)");
    }
    if !(answer.realtime.fifo && answer.realtime.memory_locked) {
        eprintln!(
            "warning: the machine granted no real-time priority or no locked memory, so these profiles are of \
             ordinary threads (SCHED_FIFO: {}, mlockall: {})",
            answer.realtime.fifo, answer.realtime.memory_locked
        );
    }
    show_findings(&findings, &loaded.file, &loaded.text);
    if findings.is_empty() { Ok(()) } else { Err(Failure::Findings) }
}

type Lanes = Vec<(LaneRequest, String)>;
type Models = Vec<Wanted>;

/// A model that is measured, and what for.
struct Wanted {
    request: ModelRequest,
    /// The path of its profile.
    profile: String,
    /// The model's place in the manifest.
    span: std::ops::Range<usize>,
    /// What its task's WCET is made with.
    margin_ppm: u64,
    wcet_from: WcetFrom,
}

/// What to ask the probe, with the profile that each answer belongs to.
fn request(loaded: &Loaded, fetched: &fetch::Outcome) -> Result<(Request, Lanes, Models), Failure> {
    let manifest = &loaded.manifest;
    let mut lanes = Lanes::new();
    for lane in &manifest.lanes {
        if let Overheads::Profile(path) = &lane.overheads {
            let request = LaneRequest {
                name: lane.name.get_ref().clone(),
                core: *lane.core.get_ref(),
                tasks: manifest.tasks.len(),
                waiting: manifest.waiting.name(),
            };
            lanes.push((request, path.get_ref().clone()));
        }
    }
    let mut models = Models::new();
    for task in &manifest.tasks {
        let Execution::Profile(path) = &task.execution else { continue };
        let model = task.model.and_then(|model| manifest.models.get(model));
        let (Some(model), Some(lane)) = (model, manifest.lanes.get(task.lane)) else { continue };
        let name = model.name.get_ref();
        let file = |number| {
            let file = find(fetched, &model.segment_name(number), fetch::Kind::Model);
            file.map(|file| file.path.clone())
        };
        let files: Vec<PathBuf> = (0..model.sources.len()).map(file).collect::<Result<_, Failure>>()?;
        let inputs = model
            .inputs
            .iter()
            .map(|(name, shape)| ShapeRequest { name: name.get_ref().clone(), shape: shape.clone() });
        let request = ModelRequest {
            name: name.clone(),
            files,
            backend: model.backend.name(),
            core: manifest.core_of(task).unwrap_or(*lane.core.get_ref()),
            inputs: inputs.collect(),
            gpu: gpu(manifest, lane),
            engines: model.engines.map(EnginesRequest::of),
            kernels: model.kernels.as_ref().map(|kernels| KernelsRequest::of(kernels, launches_digest(kernels))),
        };
        models.push(Wanted {
            request,
            profile: path.get_ref().clone(),
            span: model.span.clone(),
            margin_ppm: task.margin_ppm,
            wcet_from: task.wcet_from,
        });
    }
    let library = |runtime: &Runtime| {
        let name = runtime.name.get_ref();
        let path = find(fetched, name, fetch::Kind::Library)?.path.clone();
        Ok(Library { name: name.clone(), path, version: runtime.version.get_ref().clone() })
    };
    let libraries = manifest.runtimes.iter().map(library).collect::<Result<_, Failure>>()?;
    let request = Request {
        command: "profile",
        libraries,
        orchestration_core: manifest.orchestration_core,
        lanes: lanes.iter().map(|(lane, _)| lane.clone()).collect(),
        models: models.iter().map(|model| model.request.clone()).collect(),
        ..machine_request()
    };
    Ok((request, lanes, models))
}

impl Wanted {
    /// Prints what each segment's times are and what WCETs follow from them, and draws their tails into the folder `plot`.
    fn tell(&self, profile: &ModelProfile, answer: &probe::Answer, plot: Option<&Path>) -> Outcome {
        let Self { request: ModelRequest { name: model, .. }, margin_ppm, wcet_from, .. } = self;
        let exponent = match wcet_from {
            WcetFrom::Maximum => Exceedance::DEFAULT.exponent(),
            WcetFrom::Tail(exceedance) => exceedance.exponent(),
        };
        let samples = answer.samples(model);
        for ((number, segment), sample) in (1..).zip(&profile.segments).zip(samples) {
            let name = if profile.segments.len() > 1 { format!("{model}.{number}") } else { model.clone() };
            describe(&name, &segment.execution);
            let by_maximum = segment.with_margin(*margin_ppm);
            let Some(tail) = &segment.tail else { continue };
            print(&format!("{:>16}  {}\n", "", report::tail::summary(tail)));
            let origin = Origin {
                task: name.clone(),
                is_tail: *wcet_from != WcetFrom::Maximum,
                longest: Some(Duration::from_ns(segment.execution.max_ns)),
                margin_ppm: *margin_ppm,
                by_maximum: by_maximum.map(Duration::from_ns),
                exponent,
                by_tail: segment.tail_bound(exponent).map(|bound| Some(Duration::from_ns(bound))),
            };
            print(&format!("{:>16}  {}", "", report::wcet::render(&origin)));
            if let (Some(folder), Some(sample)) = (plot, sample) {
                let execution = &segment.execution;
                let drawn = report::tail::Plot { name: &name, execution, sample, tail, by_maximum, exponent };
                place(&folder.join(format!("{name}.svg")), &report::tail::render(&drawn))?;
            }
        }
        Ok(())
    }
}

/// The part of a GPU that a lane has.
fn gpu(manifest: &Manifest, lane: &Lane) -> Option<GpuRequest> {
    let (part, device) = (lane.partition.as_ref()?, manifest.devices.get(lane.device?)?);
    let earlier = manifest.lanes.iter().take_while(|other| !std::ptr::eq(*other, lane));
    let earlier = earlier.filter(|other| other.device == lane.device).filter_map(|other| other.partition.as_ref());
    let before = earlier.map(|part| *part.sms.get_ref()).fold(0, u16::saturating_add);
    let (sms, completion) = (*part.sms.get_ref(), part.completion.name());
    Some(GpuRequest { ordinal: device.ordinal, before, sms, completion })
}

fn find<'a>(fetched: &'a fetch::Outcome, name: &str, kind: fetch::Kind) -> Result<&'a fetch::Fetched, Failure> {
    fetched.file(kind, name).ok_or_else(|| Failure::internal(format!("`{name}` was not fetched")))
}

fn describe(what: &str, times: &Statistics) {
    let at = |ns| show(Duration::from_ns(ns));
    print(&format!(
        "{what:>16}: {} runs, p50 {}, p99 {}, max {}\n",
        times.runs,
        at(times.p50_ns),
        at(times.p99_ns),
        at(times.max_ns)
    ));
}

fn write(file: &Path, profile: &impl Serialize) -> Outcome {
    let body = toml::to_string(profile).map_err(Failure::internal)?;
    let text = format!("# Measured by `aegis profile` on the machine that [conditions] describes.\n\n{body}");
    place(file, &text)
}

/// Writes a file, with its folder.
fn place(file: &Path, text: &str) -> Outcome {
    let place = || {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        write_atomically(file, text)
    };
    place().map_err(|error| Failure::Input(format!("cannot write `{}`: {error}", file.display())))
}

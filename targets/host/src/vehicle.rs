//! A vehicle: a plan, its hooks, and one run of both.

mod ending;
mod run;

use crate::boot::{AllHooks, build_lane, open_runtimes, other_libraries, prove, take_memory};
use crate::cache::{Assets, Cache};
use crate::clocks;
use crate::describe::describe;
use crate::domain::{self, Processes};
use crate::error::HostError;
use crate::gpu;
use crate::hooks::TaskHooks;
use crate::lane_work::HostLane;
use crate::memory_use::{told, used};
use crate::reclaim::{Reclaimer, Unused};
use crate::watch;
use aegis_core::desc::SystemDesc;
use aegis_core::dispatch::State;
use aegis_core::trace::{Ring, VoidReason};
use aegis_core::{Duration, LaneId, TaskId};
use aegis_linux::admissions::Admissions;
use aegis_linux::args::{Args, USAGE, parse};
use aegis_linux::bell::Bell;
use aegis_linux::conditions::Conditions;
use aegis_linux::domains::Domains;
use aegis_linux::drain::RING_RECORDS;
use aegis_linux::guarantee::Guarantee;
use aegis_linux::lane::Lane;
use aegis_linux::logger;
use aegis_linux::machine::{Machine, Void, VoidSince};
use aegis_linux::metrics::{Counts, Export, Last};
use aegis_linux::modes::Modes;
use aegis_linux::orchestrate::Report;
use aegis_linux::pressure::Pressure;
use aegis_linux::realtime::{Throttle, lock_memory, throttle_void};
use aegis_linux::reclaim::Reclaim;
use aegis_linux::signals::Signals;
use aegis_linux::sources::{self, SourceReport};
use aegis_linux::stats::{AdmissionStats, Failure, LevelStats, ModeStats, TaskStats};
use aegis_linux::steal::StealSamples;
use aegis_linux::submissions::Submissions;
use aegis_linux::summary::{Parts, ProcessSummary, TraceSummary, build, can_be_placed, can_be_replaced, write_file};
use aegis_linux::trace_file::TraceFile;
use aegis_linux::verdict::judge;
use aegis_linux::watchdog::{Hook, Watched};
use ending::{closing, findings};
use run::Run;
use static_cell::{ConstStaticCell, StaticCell};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// How far the schedule's start lies ahead when all threads are ready.
const LEAD: Duration = Duration::from_ns(50_000_000);

/// The storage of everything that changes while the vehicle runs: one static, no heap.
pub struct Runtime<const TASKS: usize, const LANES: usize, const QUEUE: usize> {
    ring: ConstStaticCell<Ring<RING_RECORDS>>,
    state: StaticCell<State<TASKS, LANES, QUEUE>>,
    samples: StealSamples<LANES>,
}

impl<const TASKS: usize, const LANES: usize, const QUEUE: usize> Runtime<TASKS, LANES, QUEUE> {
    /// Unused storage.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "it is only good for a static")]
    pub const fn new() -> Self {
        Self { ring: ConstStaticCell::new(Ring::new()), state: StaticCell::new(), samples: StealSamples::new() }
    }
}

/// How long a lane may take for the job that it runs when the run ends; the process ends without it then.
const CLOSE_LIMIT: std::time::Duration = std::time::Duration::from_secs(2);

/// What their file is in messages.
const METRICS: &str = "the metrics";

type HooksMaker = Box<dyn FnOnce(&Assets) -> Result<Box<dyn TaskHooks>, Box<dyn std::error::Error>>>;

/// A plan with its hooks, ready to run.
pub struct Vehicle<const TASKS: usize, const LANES: usize, const QUEUE: usize> {
    system: &'static SystemDesc,
    runtime: &'static Runtime<TASKS, LANES, QUEUE>,
    assets: Result<Assets, HostError>,
    makers: Vec<(TaskId, HooksMaker)>,
    submissions: Arc<Submissions>,
    pressure: Arc<Pressure>,
    modes: Arc<Modes>,
    domains: Arc<Domains>,
    admissions: Arc<Admissions>,
    guarantee: Arc<Guarantee>,
    root: PathBuf,
    pet: Option<Hook>,
}

/// What a run left behind for the summary.
struct Ran<const LANES: usize> {
    report: Report<LANES>,
    stats: Vec<TaskStats>,
    levels: LevelStats,
    modes: ModeStats,
    domains: Vec<Option<Failure>>,
    /// What became of the domains' processes.
    processes: Vec<Option<ProcessSummary>>,
    admissions: AdmissionStats,
    trace: TraceSummary,
    voids: Vec<VoidSince>,
    lanes: Vec<Option<HostLane>>,
    memory_locked: bool,
    /// By how much the used memory of each pool's device grew, where somebody tells.
    grown: Vec<Option<u64>>,
    trace_failure: Option<std::io::Error>,
    /// `None` where nothing was watched, or where the application's hook panicked.
    watched: Option<Watched>,
    /// What came of watching sources; `None` where that thread panicked.
    sources: Option<Vec<SourceReport>>,
    /// Whether the thread that gives memory back came to its end.
    reclaimed: bool,
    /// Whether the thread that looks at clocks, power and heat did.
    looked: bool,
}

impl<const TASKS: usize, const LANES: usize, const QUEUE: usize> Vehicle<TASKS, LANES, QUEUE> {
    /// A vehicle without hooks: every task runs on zeroed inputs.
    ///
    /// Does not return in a process that a vehicle of this program has started for a fault domain: there it loads the domain's
    /// models and serves until the vehicle ends it. So make this the first thing that the program does: what comes before happens
    /// in each of these processes, too, and what comes after in the vehicle alone. Of a plan with a GPU it sets an environment variable that
    /// the driver reads (`CUDA_DEVICE_MAX_CONNECTIONS`); no other thread may use such variables meanwhile.
    #[allow(unsafe_code, reason = "an environment variable is set while there is no other thread")]
    #[must_use]
    pub fn new(system: &'static SystemDesc, runtime: &'static Runtime<TASKS, LANES, QUEUE>) -> Self {
        domain::own::take_over(system);
        if system.pools.iter().any(|pool| pool.gpu.is_some()) {
            // SAFETY: this is the first thing that a program with a vehicle does, so it has no other threads.
            unsafe { aegis_cuda::ask_for_all_queues() };
        }
        let assets = Cache::of_user().map(|cache| Assets { system, cache });
        Self {
            system,
            runtime,
            assets,
            makers: Vec::new(),
            submissions: Submissions::new(system),
            pressure: Pressure::new(system),
            modes: Modes::new(system),
            domains: Domains::new(system),
            admissions: Admissions::new(system),
            guarantee: Guarantee::new(),
            root: PathBuf::from("/"),
            pet: None,
        }
    }

    /// What the application's own threads, or hooks, submit jobs with: of tasks that the manifest gives `release =
    /// "submitted"`. It takes arrivals from the vehicle's start until its end.
    #[must_use]
    pub fn submissions(&self) -> Arc<Submissions> {
        Arc::clone(&self.submissions)
    }

    /// What the application's own threads, or hooks, say with that memory is short: a level of the manifest's `[pressure.NAME]`,
    /// or that it no longer is.
    #[must_use]
    pub fn pressure(&self) -> Arc<Pressure> {
        Arc::clone(&self.pressure)
    }

    /// What the application's own threads, or hooks, say with that another mode of the manifest's `[mode.NAME]` is to hold; the
    /// first of them holds at the start.
    #[must_use]
    pub fn modes(&self) -> Arc<Modes> {
        Arc::clone(&self.modes)
    }

    /// What the application's own threads, or hooks, say with that a fault domain of the manifest's `[domain.NAME]` has failed.
    #[must_use]
    pub fn domains(&self) -> Arc<Domains> {
        Arc::clone(&self.domains)
    }

    /// What the application's own threads, or hooks, admit and dismiss tasks of `optional = true` with; none of them is admitted
    /// at the start.
    #[must_use]
    pub fn admissions(&self) -> Arc<Admissions> {
        Arc::clone(&self.admissions)
    }

    /// What the application's own threads, or hooks, ask whether the plan's bounds are guaranteed at this moment.
    #[must_use]
    pub fn guarantee(&self) -> Arc<Guarantee> {
        Arc::clone(&self.guarantee)
    }

    /// Reads clocks, power mode and temperatures in the files below this folder instead of `/`: where `/sys` and `/var` of the
    /// machine lie elsewhere, as in a container, and for tests.
    #[must_use]
    pub fn machine_root(mut self, root: impl Into<PathBuf>) -> Self {
        self.root = root.into();
        self
    }

    /// Gives a task its hooks.
    #[must_use]
    pub fn hooks(self, task: TaskId, hooks: impl TaskHooks) -> Self {
        self.hooks_from(task, |_| Ok(hooks))
    }

    /// Gives a task hooks that need a data file; `make` is called once, only if the vehicle really runs.
    #[must_use]
    pub fn hooks_from<H: TaskHooks>(
        mut self,
        task: TaskId,
        make: impl FnOnce(&Assets) -> Result<H, Box<dyn std::error::Error>> + 'static,
    ) -> Self {
        self.makers.push((task, Box::new(move |assets| Ok(Box::new(make(assets)?)))));
        self
    }

    /// Pets a watchdog of the application's own: called on the watching thread as long as the vehicle is healthy, at least twice
    /// within `timeout` of the manifest's `[watchdog]`. It must not wait.
    #[must_use]
    pub fn pet(mut self, pet: impl FnMut() + Send + 'static) -> Self {
        self.pet = Some(Box::new(pet));
        self
    }

    /// The data files of the plan.
    ///
    /// # Errors
    /// [`HostError::NoCache`].
    pub const fn assets(&self) -> Result<&Assets, &HostError> {
        self.assets.as_ref()
    }

    /// Runs the vehicle as the command line says and returns its exit status. Warnings and errors go to standard error
    /// as [`logger`] describes.
    #[must_use]
    pub fn run(self) -> ExitCode {
        logger::install();
        let result = parse(std::env::args_os().skip(1)).map_err(HostError::from).and_then(|args| self.run_with(&args));
        let status = result.unwrap_or_else(|error| {
            match error {
                HostError::Usage(_) => log::error!("{error}\n{USAGE}"),
                _ => log::error!("{error}"),
            }
            error.status()
        });
        ExitCode::from(status)
    }

    /// Runs the vehicle with these arguments and returns its exit status.
    ///
    /// # Errors
    /// [`HostError`] where the vehicle could not start, or an output file could not be written.
    pub fn run_with(self, args: &Args) -> Result<u8, HostError> {
        if args.help {
            println!("{USAGE}");
            return Ok(0);
        }
        prove(self.system)?;
        if args.describe {
            print!("{}", describe(self.system));
            return Ok(0);
        }
        let system = self.system;
        let machine = Machine::read();
        for (what, path) in [("the trace", &args.trace), ("the summary", &args.summary)] {
            if let Some(path) = path {
                can_be_placed(path).map_err(file_error(what, path))?;
            }
        }
        if let Some(path) = &args.metrics.file {
            can_be_replaced(path).map_err(file_error(METRICS, path))?;
        }
        let create =
            |path: &Path| TraceFile::create(path, system, args.trace_limit).map_err(file_error("the trace", path));
        let trace = args.trace.as_deref().map(create);
        let export = Export::open(system, &args.metrics)?;
        let mut ran = self.drive(args, &machine, trace.transpose()?, export.as_ref())?;
        let panicked = closing(system, &mut ran);
        let memory = used(system, &ran.lanes, ran.memory_locked, &ran.grown);
        told(&memory);
        print!("{}", sources::closing(ran.sources.as_deref().unwrap_or_default()));
        let mut findings = findings(system, &ran, &memory, args.allow_void);
        findings.internal = findings.internal.or(panicked);
        let verdict = judge(&findings);
        let parts = Parts {
            system,
            machine: &machine,
            voids: &ran.voids,
            stats: &ran.stats,
            report: &ran.report,
            levels: ran.levels,
            modes: ran.modes,
            domains: &ran.domains,
            processes: &ran.processes,
            admissions: ran.admissions,
            memory: &memory,
            trace: &ran.trace,
            watched: ran.sources.as_deref().unwrap_or_default(),
            pets: ran.watched.map_or(0, |watched| watched.pets),
            verdict: &verdict,
        };
        // First, and whatever becomes of the summary: who reads metrics must not take the vehicle for running.
        let exported = export.map_or(Ok(()), |export| {
            let (levels, modes, admissions) = (ran.levels, ran.modes, ran.admissions);
            let (tasks, domains) = (ran.stats.clone(), ran.domains.clone());
            let counts = Counts { tasks, levels, modes, domains, admissions };
            export.finish(counts, Last { trace: ran.trace.clone(), memory: memory.clone() })
        });
        if let Some(path) = &args.summary {
            let text = serde_json::to_string_pretty(&build(&parts)).map_err(std::io::Error::from);
            text.and_then(|text| write_file(path, &(text + "\n"))).map_err(file_error("the summary", path))?;
        }
        exported.map_err(|(path, error)| file_error(METRICS, &path)(error))?;
        if let (Some(error), Some(path)) = (ran.trace_failure, &args.trace) {
            return Err(file_error("the trace", path)(error));
        }
        println!("exit {}: {}", verdict.status, verdict.why);
        Ok(verdict.status)
    }

    /// Starts everything, runs until stopped, and collects what is left.
    fn drive(
        self,
        args: &Args,
        machine: &Machine,
        trace: Option<TraceFile>,
        export: Option<&Export>,
    ) -> Result<Ran<LANES>, HostError> {
        let Self {
            system,
            runtime,
            assets,
            makers,
            submissions,
            pressure,
            modes,
            domains,
            admissions,
            guarantee,
            root,
            pet,
        } = self;
        let service = watch::service(system, pet.is_some())?;
        let sources = watch::sources(system)?;
        let assets = assets?;
        let ring = runtime.ring.try_take().ok_or(HostError::AlreadyRan)?;
        let (writer, reader) = ring.split();
        let state =
            State::new(system).map_err(|_| HostError::Refused("the state's sizes are not the plan's".into()))?;
        let state = runtime.state.try_init(state).ok_or(HostError::AlreadyRan)?;
        // Before the hooks or the backend start any thread, so that none of them takes the signals.
        let signals = Signals::block().map_err(|error| HostError::System { what: "signals", error })?;
        let mut hooks = make_hooks(system, &assets, makers)?;
        let mut voids = machine.differences(&system.machine);
        let devices = gpu::open(system, None)?;
        let seats = gpu::seats(system, &devices)?;
        let (arenas, objects): (Vec<_>, Vec<_>) = take_memory(system, &devices)?.into_iter().unzip();
        // They load while the models are loaded that lie here. Before this process locks its memory, which a child would be given.
        let mut processes = Processes::start(system, objects, &domains)?;
        let runtimes = open_runtimes(system, None, &assets.cache, &devices, &mut voids)?;
        other_libraries(system, &assets.cache, &mut voids)?;
        let mut works = Vec::new();
        for number in 0..LANES {
            let lane = LaneId(u16::try_from(number).unwrap_or(u16::MAX));
            let memory = (&*arenas, seats.get(number).and_then(Option::as_ref));
            works.push(build_lane(system, lane, &runtimes, &assets.cache, memory, &mut hooks, (&domains, &processes))?);
        }
        let elsewhere = processes.loaded()?;
        voids.extend(gpu::voids(system, &devices, &elsewhere));
        let gauges = clocks::gauges(system, &devices, &elsewhere, &root);
        let (conditions, differences) = Conditions::open(system, &root, gauges, Arc::clone(&guarantee));
        voids.extend(differences);
        let mut memory_locked = true;
        if let Err(error) = lock_memory() {
            let text = format!("the system did not lock the process's memory: {error}");
            voids.push(Void { reason: VoidReason::MemoryNotLocked, text });
            memory_locked = arenas.iter().filter(|arena| arena.lock().is_err()).count() == 0;
        } else {
            arenas.iter().for_each(|arena| arena.note_locked());
        }
        voids.extend(throttle_void(Throttle::read(), system));
        let bell = Bell::new(system.waiting).map_err(|error| HostError::System { what: "a bell", error })?;
        let bell = Arc::new(bell);
        let mut lanes = Vec::new();
        for (work, number) in works.into_iter().zip(0_u16..) {
            let lane = Lane::spawn(system, LaneId(number), Arc::clone(&bell), work)?;
            voids.extend(lane.voids().iter().cloned());
            lanes.push(lane);
        }
        voids.extend(processes.fence(&guarantee)?);
        let (samples, submissions) = (&runtime.samples, submissions.as_ref());
        let (pressure, modes, admissions) = (pressure.as_ref(), modes.as_ref(), admissions.as_ref());
        let service = service.as_ref();
        let unused = Unused::of(system);
        let reclaim = Reclaim::new(unused.within());
        let reclaim = reclaim.as_ref();
        let reclaimer = reclaim.is_needed().then(|| Reclaimer::new(unused, arenas));
        let run = Run {
            system,
            bell: &bell,
            lanes: &lanes,
            samples,
            signals: &signals,
            submissions,
            pressure,
            modes,
            domains: &domains,
            admissions,
            guarantee: &guarantee,
            conditions: &conditions,
            reclaim,
            service,
            export,
            args,
        };
        let ran = run.threads(state, (writer, reader), trace, voids, (pet, sources, reclaimer))?;
        // Before anything is given back. Nobody asks after a device that was lost.
        let asked = ran.report.broken.is_none();
        let grown = system.pools.iter().zip(&devices).map(|(pool, device)| {
            device.as_ref().filter(|_| asked && gpu::has_device_alone(system, pool))?.growth_bytes()
        });
        let grown = grown.collect();
        let lanes = lanes.into_iter().map(|lane| lane.close(CLOSE_LIMIT)).collect();
        Ok(Ran { lanes, memory_locked, grown, processes: processes.close(), ..ran })
    }
}

fn make_hooks(system: &SystemDesc, assets: &Assets, makers: Vec<(TaskId, HooksMaker)>) -> Result<AllHooks, HostError> {
    let mut all: AllHooks = system.tasks.iter().map(|_| None).collect();
    for (id, make) in makers {
        let unknown =
            || HostError::Refused(format!("hooks were given to task number {}, which the plan has not", id.0));
        let task = system.tasks.get(id.index()).ok_or_else(unknown)?.name;
        let slot = all.get_mut(id.index()).ok_or_else(unknown)?;
        *slot = Some(make(assets).map_err(|error| HostError::Hooks { task, error })?);
    }
    Ok(all)
}

fn file_error<'a>(what: &'static str, path: &'a Path) -> impl Fn(std::io::Error) -> HostError + 'a {
    move |error| HostError::File { what: what.to_owned(), path: path.to_owned(), error }
}

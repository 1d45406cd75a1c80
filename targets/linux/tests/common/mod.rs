//! A run of the orchestration loop with synthetic lane work, for the integration tests.
#![allow(unreachable_pub, dead_code, reason = "each integration test uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy knows test functions only, not their helpers")]

pub mod fixture;

use aegis_core::desc::{SystemDesc, WatchdogDesc};
use aegis_core::dispatch::State;
use aegis_core::trace::{Kind, Record, Recorder, Ring, Sink};
use aegis_core::{Instant, LaneId};
use aegis_linux::admissions::Admissions;
use aegis_linux::bell::Bell;
use aegis_linux::clock::Clock;
use aegis_linux::device::Device;
use aegis_linux::domains::Domains;
use aegis_linux::guarantee::Guarantee;
use aegis_linux::lane::{Fault, JobContext, Lane, LaneWork};
use aegis_linux::modes::Modes;
use aegis_linux::orchestrate::{Report, Setup, Stop, run};
use aegis_linux::pressure::Pressure;
use aegis_linux::pulse::Pulse;
use aegis_linux::reclaim::Reclaim;
use aegis_linux::service::Service;
use aegis_linux::stats::{Counted, LevelStats, ModeStats, Tally, TaskStats};
use aegis_linux::steal::{StealReader, StealSamples};
use aegis_linux::submissions::Submissions;
use aegis_linux::watchdog::{Hook, Watch, Watched};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What a synthetic job does.
#[derive(Clone, Copy)]
pub enum Act {
    /// Spins for so many microseconds.
    Spin(u64),
    /// Sleeps for so many microseconds.
    Sleep(u64),
    /// Sleeps for so many milliseconds in the job of one request, and does nothing in the others.
    StallOnce { request: u64, for_ms: u64 },
    /// Fails.
    Fail(Fault),
    /// Fails in a job's first piece, and in no later one.
    FailFirst(Fault),
    /// Panics.
    Panic,
}

/// Lane work with one act for all tasks, and a log of what ran.
pub struct Synthetic {
    pub act: Act,
    /// Request and piece of whatever ran.
    pub ran: Vec<(u64, u16)>,
}

impl LaneWork for Synthetic {
    fn prepare(&mut self) -> Result<(), (Fault, String)> {
        self.ran.reserve(10_000);
        Ok(())
    }

    fn run(&mut self, job: &JobContext) -> Result<(), Fault> {
        self.ran.push((job.request, job.piece));
        match self.act {
            Act::Spin(us) => {
                let start = std::time::Instant::now();
                while start.elapsed().as_micros() < u128::from(us) {}
            }
            Act::Sleep(us) => std::thread::sleep(std::time::Duration::from_micros(us)),
            Act::StallOnce { request, for_ms } if job.request == request => {
                std::thread::sleep(std::time::Duration::from_millis(for_ms));
            }
            Act::StallOnce { .. } => {}
            Act::Fail(fault) => return Err(fault),
            Act::FailFirst(fault) if job.is_first() => return Err(fault),
            Act::FailFirst(_) => {}
            Act::Panic => panic!("the hook of a test panics"),
        }
        Ok(())
    }
}

/// Keeps the orchestration thread busy for a while when one arrival is recorded, so that it is late afterwards. A machine that
/// stands still itself may refuse that arrival; then it is the next one that is recorded.
struct Delaying<S> {
    inner: S,
    delay: Option<Delay>,
}

/// At which arrival, and for how many milliseconds.
#[derive(Clone, Copy)]
pub struct Delay {
    pub arrival_ms: u64,
    pub for_ms: u64,
}

impl<S: Sink> Sink for Delaying<S> {
    fn record(&mut self, at: Instant, kind: Kind) {
        if let (Some(delay), Kind::Submitted { arrival, .. }) = (self.delay, kind)
            && arrival.as_ns() >= delay.arrival_ms * 1_000_000
        {
            self.delay = None;
            std::thread::sleep(std::time::Duration::from_millis(delay.for_ms));
        }
        self.inner.record(at, kind);
    }
}

/// What came of a run.
pub struct Ran {
    pub report: Report<1>,
    pub stats: Vec<TaskStats>,
    pub levels: LevelStats,
    pub modes: ModeStats,
    pub records: Vec<Record>,
    /// Heap operations of the orchestration thread inside the loop.
    pub heap_operations: u64,
    /// Request and piece of whatever ran.
    pub ran: Vec<(u64, u16)>,
    /// What came of watching.
    pub watched: Option<Watched>,
    /// How often the application was asked to pet.
    pub pets: u64,
}

/// What a run does besides what its plan says.
#[derive(Clone, Copy)]
pub struct Scenario {
    pub act: Act,
    /// When the run ends by itself.
    pub for_ms: Option<u64>,
    /// When it is asked to stop.
    pub stop_ms: Option<u64>,
    pub delay: Option<Delay>,
    /// How the vehicle watches itself; the device is a file that is there already.
    pub watchdog: Option<WatchdogDesc>,
    /// The socket of a service manager that wants a pet every 100 ms.
    pub manager: Option<&'static str>,
}

impl Scenario {
    /// Nothing but jobs of this kind.
    pub const fn of(act: Act) -> Self {
        Self { act, for_ms: None, stop_ms: None, delay: None, watchdog: None, manager: None }
    }
}

/// Runs a plan with `TASKS` tasks on one lane for `for_ms`, or until stopped after `stop_ms`.
pub fn drive<const TASKS: usize>(
    system: &'static SystemDesc,
    act: Act,
    for_ms: Option<u64>,
    stop_ms: Option<u64>,
) -> Ran {
    drive_beside::<TASKS>(system, Scenario { for_ms, stop_ms, ..Scenario::of(act) }, |_, _, _| {})
}

/// Runs a scenario beside an application that submits jobs.
pub fn drive_beside<const TASKS: usize>(
    system: &'static SystemDesc,
    scenario: Scenario,
    application: impl FnOnce(&Submissions, &Pressure, &Modes) + Send,
) -> Ran {
    drive_failing::<TASKS>(system, scenario, |submissions, pressure, modes, _| {
        application(submissions, pressure, modes);
    })
}

/// Likewise, of one that may also say that fault domains have failed.
pub fn drive_failing<const TASKS: usize>(
    system: &'static SystemDesc,
    scenario: Scenario,
    application: impl FnOnce(&Submissions, &Pressure, &Modes, &Domains) + Send,
) -> Ran {
    drive_whole::<TASKS>(system, scenario, |submissions, pressure, modes, (domains, ..)| {
        application(submissions, pressure, modes, domains);
    })
}

/// Likewise, of one that also admits tasks.
pub fn drive_admitting<const TASKS: usize>(
    system: &'static SystemDesc,
    scenario: Scenario,
    application: impl FnOnce(&Submissions, &Pressure, &Modes, &Admissions) + Send,
) -> Ran {
    drive_whole::<TASKS>(system, scenario, |submissions, pressure, modes, (_, admissions, _)| {
        application(submissions, pressure, modes, admissions);
    })
}

/// Likewise, of one that does all of that.
pub fn drive_whole<const TASKS: usize>(
    system: &'static SystemDesc,
    scenario: Scenario,
    application: impl FnOnce(&Submissions, &Pressure, &Modes, (&Domains, &Admissions, &Guarantee)) + Send,
) -> Ran {
    let Scenario { act, for_ms, stop_ms, delay, watchdog, manager } = scenario;
    // Two real-time lanes on one core would disturb each other.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let bell = Arc::new(Bell::new(system.waiting).unwrap());
    let stop = Arc::new(Stop::new(Arc::clone(&bell)));
    let work = Synthetic { act, ran: Vec::new() };
    let lane = Lane::spawn(system, LaneId(0), Arc::clone(&bell), work).unwrap();
    let mut ring: Box<Ring<16_384>> = Box::new(Ring::new());
    let (writer, mut reader) = ring.split();
    if let Some(ms) = stop_ms {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(ms));
            stop.ask();
        });
    }
    let link = lane.link();
    let (submissions, pressure, modes) = (Submissions::new(system), Pressure::new(system), Modes::new(system));
    let domains = Domains::new(system);
    let (admissions, guarantee) = (Admissions::new(system), Guarantee::new());
    let pulse = watchdog.map(Pulse::new);
    let pulse = pulse.as_ref();
    let service =
        manager.map(|name| Service::connect(name.as_ref(), Some(std::time::Duration::from_millis(100))).unwrap());
    let pets = Arc::new(AtomicU64::new(0));
    let ((report, (stats, levels, of_modes), heap_operations), watched) = std::thread::scope(|scope| {
        let orchestrate = || {
            aegis_linux::realtime::set_up_thread("orchestration", 0, aegis_linux::realtime::ORCHESTRATION_PRIORITY);
            let steal = StealReader::open().ok();
            let samples = StealSamples::new();
            let mut state: State<TASKS, 1, 4> = State::new(system).unwrap();
            let inner: Counted<'_, TASKS> = Counted { tally: Tally::new(), recorder: Recorder::new(writer) };
            let mut sink = Delaying { inner, delay };
            let clock = Clock::starting_in(fixture::ms(20));
            let until = for_ms.map(|ms| Instant::from_ns(ms * 1_000_000));
            submissions.open(clock, Arc::clone(&bell));
            pressure.open(Arc::clone(&bell));
            modes.open(Arc::clone(&bell));
            domains.open(Arc::clone(&bell));
            admissions.open(Arc::clone(&bell));
            guarantee.open(Arc::clone(&bell));
            sink.record(Instant::START, Kind::Began { config_hash: system.config_hash });
            let setup = Setup {
                system,
                clock,
                submissions: &submissions,
                pressure: &pressure,
                modes: &modes,
                domains: &domains,
                admissions: &admissions,
                guarantee: &guarantee,
                reclaim: &Reclaim::new(Box::new([])),
                lanes: [link],
                bell: &bell,
                stop: &stop,
                until,
                steal: steal.as_ref(),
                samples: &samples,
                pulse,
            };
            let before = aegis_linux::heap::operations_of_this_thread();
            let report = run(&setup, &mut state, &mut sink).unwrap();
            let after = aegis_linux::heap::operations_of_this_thread();
            let tally = &sink.inner.tally;
            (report, (tally.tasks().to_vec(), tally.levels(), tally.modes()), after - before)
        };
        let watching = pulse.map(|pulse| {
            let device = pulse.desc().device.map(|path| Device::open(path.as_ref()).unwrap());
            let pets = Arc::clone(&pets);
            let hook: Hook = Box::new(move || {
                pets.fetch_add(1, Ordering::Relaxed);
            });
            let watch = Watch { pulse, bell: &bell, service: service.as_ref(), device, hook: Some(hook) };
            scope.spawn(|| watch.run())
        });
        let thread = scope.spawn(orchestrate);
        application(&submissions, &pressure, &modes, (&domains, &admissions, &guarantee));
        (thread.join().unwrap(), watching.map(|thread| thread.join().unwrap()))
    });
    let mut records = Vec::new();
    while let Some(record) = reader.dequeue() {
        records.push(record);
    }
    let ran = lane.close(std::time::Duration::from_secs(1)).unwrap().ran;
    let pets = pets.load(Ordering::Relaxed);
    Ran { report, stats, levels, modes: of_modes, records, heap_operations, ran, watched, pets }
}

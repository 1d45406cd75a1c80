//! A vehicle whose domains are started again: what its processes run is a pause, and what it shares with them numbers.

use crate::fixture;
use aegis_core::desc::{DomainDesc, ProcessDesc, RestartDesc, SystemDesc, TaskDesc, Waiting};
use aegis_core::dispatch::State;
use aegis_core::trace::{Kind, Loss, Recorder, Ring, Sink as _};
use aegis_core::{DomainId, Duration, Instant, LaneId};
use aegis_linux::admissions::Admissions;
use aegis_linux::bell::Bell;
use aegis_linux::clock::Clock;
use aegis_linux::domains::Domains;
use aegis_linux::guarantee::Guarantee;
use aegis_linux::lane::{Fault, JobContext, Lane, LaneWork};
use aegis_linux::modes::Modes;
use aegis_linux::orchestrate::{Report, Setup, Stop, run};
use aegis_linux::pressure::Pressure;
use aegis_linux::realtime::{ORCHESTRATION_PRIORITY, set_up_thread};
use aegis_linux::reclaim::Reclaim;
use aegis_linux::stats::{Counted, Failure, Tally, TaskStats};
use aegis_linux::steal::{StealReader, StealSamples};
use aegis_linux::submissions::Submissions;
use aegis_linux::worker::link::Link;
use aegis_linux::worker::own::{Given, Served, give_up_privileges, serve};
use aegis_linux::worker::page::{Answer, Figures};
use aegis_linux::worker::process::{Process, Start};
use aegis_linux::worker::restart::{Loading, Outcome, Restarted, Restarter, Starter, ends};
use aegis_linux::worker::shared::{SharedPage, map, object};
use aegis_linux::worker::supervise::{Door, Supervisor, Watched};
use aegis_linux::worker::switch::Switch;
use rustix::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::{panic, thread, time};

const TASKS: usize = 4;
/// Of a segment.
const KILL_AFTER: Duration = fixture::ms(25);
const LOAD_LIMIT: Duration = fixture::ms(1_500);
const NAMES: [&str; 3] = ["vision", "maps", "voice"];

/// The numbers of a domain that its processes and the test share, in its planned memory.
pub(crate) struct Numbers {
    /// For how many milliseconds a process loads.
    pub(crate) load_ms: AtomicU32,
    /// For how many it runs a segment.
    pub(crate) run_ms: AtomicU32,
    /// How many processes have begun to load.
    pub(crate) loads: AtomicU32,
    /// Whether a segment runs.
    pub(crate) runs: AtomicU32,
    /// How many were run.
    pub(crate) done: AtomicU32,
}

fn numbers(object: &OwnedFd) -> &'static Numbers {
    let (base, _) = map(object, 4_096).unwrap();
    // SAFETY: the mapping is long enough, aligned, and stays as long as the process; both sides use atomic operations alone.
    unsafe { base.cast().as_ref() }
}

pub(crate) fn sleep(ms: u64) {
    thread::sleep(time::Duration::from_millis(ms));
}

/// The process from inside.
struct Acting(&'static Numbers);

impl Served for Acting {
    fn run(&mut self, _task: u32, _segment: u32) -> Answer {
        let ms = self.0.run_ms.load(Ordering::Relaxed);
        if ms > 0 {
            self.0.runs.store(1, Ordering::Release);
            sleep(ms.into());
            self.0.runs.store(0, Ordering::Release);
        }
        self.0.done.fetch_add(1, Ordering::AcqRel);
        Answer::Done(Figures::default())
    }

    fn fence(&mut self) -> Answer {
        Answer::Done(Figures::default())
    }
}

pub(crate) fn inside(given: Given) -> ! {
    let objects = given.take().unwrap();
    give_up_privileges().unwrap();
    let (own, page) = (numbers(&objects[0]), SharedPage::map(&objects[1]).unwrap());
    own.loads.fetch_add(1, Ordering::AcqRel);
    sleep(own.load_ms.load(Ordering::Relaxed).into());
    serve(&page, Waiting::Blocking, &Answer::Done(Figures::default()), &mut Acting(own));
    std::process::exit(0)
}

/// What one lane runs: the first tasks in processes, the others here.
struct Work {
    domains: Arc<Domains>,
    links: Vec<Arc<Switch<Link>>>,
}

impl LaneWork for Work {
    fn prepare(&mut self) -> Result<(), (Fault, String)> {
        Ok(())
    }

    fn run(&mut self, job: &JobContext) -> Result<(), Fault> {
        let Some(links) = self.links.get(job.task.index()) else { return Ok(()) };
        let life = self.domains.life(DomainId(job.task.0));
        // Each life has its process.
        let done = links.with(life, |link| link.run(0, 0, KILL_AFTER)).unwrap();
        done.map_or_else(|gone| Err(Fault::DomainLost(gone.loss)), |_| Ok(()))
    }
}

/// A domain.
pub(crate) struct Own {
    pub(crate) memory: [OwnedFd; 1],
    pub(crate) numbers: &'static Numbers,
    pub(crate) links: Arc<Switch<Link>>,
}

struct Again {
    all: Arc<Vec<Own>>,
    door: Door,
    /// The process that loads.
    loads: Arc<AtomicU32>,
}

fn start(domain: DomainId, life: u32, memory: &[OwnedFd]) -> Arc<Process> {
    let name = NAMES[domain.index()];
    Process::start(&Start { domain, name, life, memory, lanes: &[0], most_memory: None }).unwrap()
}

impl Starter for Again {
    fn start(&mut self, domain: DomainId, life: u32, loading: &Loading) -> Result<Arc<Process>, String> {
        let own = &self.all[domain.index()];
        let process = start(domain, life, &own.memory);
        loading.is(&process);
        self.door.watch(Watched { process: Arc::clone(&process), heartbeat: None });
        self.loads.store(process.id(), Ordering::Release);
        let mut link = Link::new(Arc::clone(&process), 0, Waiting::Blocking);
        match link.loaded(LOAD_LIMIT).and_then(|_| link.fence(LOAD_LIMIT)) {
            Ok(()) => {
                drop(own.links.put(life, link));
                Ok(process)
            }
            Err(gone) => {
                while !process.has_ended() {
                    sleep(1);
                }
                Err(gone.text)
            }
        }
    }

    fn restored(&mut self, domain: DomainId, life: u32) {
        assert!(self.all[domain.index()].links.take(life - 1).is_some());
    }
}

pub(crate) fn system(domains: u16, policy: RestartDesc) -> &'static SystemDesc {
    let base = fixture::system(&[(40, 3), (50, 3), (60, 3), (70, 3)]);
    let tasks = base.tasks.iter().zip(0_u16..).map(|(task, number)| {
        let domain = (number < domains).then_some(DomainId(number));
        // A segment that is killed keeps the lane for so long.
        let budget = Duration::from_ns(KILL_AFTER.as_ns() * 2);
        TaskDesc { domain, budget, ..*task }
    });
    let process = ProcessDesc {
        cores: &[],
        kill_after: KILL_AFTER,
        hand_over: fixture::ms(1),
        heartbeat: None,
        memory: None,
        restart: Some(policy),
        meanwhile: None,
    };
    let domain = |name| DomainDesc { name, process: Some(process) };
    let domains: Vec<_> = NAMES[..usize::from(domains)].iter().copied().map(domain).collect();
    let tasks: Vec<_> = tasks.collect();
    Box::leak(Box::new(SystemDesc { tasks: tasks.leak(), domains: domains.leak(), ..*base }))
}

/// A vehicle while it runs, as the test sees it.
pub(crate) struct Running<'a> {
    pub(crate) all: &'a [Own],
    pub(crate) domains: &'a Domains,
    pub(crate) loads: &'a AtomicU32,
    /// The first process of each domain.
    pub(crate) first: Vec<u32>,
}

/// What a run left.
pub(crate) struct Ran {
    pub(crate) report: Report<1>,
    pub(crate) stats: Vec<TaskStats>,
    pub(crate) failures: Vec<Option<Failure>>,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) lost: u64,
}

/// Runs a vehicle beside a test, until that has ended.
pub(crate) fn drive(system: &'static SystemDesc, test: impl FnOnce(&Running<'_>) + Send) -> Ran {
    let bell = Arc::new(Bell::new(Waiting::Blocking).unwrap());
    let (stop, domains) = (Stop::new(Arc::clone(&bell)), Domains::new(system));
    let (told, told_ends) = ends();
    let (given_up, to_lose, to_tell) = (Arc::clone(&domains), Arc::clone(&domains), told.clone());
    let supervisor = Supervisor::start(
        move |process| given_up.has_failed_in(process.domain(), process.life()),
        move |process, loss| {
            if loss != Loss::GivenUp {
                to_lose.lose(process.domain(), process.life(), loss);
            }
            let _ = to_tell.send(());
        },
    )
    .unwrap();
    let (mut all, mut restarted, mut first) = (Vec::new(), Vec::new(), Vec::new());
    for (desc, number) in system.domains.iter().zip(0_u16..) {
        let memory = [object("aegis-memory", 4_096).unwrap()];
        let (domain, numbers) = (DomainId(number), numbers(&memory[0]));
        let process = start(domain, 0, &memory);
        supervisor.door().watch(Watched { process: Arc::clone(&process), heartbeat: None });
        let mut link = Link::new(Arc::clone(&process), 0, Waiting::Blocking);
        link.loaded(LOAD_LIMIT).unwrap();
        first.push(process.id());
        all.push(Own { memory, numbers, links: Arc::new(Switch::new(link)) });
        restarted.push(Restarted { domain, policy: desc.process.unwrap().restart.unwrap(), process });
    }
    let (all, loads) = (Arc::new(all), Arc::new(AtomicU32::new(0)));
    let again = Again { all: Arc::clone(&all), door: supervisor.door().clone(), loads: Arc::clone(&loads) };
    let restarter = Restarter::start(restarted, (told, told_ends), Arc::clone(&domains), again).unwrap();
    let links = all.iter().map(|own| Arc::clone(&own.links)).collect();
    let work = Work { domains: Arc::clone(&domains), links };
    let lane = Lane::spawn(system, LaneId(0), Arc::clone(&bell), work).unwrap();
    let mut ring: Box<Ring<16_384>> = Box::new(Ring::new());
    let (writer, mut reader) = ring.split();
    let over = AtomicBool::new(false);
    let (report, stats, failures, lost, sound) = thread::scope(|scope| {
        let link = lane.link();
        let (bell, stop, domains) = (&bell, &stop, &domains);
        let loop_thread = scope.spawn(move || {
            set_up_thread("orchestration", 0, ORCHESTRATION_PRIORITY);
            let (steal, samples) = (StealReader::open().ok(), StealSamples::new());
            let mut state: State<TASKS, 1, 4> = State::new(system).unwrap();
            let mut sink: Counted<'_, TASKS> = Counted { tally: Tally::new(), recorder: Recorder::new(writer) };
            let clock = Clock::starting_in(fixture::ms(20));
            domains.open(Arc::clone(bell));
            sink.record(Instant::START, Kind::Began { config_hash: system.config_hash });
            let setup = Setup {
                system,
                clock,
                submissions: &Submissions::new(system),
                pressure: &Pressure::new(system),
                modes: &Modes::new(system),
                domains,
                admissions: &Admissions::new(system),
                guarantee: &Guarantee::new(),
                reclaim: &Reclaim::new(Box::new([])),
                lanes: [link],
                bell,
                stop,
                until: None,
                steal: steal.as_ref(),
                samples: &samples,
                pulse: None,
            };
            let before = aegis_linux::heap::operations_of_this_thread();
            let report = run(&setup, &mut state, &mut sink).unwrap();
            assert_eq!(aegis_linux::heap::operations_of_this_thread(), before, "the loop uses no heap");
            let tally = &sink.tally;
            (report, tally.tasks().to_vec(), tally.domains().to_vec(), sink.recorder.lost())
        });
        let drain = scope.spawn(|| {
            while !over.load(Ordering::Acquire) {
                while reader.dequeue().is_some() {}
                sleep(2);
            }
        });
        let running = Running { all: &all, domains, loads: &loads, first };
        let sound = panic::catch_unwind(panic::AssertUnwindSafe(|| test(&running)));
        stop.ask();
        let (report, stats, failures, lost) = loop_thread.join().unwrap();
        over.store(true, Ordering::Release);
        drain.join().unwrap();
        (report, stats, failures, lost, sound)
    });
    drop(lane.close(time::Duration::from_secs(2)).unwrap());
    restarter.stop();
    supervisor.close(time::Duration::from_secs(2));
    let outcomes = restarter.join().unwrap();
    if let Err(payload) = sound {
        panic::resume_unwind(payload);
    }
    for own in all.iter() {
        // SAFETY: mapped by `numbers` with this length, and nobody refers to it any more.
        unsafe { rustix::mm::munmap(std::ptr::from_ref(own.numbers).cast_mut().cast(), 4_096).unwrap() };
    }
    Ran { report, stats, failures, outcomes, lost }
}

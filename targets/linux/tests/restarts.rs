//! The processes of fault domains under the orchestration loop: each fault in each state, one domain and three, and hundreds of times.
//!
//! It has no harness: this program starts itself, and a process that is started for a domain must not run tests. What the processes
//! run is synthetic; whole vehicles with real models are in the target that has runtimes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::exit,
    clippy::print_stdout,
    reason = "a test stops at what it did not expect, and tells"
)]
#![allow(unsafe_code, reason = "signals are sent as somebody outside would, and numbers lie in shared memory")]

#[path = "common/fixture.rs"]
mod fixture;

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
use std::os::unix::fs::FileExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::{fs, panic, thread, time};

const TASKS: usize = 4;
/// Of a segment.
const KILL_AFTER: Duration = fixture::ms(25);
const LOAD_LIMIT: Duration = fixture::ms(1_500);
/// Tells this program to be a vehicle that is killed itself.
const VEHICLE: &str = "AEGIS_TEST_VEHICLE";
const NAMES: [&str; 3] = ["vision", "maps", "voice"];

/// The numbers of a domain that its processes and the test share, in its planned memory.
struct Numbers {
    /// For how many milliseconds a process loads.
    load_ms: AtomicU32,
    /// For how many it runs a segment.
    run_ms: AtomicU32,
    /// How many processes have begun to load.
    loads: AtomicU32,
    /// Whether a segment runs.
    runs: AtomicU32,
    /// How many were run.
    done: AtomicU32,
}

fn numbers(object: &OwnedFd) -> &'static Numbers {
    let (base, _) = map(object, 4_096).unwrap();
    // SAFETY: the mapping is long enough, aligned, and stays as long as the process; both sides use atomic operations alone.
    unsafe { base.cast().as_ref() }
}

fn sleep(ms: u64) {
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

fn inside(given: Given) -> ! {
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
struct Own {
    memory: [OwnedFd; 1],
    numbers: &'static Numbers,
    links: Arc<Switch<Link>>,
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

fn system(domains: u16, policy: RestartDesc) -> &'static SystemDesc {
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
struct Running<'a> {
    all: &'a [Own],
    domains: &'a Domains,
    loads: &'a AtomicU32,
    /// The first process of each domain.
    first: Vec<u32>,
}

/// What a run left.
struct Ran {
    report: Report<1>,
    stats: Vec<TaskStats>,
    failures: Vec<Option<Failure>>,
    outcomes: Vec<Outcome>,
    lost: u64,
}

/// Runs a vehicle beside a test, until that has ended.
fn drive(system: &'static SystemDesc, test: impl FnOnce(&Running<'_>) + Send) -> Ran {
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

fn exists(pid: u32) -> bool {
    fs::exists(format!("/proc/{pid}")).unwrap()
}

/// The processes that this one has started and not waited for.
fn children() -> String {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("children")).unwrap()).collect()
}

/// What this process has: descriptors, threads, and memory in KiB.
fn own() -> (usize, usize, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let memory = memory.trim().trim_end_matches(" kB").parse().unwrap();
    let count = |folder| fs::read_dir(folder).unwrap().count();
    (count("/proc/self/fd"), count("/proc/self/task"), memory)
}

fn nothing_is_left() {
    assert_eq!(children(), "");
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    assert!(!maps.contains("memfd:aegis"), "{maps}");
}

fn send(process: u32, signal: i32) {
    // SAFETY: a plain system call; the process is one that was started here. It may be gone.
    unsafe { libc::kill(process.try_into().unwrap(), signal) };
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Injected {
    Kill,
    Segv,
    Hang,
    Corrupt,
}

impl Injected {
    const ALL: [Self; 4] = [Self::Kill, Self::Segv, Self::Hang, Self::Corrupt];

    fn into(self, process: u32) {
        match self {
            Self::Kill => send(process, libc::SIGKILL),
            Self::Segv => {
                // A Rust program takes the first one for its stack's end and goes on.
                send(process, libc::SIGSEGV);
                sleep(5);
                send(process, libc::SIGSEGV);
            }
            Self::Hang => send(process, libc::SIGSTOP),
            Self::Corrupt => {
                while exists(process) && write_over(process).is_some() {
                    sleep(1);
                }
            }
        }
    }
}

/// Writes all over the page that a process answers in, and over its planned memory as well.
fn write_over(process: u32) -> Option<()> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).ok()?;
    let page = maps.lines().find(|line| line.contains("memfd:aegis-vision"))?;
    let at = u64::from_str_radix(page.split('-').next()?, 16).ok()?;
    let memory = fs::OpenOptions::new().write(true).open(format!("/proc/{process}/mem")).ok()?;
    memory.write_all_at(&[0xa5; 4_096], at).ok()
}

fn wait(what: &str, until: impl Fn() -> bool) {
    let began = time::Instant::now();
    while !until() {
        assert!(began.elapsed() < time::Duration::from_secs(20), "{what}");
        thread::sleep(time::Duration::from_micros(200));
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum When {
    Idle,
    Running,
    Restarting,
}

/// As often as it takes, within as short a time as it takes.
const WITHOUT_END: RestartDesc =
    RestartDesc { max: 16, within: fixture::ms(20), back_off: fixture::ms(2), probation: Duration::from_ns(1) };

const VISION: DomainId = DomainId(0);

/// Others lose nothing, whatever happens to one domain.
fn others_go_on(ran: &Ran, failures: u64) {
    assert_eq!((ran.report.broken, ran.report.drained, ran.lost), (None, true, 0));
    for (number, task) in ran.stats.iter().enumerate().skip(1) {
        assert_eq!((task.failed, task.aborted, task.dropped), (0, 0, 0), "task {number}: {task:?}");
        assert!(task.jobs > 3 && task.exceeded == task.explained, "task {number}: {task:?}");
        println!(
            "  task {number}: {} jobs, longest response {} of {:?}",
            task.jobs,
            task.max_response.as_ns(),
            [50, 60, 70][number - 1]
        );
    }
    let own = ran.failures[0].unwrap();
    assert_eq!((own.count, own.restored.count, own.restored.at.is_some()), (failures, failures, true));
    assert!(ran.failures[1..].iter().all(Option::is_none));
    assert!(ran.outcomes.iter().all(|outcome| !outcome.given_up), "{:?}", ran.outcomes);
    nothing_is_left();
}

fn each_fault_in_each_state_leaves_the_others_alone() {
    for domains in [1, 3] {
        let mut failed_starts = 0;
        let ran = drive(system(domains, WITHOUT_END), |running| {
            let own = &running.all[0];
            let mut process = running.first[0];
            for when in [When::Idle, When::Running, When::Restarting] {
                for fault in Injected::ALL {
                    let (life, done) = (running.domains.life(VISION), own.numbers.done.load(Ordering::Acquire));
                    wait("it computes", || own.numbers.done.load(Ordering::Acquire) > done);
                    match when {
                        When::Idle => {}
                        When::Running => {
                            own.numbers.run_ms.store(10, Ordering::Relaxed);
                            wait("a segment runs", || own.numbers.runs.load(Ordering::Acquire) == 1);
                        }
                        When::Restarting => {
                            own.numbers.load_ms.store(200, Ordering::Relaxed);
                            let loads = own.numbers.loads.load(Ordering::Acquire);
                            send(process, libc::SIGKILL);
                            wait("another one loads", || own.numbers.loads.load(Ordering::Acquire) > loads);
                            wait("its number is told", || running.loads.load(Ordering::Acquire) != process);
                            process = running.loads.load(Ordering::Acquire);
                            failed_starts += 1;
                        }
                    }
                    fault.into(process);
                    for number in [&own.numbers.run_ms, &own.numbers.load_ms, &own.numbers.runs] {
                        number.store(0, Ordering::Relaxed);
                    }
                    wait(&format!("restored after {fault:?} while {when:?}"), || {
                        running.domains.life(VISION) == life + 1
                    });
                    wait("its process is gone", || !exists(process));
                    process = running.loads.load(Ordering::Acquire);
                }
            }
        });
        println!("{domains} domains: {:?}", ran.outcomes);
        assert_eq!(ran.outcomes[0].failed_starts, failed_starts);
        others_go_on(&ran, 12);
        assert!(ran.stats[0].jobs >= 11, "it computes in each life: {:?}", ran.stats[0]);
    }
}

const CYCLES: u32 = 1_000;

fn a_process_that_is_killed_again_and_again_leaves_nothing() {
    let mut figures = Vec::new();
    let ran = drive(system(1, WITHOUT_END), |running| {
        for life in 0..CYCLES {
            let process = if life == 0 { running.first[0] } else { running.loads.load(Ordering::Acquire) };
            send(process, libc::SIGKILL);
            wait("restored", || running.domains.life(VISION) == life + 1);
            if [9, 99, 499, CYCLES - 1].contains(&life) {
                // What was used in the life before is let go of just after.
                sleep(50);
                figures.push(own());
            }
        }
    });
    println!("descriptors, threads, KiB: {figures:?} after 10, 100, 500 and {CYCLES} restarts");
    let [before, .., after] = figures[..] else { panic!("{figures:?}") };
    assert_eq!((before.0, before.1), (after.0, after.1));
    assert!(after.2 <= before.2 + 1_024, "{before:?} {after:?}");
    others_go_on(&ran, CYCLES.into());
    let longest = ran.failures[0].unwrap().restored.longest;
    println!("the longest from its failure until it was restored: {} µs", longest.as_ns() / 1_000);
}

fn one_that_fails_too_often_is_given_up() {
    let policy = RestartDesc { max: 2, within: fixture::ms(60_000), ..WITHOUT_END };
    let ran = drive(system(3, policy), |running| {
        for life in 0..3 {
            let process = if life == 0 { running.first[0] } else { running.loads.load(Ordering::Acquire) };
            send(process, libc::SIGKILL);
            if life < 2 {
                wait("restored", || running.domains.life(VISION) == life + 1);
            }
        }
        wait("failed", || running.domains.has_failed(VISION));
        sleep(300);
        assert_eq!((running.domains.life(VISION), running.domains.has_failed(VISION)), (2, true));
    });
    let own = ran.failures[0].unwrap();
    assert_eq!((own.count, own.restored.count, own.restored.at), (3, 2, None));
    assert_eq!(ran.outcomes[0], Outcome { domain: VISION, failed_starts: 0, given_up: true });
    assert_eq!((ran.report.broken, ran.report.drained, ran.lost), (None, true, 0));
    nothing_is_left();
}

fn the_end_of_a_run_ends_what_still_loads() {
    let ran = drive(system(1, WITHOUT_END), |running| {
        let own = &running.all[0];
        own.numbers.load_ms.store(60_000, Ordering::Relaxed);
        let loads = own.numbers.loads.load(Ordering::Acquire);
        send(running.first[0], libc::SIGKILL);
        wait("another one loads", || own.numbers.loads.load(Ordering::Acquire) > loads);
    });
    assert_eq!((ran.report.broken, ran.report.drained), (None, true));
    assert_eq!(ran.outcomes, [Outcome { domain: VISION, failed_starts: 0, given_up: false }]);
    nothing_is_left();
}

fn nothing_is_left_when_the_vehicle_is_killed_while_a_process_loads() {
    let mut vehicle = Command::new("/proc/self/exe").env(VEHICLE, "1").stdout(Stdio::piped()).spawn().unwrap();
    let mut told = std::io::BufReader::new(vehicle.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut told, &mut line).unwrap();
    let processes: Vec<u32> = line.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert!(processes.len() == 3 && processes.iter().all(|pid| exists(*pid)), "{line}");
    vehicle.kill().unwrap();
    vehicle.wait().unwrap();
    for process in processes {
        wait("it ends with its vehicle", || !exists(process));
    }
}

/// A vehicle that tells the numbers of its processes, of which one loads, and waits to be killed.
fn vehicle() -> ! {
    drive(system(3, WITHOUT_END), |running| {
        let own = &running.all[0];
        own.numbers.load_ms.store(60_000, Ordering::Relaxed);
        let loads = own.numbers.loads.load(Ordering::Acquire);
        send(running.first[0], libc::SIGKILL);
        wait("another one loads", || own.numbers.loads.load(Ordering::Acquire) > loads);
        println!("{} {} {}", running.loads.load(Ordering::Acquire), running.first[1], running.first[2]);
        loop {
            thread::park();
        }
    });
    std::process::exit(1)
}

fn main() -> ExitCode {
    if let Some(given) = Given::from_environment().unwrap() {
        inside(given);
    }
    if std::env::var_os(VEHICLE).is_some() {
        vehicle();
    }
    let tests: [(&str, fn()); 5] = [
        ("each_fault_in_each_state_leaves_the_others_alone", each_fault_in_each_state_leaves_the_others_alone),
        (
            "a_process_that_is_killed_again_and_again_leaves_nothing",
            a_process_that_is_killed_again_and_again_leaves_nothing,
        ),
        ("one_that_fails_too_often_is_given_up", one_that_fails_too_often_is_given_up),
        ("the_end_of_a_run_ends_what_still_loads", the_end_of_a_run_ends_what_still_loads),
        (
            "nothing_is_left_when_the_vehicle_is_killed_while_a_process_loads",
            nothing_is_left_when_the_vehicle_is_killed_while_a_process_loads,
        ),
    ];
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let chosen = tests.iter().filter(|(name, _)| filter.as_ref().is_none_or(|filter| name.contains(filter.as_str())));
    let mut failed = 0_u8;
    for (name, test) in chosen {
        let is_sound = panic::catch_unwind(test).is_ok();
        println!("test {name} ... {}", if is_sound { "ok" } else { "FAILED" });
        failed += u8::from(!is_sound);
    }
    ExitCode::from(failed)
}

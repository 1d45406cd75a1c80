//! Real processes of fault domains: this program starts itself, and each is ended in every way that the vehicle tells apart.
//!
//! It has no harness, because a process that is started for a domain must not run tests.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::exit,
    clippy::print_stdout,
    reason = "a test stops at what it did not expect, and tells"
)]
#![allow(unsafe_code, reason = "signals and limits are sent and tried as somebody outside would")]

#[path = "common/process.rs"]
mod process;

use aegis_core::desc::Waiting;
use aegis_core::trace::Loss;
use aegis_core::{DomainId, Duration};
use aegis_linux::worker::fences::{Fences, fence_all_threads};
use aegis_linux::worker::link::Link;
use aegis_linux::worker::own::{Given, Served, beat, serve};
use aegis_linux::worker::page::{Answer, Figures};
use aegis_linux::worker::process::{Process, Start};
use aegis_linux::worker::shared::{SharedPage, object};
use aegis_linux::worker::supervise::{Supervisor, Watched};
use process::{exists, own};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;
use std::{fs, io::Read as _, thread, time};

const MS: u64 = 1_000_000;
const LONG: Duration = Duration::from_ns(20_000 * MS);
const SHORT: Duration = Duration::from_ns(50 * MS);
const BEAT: Duration = Duration::from_ns(10 * MS);
/// Tells this program to be a vehicle that is killed itself.
const VEHICLE: &str = "AEGIS_TEST_VEHICLE";

/// What the process is told to do, as the number of a task.
const WELL: u32 = 0;
const HANG: u32 = 1;
const CRASH: u32 = 2;
const EXIT: u32 = 3;
const FAIL: u32 = 4;
const OPEN: u32 = 5;
const TAKE: u32 = 6;
const TOUCH: u32 = 7;
const START: u32 = 8;
const SHARE: u32 = 9;

/// Tells a process how its threads wait.
const LOOKS: &str = "AEGIS_TEST_LOOKS";

/// The process from inside.
struct Acting;

impl Served for Acting {
    fn run(&mut self, task: u32, segment: u32) -> Answer {
        match task {
            WELL => Answer::Done(Figures { numbers: [u64::from(segment); 6], control: 1 }),
            HANG => loop {
                thread::park();
            },
            CRASH => std::process::abort(),
            EXIT => std::process::exit(7),
            TOUCH => {
                // SAFETY: there is none: it is to end the process.
                unsafe { std::ptr::without_provenance_mut::<u8>(64).write_volatile(1) };
                Answer::Failed("it could write anywhere".to_owned())
            }
            OPEN => match fs::File::open("/proc/self/status") {
                Ok(_) => Answer::Failed("it could open a file".to_owned()),
                Err(error) => Answer::Refused(Figures::default(), error.to_string()),
            },
            START => match Command::new("/bin/true").status() {
                Ok(_) => Answer::Failed("it could start a program".to_owned()),
                Err(error) => Answer::Refused(Figures::default(), error.to_string()),
            },
            TAKE => match Vec::<u8>::new().try_reserve_exact(1 << 30) {
                Ok(()) => Answer::Failed("it could take a gigabyte".to_owned()),
                Err(error) => Answer::Refused(Figures::default(), error.to_string()),
            },
            SHARE => {
                share();
                Answer::Failed("it could take as much as it liked".to_owned())
            }
            _ => Answer::Failed("it never does".to_owned()),
        }
    }

    fn fence(&mut self) -> Answer {
        // Whether it is in force is looked up.
        let _ = fence_all_threads();
        Answer::Done(Figures::default())
    }
}

/// Takes half a gigabyte that no limit of a process counts: memory that could be shared.
fn share() {
    const BYTES: usize = 512 << 20;
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    // SAFETY: no address is asked for, so the new mapping overlaps nothing that exists; only what was mapped is written.
    unsafe {
        let memory = libc::mmap(std::ptr::null_mut(), BYTES, access, kind, -1, 0);
        assert_ne!(memory, libc::MAP_FAILED);
        memory.cast::<u8>().write_bytes(1, BYTES);
    }
}

fn inside(given: Given) -> ! {
    aegis_linux::worker::own::give_up_privileges().unwrap();
    let mut pages: Vec<_> = given.take().unwrap().iter().map(|own| SharedPage::map(own).unwrap()).collect();
    let page: &'static SharedPage = Box::leak(Box::new(pages.remove(0)));
    thread::spawn(move || beat(page, BEAT));
    serve(page, waiting(), &Answer::Done(Figures::default()), &mut Acting);
    std::process::exit(0)
}

fn start(most_memory: Option<u64>) -> Arc<Process> {
    let start = Start { domain: DomainId(3), name: "vision", life: 0, memory: &[], lanes: &[5], most_memory };
    Process::start(&start).unwrap()
}

/// A process that is watched, and the lane's way to it.
struct Bench {
    process: Arc<Process>,
    link: Link,
    supervisor: Supervisor,
    losses: mpsc::Receiver<(DomainId, Loss)>,
    /// Whether its domain was given up.
    given_up: Arc<AtomicBool>,
}

/// Whether threads look for orders and answers in these tests, as the environment says that processes inherit.
fn waiting() -> Waiting {
    if std::env::var_os(LOOKS).is_some() { Waiting::Polling } else { Waiting::Blocking }
}

fn bench(heartbeat: Option<Duration>) -> Bench {
    bench_of(start(None), heartbeat)
}

fn bench_of(process: Arc<Process>, heartbeat: Option<Duration>) -> Bench {
    let (told, losses) = mpsc::channel();
    let given_up = Arc::new(AtomicBool::new(false));
    let own = Arc::clone(&given_up);
    let is_given_up = move |_: &Process| own.load(Ordering::Relaxed);
    let supervisor =
        Supervisor::start(is_given_up, move |process, loss| told.send((process.domain(), loss)).unwrap()).unwrap();
    supervisor.door().watch(Watched { process: Arc::clone(&process), heartbeat });
    let mut link = Link::new(Arc::clone(&process), 5, waiting());
    link.loaded(LONG).unwrap();
    process.expect_beats();
    supervisor.door().ring();
    Bench { process, link, supervisor, losses, given_up }
}

impl Bench {
    /// It is lost so, whoever asks, and nothing is left of it.
    fn ends(self, loss: Loss, ending: &str) {
        let Self { process, mut link, supervisor, losses, .. } = self;
        let told = losses.recv_timeout(time::Duration::from_secs(10)).unwrap();
        assert_eq!(told, (DomainId(3), loss));
        let gone = link.run(WELL, 0, LONG).unwrap_err();
        assert_eq!((gone.loss, process.ending()), (loss, Some(ending)), "{gone:?}");
        assert!(!exists(process.id()), "not even as a zombie");
        supervisor.close(time::Duration::from_secs(2));
        assert!(losses.try_recv().is_err(), "told once");
    }
}

fn send(process: &Process, signal: i32) {
    // SAFETY: a plain system call; the process was started here and nobody has waited for it.
    assert_eq!(unsafe { libc::kill(process.id().try_into().unwrap(), signal) }, 0);
}

fn it_serves_and_ends_when_told() {
    let Bench { process, mut link, supervisor, losses, .. } = bench(Some(BEAT));
    for segment in 0..1_000 {
        let answer = link.run(WELL, segment, LONG).unwrap();
        assert_eq!(answer, Answer::Done(Figures { numbers: [u64::from(segment); 6], control: 1 }));
    }
    thread::sleep(time::Duration::from_millis(200));
    supervisor.close(time::Duration::from_secs(5));
    assert_eq!((process.loss(), process.ending()), (None, Some("exit status 0")));
    assert!(losses.try_recv().is_err() && !exists(process.id()));
}

fn a_fault_while_it_is_idle_is_seen() {
    // A Rust program takes the first SIGSEGV that somebody sends for a stack overflow of another thread, and goes on.
    for (signal, ending) in [(libc::SIGKILL, "signal 9 (SIGKILL)"), (libc::SIGABRT, "signal 6 (SIGABRT)")] {
        let bench = bench(None);
        send(&bench.process, signal);
        bench.ends(Loss::Signalled, ending);
    }
}

fn a_fault_while_it_runs_wakes_the_lane() {
    for (task, loss, ending) in [
        (CRASH, Loss::Signalled, "signal 6 (SIGABRT)"),
        (TOUCH, Loss::Signalled, "signal 11 (SIGSEGV)"),
        (EXIT, Loss::Exited, "exit status 7"),
    ] {
        let mut bench = bench(None);
        let began = Instant::now();
        let gone = bench.link.run(task, 0, LONG).unwrap_err();
        assert_eq!((gone.loss, gone.text.as_str()), (loss, ending));
        assert!(began.elapsed() < time::Duration::from_secs(5), "long before the time was up");
        bench.ends(loss, ending);
    }
    let mut bench = bench(None);
    let process = Arc::clone(&bench.process);
    let killer = thread::spawn(move || {
        thread::sleep(time::Duration::from_millis(50));
        send(&process, libc::SIGKILL);
    });
    assert_eq!(bench.link.run(HANG, 0, LONG).unwrap_err().loss, Loss::Signalled);
    killer.join().unwrap();
    bench.ends(Loss::Signalled, "signal 9 (SIGKILL)");
}

fn a_segment_that_is_not_over_in_time_is_killed() {
    let mut bench = bench(None);
    let began = Instant::now();
    assert_eq!(bench.link.run(HANG, 0, SHORT).unwrap_err().loss, Loss::Hung);
    let took = began.elapsed();
    assert!(took >= time::Duration::from_millis(50) && took < time::Duration::from_secs(2), "{took:?}");
    bench.ends(Loss::Hung, "signal 9 (SIGKILL)");
    // Stopped while it is idle: the next segment finds out.
    let mut bench = self::bench(None);
    send(&bench.process, libc::SIGSTOP);
    assert_eq!(bench.link.run(WELL, 0, SHORT).unwrap_err().loss, Loss::Hung);
    bench.ends(Loss::Hung, "signal 9 (SIGKILL)");
}

fn a_process_that_shows_no_life_is_killed() {
    let bench = bench(Some(BEAT));
    thread::sleep(time::Duration::from_millis(100));
    assert!(bench.losses.try_recv().is_err(), "it beats");
    send(&bench.process, libc::SIGSTOP);
    bench.ends(Loss::Silent, "signal 9 (SIGKILL)");
}

/// Of a domain that the dispatcher gave up for another cause, idle or not.
fn a_process_of_a_domain_that_was_given_up_is_killed() {
    for runs in [false, true] {
        let Bench { process, mut link, supervisor, losses, given_up } = bench(None);
        given_up.store(true, Ordering::Relaxed);
        let began = Instant::now();
        if !runs {
            while !process.has_ended() && began.elapsed() < time::Duration::from_secs(5) {
                thread::sleep(time::Duration::from_millis(1));
            }
        }
        let gone = link.run(HANG, 0, LONG).unwrap_err();
        assert_eq!((gone.loss, process.loss()), (Loss::GivenUp, Some(Loss::GivenUp)), "{gone:?}");
        assert!(began.elapsed() < time::Duration::from_secs(5), "long before the time was up");
        supervisor.close(time::Duration::from_secs(2));
        assert_eq!(process.ending(), Some("signal 9 (SIGKILL)"));
        assert_eq!(losses.try_iter().collect::<Vec<_>>(), [(DomainId(3), Loss::GivenUp)], "told once");
    }
}

fn what_no_answer_holds_is_malformed() {
    let mut bench = bench(None);
    // As the process itself could: what it has mapped of its page.
    let maps = fs::read_to_string(format!("/proc/{}/maps", bench.process.id())).unwrap();
    let page = maps.lines().find(|line| line.contains("memfd:aegis-vision")).unwrap();
    let at = u64::from_str_radix(page.split('-').next().unwrap(), 16).unwrap();
    let memory = fs::OpenOptions::new().write(true).open(format!("/proc/{}/mem", bench.process.id())).unwrap();
    let process = Arc::clone(&bench.process);
    let hostile = thread::spawn(move || {
        while process.loss().is_none() {
            // Once it is gone its memory is, too.
            let _ = memory.write_all_at(&[0xa5; 4_096], at);
        }
    });
    assert_eq!(bench.link.run(HANG, 0, SHORT).unwrap_err().loss, Loss::Malformed);
    hostile.join().unwrap();
    bench.ends(Loss::Malformed, "signal 9 (SIGKILL)");
}

fn a_runtime_that_fails_for_good_ends_with_its_words() {
    let mut bench = bench(None);
    let gone = bench.link.run(FAIL, 0, LONG).unwrap_err();
    assert_eq!((gone.loss, gone.text.as_str()), (Loss::Backend, "it never does"));
    bench.ends(Loss::Backend, "signal 9 (SIGKILL)");
}

fn what_is_fenced_off_cannot_be_had() {
    let limit = 256 << 20;
    let process = start(Some(limit));
    let mut link = Link::new(Arc::clone(&process), 5, waiting());
    link.loaded(LONG).unwrap();
    let refused = link.run(TAKE, 0, LONG).unwrap();
    assert!(matches!(refused, Answer::Refused(..)), "{refused:?}");
    link.fence(LONG).unwrap();
    let fences = Fences::put_up(&process, Some(limit));
    let all = ["no-core-dump", "memory", "all-memory", "no-new-files", "no-new-privileges", "system-calls"];
    let has_group = fences.missing.is_empty();
    let expected = all.iter().filter(|name| has_group || **name != "all-memory").copied().collect::<Vec<_>>();
    assert_eq!(fences.applied, expected, "{:?}", fences.missing);
    assert!(fences.missing.iter().all(|missing| missing.starts_with("all-memory: ")), "{:?}", fences.missing);
    let refused = link.run(START, 0, LONG).unwrap();
    assert!(matches!(&refused, Answer::Refused(_, text) if text.contains("os error 1")), "{refused:?}");
    let refused = link.run(OPEN, 0, LONG).unwrap();
    assert!(matches!(&refused, Answer::Refused(_, text) if text.contains("os error 24")), "{refused:?}");
    assert!(matches!(link.run(WELL, 1, LONG), Ok(Answer::Done(_))), "it goes on");
    let open = fs::read_dir(format!("/proc/{}/fd", process.id())).unwrap();
    let open: Vec<_> = open.map(|entry| fs::read_link(entry.unwrap().path()).unwrap()).collect();
    assert!(open.len() <= 4, "the standard ones: {open:?}");
}

/// The folder of a process' group, where it has one of its own.
fn group_of(process: &Process) -> Option<PathBuf> {
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", process.id())).ok()?;
    let name = format!("aegis-{}-{}", std::process::id(), process.id());
    let path =
        groups.lines().find(|line| line.ends_with(&name))?.rsplit(':').next()?.trim_start_matches('/').to_owned();
    let folders = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].map(|root| Path::new(root).join(&path));
    folders.into_iter().find(|folder| folder.exists())
}

fn memory_that_no_limit_of_a_process_counts_ends_that_process_alone() {
    let Bench { process, mut link, supervisor, losses, .. } = bench_of(start(Some(256 << 20)), None);
    link.fence(LONG).unwrap();
    let fences = Fences::put_up(&process, Some(256 << 20));
    let Some(group) = group_of(&process).filter(|_| fences.applied.contains(&"all-memory")) else {
        println!("skipped: no control group of memory can be made here: {:?}", fences.missing);
        return;
    };
    assert!(matches!(link.run(WELL, 1, LONG), Ok(Answer::Done(_))), "what it has is enough");
    let gone = link.run(SHARE, 0, LONG).unwrap_err();
    assert_eq!((gone.loss, gone.text.as_str()), (Loss::Signalled, "signal 9 (SIGKILL)"), "{gone:?}");
    assert_eq!(losses.recv_timeout(time::Duration::from_secs(10)).unwrap(), (DomainId(3), Loss::Signalled));
    supervisor.close(time::Duration::from_secs(2));
    assert!(!group.exists(), "{}", group.display());
}

fn a_group_that_a_killed_vehicle_left_is_removed_by_the_next_one() {
    let process = start(Some(256 << 20));
    let Some(group) = group_of(&process) else {
        println!("skipped: no control group of memory can be made here");
        return;
    };
    let mut ended = Command::new("/bin/true").spawn().unwrap();
    ended.wait().unwrap();
    let left = group.with_file_name(format!("aegis-{}-1", ended.id()));
    fs::create_dir(&left).unwrap();
    drop(start(Some(256 << 20)));
    assert!(!left.exists() && group.exists());
    drop(process);
    assert!(!group.exists());
}

/// Every other test once more, in processes whose threads look again and again, and a lane that does.
fn all_of_that_holds_where_threads_look() {
    if thread::available_parallelism().unwrap().get() < 2 {
        println!("skipped: threads that look need a core each");
        return;
    }
    let names = [
        "it_serves",
        "fault_while",
        "segment_that",
        "shows_no_life",
        "given_up",
        "what_no_answer",
        "for_good",
        "nothing_is_left",
    ];
    for name in names {
        let output = Command::new("/proc/self/exe").arg(name).env(LOOKS, "1").output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && told.contains("... ok"),
            "{told}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

fn fifty_processes_leave_nothing() {
    let cycle = || {
        let bench = bench(None);
        send(&bench.process, libc::SIGKILL);
        bench.ends(Loss::Signalled, "signal 9 (SIGKILL)");
    };
    (0..5).for_each(|_| cycle());
    let before = own();
    (0..50).for_each(|_| cycle());
    let after = own();
    println!("descriptors, threads, KiB: {before:?} before, {after:?} after 50 processes");
    assert_eq!((before.0, before.1), (after.0, after.1));
    assert!(after.2 <= before.2 + 1_024, "{before:?} {after:?}");
}

fn nothing_is_left_when_the_vehicle_is_killed() {
    let mut vehicle =
        Command::new("/proc/self/exe").env(VEHICLE, "1").stdout(Stdio::piped()).stdin(Stdio::piped()).spawn().unwrap();
    let (mut text, mut byte) = (String::new(), [0]);
    let mut told = vehicle.stdout.take().unwrap();
    while !text.ends_with('\n') {
        told.read_exact(&mut byte).unwrap();
        text.push(char::from(byte[0]));
    }
    let pid: u32 = text.trim().parse().unwrap();
    assert!(exists(pid));
    vehicle.kill().unwrap();
    vehicle.wait().unwrap();
    let began = Instant::now();
    while exists(pid) {
        assert!(began.elapsed() < time::Duration::from_secs(5), "process {pid} outlived its vehicle");
        thread::sleep(time::Duration::from_millis(5));
    }
    assert!(
        !fs::read_dir("/dev/shm").unwrap().any(|entry| entry.unwrap().file_name().to_string_lossy().contains("aegis"))
    );
}

/// A vehicle that tells the number of its process and waits to be killed.
fn vehicle() -> ! {
    let bench = bench(None);
    println!("{}", bench.process.id());
    loop {
        thread::park();
    }
}

fn objects_have_one_length() {
    let object = object("aegis-length", 8_192).unwrap();
    assert!(SharedPage::map(&object).is_err(), "a page has another one");
    let file = fs::File::from(object);
    assert!(file.set_len(0).is_err() && file.set_len(16_384).is_err(), "nobody takes it away from under the vehicle");
    let unsealed = tempfile::tempfile().unwrap();
    unsealed.set_len(4_096).unwrap();
    assert!(SharedPage::map(&unsealed).is_err(), "it can be made shorter");
}

fn main() -> ExitCode {
    if let Some(given) = Given::from_environment().unwrap() {
        inside(given);
    }
    if std::env::var_os(VEHICLE).is_some() {
        vehicle();
    }
    let tests: [(&str, fn()); 15] = [
        ("it_serves_and_ends_when_told", it_serves_and_ends_when_told),
        ("a_fault_while_it_is_idle_is_seen", a_fault_while_it_is_idle_is_seen),
        ("a_fault_while_it_runs_wakes_the_lane", a_fault_while_it_runs_wakes_the_lane),
        ("a_segment_that_is_not_over_in_time_is_killed", a_segment_that_is_not_over_in_time_is_killed),
        ("a_process_that_shows_no_life_is_killed", a_process_that_shows_no_life_is_killed),
        ("a_process_of_a_domain_that_was_given_up_is_killed", a_process_of_a_domain_that_was_given_up_is_killed),
        ("what_no_answer_holds_is_malformed", what_no_answer_holds_is_malformed),
        ("a_runtime_that_fails_for_good_ends_with_its_words", a_runtime_that_fails_for_good_ends_with_its_words),
        ("what_is_fenced_off_cannot_be_had", what_is_fenced_off_cannot_be_had),
        ("fifty_processes_leave_nothing", fifty_processes_leave_nothing),
        ("nothing_is_left_when_the_vehicle_is_killed", nothing_is_left_when_the_vehicle_is_killed),
        ("objects_have_one_length", objects_have_one_length),
        (
            "memory_that_no_limit_of_a_process_counts_ends_that_process_alone",
            memory_that_no_limit_of_a_process_counts_ends_that_process_alone,
        ),
        (
            "a_group_that_a_killed_vehicle_left_is_removed_by_the_next_one",
            a_group_that_a_killed_vehicle_left_is_removed_by_the_next_one,
        ),
        ("all_of_that_holds_where_threads_look", all_of_that_holds_where_threads_look),
    ];
    process::run(&tests)
}

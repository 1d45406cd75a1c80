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

#[path = "../common/fixture.rs"]
mod fixture;
#[path = "../common/process.rs"]
mod process;
mod vehicle;

use aegis_core::desc::RestartDesc;
use aegis_core::{DomainId, Duration};
use aegis_linux::worker::own::Given;
use aegis_linux::worker::restart::Outcome;
use process::{exists, own};
use std::os::unix::fs::FileExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::Ordering;
use std::{fs, thread, time};
use vehicle::{Ran, drive, inside, sleep, system};

/// Tells this program to be a vehicle that is killed itself.
const VEHICLE: &str = "AEGIS_TEST_VEHICLE";

/// The processes that this one has started and not waited for.
fn children() -> String {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("children")).unwrap()).collect()
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
fn to_be_killed() -> ! {
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
        to_be_killed();
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
    process::run(&tests)
}

//! How long it takes to hand a segment to the process of a fault domain and back, beside a bare ping-pong between two processes in
//! the same run: once where both sides sleep and are woken (futexes), once where both look again and again.
//!
//! ```text
//! cargo bench -p aegis-linux --bench hand_over [-- ROUNDS]
//! ```
//!
//! Each is alternated with its bare ping-pong in blocks, at the priorities of a lane's thread and of its process, as a vehicle has
//! them: on one core where they sleep, on a core each where they look. The bare one is what the machine needs: each side stores a
//! number, wakes the other one, or does not, and waits for its number.
#![allow(
    clippy::unwrap_used,
    clippy::exit,
    clippy::print_stdout,
    reason = "a benchmark stops at what it did not expect, and tells"
)]
#![allow(unsafe_code, reason = "the bare numbers lie in shared memory")]

use aegis_core::desc::Waiting;
use aegis_core::{DomainId, Duration};
use aegis_linux::clock::monotonic_ns;
use aegis_linux::realtime::{LANE_PRIORITY, set_up_thread};
use aegis_linux::worker::link::Link;
use aegis_linux::worker::own::{Given, Served, serve};
use aegis_linux::worker::page::{Answer, Figures, Futex as _};
use aegis_linux::worker::process::{Process, Start};
use aegis_linux::worker::shared::{SharedPage, System, map, object};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, Signal, kill_process};
use std::hint::spin_loop;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const CORE: u16 = 1;
/// That of processes which look again and again.
const OTHER: u16 = 0;
const BLOCK: usize = 500;
const LIMIT: Duration = Duration::from_ns(10_000_000_000);
/// The lanes of the processes: what each answers, and how it waits.
const SERVED: u16 = 0;
const BARE: u16 = 1;
const LOOKED_FOR: u16 = 2;
const BARE_LOOKED_FOR: u16 = 3;

struct Nothing;

impl Served for Nothing {
    fn run(&mut self, _task: u32, _segment: u32) -> Answer {
        Answer::Done(Figures::default())
    }

    fn fence(&mut self) -> Answer {
        Answer::Done(Figures::default())
    }
}

fn inside(given: Given) -> ! {
    let domain = given.domain.0;
    let objects = given.take().unwrap();
    let (core, waiting) = match domain {
        SERVED | BARE => (CORE, Waiting::Blocking),
        _ => (OTHER, Waiting::Polling),
    };
    // The bare one makes room for the other one on the core that both look on, so that each can be stopped and ended.
    let priority = if domain == BARE_LOOKED_FOR { LANE_PRIORITY - 2 } else { LANE_PRIORITY - 1 };
    set_up_thread("a process", core, priority);
    if matches!(domain, SERVED | LOOKED_FOR) {
        serve(&SharedPage::map(&objects[0]).unwrap(), waiting, &Answer::Done(Figures::default()), &mut Nothing);
        std::process::exit(0)
    }
    pong(numbers(&objects[0]), waiting)
}

/// Two numbers in memory that is shared.
fn numbers(object: &OwnedFd) -> &'static [AtomicU32; 2] {
    let (base, _) = map(object, 4_096).unwrap();
    // SAFETY: the mapping is long enough, aligned, and stays as long as the process; both sides use atomic operations alone.
    unsafe { base.cast().as_ref() }
}

/// Answers each number with itself.
fn pong([ping, pong]: &[AtomicU32; 2], waiting: Waiting) -> ! {
    let mut last = 0;
    loop {
        match waiting {
            Waiting::Blocking => System.wait(ping, last, None),
            Waiting::Polling => spin_loop(),
        }
        let number = ping.load(Ordering::Acquire);
        if number != last {
            last = number;
            pong.store(number, Ordering::Release);
            if waiting == Waiting::Blocking {
                System.wake(pong);
            }
        }
    }
}

fn ping([ping, pong]: &[AtomicU32; 2], number: u32) {
    ping.store(number, Ordering::Release);
    System.wake(ping);
    loop {
        let seen = pong.load(Ordering::Acquire);
        if seen == number {
            return;
        }
        System.wait(pong, seen, None);
    }
}

fn start(lane: u16, memory: &[OwnedFd]) -> Arc<Process> {
    let start = Start { domain: DomainId(lane), name: "bench", life: 0, memory, lanes: &[lane], most_memory: None };
    Process::start(&start).unwrap()
}

fn timed(samples: &mut Vec<u64>, act: impl FnOnce()) {
    let began = monotonic_ns();
    act();
    samples.push(monotonic_ns() - began);
}

fn main() -> ExitCode {
    if let Some(given) = Given::from_environment().unwrap() {
        inside(given);
    }
    // Cargo's own arguments begin with a dash.
    let rounds = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let Ok(rounds) = rounds.as_deref().unwrap_or("100000").parse::<usize>() else {
        println!("usage: hand_over [ROUNDS]");
        return ExitCode::from(2);
    };
    for void in set_up_thread("the lane", CORE, LANE_PRIORITY) {
        println!("void: {}", void.text);
    }
    woken(rounds);
    looked_for(rounds);
    ExitCode::SUCCESS
}

/// Both sides sleep and wake each other, on one core.
fn woken(rounds: usize) {
    let shared = [object("bench", 4_096).unwrap()];
    let (served, _bare) = (start(SERVED, &[]), start(BARE, &shared));
    let numbers = numbers(&shared[0]);
    let mut link = Link::new(Arc::clone(&served), SERVED, Waiting::Blocking);
    link.loaded(LIMIT).unwrap();
    let (mut handed, mut bounced, mut number) = (Vec::with_capacity(rounds), Vec::with_capacity(rounds), 0);
    for _ in 0..rounds.div_ceil(BLOCK) {
        for _ in 0..BLOCK {
            number += 1;
            timed(&mut bounced, || ping(numbers, number));
        }
        for _ in 0..BLOCK {
            timed(&mut handed, || drop(link.run(0, 0, LIMIT).unwrap()));
        }
    }
    rows("futex", bounced, handed);
}

/// Both sides look again and again, on a core each: of the two processes one is stopped meanwhile, or it would keep that core.
fn looked_for(rounds: usize) {
    let shared = [object("bench", 4_096).unwrap()];
    // The last one is ended first: it keeps the core from the other one.
    let bare = start(BARE_LOOKED_FOR, &shared);
    let served = start(LOOKED_FOR, &[]);
    let numbers = numbers(&shared[0]);
    let goes = |process: &Process, signal| {
        let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, signal).unwrap();
    };
    goes(&bare, Signal::STOP);
    let mut link = Link::new(Arc::clone(&served), LOOKED_FOR, Waiting::Polling);
    link.loaded(LIMIT).unwrap();
    let (mut handed, mut bounced, mut number) = (Vec::with_capacity(rounds), Vec::with_capacity(rounds), 0);
    let look = |number: u32| {
        numbers[0].store(number, Ordering::Release);
        while numbers[1].load(Ordering::Acquire) != number {
            spin_loop();
        }
    };
    for _ in 0..rounds.div_ceil(BLOCK) {
        goes(&served, Signal::STOP);
        goes(&bare, Signal::CONT);
        // Until it is there again.
        for round in 0..=BLOCK {
            number += 1;
            if round == 0 { look(number) } else { timed(&mut bounced, || look(number)) }
        }
        goes(&bare, Signal::STOP);
        goes(&served, Signal::CONT);
        drop(link.run(0, 0, LIMIT).unwrap());
        // As a vehicle does it: all segments of a piece have one instant.
        let until = monotonic_ns() + LIMIT.as_ns();
        for _ in 0..BLOCK {
            timed(&mut handed, || drop(link.run_until(0, 0, until).unwrap()));
        }
    }
    rows("looked for", bounced, handed);
}

fn rows(how: &str, bounced: Vec<u64>, handed: Vec<u64>) {
    let bounced = row(&format!("a number there and back, {how}"), bounced);
    let handed = row(&format!("a segment there and back, {how}"), handed);
    for (handed, bounced, what) in [(handed.0, bounced.0, "p50"), (handed.1, bounced.1, "p99")] {
        println!("{what} / {what} of the bare ping-pong: {:.2}", handed as f64 / bounced as f64);
    }
}

/// Prints one row and returns p50 and p99.
fn row(what: &str, mut samples: Vec<u64>) -> (u64, u64) {
    samples.sort_unstable();
    let at = |percent: usize| samples[samples.len() * percent / 100];
    let (p50, p99, last) = (at(50), at(99), samples[samples.len() - 1]);
    println!("{what:<40} p50 {p50:>7} ns   p99 {p99:>7} ns   max {last:>9} ns");
    (p50, p99)
}

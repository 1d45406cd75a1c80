//! The thread that sees how processes of fault domains end, that some show no life any more, and that others have been given up.

use super::process::Process;
use crate::clock::{monotonic_ns, timespec};
use aegis_core::trace::Loss;
use aegis_core::{DomainId, Duration};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::{io, time};

/// So many beats in a row may be missing before a process counts as silent.
pub const MISSING_BEATS: u64 = 3;

/// How often it is asked whether a domain was given up, while there are processes.
const LOOK: time::Duration = time::Duration::from_millis(100);

/// A process that is watched.
#[derive(Clone, Debug)]
pub struct Watched {
    /// It.
    pub process: Arc<Process>,
    /// How often it shows that it lives, if it does.
    pub heartbeat: Option<Duration>,
}

/// The thread, and what it shares with who started it.
#[derive(Debug)]
pub struct Supervisor {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    processes: Vec<Arc<Process>>,
}

#[derive(Debug)]
struct Shared {
    bell: OwnedFd,
    /// Whether beats are expected: once all is loaded.
    counts: AtomicBool,
    /// Whether the thread shall end once all processes have.
    closes: AtomicBool,
}

impl Shared {
    fn ring(&self) {
        // The only possible refusal is a full counter, and a full counter wakes the thread as well.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }
}

impl Supervisor {
    /// Starts the thread, an ordinary one. `lost` is called on it, once for each process that is lost, but not for those whose domain
    /// had been given up before, as `is_given_up` says, which is asked ten times a second: these are killed.
    ///
    /// # Errors
    /// The system has no thread or descriptor left.
    pub fn start(
        watched: Vec<Watched>,
        is_given_up: impl Fn(DomainId) -> bool + Send + 'static,
        lost: impl Fn(DomainId, Loss) + Send + 'static,
    ) -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared { bell, counts: AtomicBool::new(false), closes: AtomicBool::new(false) });
        let processes = watched.iter().map(|watched| Arc::clone(&watched.process)).collect();
        let own = Arc::clone(&shared);
        let thread =
            Builder::new().name("domains".to_owned()).spawn(move || watch(&own, watched, is_given_up, lost))?;
        Ok(Self { shared, thread: Some(thread), processes })
    }

    /// From now on each process that is to show that it lives has to.
    pub fn expect_beats(&self) {
        self.shared.counts.store(true, Ordering::Release);
        self.shared.ring();
    }

    /// Tells all processes to end, kills those that have not within `limit`, and ends the thread. No lane has a call under way.
    pub fn close(mut self, limit: time::Duration) {
        self.processes.iter().for_each(|process| process.tell_to_end());
        self.finish(limit);
    }

    fn finish(&mut self, limit: time::Duration) {
        const PAUSE: time::Duration = time::Duration::from_millis(1);
        let Some(thread) = self.thread.take() else { return };
        self.shared.closes.store(true, Ordering::Release);
        self.shared.ring();
        let mut waited = time::Duration::ZERO;
        while !thread.is_finished() && waited < limit {
            std::thread::sleep(PAUSE);
            waited += PAUSE;
        }
        for process in self.processes.iter().filter(|process| !process.has_ended()) {
            process.kill(Loss::Hung);
        }
        // Of a killed process the end is a matter of the system alone.
        let _ = thread.join();
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // A start that failed: nobody waits for anything of them.
        self.finish(time::Duration::ZERO);
    }
}

/// When a process showed last that it lives.
#[derive(Clone, Copy, Debug)]
struct Beat {
    count: u32,
    at: u64,
}

fn watch(
    shared: &Shared,
    mut watched: Vec<Watched>,
    is_given_up: impl Fn(DomainId) -> bool,
    lost: impl Fn(DomainId, Loss),
) {
    let mut beats: Vec<Option<Beat>> = watched.iter().map(|_| None).collect();
    loop {
        let closes = shared.closes.load(Ordering::Acquire);
        if closes && watched.is_empty() {
            return;
        }
        let counts = shared.counts.load(Ordering::Acquire) && !closes;
        let next = if counts { look(&watched, &mut beats, monotonic_ns()) } else { None };
        let look = u64::try_from(LOOK.as_nanos()).unwrap_or(u64::MAX);
        let limit = counts.then(|| timespec(next.map_or(look, |next| next.min(look))));
        let mut events = vec![PollFd::new(&shared.bell, PollFlags::IN)];
        events.extend(watched.iter().map(|own| PollFd::from_borrowed_fd(own.process.descriptor(), PollFlags::IN)));
        // An interruption is a look more.
        let _ = poll(&mut events, limit.as_ref());
        let _ = rustix::io::read(&shared.bell, &mut [0; 8]);
        let mut ended = Vec::new();
        for (position, own) in watched.iter().enumerate() {
            if let Some(loss) = own.process.reap().filter(|loss| *loss != Loss::GivenUp) {
                lost(own.process.domain(), loss);
            }
            // What it still computes nobody takes, and it could keep others from its cores.
            if own.process.loss().is_none() && is_given_up(own.process.domain()) {
                own.process.kill(Loss::GivenUp);
            }
            if own.process.has_ended() {
                ended.push(position);
            }
        }
        for position in ended.into_iter().rev() {
            watched.remove(position);
            beats.remove(position);
        }
    }
}

/// Kills what has been silent for too long, and tells how long nobody needs to look again, in nanoseconds.
fn look(watched: &[Watched], beats: &mut [Option<Beat>], now: u64) -> Option<u64> {
    let mut next = None::<u64>;
    for (own, beat) in watched.iter().zip(beats) {
        let Some(every) = own.heartbeat.map(|every| every.as_ns().max(1)) else { continue };
        let count = own.process.beats();
        let last = match *beat {
            Some(last) if last.count == count => last,
            _ => *beat.insert(Beat { count, at: now }),
        };
        let limit = every.saturating_mul(MISSING_BEATS);
        let silent = now.saturating_sub(last.at);
        if silent >= limit {
            own.process.kill(Loss::Silent);
        }
        let left = limit.saturating_sub(silent).min(every).max(1_000_000);
        next = Some(next.map_or(left, |other| other.min(left)));
    }
    next
}

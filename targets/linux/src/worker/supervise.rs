//! The thread that sees how processes of fault domains end, that some show no life any more, and that others have been given up.

use super::process::Process;
use crate::clock::{monotonic_ns, timespec};
use aegis_core::Duration;
use aegis_core::trace::Loss;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    door: Door,
    thread: Option<JoinHandle<()>>,
}

/// What further processes come under the supervision of the thread by.
#[derive(Clone, Debug)]
pub struct Door(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bell: OwnedFd,
    /// Whether the thread shall end once all processes have.
    closes: AtomicBool,
    /// Those that the thread has not seen yet.
    new: Mutex<Vec<Watched>>,
    /// Those that have not ended, as far as the thread knows.
    present: Mutex<Vec<Arc<Process>>>,
}

impl Door {
    /// From now on a process is watched.
    pub fn watch(&self, watched: Watched) {
        locked(&self.0.present).push(Arc::clone(&watched.process));
        locked(&self.0.new).push(watched);
        self.ring();
    }

    /// Makes the thread look: when beats are expected of another process.
    pub fn ring(&self) {
        // The only possible refusal is a full counter, and a full counter wakes the thread as well.
        let _ = rustix::io::write(&self.0.bell, &1_u64.to_ne_bytes());
    }
}

impl Supervisor {
    /// Starts the thread, an ordinary one. `ended` is called on it, once for each process that is lost, when its end was taken note
    /// of. Those whose domain was given up, as `is_given_up` says, which is asked ten times a second, are killed first.
    ///
    /// # Errors
    /// The system has no thread or descriptor left.
    pub fn start(
        is_given_up: impl Fn(&Process) -> bool + Send + 'static,
        ended: impl FnMut(&Process, Loss) + Send + 'static,
    ) -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let (new, present) = (Mutex::default(), Mutex::default());
        let door = Door(Arc::new(Shared { bell, closes: AtomicBool::new(false), new, present }));
        let own = door.clone();
        let thread = Builder::new().name("domains".to_owned()).spawn(move || watch(&own.0, is_given_up, ended))?;
        Ok(Self { door, thread: Some(thread) })
    }

    /// What processes come under its supervision by.
    #[must_use]
    pub const fn door(&self) -> &Door {
        &self.door
    }

    /// Tells all processes to end, kills those that have not within `limit`, and ends the thread. No lane has a call under way, and
    /// nobody brings another process.
    pub fn close(mut self, limit: time::Duration) {
        locked(&self.door.0.present).iter().for_each(|process| process.tell_to_end());
        self.finish(limit);
    }

    fn finish(&mut self, limit: time::Duration) {
        const PAUSE: time::Duration = time::Duration::from_millis(1);
        let Some(thread) = self.thread.take() else { return };
        self.door.0.closes.store(true, Ordering::Release);
        self.door.ring();
        let mut waited = time::Duration::ZERO;
        while !thread.is_finished() && waited < limit {
            std::thread::sleep(PAUSE);
            waited += PAUSE;
        }
        for process in locked(&self.door.0.present).iter().filter(|process| !process.has_ended()) {
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

fn watch(shared: &Shared, is_given_up: impl Fn(&Process) -> bool, mut ended: impl FnMut(&Process, Loss)) {
    let mut all: Vec<(Watched, Option<Beat>)> = Vec::new();
    loop {
        let closes = shared.closes.load(Ordering::Acquire);
        all.extend(locked(&shared.new).drain(..).map(|watched| (watched, None)));
        if closes && all.is_empty() {
            return;
        }
        let next = look(&mut all, monotonic_ns());
        let look = u64::try_from(LOOK.as_nanos()).unwrap_or(u64::MAX);
        let limit = (!closes && !all.is_empty()).then(|| timespec(next.map_or(look, |next| next.min(look))));
        let mut events = vec![PollFd::new(&shared.bell, PollFlags::IN)];
        let descriptors = all.iter().map(|(own, _)| PollFd::from_borrowed_fd(own.process.descriptor(), PollFlags::IN));
        events.extend(descriptors);
        // An interruption is a look more.
        let _ = poll(&mut events, limit.as_ref());
        let _ = rustix::io::read(&shared.bell, &mut [0; 8]);
        all.retain(|(own, _)| {
            let process = &own.process;
            if let Some(loss) = process.reap() {
                ended(process, loss);
            }
            // What it still computes nobody takes, and it could keep others from its cores.
            if process.loss().is_none() && is_given_up(process) {
                process.kill(Loss::GivenUp);
            }
            let stays = !process.has_ended();
            if !stays {
                locked(&shared.present).retain(|other| !Arc::ptr_eq(other, process));
            }
            stays
        });
    }
}

/// Kills what has been silent for too long, and tells how long nobody needs to look again, in nanoseconds.
fn look(all: &mut [(Watched, Option<Beat>)], now: u64) -> Option<u64> {
    let mut next = None::<u64>;
    for (own, beat) in all.iter_mut().filter(|(own, _)| own.process.is_to_beat()) {
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

/// A lock that is whole also after a panic: what it guards changes in single steps.
fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

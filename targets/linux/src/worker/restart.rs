//! The thread that starts the processes of fault domains again.
//!
//! ```text
//!  a process has ended ─▶ the domain failed? ─▶ policy: when? ─▶ back-off ─▶ start, load, warm up, fences ─▶ offer ─▶ restored
//!                                               │     ▲                        └ fails, takes too long, ends ─┐
//!                                               │     └───────────── killed, its end is seen ◀────────────────┘
//!                                               └─▶ too often: given up for good
//! ```
//!
//! One process is started at a time, on this thread: an ordinary one, which the supervising thread tells of each end. The vehicle's
//! lanes never wait for it (module `switch`). The system ends each process that it has started when this thread ends, so it ends last.

use super::process::Process;
use crate::clock::monotonic_ns;
use crate::domains::Domains;
use crate::table::ms;
use aegis_core::desc::RestartDesc;
use aegis_core::restart::Restarts;
use aegis_core::trace::Loss;
use aegis_core::{DomainId, Duration, Instant};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::{io, time};

/// How often it is looked whether a domain that was offered is restored, or one whose process ended has failed.
const LOOK: Duration = Duration::from_ns(1_000_000);

/// How processes are started.
pub trait Starter: Send + 'static {
    /// Starts the process of a life and returns once its lanes can use it: its models are loaded and have run, its fences are up.
    /// `loading` is told of it at once.
    ///
    /// # Errors
    /// It could not, or took too long, in words. What was started has ended.
    fn start(&mut self, domain: DomainId, life: u32, loading: &Loading) -> Result<Arc<Process>, String>;

    /// This life of a domain has begun: what was used in the one before can go.
    fn restored(&mut self, domain: DomainId, life: u32);
}

/// A domain whose process is started again.
#[derive(Clone, Debug)]
pub struct Restarted {
    /// The domain.
    pub domain: DomainId,
    /// How often, and when.
    pub policy: RestartDesc,
    /// Its first process.
    pub process: Arc<Process>,
}

/// What came of starting a domain's process again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The domain.
    pub domain: DomainId,
    /// How often starting it failed.
    pub failed_starts: u64,
    /// Whether it was given up for good: it would have been started more often than it may.
    pub given_up: bool,
}

/// The process that is being started, so that it can be killed when the run ends.
#[derive(Debug, Default)]
pub struct Loading {
    stops: AtomicBool,
    process: Mutex<Option<Arc<Process>>>,
}

impl Loading {
    /// This process is being started. It is killed where the run has ended.
    pub fn is(&self, process: &Arc<Process>) {
        self.set(Some(Arc::clone(process)));
        if self.stops() {
            process.kill(Loss::GivenUp);
        }
    }

    /// Whether the run has ended: nothing more is started.
    #[must_use]
    pub fn stops(&self) -> bool {
        self.stops.load(Ordering::Acquire)
    }

    fn set(&self, process: Option<Arc<Process>>) {
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = process;
    }

    fn stop(&self) {
        self.stops.store(true, Ordering::Release);
        if let Some(process) = &*self.process.lock().unwrap_or_else(PoisonError::into_inner) {
            process.kill(Loss::GivenUp);
        }
    }
}

/// The thread. Dropped, it starts nothing more; it ends once nobody can tell it of an end any more.
#[derive(Debug)]
pub struct Restarter {
    loading: Arc<Loading>,
    told: Option<Sender<()>>,
    thread: Option<JoinHandle<Vec<Outcome>>>,
}

/// What the supervising thread tells of ends by, and what is told.
#[must_use]
pub fn ends() -> (Sender<()>, Receiver<()>) {
    mpsc::channel()
}

impl Restarter {
    /// Starts the thread. Of each end it is told by the channel of [`ends`], of which `told` is another sender.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(
        all: Vec<Restarted>,
        (told, ends): (Sender<()>, Receiver<()>),
        domains: Arc<Domains>,
        starter: impl Starter,
    ) -> io::Result<Self> {
        let loading = Arc::new(Loading::default());
        let all = all.into_iter().map(Own::new).collect();
        let mut own = Thread { all, domains, starter, loading: Arc::clone(&loading) };
        let thread = Builder::new().name("restarts".to_owned()).spawn(move || {
            own.serve(&ends);
            // What it has started ends with it: not before it was told to.
            while ends.recv().is_ok() {}
            own.all.iter().map(|own| own.outcome).collect()
        })?;
        Ok(Self { loading, told: Some(told), thread: Some(thread) })
    }

    /// Nothing more is started, and what is being started is killed.
    pub fn stop(&self) {
        self.loading.stop();
        if let Some(told) = &self.told {
            // Where the thread panicked nobody listens.
            let _ = told.send(());
        }
    }

    /// Waits for the end of the thread, after [`Restarter::stop`] and once all processes have ended and the supervising thread has;
    /// what came of each domain. `None` where it panicked.
    pub fn join(mut self) -> Option<Vec<Outcome>> {
        self.told = None;
        self.thread.take()?.join().ok()
    }
}

impl Drop for Restarter {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Where a domain is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Its process runs, or its end was not seen yet.
    Runs,
    /// It has ended; another one is started then.
    Waits(Instant),
    /// Nothing is done any more.
    GivenUp,
}

/// A domain.
#[derive(Debug)]
struct Own {
    restarted: Restarted,
    restarts: Restarts,
    phase: Phase,
    outcome: Outcome,
}

impl Own {
    fn new(restarted: Restarted) -> Self {
        let outcome = Outcome { domain: restarted.domain, failed_starts: 0, given_up: false };
        Self { restarted, restarts: Restarts::new(), phase: Phase::Runs, outcome }
    }

    /// Its process has ended, seen now, as told.
    fn ended(&mut self, how: &str, now: Instant) {
        let Restarted { policy, process, .. } = &self.restarted;
        let name = process.name();
        self.phase = match self.restarts.ended(policy, now) {
            Some(at) => {
                let wait = ms(at.saturating_since(now));
                log::warn!("domain \"{name}\": {how}; its process is started again in {wait}");
                Phase::Waits(at)
            }
            None => {
                let (max, within) = (policy.max, ms(policy.within));
                log::error!("DOMAIN GIVEN UP: \"{name}\": {how}, and it was started {max} times within {within}");
                self.outcome.given_up = true;
                Phase::GivenUp
            }
        };
    }
}

struct Thread<S> {
    all: Vec<Own>,
    domains: Arc<Domains>,
    starter: S,
    loading: Arc<Loading>,
}

fn now() -> Instant {
    Instant::from_ns(monotonic_ns())
}

impl<S: Starter> Thread<S> {
    fn serve(&mut self, ends: &Receiver<()>) {
        while !self.loading.stops() {
            let due =
                self.all.iter().filter_map(|own| if let Phase::Waits(at) = own.phase { Some(at) } else { None }).min();
            let told = match due {
                Some(at) => ends.recv_timeout(time::Duration::from_nanos(at.saturating_since(now()).as_ns())),
                None => ends.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            if told == Err(RecvTimeoutError::Disconnected) {
                return;
            }
            for own in self.all.iter_mut().filter(|own| own.phase == Phase::Runs && own.restarted.process.has_ended()) {
                let process = &own.restarted.process;
                // Once more: the supervising thread may have told it before this life began.
                if let Some(loss) = process.loss().filter(|loss| *loss != Loss::GivenUp) {
                    self.domains.lose(process.domain(), process.life(), loss);
                }
                let how = format!("process {} ended with {}", process.id(), process.ending().unwrap_or_default());
                own.ended(&how, now());
            }
            for own in &mut self.all {
                if matches!(own.phase, Phase::Waits(at) if at <= now()) && !self.loading.stops() {
                    again(own, &self.domains, &mut self.starter, &self.loading);
                }
            }
        }
    }
}

/// Starts a process, and waits until its lanes use it.
fn again(own: &mut Own, domains: &Domains, starter: &mut impl Starter, loading: &Loading) {
    let domain = own.restarted.domain;
    if !domains.has_failed(domain) {
        // Its end was told, and the orchestration thread has not looked yet.
        own.phase = Phase::Waits(now().checked_add(LOOK).unwrap_or(Instant::START));
        return;
    }
    let life = domains.life(domain).wrapping_add(1);
    let began = now();
    let started = starter.start(domain, life, loading);
    loading.set(None);
    let process = match started {
        Ok(process) => process,
        Err(_) if loading.stops() => return,
        Err(text) => {
            own.outcome.failed_starts = own.outcome.failed_starts.saturating_add(1);
            own.ended(&format!("it could not be started again: {text}"), now());
            return;
        }
    };
    let ready = now();
    own.restarted.process = process;
    domains.offer(domain);
    while domains.life(domain) != life {
        if loading.stops() {
            return;
        }
        std::thread::sleep(time::Duration::from_nanos(LOOK.as_ns()));
    }
    own.restarts.restored(now());
    own.phase = Phase::Runs;
    starter.restored(domain, life);
    let (name, id) = (own.restarted.process.name(), own.restarted.process.id());
    log::warn!(
        "DOMAIN RESTORED: \"{name}\" by process {id}, which took {} to start, load and warm up; on probation for {}",
        ms(ready.saturating_since(began)),
        ms(own.restarted.policy.probation)
    );
}

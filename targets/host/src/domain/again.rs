//! The process of a fault domain, started once more while the vehicle runs.
//!
//! ```text
//!  vehicle   start ─▶ waits ─────────────────────────────────▶ fences ─▶ looks what is in force ─▶ its lanes' next links
//!  process        └▶ clears its memory ─▶ loads ─▶ warms up ─┘ real-time priority from here on
//! ```
//!
//! It gets the memory that the one before had, and finds it as the first one did: zeroed.

use super::{FENCE_LIMIT, LOAD_LIMIT, Own, Remote, failed, told};
use crate::gpu;
use aegis_core::desc::SystemDesc;
use aegis_core::trace::Loss;
use aegis_core::{DomainId, Duration, LaneId};
use aegis_linux::guarantee::Guarantee;
use aegis_linux::machine::Void;
use aegis_linux::worker::link::{Gone, Link};
use aegis_linux::worker::process::Process;
use aegis_linux::worker::restart::{Loading, Starter};
use aegis_linux::worker::supervise::Door;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::{io, time};

/// The least time that a process has to load and to warm up, however fast the first one did.
const LEAST_LOAD_LIMIT: Duration = Duration::from_ns(5_000_000_000);
/// How many times as long as the first one another process may take: in what lanes leave of its cores, beside all others.
const LOAD_FACTOR: u64 = 10;

/// What another process is started with.
pub(super) struct Again {
    pub(super) system: &'static SystemDesc,
    pub(super) all: Arc<[Own]>,
    pub(super) remotes: Arc<[(LaneId, Arc<Remote>)]>,
    pub(super) door: Door,
    pub(super) guarantee: Arc<Guarantee>,
}

impl Again {
    /// The domain's lanes.
    fn remotes(&self, domain: DomainId) -> impl Iterator<Item = &(LaneId, Arc<Remote>)> {
        self.remotes.iter().filter(move |(_, remote)| remote.domain() == domain)
    }

    fn note(&self, voids: Vec<Void>) {
        for void in voids {
            log::warn!("GUARANTEE VOID ({}): {}", void.reason.name(), void.text);
            self.guarantee.void(void.reason);
        }
    }

    /// Waits for a process and makes it one that its lanes can use.
    fn make_ready(&self, own: &Own, process: &Arc<Process>) -> Result<(), Gone> {
        let first = Duration::from_ns(own.load_ns.load(Ordering::Relaxed).saturating_mul(LOAD_FACTOR));
        let within = first.max(LEAST_LOAD_LIMIT).min(LOAD_LIMIT);
        let mut links: Vec<_> =
            own.lanes.iter().map(|lane| Link::new(Arc::clone(process), *lane, self.system.waiting)).collect();
        for (link, lane) in links.iter_mut().zip(&own.lanes) {
            let figures = link.loaded(within)?;
            if let Some(found) = told(self.system, LaneId(*lane), &figures, link)? {
                self.note(gpu::voids(self.system, &Vec::new(), &vec![found]));
            }
        }
        links.iter_mut().try_for_each(|link| link.fence(FENCE_LIMIT))?;
        self.note(own.close_off(self.system));
        self.door.ring();
        for (link, (_, remote)) in links.into_iter().zip(self.remotes(own.domain)) {
            // What lay there was of a process that failed to load.
            drop(remote.links().put(process.life(), link));
        }
        Ok(())
    }
}

impl Starter for Again {
    fn start(&mut self, domain: DomainId, life: u32, loading: &Loading) -> Result<Arc<Process>, String> {
        const PAUSE: time::Duration = time::Duration::from_millis(1);
        let own = self.all.iter().find(|own| own.domain == domain).ok_or("the plan has no such process")?;
        let process = own.start(life).map_err(|error| failed(error).to_string())?;
        loading.is(&process);
        self.door.watch(own.watched(&process));
        match self.make_ready(own, &process) {
            Ok(()) => {
                // Whoever reads it may have gone, or refuse: that is no reason to fail.
                let _ = writeln!(io::stdout(), "restarted: domain \"{}\": {}", own.name, own.in_words());
                Ok(process)
            }
            Err(gone) => {
                process.kill(Loss::Backend);
                // Of a killed process the end is a matter of the system alone.
                while !process.has_ended() {
                    // At the end of the run the thread that takes note of ends may be gone already.
                    if loading.stops() {
                        let _ = process.reap();
                    }
                    std::thread::sleep(PAUSE);
                }
                Err(format!("{} ({})", gone.text, gone.loss.name()))
            }
        }
    }

    fn restored(&mut self, domain: DomainId, life: u32) {
        for (_, remote) in self.remotes(domain) {
            drop(remote.links().take(life.wrapping_sub(1)));
        }
    }
}

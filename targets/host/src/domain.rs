//! Fault domains as processes of this program: what the vehicle starts, and what the lanes reach them by.
//!
//! ```text
//!  drive: memory ─▶ start processes ─▶ load what lies here ─▶ wait until they have loaded ─▶ lanes warm up ─▶ fence ─▶ run ─▶ end
//!  each process:              load its models ───────────────────────────▶ serves its lanes ───────────────────────▶ exit 0
//! ```
//!
//! A process has the planned memory of its own domain mapped and no other's; hooks run in the vehicle, on the same bytes. A device
//! that models of a domain run on its process has alone: the vehicle maps what their inputs and outputs are copied from and to. One
//! that has ended another one takes the place of, where the plan says so ([`again`]).

mod again;
mod devices;
pub(crate) mod own;
mod remote;

use crate::error::HostError;
use crate::gpu::{self, Elsewhere, Found};
use aegis_core::desc::{DomainDesc, ProcessDesc, SystemDesc, TaskDesc, Waiting};
use aegis_core::trace::Loss;
use aegis_core::{DomainId, Duration, LaneId, ModelId, TaskId};
use aegis_linux::clock::monotonic_ns;
use aegis_linux::domains::Domains;
use aegis_linux::guarantee::Guarantee;
use aegis_linux::machine::Void;
use aegis_linux::realtime::{has_others, may_use, taken_cores, with_threads_off};
use aegis_linux::summary::ProcessSummary;
use aegis_linux::worker::fences::{Fences, threads};
use aegis_linux::worker::link::{Gone, Link};
use aegis_linux::worker::page::Figures;
use aegis_linux::worker::process::{Process, Start};
use aegis_linux::worker::restart::{Restarted, Restarter, ends};
use aegis_linux::worker::supervise::{Supervisor, Watched};
use again::Again;
pub(crate) use remote::{Remote, RemoteEngine};
use rustix::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{io, time};

/// How long a process may take to load its models.
const LOAD_LIMIT: Duration = Duration::from_ns(300_000_000_000);
/// How long it may take to answer when it has nothing to run.
const FENCE_LIMIT: Duration = Duration::from_ns(10_000_000_000);
/// How long processes may take to end; then they are killed.
const END_LIMIT: time::Duration = time::Duration::from_secs(2);

/// What a plan with processes must fulfil here; what it does not, in words.
pub(crate) fn check(system: &SystemDesc) -> Option<String> {
    system.domains.iter().find(|domain| domain.process.is_some())?;
    if system.waiting == Waiting::Polling {
        return lacks_cores(system);
    }
    None
}

/// Threads that never leave their cores have one each, and leave one to those that load models and see processes end.
fn lacks_cores(system: &SystemDesc) -> Option<String> {
    let mut missing = taken_cores(system).filter(|core| !may_use(*core));
    let polls = "lanes and processes look again and again (`waiting = \"polling\"`)";
    match missing.next() {
        Some(core) => Some(format!(
            "{polls}, and core {core}, which the plan gives to one of their threads, is not there for this program"
        )),
        None if has_others(taken_cores(system)) => None,
        None => Some(format!(
            "{polls} on all cores that are there for this program: none is left for the thread that sees processes end"
        )),
    }
}

/// The core of the thread of a domain's process for a lane: its own, or else the lane's.
fn core_of(system: &SystemDesc, domain: DomainId, lane: u16) -> Option<u16> {
    let process = system.domains.get(domain.index()).and_then(|domain| domain.process.as_ref());
    let position = lanes_of(system, domain).iter().position(|own| *own == lane);
    let own = process.zip(position).and_then(|(process, position)| process.cores.get(position)).copied();
    own.or_else(|| Some(system.lanes.get(usize::from(lane))?.core))
}

/// The process of a task's domain, where its model lies in one.
fn process_of<'a>(system: &'a SystemDesc, task: &TaskDesc) -> Option<(DomainId, &'a DomainDesc, &'a ProcessDesc)> {
    let domain = task.domain.filter(|_| task.model.is_some())?;
    let desc = system.domains.get(domain.index())?;
    Some((domain, desc, desc.process.as_ref()?))
}

/// The tasks of a domain on a lane that have a model, in the plan's order: by their position among these they are told apart.
fn tasks_of(system: &SystemDesc, domain: DomainId, lane: LaneId) -> impl Iterator<Item = (TaskId, ModelId)> + '_ {
    let tasks = system.tasks.iter().zip(0_u16..).filter(move |(task, _)| task.lane == lane);
    tasks.filter_map(move |(task, number)| {
        let (of, ..) = process_of(system, task)?;
        Some((TaskId(number), task.model?)).filter(|_| of == domain)
    })
}

/// The lanes that have a task of a domain with a model, in the plan's order.
fn lanes_of(system: &SystemDesc, domain: DomainId) -> Vec<u16> {
    let lanes = (0_u16..).take(system.lanes.len());
    lanes.filter(|lane| tasks_of(system, domain, LaneId(*lane)).next().is_some()).collect()
}

/// A domain with a process.
pub(crate) struct Own {
    domain: DomainId,
    name: &'static str,
    desc: ProcessDesc,
    /// Its planned memory, which each of its processes gets.
    memory: Vec<OwnedFd>,
    /// The lanes that have a task of it, in the plan's order.
    lanes: Vec<u16>,
    /// The process that was started last, with what holds it in.
    last: Mutex<Option<(Arc<Process>, Fences)>>,
    /// How long the first one took to load and to warm up, in nanoseconds; 0 before it has.
    load_ns: AtomicU64,
}

impl Own {
    /// Starts a process of it.
    fn start(&self, life: u32) -> Result<Arc<Process>, io::Error> {
        let Self { domain, name, memory, lanes, .. } = self;
        let most_memory = self.desc.memory.map(|most| most.0);
        let started = Process::start(&Start { domain: *domain, name, life, memory, lanes, most_memory })?;
        *locked(&self.last) = Some((Arc::clone(&started), Fences::default()));
        Ok(started)
    }

    fn watched(&self, process: &Arc<Process>) -> Watched {
        Watched { process: Arc::clone(process), heartbeat: self.desc.heartbeat }
    }

    /// Closes its last process off, after all lanes' fences; what the system refused.
    fn close_off(&self, system: &SystemDesc) -> Vec<Void> {
        let mut last = locked(&self.last);
        let Some((process, fences)) = last.as_mut() else { return Vec::new() };
        *fences = Fences::put_up(process, self.desc.memory.map(|most| most.0));
        for missing in &fences.missing {
            log::warn!("domain \"{}\": not in force: {missing}", self.name);
        }
        let core = |lane: &u16| Some((*lane, core_of(system, self.domain, *lane)?));
        let voids = threads(process, &self.lanes.iter().filter_map(core).collect::<Vec<_>>());
        process.expect_beats();
        voids
    }

    /// Its last process and what is in force for it, in words.
    fn in_words(&self) -> String {
        let last = locked(&self.last);
        let words = |(process, fences): &(Arc<Process>, Fences)| {
            format!("process {}; in force: {}", process.id(), fences.applied.join(", "))
        };
        last.as_ref().map(words).unwrap_or_default()
    }
}

/// The number of the device that a lane is a part of; `None` on one of the CPU.
fn device_of(system: &SystemDesc, lane: LaneId) -> Option<u16> {
    gpu::ordinal(system, system.lanes.get(lane.index())?.partition?.pool)
}

/// What a process tells of the device that a lane is a part of, with that one's number; `None` on a lane of the CPU.
fn told(system: &SystemDesc, lane: LaneId, figures: &Figures, link: &Link) -> Result<Option<(u16, Found)>, Gone> {
    let Some(device) = device_of(system, lane) else { return Ok(None) };
    let found = devices::read(figures);
    let found = found.ok_or_else(|| link.malformed("what it says of its device is none of the answers"))?;
    Ok(Some((device, found)))
}

/// The processes of a vehicle. Dropped, it kills them.
pub(crate) struct Processes {
    system: &'static SystemDesc,
    domains: Arc<Domains>,
    all: Arc<[Own]>,
    remotes: Arc<[(LaneId, Arc<Remote>)]>,
    began: u64,
    /// None where no process is started again, or before all are loaded. Before the other one: see [`Restarter`].
    restarter: Option<Restarter>,
    ends: Option<(Sender<()>, Receiver<()>)>,
    /// None where there is no process.
    supervisor: Option<Supervisor>,
}

impl Processes {
    /// Starts the process of each domain that has one; `objects` are the memory of pools, where it is a domain's. On the thread
    /// that outlives them.
    pub(crate) fn start(
        system: &'static SystemDesc,
        objects: Vec<Option<OwnedFd>>,
        domains: &Arc<Domains>,
    ) -> Result<Self, HostError> {
        let mut objects: Vec<_> = system.pools.iter().map(|pool| pool.domain).zip(objects).collect();
        let mut all = Vec::new();
        for (desc, number) in system.domains.iter().zip(0_u16..) {
            let (domain, Some(process)) = (DomainId(number), desc.process) else { continue };
            let memory = objects
                .iter_mut()
                .filter(|(of, _)| *of == Some(domain))
                .filter_map(|(_, object)| object.take())
                .collect();
            let (lanes, last, load_ns) = (lanes_of(system, domain), Mutex::new(None), AtomicU64::new(0));
            all.push(Own { domain, name: desc.name, desc: process, memory, lanes, last, load_ns });
        }
        let (supervisor, ends) = if all.is_empty() { (None, None) } else { supervised(system, domains)? };
        let mut remotes = Vec::new();
        for own in &all {
            let started = own.start(0).map_err(failed)?;
            if let Some(supervisor) = &supervisor {
                supervisor.door().watch(own.watched(&started));
            }
            for lane in &own.lanes {
                let link = Link::new(Arc::clone(&started), *lane, system.waiting);
                let remote = Remote::new((own.name, own.domain), Arc::clone(domains), link, own.desc.kill_after);
                remotes.push((LaneId(*lane), Arc::new(remote)));
            }
        }
        let (all, remotes, began) = (all.into(), remotes.into(), monotonic_ns());
        Ok(Self { system, domains: Arc::clone(domains), all, remotes, began, restarter: None, ends, supervisor })
    }

    /// The way to the process that runs a task's model, and the task's number there; `None` where the model lies here.
    pub(crate) fn remote(&self, lane: LaneId, task: TaskId) -> Option<(Arc<Remote>, u32)> {
        let (domain, ..) = process_of(self.system, self.system.tasks.get(task.index())?)?;
        let number = tasks_of(self.system, domain, lane).position(|(id, _)| id == task)?;
        let (_, remote) = self.remotes.iter().find(|(on, remote)| (remote.domain(), *on) == (domain, lane))?;
        Some((Arc::clone(remote), u32::try_from(number).ok()?))
    }

    /// Waits until all models are loaded. What processes tell of the devices that they have, by these devices' numbers.
    pub(crate) fn loaded(&self) -> Result<Elsewhere, HostError> {
        let mut elsewhere = Elsewhere::new();
        for (lane, remote) in &*self.remotes {
            let found = remote.with(|link| {
                let figures = link.loaded(LOAD_LIMIT)?;
                told(self.system, *lane, &figures, link)
            });
            elsewhere.extend(found.map_err(HostError::Backend)?);
        }
        // Each process of a device tells the same of it, unless it has not all queues; what is told of one counts for all.
        elsewhere.sort_by_key(|(device, found)| (*device, found.has_all_queues));
        elsewhere.dedup_by_key(|(device, _)| *device);
        Ok(elsewhere)
    }

    /// After the lanes have warmed up: the processes give up what they do not need, segments are limited from now on, those that are
    /// to show that they live have to, and those that are to be started again are. What the system refused to their threads is told.
    pub(crate) fn fence(&mut self, guarantee: &Arc<Guarantee>) -> Result<Vec<Void>, HostError> {
        for (_, remote) in &*self.remotes {
            remote.with(|link| link.fence(FENCE_LIMIT)).map_err(HostError::Backend)?;
        }
        let mut voids = Vec::new();
        for own in &*self.all {
            voids.extend(own.close_off(self.system));
            own.load_ns.store(monotonic_ns().saturating_sub(self.began), Ordering::Relaxed);
            println!("domain \"{}\": {}", own.name, own.in_words());
        }
        if let (Some(supervisor), Some(ends)) = (&self.supervisor, self.ends.take()) {
            supervisor.door().ring();
            let restarted = |own: &Own| {
                let process = Arc::clone(&locked(&own.last).as_ref()?.0);
                Some(Restarted { domain: own.domain, policy: own.desc.restart?, process })
            };
            let restarted: Vec<_> = self.all.iter().filter_map(restarted).collect();
            if !restarted.is_empty() {
                let again = Again {
                    system: self.system,
                    all: Arc::clone(&self.all),
                    remotes: Arc::clone(&self.remotes),
                    door: supervisor.door().clone(),
                    guarantee: Arc::clone(guarantee),
                };
                let domains = Arc::clone(&self.domains);
                let restarter = beside_lanes(self.system, || Restarter::start(restarted, ends, domains, again));
                self.restarter = Some(restarter.map_err(failed)?);
            }
        }
        Ok(voids)
    }

    /// Ends all processes, after the lanes; what became of each domain's, in the plan's order, `None` where it has none.
    pub(crate) fn close(mut self) -> Vec<Option<ProcessSummary>> {
        if let Some(restarter) = &self.restarter {
            restarter.stop();
        }
        if let Some(supervisor) = self.supervisor.take() {
            supervisor.close(END_LIMIT);
        }
        let outcomes = self.restarter.take().and_then(Restarter::join).unwrap_or_default();
        let of = |number: u16| {
            let own = self.all.iter().find(|own| own.domain == DomainId(number))?;
            let outcome = outcomes.iter().find(|outcome| outcome.domain == own.domain);
            let last = locked(&own.last);
            let (process, fences) = last.as_ref()?;
            Some(ProcessSummary {
                pid: process.id(),
                ending: process.ending().unwrap_or("it has not ended").to_owned(),
                failed_starts: outcome.map(|outcome| outcome.failed_starts),
                given_up: outcome.map(|outcome| outcome.given_up),
                in_force: fences.applied.clone(),
                not_in_force: fences.missing.clone(),
            })
        };
        (0_u16..).take(self.system.domains.len()).map(of).collect()
    }
}

/// A supervising thread that tells the dispatcher of losses, and what it tells the restarting thread by.
type Supervised = (Option<Supervisor>, Option<(Sender<()>, Receiver<()>)>);

fn supervised(system: &SystemDesc, domains: &Arc<Domains>) -> Result<Supervised, HostError> {
    let (told, ends) = ends();
    let (given_up, domains, to_tell) = (Arc::clone(domains), Arc::clone(domains), told.clone());
    let is_given_up = move |process: &Process| given_up.has_failed_in(process.domain(), process.life());
    let ended = move |process: &Process, loss| {
        if loss != Loss::GivenUp {
            domains.lose(process.domain(), process.life(), loss);
        }
        // Where nothing is started again nobody listens.
        let _ = to_tell.send(());
    };
    let supervisor = beside_lanes(system, || Supervisor::start(is_given_up, ended));
    Ok((Some(supervisor.map_err(failed)?), Some((told, ends))))
}

/// Has something done that starts ordinary threads, which threads that poll would never let run on their cores.
fn beside_lanes<T>(system: &SystemDesc, start: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    match system.waiting {
        Waiting::Polling => with_threads_off(taken_cores(system), start).and_then(|started| started),
        Waiting::Blocking => start(),
    }
}

fn failed(error: io::Error) -> HostError {
    HostError::System { what: "the process of a fault domain", error }
}

/// A lock that is whole also after a panic: what it guards changes in single steps.
fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

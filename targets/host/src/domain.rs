//! Fault domains as processes of this program: what the vehicle starts, and what the lanes reach them by.
//!
//! ```text
//!  drive: memory ─▶ start processes ─▶ load what lies here ─▶ wait until they have loaded ─▶ lanes warm up ─▶ fence ─▶ run ─▶ end
//!  each process:              load its models ───────────────────────────▶ serves its lanes ───────────────────────▶ exit 0
//! ```
//!
//! A process has the planned memory of its own domain mapped and no other's; hooks run in the vehicle, on the same bytes.

pub(crate) mod own;
mod remote;

use crate::error::HostError;
use aegis_core::desc::{DomainDesc, ProcessDesc, SystemDesc, TaskDesc, Waiting};
use aegis_core::{DomainId, Duration, LaneId, ModelId, TaskId};
use aegis_linux::domains::Domains;
use aegis_linux::machine::Void;
use aegis_linux::summary::ProcessSummary;
use aegis_linux::worker::fences::{Fences, threads};
use aegis_linux::worker::link::Link;
use aegis_linux::worker::process::{Process, Start};
use aegis_linux::worker::supervise::{Supervisor, Watched};
pub(crate) use remote::{Remote, RemoteEngine};
use rustix::fd::OwnedFd;
use std::sync::{Arc, PoisonError};
use std::time;

/// How long a process may take to load its models.
const LOAD_LIMIT: Duration = Duration::from_ns(300_000_000_000);
/// How long it may take to answer when it has nothing to run.
const FENCE_LIMIT: Duration = Duration::from_ns(10_000_000_000);
/// How long processes may take to end; then they are killed.
const END_LIMIT: time::Duration = time::Duration::from_secs(2);

/// What a plan with processes must fulfil here; what it does not, in words.
pub(crate) fn check(system: &SystemDesc) -> Option<String> {
    let mut domains = system.domains.iter().zip(0_u16..).filter(|(domain, _)| domain.process.is_some()).peekable();
    let first = domains.peek()?.0.name;
    if system.waiting == Waiting::Polling {
        return Some(format!(
            "the models of domain \"{first}\" run in a process of their own, for which lanes do not look again and again \
             (`waiting = \"polling\"`): they wait \"blocking\""
        ));
    }
    domains.find_map(|(domain, number)| {
        let mut pools = system.pools.iter().filter(|pool| pool.domain == Some(DomainId(number)));
        let pool = pools.find(|pool| pool.gpu.is_some())?;
        let name = domain.name;
        Some(format!(
            "the models of domain \"{name}\" run in a process of their own, and \"{}\" is a GPU's memory",
            pool.name
        ))
    })
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

/// The processes of a vehicle. Dropped, it kills them.
pub(crate) struct Processes {
    system: &'static SystemDesc,
    remotes: Vec<(DomainId, LaneId, Arc<Remote>)>,
    /// With what limits its memory, and what holds it in.
    processes: Vec<(Arc<Process>, Option<u64>, Fences)>,
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
        let failed = |error| HostError::System { what: "the process of a fault domain", error };
        let mut own = Self { system, remotes: Vec::new(), processes: Vec::new(), supervisor: None };
        let mut objects: Vec<_> = system.pools.iter().map(|pool| pool.domain).zip(objects).collect();
        let mut watched = Vec::new();
        for (desc, number) in system.domains.iter().zip(0_u16..) {
            let (domain, Some(process)) = (DomainId(number), desc.process) else { continue };
            let memory: Vec<OwnedFd> = objects
                .iter_mut()
                .filter(|(of, _)| *of == Some(domain))
                .filter_map(|(_, object)| object.take())
                .collect();
            let (lanes, most_memory) = (lanes_of(system, domain), process.memory.map(|most| most.0));
            let start = Start { domain, name: desc.name, memory: &memory, lanes: &lanes, most_memory };
            let started = Process::start(&start).map_err(failed)?;
            for lane in lanes {
                let remote = Remote::new(desc.name, Link::new(Arc::clone(&started), lane), process.kill_after);
                own.remotes.push((domain, LaneId(lane), Arc::new(remote)));
            }
            watched.push(Watched { process: Arc::clone(&started), heartbeat: process.heartbeat });
            own.processes.push((started, most_memory, Fences::default()));
        }
        if !watched.is_empty() {
            let (given_up, domains) = (Arc::clone(domains), Arc::clone(domains));
            let supervisor = Supervisor::start(
                watched,
                move |domain| given_up.has_failed(domain),
                move |domain, loss| domains.lose(domain, loss),
            );
            own.supervisor = Some(supervisor.map_err(failed)?);
        }
        Ok(own)
    }

    /// The way to the process that runs a task's model, and the task's number there; `None` where the model lies here.
    pub(crate) fn remote(&self, lane: LaneId, task: TaskId) -> Option<(Arc<Remote>, u32)> {
        let (domain, ..) = process_of(self.system, self.system.tasks.get(task.index())?)?;
        let number = tasks_of(self.system, domain, lane).position(|(id, _)| id == task)?;
        let (.., remote) = self.remotes.iter().find(|(of, on, _)| (*of, *on) == (domain, lane))?;
        Some((Arc::clone(remote), u32::try_from(number).ok()?))
    }

    /// Waits until all models are loaded.
    pub(crate) fn loaded(&self) -> Result<(), HostError> {
        for (.., remote) in &self.remotes {
            remote.link().loaded(LOAD_LIMIT).map_err(|gone| HostError::Backend(remote.lost(gone)))?;
        }
        Ok(())
    }

    /// After the lanes have warmed up: the processes give up what they do not need, segments are limited from now on, and those
    /// that are to show that they live have to. What the system refused to their threads is told.
    pub(crate) fn fence(&mut self) -> Result<Vec<Void>, HostError> {
        for (.., remote) in &self.remotes {
            remote.link().fence(FENCE_LIMIT).map_err(|gone| HostError::Backend(remote.lost(gone)))?;
        }
        let mut voids = Vec::new();
        for (process, most_memory, fences) in &mut self.processes {
            *fences = Fences::put_up(process, most_memory.is_some());
            let lanes = lanes_of(self.system, process.domain());
            let cores = lanes.iter().filter_map(|lane| Some((*lane, self.system.lanes.get(usize::from(*lane))?.core)));
            voids.extend(threads(process, &cores.collect::<Vec<_>>()));
            let (name, id) = (process.name(), process.id());
            println!("domain \"{name}\": process {id}; in force: {}", fences.applied.join(", "));
            for missing in &fences.missing {
                log::warn!("domain \"{name}\": not in force: {missing}");
            }
        }
        if let Some(supervisor) = &self.supervisor {
            supervisor.expect_beats();
        }
        Ok(voids)
    }

    /// Ends all processes, after the lanes; what became of each domain's, in the plan's order, `None` where it has none.
    pub(crate) fn close(mut self) -> Vec<Option<ProcessSummary>> {
        if let Some(supervisor) = self.supervisor.take() {
            supervisor.close(END_LIMIT);
        }
        let of = |number: u16| {
            let own = self.processes.iter().find(|(process, ..)| process.domain() == DomainId(number));
            own.map(|(process, _, fences)| ProcessSummary {
                pid: process.id(),
                ending: process.ending().unwrap_or("it has not ended").to_owned(),
                in_force: fences.applied.clone(),
                not_in_force: fences.missing.clone(),
            })
        };
        (0_u16..).take(self.system.domains.len()).map(of).collect()
    }
}

/// A lock that is whole also after a panic: what it guards changes in single steps.
fn locked<T>(lock: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

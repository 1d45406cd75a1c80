//! The process of a fault domain from inside: it loads the domain's models and runs their segments as its lanes are told to.

use super::remote::figures;
use super::{lanes_of, process_of, tasks_of};
use crate::arena::Arena;
use crate::backend::{BackendError, Engine};
use crate::boot::{load, open_runtimes};
use crate::cache::Cache;
use crate::error::HostError;
use crate::lane_work::panic_text;
use crate::onnx::unattributed;
use aegis_core::desc::{PoolDesc, SystemDesc};
use aegis_core::{DomainId, LaneId};
use aegis_linux::logger;
use aegis_linux::realtime::{LANE_PRIORITY, keep_off, lock_memory, set_up_thread};
use aegis_linux::worker::fences::{fence_all_threads, thread_name};
use aegis_linux::worker::own::{Given, Served, beat, give_up_privileges, serve};
use aegis_linux::worker::page::{Answer, Figures};
use aegis_linux::worker::shared::SharedPage;
use rustix::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, park};
use std::{io, process};

/// Is the process of a fault domain, if this one was started as one; returns only in the vehicle's own.
pub(crate) fn take_over(system: &'static SystemDesc) {
    let status = match Given::from_environment() {
        Ok(None) => return,
        Ok(Some(given)) => {
            logger::install();
            inside(system, given).map_or_else(told, |()| 0)
        }
        Err(error) => {
            logger::install();
            log::error!("{error}");
            2
        }
    };
    process::exit(status)
}

fn told(error: HostError) -> i32 {
    log::error!("{error}");
    i32::from(error.status())
}

fn failed(error: io::Error) -> HostError {
    HostError::System { what: "the process of a fault domain", error }
}

/// Serves until told to end.
fn inside(system: &'static SystemDesc, given: Given) -> Result<(), HostError> {
    give_up_privileges().map_err(failed)?;
    let domain = given.domain;
    let objects = given.take().map_err(failed)?;
    let lanes = lanes_of(system, domain);
    let pools = || system.pools.iter().filter(|pool| pool.domain == Some(domain));
    let heartbeat = system.tasks.iter().filter_map(|task| process_of(system, task)).find(|(of, ..)| *of == domain);
    let heartbeat = heartbeat.and_then(|(.., process)| process.heartbeat);
    if objects.len() != pools().count().saturating_add(lanes.len()) {
        return Err(HostError::Refused("it was started for another plan".to_owned()));
    }
    let (memory, pages) = objects.split_at_checked(pools().count()).unwrap_or_default();
    let map = |object: &OwnedFd| -> Result<&'static SharedPage, HostError> {
        Ok(Box::leak(Box::new(SharedPage::map(object).map_err(failed)?)))
    };
    let pages = pages.iter().map(map).collect::<Result<Vec<_>, _>>()?;
    // Before any thread is started, which all shall have that: neither the orchestration thread nor a lane of others waits for
    // them.
    let others = system.lanes.iter().zip(0_u16..).filter(|(_, lane)| !lanes.contains(lane)).map(|(lane, _)| lane.core);
    keep_off(others.chain([system.orchestration_core])).map_err(failed)?;
    if let (Some(page), Some(every)) = (pages.first().copied(), heartbeat) {
        Builder::new().name("beat".to_owned()).spawn(move || beat(page, every)).map_err(failed)?;
    }
    let arenas = pools().zip(memory).map(|(pool, object)| {
        let bytes = pool.height.0.max(1);
        Arena::shared(object, bytes).map_err(|error| HostError::Memory { pool: pool.name, bytes, error })
    });
    let arenas = arenas.collect::<Result<Vec<_>, _>>()?;
    drop(objects);
    let loaded = engines(system, domain, &lanes, &arenas);
    // The vehicle looks whether it is.
    let _ = lock_memory();
    let (answer, works) = match loaded {
        Ok(works) => (Answer::Done(Figures::default()), works),
        Err(error) => (Answer::Failed(error.to_string()), lanes.iter().map(|_| Vec::new()).collect()),
    };
    let mut threads = Vec::new();
    for ((lane, page), tasks) in lanes.iter().zip(pages).zip(works) {
        let core = system.lanes.get(usize::from(*lane)).map_or(0, |lane| lane.core);
        let (name, answer) = (thread_name(*lane), answer.clone());
        let mut work = LaneSegments { tasks, tells_others: threads.is_empty() };
        let body = move || {
            // The vehicle looks what was refused.
            set_up_thread(&name, core, LANE_PRIORITY.saturating_sub(1));
            serve(page, &answer, &mut work);
        };
        threads.push(Builder::new().name(thread_name(*lane)).spawn(body).map_err(failed)?);
    }
    for thread in threads {
        if thread.join().is_err() {
            // It has told, or cannot: the vehicle waits no longer than planned.
            park();
        }
    }
    Ok(())
}

/// For each lane the segments of each task's model, loaded and bound.
type LaneEngines = Vec<Vec<Box<dyn Engine>>>;

fn engines(
    system: &'static SystemDesc,
    domain: DomainId,
    lanes: &[u16],
    arenas: &[Arc<Arena>],
) -> Result<Vec<LaneEngines>, HostError> {
    let cache = Cache::of_user()?;
    let no_devices = system.pools.iter().map(|_| None).collect();
    // What is wrong with libraries the vehicle tells.
    let runtimes = open_runtimes(system, Some(domain), &cache, &no_devices, &mut Vec::new())?;
    let is_own = |pool: &&PoolDesc| pool.domain == Some(domain);
    let lane = |lane: &u16| {
        let model = |model: aegis_core::ModelId| {
            let pool = system.models.get(model.index()).and_then(|model| system.pools.get(model.pool.index()));
            let own = pool.and_then(|pool| system.pools.iter().filter(is_own).position(|own| own.name == pool.name));
            let outside = || HostError::Refused("a model lies outside its domain's memory".to_owned());
            let arena = own.and_then(|own| arenas.get(own)).ok_or_else(outside)?;
            Ok(load(system, model, &runtimes, &cache, (arena, None))?.engines)
        };
        tasks_of(system, domain, LaneId(*lane)).map(|(_, id)| model(id)).collect::<Result<LaneEngines, HostError>>()
    };
    lanes.iter().map(lane).collect()
}

/// What one thread serves its lane with.
struct LaneSegments {
    /// For each task one for each segment.
    tasks: LaneEngines,
    /// Whether it tells of requests for memory that belong to no model.
    tells_others: bool,
}

impl Served for LaneSegments {
    fn run(&mut self, task: u32, segment: u32) -> Answer {
        let at = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let Some(engine) = self.tasks.get_mut(at(task)).and_then(|task| task.get_mut(at(segment))) else {
            return Answer::Failed(format!("task {task} of its lane has no segment {segment} here"));
        };
        let result = catch_unwind(AssertUnwindSafe(|| engine.run()));
        let mut scratch = engine.scratch_use();
        if self.tells_others && task == 0 && segment == 0 {
            // Requests of no model are told as refused ones: neither is planned.
            scratch.refused = scratch.refused.saturating_add(unattributed());
        }
        let figures = figures(engine.persistent_use(), scratch, engine.control());
        match result {
            Ok(Ok(())) => Answer::Done(figures),
            Ok(Err(BackendError::Refused(text))) => Answer::Refused(figures, text),
            Ok(Err(error)) => Answer::Failed(error.to_string()),
            Err(payload) => Answer::Failed(format!("the engine panicked: {}", panic_text(payload.as_ref()))),
        }
    }

    fn fence(&mut self) -> Answer {
        // The vehicle looks whether it is in force.
        let _ = fence_all_threads();
        Answer::Done(Figures::default())
    }
}

//! The process of a fault domain from inside: it loads the domain's models and runs their segments as its lanes are told to.
//!
//! Its threads get their priority when its fences are put up. Until then it is an ordinary process, so one that is started while the
//! vehicle runs loads and warms up in what the lanes leave of its cores: they take them from it whenever they have something to do.
// Clearing memory that is mapped here has no safe form.
#![allow(unsafe_code)]

use super::remote::figures;
use super::{core_of, devices, lanes_of, process_of, tasks_of};
use crate::arena::{Arena, NotShared};
use crate::backend::BackendError;
use crate::boot::{Loaded, Target, load, open_runtimes};
use crate::cache::Cache;
use crate::error::HostError;
use crate::gpu::{self, Found};
use crate::lane_work::{panic_text, warm_up};
use crate::onnx::unattributed;
use aegis_core::desc::{PoolDesc, SystemDesc, Waiting};
use aegis_core::{DomainId, LaneId};
use aegis_cuda::Device;
use aegis_linux::logger;
use aegis_linux::realtime::{LANE_PRIORITY, fifo, keep_off, lock_memory, pin};
use aegis_linux::worker::fences::{fence_all_threads, thread_name};
use aegis_linux::worker::own::{Given, Served, beat, give_up_privileges, serve};
use aegis_linux::worker::page::{Answer, Figures};
use aegis_linux::worker::shared::SharedPage;
use rustix::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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
    let (domain, is_first) = (given.domain, given.life == 0);
    let objects = given.take().map_err(failed)?;
    give_up_privileges().map_err(failed)?;
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
    // them. Of lanes that poll their own are no place for them either.
    let is_kept_off = |lane: &u16| system.waiting == Waiting::Polling || !lanes.contains(lane);
    let others = system.lanes.iter().zip(0_u16..).filter(|(_, lane)| is_kept_off(lane)).map(|(lane, _)| lane.core);
    let of_processes = system.domains.iter().filter_map(|domain| domain.process.as_ref());
    let of_processes = of_processes.flat_map(|process| process.cores.iter().copied());
    keep_off(others.chain(of_processes).chain([system.orchestration_core])).map_err(failed)?;
    if let (Some(page), Some(every)) = (pages.first().copied(), heartbeat) {
        Builder::new().name("beat".to_owned()).spawn(move || beat(page, every)).map_err(failed)?;
    }
    let loaded = engines(system, domain, &lanes, memory, is_first);
    drop(objects);
    // The vehicle looks whether it is.
    let _ = lock_memory();
    let works = loaded.unwrap_or_else(|error| {
        let failed = Answer::Failed(error.to_string());
        lanes.iter().map(|_| (failed.clone(), Vec::new())).collect()
    });
    let mut threads = Vec::new();
    let to_fence = Arc::new(AtomicUsize::new(lanes.len()));
    for ((lane, page), (answer, tasks)) in lanes.iter().zip(pages).zip(works) {
        let core = core_of(system, domain, *lane).unwrap_or_default();
        let mut work = LaneSegments { tasks, tells_others: threads.is_empty(), to_fence: Arc::clone(&to_fence) };
        let body = move || {
            // The vehicle looks whether it is. The priority comes with the fences: until then no lane ever waits for this thread.
            let _ = pin(core);
            let answer = if is_first { answer } else { work.warm_up(answer) };
            serve(page, system.waiting, &answer, &mut work);
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

/// For each task of a lane its model, loaded and bound.
type LaneModels = Vec<Loaded>;

/// For each lane its segments, and what is told of it; `objects` are the memory that the vehicle has, too, of the domain's pools.
///
/// A device is opened here and not in the vehicle, which is told what it has to know of it.
fn engines(
    system: &'static SystemDesc,
    domain: DomainId,
    lanes: &[u16],
    objects: &[OwnedFd],
    is_first: bool,
) -> Result<Vec<(Answer, LaneModels)>, HostError> {
    let cache = Cache::of_user()?;
    let devices = gpu::open(system, Some(domain))?;
    let seats = gpu::seats(system, &devices)?;
    let numbered = || (0..).zip(system.pools).zip(&devices).filter(|((_, pool), _)| pool.domain == Some(domain));
    let own = numbered().zip(objects).map(|(((number, pool), device), object)| {
        Ok((number, memory(system, (number, pool), device.as_ref(), object)?))
    });
    let own = own.collect::<Result<Vec<_>, HostError>>()?;
    if !is_first {
        // As the vehicle's start found it: what models keep begins anew. A device's memory does so with each process.
        for (_, Memory { arena, staging }) in &own {
            let shared = staging.as_ref().unwrap_or(arena);
            // SAFETY: nothing in this process uses it yet, and the vehicle has no job of this domain until this process is ready.
            // One that its hook has not ended by now may read or write: every bit pattern is a valid element.
            unsafe { shared.clear() };
        }
    }
    // What is wrong with libraries the vehicle tells.
    let runtimes = open_runtimes(system, Some(domain), &cache, &devices, &mut Vec::new())?;
    let lane = |lane: &u16| {
        let seat = seats.get(usize::from(*lane)).and_then(Option::as_ref);
        let model = |model: aegis_core::ModelId| {
            let pool = system.models.get(model.index()).map(|model| model.pool.index());
            let memory = own.iter().find(|(number, _)| Some(*number) == pool);
            let outside = || HostError::Refused("a model lies outside its domain's memory".to_owned());
            let Memory { arena, staging } = memory.map(|(_, memory)| memory).ok_or_else(outside)?;
            let seat = seat.filter(|_| staging.is_some());
            load(system, model, &runtimes, &cache, Target { arena, seat, staging: staging.as_ref() })
        };
        let tasks = tasks_of(system, domain, LaneId(*lane)).map(|(_, id)| model(id));
        let figures = seat.map_or_else(Figures::default, |seat| devices::told(&Found::of(seat.device())));
        Ok((Answer::Done(figures), tasks.collect::<Result<LaneModels, HostError>>()?))
    };
    lanes.iter().map(lane).collect()
}

/// The memory of a pool in this process.
struct Memory {
    arena: Arc<Arena>,
    /// Of a GPU's, where the vehicle has the inputs and outputs.
    staging: Option<Arc<Arena>>,
}

fn memory(
    system: &SystemDesc,
    (number, pool): (usize, &'static PoolDesc),
    device: Option<&Arc<Device>>,
    object: &OwnedFd,
) -> Result<Memory, HostError> {
    let name = pool.name;
    let refused = |bytes| move |error| HostError::Memory { pool: name, bytes, error };
    let Some(device) = device else {
        let bytes = pool.height.0.max(1);
        return Ok(Memory { arena: Arena::shared(object, bytes).map_err(refused(bytes))?, staging: None });
    };
    let bytes = gpu::shared_staging(system, number);
    let staging = Arena::shared_pinned(object, bytes, device).map_err(|error| match error {
        NotShared::System(error) => refused(bytes)(error),
        NotShared::Device(error) => HostError::Gpu { pool: name, error },
    })?;
    Ok(Memory { arena: gpu::arena(system, pool, number, device)?, staging: Some(staging) })
}

/// What one thread serves its lane with.
struct LaneSegments {
    tasks: LaneModels,
    /// Whether it tells of requests for memory that belong to no model.
    tells_others: bool,
    /// How many of the process' lanes are not told yet that all warm-up runs are over.
    to_fence: Arc<AtomicUsize>,
}

impl LaneSegments {
    /// Runs each model as often as a lane does before the vehicle's start, which this process has missed.
    fn warm_up(&mut self, loaded: Answer) -> Answer {
        let runs = self.tasks.iter_mut().try_for_each(|task| {
            let result = catch_unwind(AssertUnwindSafe(|| warm_up(&mut task.engines, &mut task.inputs)));
            result.unwrap_or_else(|payload| Err(format!("the engine panicked: {}", panic_text(payload.as_ref()))))
        });
        runs.map_or_else(|text| Answer::Failed(format!("while it warmed up: {text}")), |()| loaded)
    }
}

impl Served for LaneSegments {
    fn run(&mut self, task: u32, segment: u32) -> Answer {
        let at = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let Some(engine) = self.tasks.get_mut(at(task)).and_then(|task| task.engines.get_mut(at(segment))) else {
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
        // The vehicle looks whether all this is in force. The filter forbids all threads to change their priority, so the last one
        // puts it up.
        let _ = fifo(LANE_PRIORITY.saturating_sub(1));
        if self.to_fence.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _ = fence_all_threads();
        }
        Answer::Done(Figures::default())
    }
}

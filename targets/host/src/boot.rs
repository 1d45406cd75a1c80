//! The start of a vehicle: proof, files, memory, models, in this order; nothing runs before all of it holds.

use crate::arena::{Arena, BoundTensor};
use crate::backend::{BackendError, Engine, Place, PlannedMemory};
use crate::cache::{Cache, sha256};
use crate::error::HostError;
use crate::gpu::{self, Devices, Seat};
use crate::hooks::TaskHooks;
use crate::kernels::Program;
use crate::lane_work::{HostLane, LaneTask};
use crate::onnx::version_of;
use crate::reclaim::other_pages;
use crate::runtimes::{Runtimes, Source};
use aegis_core::desc::{Backend, PoolDesc, SegmentDesc, SystemDesc, TensorLife};
use aegis_core::trace::VoidReason;
use aegis_core::verify::{Broken, Violation, scratch_is_its_own};
use aegis_core::{LaneId, ModelId, TaskId};
use aegis_cuda::Device;
use aegis_linux::domains::{Domains, Member};
use aegis_linux::machine::Void;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The hooks of each task, in the plan's order.
pub(crate) type AllHooks = Vec<Option<Box<dyn TaskHooks>>>;

/// Proves the tables once more and checks what only a binary must fulfil.
pub(crate) fn prove(system: &SystemDesc) -> Result<(), HostError> {
    let refuse = |text: String| Err(HostError::Refused(text));
    match aegis_core::verify::verify(system) {
        Ok(()) => {}
        Err(Violation::Pieces) => return refuse(format!("{}{}", Violation::Pieces, other_pieces(system))),
        Err(violation) => return refuse(Broken { system, violation }.to_string()),
    }
    if let Some(pool) = system.pools.iter().find(|pool| pool.gpu.is_some() && pool.page.0 > 0) {
        return refuse(format!(
            "levels of memory pressure give back pages of \"{}\", which is a GPU's memory",
            pool.name
        ));
    }
    if let Some((pool, own)) = other_pages(system) {
        return refuse(format!(
            "levels of memory pressure give back pages of \"{pool}\" as `page-size` says, and this machine's are {own} bytes long"
        ));
    }
    for task in system.tasks {
        if task.model.is_none() {
            return refuse(format!("task \"{}\" has no model, which is legal only in an analysis", task.name));
        }
    }
    Ok(())
}

/// The tasks whose jobs have other pieces than their models have segments.
fn other_pieces(system: &SystemDesc) -> String {
    let own = system.tasks.iter().filter_map(|task| Some((task, system.models.get(task.model?.index())?)));
    let differ = own.filter(|(task, model)| task.segments.len() > 1 && task.segments.len() != model.segments.len());
    let text = differ.map(|(task, model)| {
        let (pieces, segments) = (task.segments.len(), model.segments.len());
        format!("; task \"{}\" has {pieces}, its model \"{}\" {segments}", task.name, model.name)
    });
    text.collect()
}

/// Loads the library of each backend that a model needs. It serves the devices that models of it run on.
pub(crate) fn open_runtimes(
    system: &SystemDesc,
    cache: &Cache,
    devices: &Devices,
    voids: &mut Vec<Void>,
) -> Result<Runtimes, HostError> {
    let mut runtimes = Runtimes::default();
    for backend in Backend::ALL.into_iter().filter(|backend| backend.has_library()) {
        let own: BTreeSet<_> =
            system.models.iter().filter(|model| model.backend == backend).map(|one| one.pool.index()).collect();
        if own.is_empty() {
            continue;
        }
        let (path, version) = library(backend, system, cache, voids)?;
        runtimes.load_library(backend, &path, version)?;
        for device in own.into_iter().filter_map(|pool| devices.get(pool)?.as_ref()) {
            runtimes.serve_device(backend, device.ordinal())?;
        }
    }
    Ok(runtimes)
}

/// The library of a runtime in the plan, with those that it finds beside itself; the backend's variable goes before the cache.
fn library(
    backend: Backend,
    system: &SystemDesc,
    cache: &Cache,
    voids: &mut Vec<Void>,
) -> Result<(PathBuf, &'static str), HostError> {
    let unnamed = || HostError::Refused(format!("the plan names no library of the runtime \"{}\"", backend.name()));
    let variable = backend.library_variable().ok_or_else(unnamed)?;
    let given = std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
    let libraries = system.libraries_of(backend);
    let (library, beside) = libraries.split_first().ok_or_else(unnamed)?;
    let Some(path) = given else {
        return Ok((cache.together(libraries).ok_or_else(unnamed)??, library.version));
    };
    let hash = |what: &str, path: &Path| {
        let failed = |error| HostError::File { what: what.to_owned(), path: path.to_owned(), error };
        sha256(path).map_err(failed)
    };
    let what = format!("library \"{}\"", library.name);
    let found = hash(&what, &path)?;
    let mut texts = Vec::new();
    for file in beside {
        let what = format!("library \"{}\"", file.name);
        let found = hash(&what, &path.with_file_name(file.name))?;
        if found != file.sha256 {
            texts.push(format!("{what} beside {variable} has SHA-256 {found}, the plan was made for {}", file.sha256));
        }
    }
    if found != library.sha256 {
        let version = match backend {
            Backend::OnnxRuntime => format!("version {} with", version_of(&path).unwrap_or_else(|error| error)),
            Backend::Tvm | Backend::Kernels => "of a version that it does not tell, with".to_owned(),
        };
        texts.push(format!(
            "{what} from {variable} is {version} SHA-256 {found}, the plan was made for version {} with {}",
            library.version, library.sha256
        ));
    }
    voids.extend(texts.into_iter().map(|text| Void { reason: VoidReason::OtherLibrary, text }));
    Ok((path, library.version))
}

/// Takes every pool's arena.
pub(crate) fn take_memory(system: &'static SystemDesc, devices: &Devices) -> Result<Vec<Arc<Arena>>, HostError> {
    let take = |(pool, device): (&'static PoolDesc, &Option<Arc<Device>>)| {
        let (name, bytes) = (pool.name, pool.height.0);
        if let Some(device) = device {
            return gpu::arena(name, device, bytes);
        }
        Arena::map(bytes, true).map_err(|error| HostError::Memory { pool: name, bytes, error })
    };
    system.pools.iter().zip(devices).map(take).collect()
}

/// Loads every lane's models into the planned memory and gives each task its hooks.
pub(crate) fn build_lane(
    system: &SystemDesc,
    lane: LaneId,
    runtimes: &Runtimes,
    cache: &Cache,
    (arenas, seat): (&[Arc<Arena>], Option<&Arc<Seat>>),
    hooks: &mut AllHooks,
    domains: &Arc<Domains>,
) -> Result<HostLane, HostError> {
    let name = system.lanes.get(lane.index()).map_or("", |lane| lane.name);
    let mut work = HostLane { name, tasks: Vec::new(), failure: None, failed_jobs: Vec::new() };
    for (task, number) in system.tasks.iter().zip(0_u16..) {
        let Some(model) = task.model.filter(|_| task.lane == lane) else { continue };
        let Loaded { engines, inputs, outputs } = load(system, model, runtimes, cache, (arenas, seat))?;
        let id = TaskId(number);
        let hooks = hooks.get_mut(id.index()).and_then(Option::take);
        let life = system.models.get(model.index()).map(|model| model.tensors);
        let zeroes = hooks.is_none() && life == Some(TensorLife::Job);
        let (name, member) = (task.name, Member::new(Arc::clone(domains), task.domain));
        work.tasks.push(LaneTask { id, name, model, engines, inputs, outputs, hooks, zeroes, begun: None, member });
    }
    Ok(work)
}

/// A model in planned memory.
struct Loaded {
    /// One for each segment, in order.
    engines: Vec<Box<dyn Engine>>,
    inputs: Vec<BoundTensor>,
    outputs: Vec<BoundTensor>,
}

fn load(
    system: &SystemDesc,
    id: ModelId,
    runtimes: &Runtimes,
    cache: &Cache,
    (arenas, seat): (&[Arc<Arena>], Option<&Arc<Seat>>),
) -> Result<Loaded, HostError> {
    let missing = || HostError::Refused(format!("model {} is not in the plan", id.0));
    let model = system.models.get(id.index()).ok_or_else(missing)?;
    let outside = || HostError::Refused(format!("a region of model \"{}\" lies outside its pool", model.name));
    let arena = arenas.get(model.pool.index()).ok_or_else(outside)?;
    let gpu = |error| HostError::Gpu { pool: system.pools.get(model.pool.index()).map_or("", |pool| pool.name), error };
    let place = match seat {
        Some(seat) => Place::on(seat, arena, model).map_err(gpu)?,
        None => Place::of(arena),
    };
    let mut engines = Vec::new();
    for (number, segment) in model.segments.iter().enumerate() {
        let what = match model.segments {
            [_] => format!("model \"{}\"", model.name),
            _ => format!("segment {} of model \"{}\"", number.saturating_add(1), model.name),
        };
        let file = cache.find(&what, &segment.file)?;
        let owns_scratch = scratch_is_its_own(system, id.index(), number);
        let memory = |runs| {
            PlannedMemory::of(model, &SegmentDesc { runs, ..*segment }, owns_scratch, &place).ok_or_else(outside)
        };
        let program = match model.backend {
            Backend::Kernels => Some(Arc::new(Program::of(model, segment).ok_or_else(outside)?)),
            Backend::OnnxRuntime | Backend::Tvm => None,
        };
        let source = Source { backend: model.backend, file: &file, program: program.as_ref() };
        let mut engine = runtimes.load(source, memory(segment.runs)?)?;
        if seat.is_some() {
            let mut later = segment.runs;
            // What a runtime finds in its first run decides how it computes, and so what it requests: a probe makes it right after
            // loading, too, on the thread that loads.
            while let Err(error) = engine.run() {
                later = later.get(1..).unwrap_or(&[]);
                match error {
                    BackendError::Refused(_) if !later.is_empty() => drop(engine),
                    BackendError::Refused(why) => {
                        let why = format!("the first run of {what}: {why}; measure again with `aegis profile`");
                        return Err(BackendError::Refused(why).into());
                    }
                    other => return Err(other.into()),
                }
                engine = runtimes.load(source, memory(later)?)?;
            }
        }
        engines.push(engine);
    }
    let tensors = |from: usize, count: usize| {
        let positions = from..from.saturating_add(count);
        positions.map(|position| place.tensor(model, position)).collect::<Option<Vec<_>>>().ok_or_else(outside)
    };
    let inputs = model.inputs.len();
    Ok(Loaded { engines, inputs: tensors(0, inputs)?, outputs: tensors(inputs, model.outputs.len())? })
}

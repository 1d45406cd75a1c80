//! The start of a vehicle: proof, files, memory, models, in this order; nothing runs before all of it holds.

use crate::arena::{Arena, BoundTensor};
use crate::backend::{BackendError, Engine, Place, PlannedMemory, Staging};
use crate::cache::{Cache, sha256};
use crate::domain::{self, Processes, Remote, RemoteEngine};
use crate::error::HostError;
use crate::gpu::{self, Devices, Seat};
use crate::hooks::TaskHooks;
use crate::kernels::Program;
use crate::lane_work::{HostLane, LaneTask};
use crate::onnx::{EngineOptions, version_of};
use crate::reclaim::other_pages;
use crate::runtimes::{Runtimes, Source};
use aegis_core::desc::{
    Backend, EngineDesc, EngineLibrary, FileDesc, ModelDesc, PoolDesc, SegmentDesc, SystemDesc, TensorLife,
};
use aegis_core::trace::VoidReason;
use aegis_core::verify::{Broken, Violation, scratch_is_its_own};
use aegis_core::{DomainId, LaneId, ModelId, TaskId};
use aegis_cuda::Device;
use aegis_linux::domains::{Domains, Member};
use aegis_linux::machine::Void;
use aegis_linux::worker::shared::object;
use rustix::fd::OwnedFd;
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
    if let Some(pool) = system.pools.iter().find(|pool| pool.domain.is_some() && pool.page.0 > 0) {
        return refuse(format!(
            "levels of memory pressure give back pages of \"{}\", which a fault domain's process maps, too",
            pool.name
        ));
    }
    domain::check(system).map_or(Ok(()), refuse)?;
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

/// Loads the library of each backend that a model of a domain's process needs, or of none. It serves the devices that models of
/// it run on.
pub(crate) fn open_runtimes(
    system: &SystemDesc,
    domain: Option<DomainId>,
    cache: &Cache,
    devices: &Devices,
    voids: &mut Vec<Void>,
) -> Result<Runtimes, HostError> {
    let mut runtimes = Runtimes::default();
    for backend in Backend::ALL.into_iter().filter(|backend| backend.has_library()) {
        let is_here = |model: &&ModelDesc| {
            let pool = system.pools.get(model.pool.index());
            model.backend == backend && pool.is_some_and(|pool| pool.domain == domain)
        };
        let own: BTreeSet<_> = system.models.iter().filter(is_here).map(|one| one.pool.index()).collect();
        if own.is_empty() {
            continue;
        }
        let (path, version) = library(backend, system, cache, voids)?;
        runtimes.load_library(backend, &path, version)?;
        let with_engines = |pool: usize, has: bool| {
            system.models.iter().filter(move |model| {
                model.backend == backend && model.pool.index() == pool && model.engines.is_some() == has
            })
        };
        for (pool, device) in own.into_iter().filter_map(|pool| Some((pool, devices.get(pool)?.as_ref()?))) {
            // Engines are served nothing.
            if with_engines(pool, false).next().is_some() {
                runtimes.serve_device(backend, device.ordinal())?;
            }
            let mut open: Vec<(EngineLibrary, String)> = Vec::new();
            for model in with_engines(pool, true) {
                let Some(engines) = &model.engines else { continue };
                let version = match open.iter().find(|(library, _)| *library == engines.library) {
                    Some((_, version)) => version.clone(),
                    None => {
                        let version = runtimes.open_engines(engines.library, device)?;
                        open.push((engines.library, version.clone()));
                        version
                    }
                };
                built_by_this(model, engines, &version, &path)?;
            }
        }
    }
    Ok(runtimes)
}

/// A library loads only engines that its own version built.
fn built_by_this(model: &ModelDesc, engines: &EngineDesc, found: &str, path: &Path) -> Result<(), HostError> {
    if engines.version == found {
        return Ok(());
    }
    let (library, version) = (engines.library.name(), engines.version);
    let text = format!(
        "it comes with {library} {found}; the engines of model \"{}\" were built by {library} {version}, which alone loads them: measure again \
         with `aegis profile`, or install {version}",
        model.name
    );
    Err(BackendError::Library { path: path.with_file_name(engines.library.provider_file()), text }.into())
}

/// The engine of a segment.
fn engine(cache: &Cache, what: &str, segment: &SegmentDesc) -> Result<PathBuf, HostError> {
    let file = FileDesc { name: segment.file.name, sha256: segment.engine, version: "" };
    let wrong = |path, fault| HostError::Engine { what: what.to_owned(), path, fault };
    cache.find(what, &file).map_err(|error| match error {
        HostError::Missing { path, .. } => wrong(path, "is missing".to_owned()),
        HostError::WrongContents { path, found, planned, .. } => {
            wrong(path, format!("has the SHA-256 {found}, the plan needs {planned}"))
        }
        other => other,
    })
}

/// Says where the library of a runtime that only fault domains' processes load is not the plan's: each of them finds the same one.
pub(crate) fn other_libraries(system: &SystemDesc, cache: &Cache, voids: &mut Vec<Void>) -> Result<(), HostError> {
    for backend in Backend::ALL.into_iter().filter(|backend| backend.has_library()) {
        let in_process = |model: &ModelDesc| {
            let pool = system.pools.get(model.pool.index());
            pool.is_some_and(|pool| pool.domain.is_some())
        };
        let mut own = system.models.iter().filter(|model| model.backend == backend).peekable();
        if own.peek().is_some() && own.all(in_process) {
            library(backend, system, cache, voids)?;
        }
    }
    Ok(())
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

/// A pool's arena, and the object that it is a mapping of, where it is a fault domain's: of a GPU not its memory, which that
/// process takes, but where inputs and outputs are.
pub(crate) type Taken = (Arc<Arena>, Option<OwnedFd>);

/// Takes every pool's arena.
pub(crate) fn take_memory(system: &'static SystemDesc, devices: &Devices) -> Result<Vec<Taken>, HostError> {
    let take = |(number, (pool, device)): (usize, (&'static PoolDesc, &Option<Arc<Device>>))| {
        let (name, bytes) = (pool.name, pool.height.0);
        if let Some(device) = device {
            return Ok((gpu::arena(system, pool, number, device)?, None));
        }
        // Of a device that a domain's process has, what both see is where the inputs and outputs of its models are.
        let bytes = if pool.gpu.is_some() { gpu::shared_staging(system, number) } else { bytes };
        let failed = |error| HostError::Memory { pool: name, bytes, error };
        if pool.domain.is_none() {
            return Ok((Arena::map(bytes, true).map_err(failed)?, None));
        }
        let object = object(&format!("aegis-{name}"), bytes.max(1)).map_err(failed)?;
        Ok((Arena::shared(&object, bytes.max(1)).map_err(failed)?, Some(object)))
    };
    system.pools.iter().zip(devices).enumerate().map(take).collect()
}

/// Loads every lane's models into the planned memory and gives each task its hooks.
pub(crate) fn build_lane(
    system: &SystemDesc,
    lane: LaneId,
    runtimes: &Runtimes,
    cache: &Cache,
    (arenas, seat): (&[Arc<Arena>], Option<&Arc<Seat>>),
    hooks: &mut AllHooks,
    (domains, processes): (&Arc<Domains>, &Processes),
) -> Result<HostLane, HostError> {
    let name = system.lanes.get(lane.index()).map_or("", |lane| lane.name);
    let mut work = HostLane { name, tasks: Vec::new(), failure: None, failed_jobs: Vec::new() };
    for (task, number) in system.tasks.iter().zip(0_u16..) {
        let Some(model) = task.model.filter(|_| task.lane == lane) else { continue };
        let id = TaskId(number);
        let outside = || HostError::Refused(format!("the memory of task \"{}\" lies outside its pool", task.name));
        let pool = system.models.get(model.index()).map(|model| model.pool.index());
        let arena = pool.and_then(|pool| arenas.get(pool)).ok_or_else(outside)?;
        let Loaded { engines, inputs, outputs } = match processes.remote(lane, id) {
            Some((remote, number)) => far(system, model, arena, &remote, number)?,
            None => load(system, model, runtimes, cache, Target { arena, seat, staging: None })?,
        };
        let hooks = hooks.get_mut(id.index()).and_then(Option::take);
        let life = system.models.get(model.index()).map(|model| model.tensors);
        let zeroes = hooks.is_none() && life == Some(TensorLife::Job);
        let (name, member) = (task.name, Member::new(Arc::clone(domains), task.domain));
        work.tasks.push(LaneTask { id, name, model, engines, inputs, outputs, hooks, zeroes, begun: None, member });
    }
    Ok(work)
}

/// A model in planned memory.
pub(crate) struct Loaded {
    /// One for each segment, in order.
    pub(crate) engines: Vec<Box<dyn Engine>>,
    pub(crate) inputs: Vec<BoundTensor>,
    outputs: Vec<BoundTensor>,
}

/// A model that another process loads: here is only what the application sees of it.
fn far(
    system: &SystemDesc,
    id: ModelId,
    arena: &Arc<Arena>,
    remote: &Arc<Remote>,
    number: u32,
) -> Result<Loaded, HostError> {
    let missing = || HostError::Refused(format!("model {} is not in the plan", id.0));
    let model = system.models.get(id.index()).ok_or_else(missing)?;
    let outside = || HostError::Refused(format!("a tensor of model \"{}\" lies outside its pool", model.name));
    let place = Place::of(arena);
    let staging = match gpu::ordinal(system, model.pool) {
        Some(_) => Some(Staging { arena: Arc::clone(arena), at: gpu::staged_at(system, id).ok_or_else(outside)? }),
        None => None,
    };
    let inputs = model.inputs.len();
    let ends = inputs.saturating_add(model.outputs.len());
    let tensor = |position: usize| match &staging {
        Some(staging) => staging.tensor(model, position),
        None => place.tensor(model, position),
    };
    let tensors = |positions: &mut dyn Iterator<Item = usize>| {
        // What a segment on a device hands on to the next one is not seen here.
        let seen = positions.filter(|position| staging.is_none() || *position < ends);
        seen.map(tensor).collect::<Option<Vec<_>>>().ok_or_else(outside)
    };
    let of = |positions: &[u16]| tensors(&mut positions.iter().map(|position| usize::from(*position)));
    let mut engines: Vec<Box<dyn Engine>> = Vec::new();
    for (segment, position) in model.segments.iter().zip(0_u32..) {
        let own = (of(segment.reads)?, of(segment.writes)?);
        engines.push(Box::new(RemoteEngine::new(Arc::clone(remote), number, position, own, segment.memory)));
    }
    Ok(Loaded { engines, inputs: tensors(&mut (0..inputs))?, outputs: tensors(&mut (inputs..ends))? })
}

/// Where a model is loaded to.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    /// Its pool's arena.
    pub(crate) arena: &'a Arc<Arena>,
    /// Of a GPU, its lane's part of it.
    pub(crate) seat: Option<&'a Arc<Seat>>,
    /// In a domain's process, where the vehicle has the inputs and outputs of the pool's models; elsewhere each model on a GPU
    /// takes its own.
    pub(crate) staging: Option<&'a Arc<Arena>>,
}

/// Loads a model into planned memory.
pub(crate) fn load(
    system: &SystemDesc,
    id: ModelId,
    runtimes: &Runtimes,
    cache: &Cache,
    Target { arena, seat, staging }: Target<'_>,
) -> Result<Loaded, HostError> {
    let missing = || HostError::Refused(format!("model {} is not in the plan", id.0));
    let model = system.models.get(id.index()).ok_or_else(missing)?;
    let outside = || HostError::Refused(format!("a region of model \"{}\" lies outside its pool", model.name));
    let failed =
        |error| HostError::Gpu { pool: system.pools.get(model.pool.index()).map_or("", |pool| pool.name), error };
    let place = match (seat, staging) {
        (Some(seat), Some(staging)) => {
            let at = gpu::staged_at(system, id).ok_or_else(outside)?;
            Place::beside(seat, arena, Staging { arena: Arc::clone(staging), at })
        }
        (Some(seat), None) => Place::on(seat, arena, model).map_err(failed)?,
        (None, _) => Place::of(arena),
    };
    let mut engines = Vec::new();
    for (number, segment) in model.segments.iter().enumerate() {
        let what = match model.segments {
            [_] => format!("model \"{}\"", model.name),
            _ => format!("segment {} of model \"{}\"", number.saturating_add(1), model.name),
        };
        let file = match &model.engines {
            Some(_) => engine(cache, &what, segment)?,
            None => cache.find(&what, &segment.file)?,
        };
        let owns_scratch = scratch_is_its_own(system, id.index(), number);
        let memory = |runs| {
            PlannedMemory::of(model, &SegmentDesc { runs, ..*segment }, owns_scratch, &place).ok_or_else(outside)
        };
        let program = match model.backend {
            Backend::Kernels => Some(Arc::new(Program::of(model, segment).ok_or_else(outside)?)),
            Backend::OnnxRuntime | Backend::Tvm => None,
        };
        let engine = model.engines.as_ref().map(EngineOptions::of);
        let source = Source { backend: model.backend, file: &file, program: program.as_ref(), engine };
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

#[cfg(test)]
mod tests {
    use super::{built_by_this, engine};
    use crate::cache::Cache;
    use aegis_core::desc::{
        Backend, EngineDesc, EngineLibrary, FileDesc, MemoryControl, ModelDesc, Precision, SegmentDesc, TensorLife,
    };
    use aegis_core::{ByteOffset, Bytes, PoolId};

    /// SHA-256 of "abc", the first example of FIPS 180.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    const SEGMENT: SegmentDesc = SegmentDesc {
        file: FileDesc { name: "net", sha256: "", version: "" },
        engine: ABC,
        memory: MemoryControl::Measured,
        persistent_at: ByteOffset(0),
        persistent: Bytes(0),
        load: &[],
        scratch_at: ByteOffset(0),
        scratch: Bytes(0),
        runs: &[],
        reads: &[],
        writes: &[],
        launches: &[],
    };

    const ENGINES: EngineDesc = EngineDesc {
        library: EngineLibrary::TensorRt,
        version: "10.14.1",
        precision: Precision::Half,
        workspace: Bytes(1 << 20),
    };

    const MODEL: ModelDesc = ModelDesc {
        name: "net",
        backend: Backend::OnnxRuntime,
        engines: Some(ENGINES),
        pool: PoolId(0),
        weights: Bytes(1 << 21),
        tensors: TensorLife::Kept,
        inputs: &[],
        outputs: &[],
        carried: &[],
        segments: &[SEGMENT],
    };

    #[test]
    fn a_vehicle_loads_the_planned_engine_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned());
        let missing = engine(&cache, "model \"net\"", &SEGMENT).unwrap_err();
        let told = format!(
            "the engine of model \"net\" at {} is missing: a vehicle builds none; take the file from the cache of the machine that was \
             measured, or measure here with `aegis profile`",
            cache.path(ABC).display()
        );
        assert_eq!((missing.to_string(), missing.status()), (told, 2));
        std::fs::create_dir(folder.path().join("sha256")).unwrap();
        std::fs::write(cache.path(ABC), "abd").unwrap();
        let other = engine(&cache, "model \"net\"", &SEGMENT).unwrap_err().to_string();
        assert!(other.contains("has the SHA-256") && other.contains(&format!("the plan needs {ABC}")), "{other}");
        std::fs::write(cache.path(ABC), "abc").unwrap();
        assert_eq!(engine(&cache, "model \"net\"", &SEGMENT).unwrap(), cache.path(ABC));
    }

    #[test]
    fn engines_of_another_version_are_refused_with_both() {
        let library = "/lib/libonnxruntime.so".as_ref();
        assert!(built_by_this(&MODEL, &ENGINES, "10.14.1", library).is_ok());
        let refused = built_by_this(&MODEL, &ENGINES, "10.13.2", library).unwrap_err().to_string();
        let told = "the library /lib/libonnxruntime_providers_tensorrt.so cannot be loaded: it comes with tensorrt 10.13.2; the engines of model \
                    \"net\" were built by tensorrt 10.14.1, which alone loads them: measure again with `aegis profile`, or install 10.14.1";
        assert_eq!(refused, told);
    }
}

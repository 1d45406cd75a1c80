//! Models that TVM compiled, on a part of a GPU and on the CPU, each with memory of its own.
#![allow(unreachable_pub, dead_code, reason = "each integration test uses its part")]

use super::on_gpu::whole;
use super::{FACE, ORIENTATION, cached};
use aegis_cuda::Device;
use aegis_host::arena::{Arena, BoundTensor};
use aegis_host::backend::{LoadedSegment, PlannedMemory, Port, Region, Sequence};
use aegis_host::gpu::Seat;
use aegis_host::tvm::{TvmEngine, TvmModel, TvmRuntime};
use aegis_tests::tvm::{VERSION, tvm};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

const MIB: u64 = 1 << 20;

/// A model, compiled twice.
#[derive(Debug)]
pub struct Compiled {
    pub name: &'static str,
    pub for_cpu: PathBuf,
    pub for_device: PathBuf,
}

/// The runtime of this process, with what it can run.
#[derive(Debug)]
pub struct Room {
    pub runtime: TvmRuntime,
    pub library: PathBuf,
    pub models: Vec<Compiled>,
    _folder: tempfile::TempDir,
}

/// `None` with a printed reason where there is no TVM. With `AEGIS_TVM_LIBRARY` its runtime is that one, and `AEGIS_TVM_MODULES`
/// names a folder of modules that were compiled elsewhere: `face.so` and `orientation.so` for the CPU, and `face-9.0.so` and so
/// on for devices of that compute capability. Without, pip installs TVM's and NVIDIA's compilers.
pub fn room(device: &Device) -> Option<&'static Room> {
    static ROOM: OnceLock<Option<Room>> = OnceLock::new();
    let (major, minor) = device.facts().compute_capability;
    let capability = format!("{major}.{minor}");
    let make = || {
        let folder = tempfile::tempdir().unwrap();
        let (library, models) = match std::env::var_os("AEGIS_TVM_MODULES") {
            Some(modules) => {
                let Some(library) = std::env::var_os("AEGIS_TVM_LIBRARY") else {
                    println!("skipped: AEGIS_TVM_MODULES is set, and AEGIS_TVM_LIBRARY names no TVM");
                    return None;
                };
                let modules = PathBuf::from(modules);
                let models = ["face", "orientation"].map(|name| Compiled {
                    name,
                    for_cpu: modules.join(format!("{name}.so")),
                    for_device: modules.join(format!("{name}-{capability}.so")),
                });
                (library.into(), models.into())
            }
            None => {
                let tvm = tvm()?;
                let compile = |(name, sha256, arguments): (&'static str, &str, &[&str])| {
                    let model = cached(sha256)?;
                    let for_cpu = folder.path().join(format!("{name}.so"));
                    let for_device = folder.path().join(format!("{name}-{capability}.so"));
                    tvm.compile(&model, &for_cpu, arguments).unwrap();
                    tvm.compile_for_cuda((&model, &for_device), &capability, arguments)?.unwrap();
                    Some(Compiled { name, for_cpu, for_device })
                };
                let models: [(_, _, &[&str]); 2] =
                    [("face", FACE, &[]), ("orientation", ORIENTATION, &["--shape", "x=1,3,224,224"])];
                (tvm.library(folder.path()), models.into_iter().map(compile).collect::<Option<Vec<_>>>()?)
            }
        };
        let runtime = TvmRuntime::open(&library, VERSION).unwrap();
        Some(Room { runtime, library, models, _folder: folder })
    };
    ROOM.get_or_init(make).as_ref()
}

/// Memory of a device or of the CPU.
pub fn memory(seat: Option<&Arc<Seat>>, bytes: u64) -> Arc<Arena> {
    match seat {
        Some(seat) => Arena::of_device(seat.device(), bytes).unwrap(),
        None => Arena::map(bytes, true).unwrap(),
    }
}

/// A module, loaded with first fit or as recorded.
pub fn load(room: &Room, file: &Path, seat: Option<&Arc<Seat>>, sequence: Sequence) -> TvmModel {
    let region = match seat {
        Some(_) => whole(&memory(seat, 64 * MIB), sequence),
        None => whole(&memory(None, 1), Sequence::Heap),
    };
    TvmModel::load(&room.runtime, file, region, seat.cloned()).unwrap()
}

/// A loaded module with tensors of its own, and so many bytes of scratch.
pub fn bind(model: TvmModel, seat: Option<&Arc<Seat>>, (bytes, sequence): (u64, Sequence)) -> TvmEngine {
    let scratch = whole(&memory(seat, bytes), sequence);
    bind_to(model, seat, scratch)
}

/// Likewise with this scratch.
pub fn bind_to(model: TvmModel, seat: Option<&Arc<Seat>>, scratch: Region) -> TvmEngine {
    let tensor = |port: &Port| {
        let sides = port.shape.iter().map(|side| u64::try_from(*side).unwrap());
        let bytes = sides.product::<u64>() * port.element.size().0;
        let host = seat.map(|seat| Arena::pinned(seat.device(), bytes).unwrap().span(0, bytes).unwrap());
        let span = memory(seat, bytes).span(0, bytes).unwrap();
        BoundTensor { name: port.name.clone(), element: port.element, shape: port.shape.clone(), span, host }
    };
    let inputs = model.inputs().iter().map(tensor).collect();
    let outputs = model.outputs().iter().map(tensor).collect();
    let persistent = whole(&memory(seat, 1), Sequence::Heap);
    TvmEngine::bind(model, PlannedMemory { inputs, outputs, persistent, scratch, seat: seat.cloned() }).unwrap()
}

/// A module with first fit.
pub fn engine(room: &Room, file: &Path, seat: Option<&Arc<Seat>>) -> TvmEngine {
    bind(load(room, file, seat, Sequence::Free), seat, (256 * MIB, Sequence::Free))
}

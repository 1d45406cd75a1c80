//! Models on a part of a GPU, each with memory of its own.
#![allow(unreachable_pub, dead_code, reason = "each integration test uses its part")]

use super::{FACE, ORIENTATION, gpu};
use aegis_core::desc::FileDesc;
use aegis_cuda::{Device, SmUnits};
use aegis_host::arena::{Arena, BoundTensor};
use aegis_host::backend::{LoadedSegment as _, PlannedMemory, Port, Region, Sequence};
use aegis_host::cache::Cache;
use aegis_host::gpu::Seat;
use aegis_host::kernels::Program;
use aegis_host::onnx::{OnnxEngine, OnnxModel, OnnxRuntime};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const MIB: u64 = 1 << 20;

/// A device that can be divided in two and that no other test of this program uses, or `None` with a printed reason.
pub fn divisible() -> Option<(Arc<Device>, SmUnits, MutexGuard<'static, ()>)> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let device = gpu()?;
    let Some(units) = device.facts().units.filter(|units| units.count > 1) else {
        println!("skipped: {} cannot be divided in two", device.facts().name);
        return None;
    };
    Some((device, units, guard))
}

/// A runtime that serves the first device, and two models, or `None` with a printed reason. A process has one runtime.
pub fn with_models() -> Option<(OnnxRuntime, Vec<PathBuf>)> {
    let Some(library) = std::env::var_os("ORT_DYLIB_PATH") else {
        println!("skipped: ORT_DYLIB_PATH names no ONNX Runtime with CUDA");
        return None;
    };
    let cache = Cache::of_user().unwrap();
    let find = |sha256| cache.find("a model", &FileDesc { name: "model", sha256, version: "" });
    let models = [FACE, ORIENTATION].into_iter().map(find).collect::<Result<Vec<_>, _>>();
    let models = models.map_err(|error| println!("skipped: {error}")).ok()?;
    let runtime = OnnxRuntime::open(library.as_ref()).unwrap();
    runtime.serve_device(0).unwrap();
    Some((runtime, models))
}

pub fn whole(arena: &Arc<Arena>, sequence: Sequence) -> Region {
    Region { span: arena.span(0, arena.length()).unwrap(), sequence }
}

/// A model on the CPU, or on a part of the device, with first fit in arenas of its own.
pub fn engine(runtime: &OnnxRuntime, file: &Path, seat: Option<&Arc<Seat>>) -> OnnxEngine {
    let memory = |bytes| match seat {
        Some(seat) => Arena::of_device(seat.device(), bytes).unwrap(),
        None => Arena::map(bytes, true).unwrap(),
    };
    let load = whole(&memory(64 * MIB), if seat.is_some() { Sequence::Free } else { Sequence::Heap });
    let model = OnnxModel::load(runtime, file, load, seat.cloned()).unwrap();
    let tensor = |port: &Port| {
        // The orientation model leaves its sides open; it was trained for 224.
        let open = port.shape.iter().any(|side| *side < 0);
        let shape: Vec<i64> = match port.shape.as_slice() {
            [_, _, _, _] if open => vec![1, 3, 224, 224],
            other => other.iter().map(|side| (*side).max(1)).collect(),
        };
        let bytes = bytes(&shape, port);
        let host = seat.map(|seat| Arena::pinned(seat.device(), bytes).unwrap().span(0, bytes).unwrap());
        let span = memory(bytes).span(0, bytes).unwrap();
        BoundTensor { name: port.name.clone(), element: port.element, shape, span, host }
    };
    let inputs = model.inputs().iter().map(tensor).collect();
    let outputs = model.outputs().iter().map(tensor).collect();
    let persistent = whole(&memory(1), Sequence::Heap);
    let scratch = whole(&memory(256 * MIB), Sequence::Free);
    OnnxEngine::bind(model, PlannedMemory { inputs, outputs, persistent, scratch, seat: seat.cloned() }).unwrap()
}

/// Memory of its own for all of a program of kernels, and so many bytes for its buffers.
pub fn memory(seat: &Arc<Seat>, program: &Program, buffers: u64, sequence: Sequence) -> PlannedMemory {
    let device = seat.device();
    let tensor = |port: &Port| {
        let bytes = bytes(&port.shape, port);
        let span = Arena::of_device(device, bytes).unwrap().span(0, bytes).unwrap();
        let host = Some(Arena::pinned(device, bytes).unwrap().span(0, bytes).unwrap());
        BoundTensor { name: port.name.clone(), element: port.element, shape: port.shape.clone(), span, host }
    };
    PlannedMemory {
        inputs: program.inputs.iter().map(tensor).collect(),
        outputs: program.outputs.iter().map(tensor).collect(),
        persistent: whole(&Arena::of_device(device, 1).unwrap(), Sequence::Heap),
        scratch: whole(&Arena::of_device(device, buffers).unwrap(), sequence),
        seat: Some(Arc::clone(seat)),
    }
}

fn bytes(shape: &[i64], port: &Port) -> u64 {
    shape.iter().map(|side| u64::try_from(*side).unwrap()).product::<u64>() * port.element.size().0
}

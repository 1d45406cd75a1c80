//! TVM inside planned memory: same results, recorded and replayed, on one thread, and a clear refusal of anything else.
//!
//! The tests install TVM's compiler with pip; where that cannot be each says so and passes.
// Tests fill and read planned memory directly.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "clippy knows test functions only, not their helpers")]

mod common;

use aegis_core::desc::{ALIGNMENT, ElementType, MemoryControl, Recording};
use aegis_host::arena::{Arena, BoundTensor};
use aegis_host::backend::{
    BackendError, BoundSegment as _, Engine, LoadedSegment as _, PlannedMemory, Port, Region, RuntimeBackend, Sequence,
};
use aegis_host::first_fit::replayable;
use aegis_host::onnx::{OnnxRuntime, unattributed};
use aegis_host::tvm::{TvmEngine, TvmModel, TvmRuntime};
use aegis_tests::tvm::{Tvm, VERSION, tvm};
use common::tiny::{self, ELEMENTS, Node};
use common::{FACE, LIBRARY, cached};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

const MIB: u64 = 1 << 20;

/// What this process has compiled, with the runtime.
struct Room {
    folder: tempfile::TempDir,
    tvm: &'static Tvm,
    runtime: TvmRuntime,
}

/// What a stray access of memory calls.
fn stray_access_handler() -> usize {
    // SAFETY: a structure of numbers and pointers, for which zeros are valid.
    let mut handler = unsafe { std::mem::zeroed::<libc::sigaction>() };
    // SAFETY: it only reads the handler.
    assert_eq!(unsafe { libc::sigaction(libc::SIGSEGV, std::ptr::null(), &raw mut handler) }, 0);
    handler.sa_sigaction
}

fn room() -> Option<&'static Room> {
    static ROOM: OnceLock<Option<Room>> = OnceLock::new();
    let make = || {
        let (tvm, folder) = (tvm()?, tempfile::tempdir().unwrap());
        let before = stray_access_handler();
        let runtime = TvmRuntime::open(&tvm.library(folder.path()), VERSION).unwrap();
        assert_eq!(stray_access_handler(), before, "TVM's interface takes it when it is loaded");
        Some(Room { folder, tvm, runtime })
    };
    ROOM.get_or_init(make).as_ref()
}

impl Room {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A tiny model, compiled.
    fn tiny(&self, name: &str, inputs: &[&str], nodes: &[Node<'_>], outputs: &[&str]) -> PathBuf {
        let (file, module) = (self.path(&format!("{name}.onnx")), self.path(&format!("{name}.so")));
        std::fs::write(&file, tiny::model(inputs, nodes, outputs)).unwrap();
        self.tvm.compile(&file, &module, &[]).unwrap();
        module
    }

    /// Two outputs, of which one is computed from the other; its kernel needs workspace.
    fn soft(&self) -> &'static Path {
        static MODULE: OnceLock<PathBuf> = OnceLock::new();
        let nodes: [Node<'_>; 3] =
            [("Add", &["x", "z"], "sum"), ("Mul", &["sum", "sum"], "h"), ("Softmax", &["h"], "y")];
        MODULE.get_or_init(|| self.tiny("soft", &["x", "z"], &nodes, &["y", "sum"]))
    }

    /// A network of this project's reference vehicle.
    fn face(&self) -> Option<&'static Path> {
        static MODULE: OnceLock<Option<PathBuf>> = OnceLock::new();
        let compile = || {
            let module = self.path("face.so");
            self.tvm.compile(&cached(FACE)?, &module, &[]).unwrap();
            Some(module)
        };
        MODULE.get_or_init(compile).as_deref()
    }
}

/// A region of the heap: of nothing that is planned.
fn heap() -> Region {
    Region { span: Arena::map(1, true).unwrap().span(0, 0).unwrap(), sequence: Sequence::Heap }
}

/// Memory for a segment's tensors from `at`, and its scratch from the arena's start.
fn memory(arena: &Arc<Arena>, ports: [&[Port]; 2], (at, scratch): (u64, u64), sequence: Sequence) -> PlannedMemory {
    let mut at = at;
    let [inputs, outputs] = ports.map(|ports| {
        let bound = |port: &Port| {
            let elements: u64 = port.shape.iter().map(|side| u64::try_from(*side).unwrap()).product();
            let bytes = elements * port.element.size().0;
            let span = arena.span(at, bytes).unwrap();
            at += bytes.next_multiple_of(64);
            BoundTensor { name: port.name.clone(), element: port.element, shape: port.shape.clone(), span, host: None }
        };
        ports.iter().map(bound).collect()
    });
    let scratch = Region { span: arena.span(0, scratch).unwrap(), sequence };
    PlannedMemory { inputs, outputs, persistent: heap(), scratch, seat: None }
}

fn load(
    runtime: &TvmRuntime,
    file: &Path,
    arena: &Arc<Arena>,
    places: (u64, u64),
    run: Sequence,
) -> Result<TvmEngine, BackendError> {
    let region = Region { span: arena.span(0, 0).unwrap(), sequence: Sequence::Load(&[]) };
    let model = TvmModel::load(runtime, file, region, None)?;
    let memory = memory(arena, [model.inputs(), model.outputs()], places, run);
    TvmEngine::bind(model, memory)
}

/// Fills the inputs with a ramp from `seed`, runs once and returns all outputs.
fn outputs(engine: &mut dyn Engine, seed: u16) -> Vec<Vec<f32>> {
    fill(engine, seed);
    engine.run().unwrap();
    // SAFETY: each test uses its arena on one thread.
    engine.outputs().iter().map(|tensor| unsafe { tensor.read::<f32>() }.unwrap().to_vec()).collect()
}

fn fill(engine: &mut dyn Engine, seed: u16) {
    for tensor in engine.inputs() {
        // SAFETY: as above.
        let values = unsafe { tensor.write::<f32>() }.unwrap();
        for (value, number) in values.iter_mut().zip(seed..) {
            *value = f32::from(number % 256) / 256.0;
        }
    }
}

#[test]
fn a_module_computes_what_its_model_says() {
    let Some(room) = room() else { return };
    let arena = Arena::map(8 * MIB, true).unwrap();
    let mut engine = load(&room.runtime, room.soft(), &arena, (4 * MIB, 4 * MIB), Sequence::Free).unwrap();
    assert_eq!(room.runtime.describe().memory, MemoryControl::Planned);
    for seed in [0, 77] {
        let found = outputs(&mut engine, seed);
        let sum: Vec<f32> = (seed..).take(ELEMENTS).map(|number| f32::from(number % 256) / 128.0).collect();
        assert_eq!(found[1], sum);
        let powers: Vec<f32> = sum.iter().map(|value| (value * value).exp()).collect();
        let all: f32 = powers.iter().sum();
        let far = |(power, found): (&f32, &f32)| (power / all - found).abs() > 1e-6;
        assert!(!powers.iter().zip(&found[0]).any(far), "{:?}", &found[0][..8]);
    }
}

#[test]
fn a_network_computes_what_it_computes_with_onnx_runtime() {
    let Some(room) = room() else { return };
    let (Some(module), Some(library), Some(file)) = (room.face(), cached(LIBRARY), cached(FACE)) else { return };
    let arena = Arena::map(64 * MIB, true).unwrap();
    let mut engine = load(&room.runtime, module, &arena, (48 * MIB, 48 * MIB), Sequence::Free).unwrap();
    let found = outputs(&mut engine, 0);
    let onnx = OnnxRuntime::open(&library).unwrap();
    let model = aegis_host::onnx::OnnxModel::load(&onnx, &file, heap(), None).unwrap();
    // The same names: a manifest's hooks do not change with the backend. Its file leaves the batch open.
    let ports = |own: &[Port], other: &[Port]| {
        for (own, other) in own.iter().zip(other) {
            assert_eq!((&own.name, own.element), (&other.name, other.element));
        }
        own.to_vec()
    };
    let module = TvmModel::load(&room.runtime, module, heap(), None).unwrap();
    let (inputs, outs) = (ports(module.inputs(), model.inputs()), ports(module.outputs(), model.outputs()));
    let arena = Arena::map(64 * MIB, true).unwrap();
    let memory = memory(&arena, [&inputs, &outs], (48 * MIB, 48 * MIB), Sequence::Free);
    let mut onnx = aegis_host::onnx::OnnxEngine::bind(model, memory).unwrap();
    let expected = outputs(&mut onnx, 0);
    assert!(expected.len() == found.len() && expected.iter().flatten().any(|value| value.abs() > 0.1));
    for (expected, found) in expected.iter().flatten().zip(found.iter().flatten()) {
        assert!((expected - found).abs() <= 1e-3 * expected.abs().max(1.0), "{expected} {found}");
    }
}

/// What a module's runs request, and their height.
fn recorded(room: &Room, file: &Path) -> (Vec<i64>, Recording, u64) {
    let arena = Arena::map(64 * MIB, true).unwrap();
    let mut engine = load(&room.runtime, file, &arena, (48 * MIB, 48 * MIB), Sequence::Recorded).unwrap();
    let mut record = || {
        outputs(&mut engine, 3);
        engine.recorded_run()
    };
    let events = record();
    assert_eq!(events, record(), "every run requests the same");
    let height = engine.scratch_use().height;
    let recording = replayable(&events, height, ALIGNMENT).unwrap();
    (events, recording, height)
}

#[test]
fn all_that_a_run_requests_is_recorded_and_replayed_in_planned_memory() {
    let Some(room) = room() else { return };
    let before = unattributed();
    let (events, recording, height) = recorded(room, room.soft());
    // Every block comes back within its run: what the module returns, too, and what kernels take besides the graph's tensors.
    let taken: Vec<i64> = events.iter().copied().filter(|event| *event > 0).collect();
    assert_eq!(taken.len() * 2, events.len(), "{events:?}");
    assert!(taken.iter().filter(|size| **size == 16_384).count() >= 3 && height >= 3 * tiny::BYTES, "{events:?}");
    let runs: &'static [Recording] = vec![recording].leak();
    let planned = |owns_region| Sequence::Planned { runs, owns_region };
    let arena = Arena::map(8 * MIB, true).unwrap();
    let mut engine = load(&room.runtime, room.soft(), &arena, (4 * MIB, height), planned(false)).unwrap();
    let expected = outputs(&mut engine, 9);
    for _ in 0..3 {
        // Whatever lies there between two runs means nothing.
        // SAFETY: nothing runs on the arena.
        unsafe { arena.span(0, height).unwrap().base().write_bytes(0xa5, usize::try_from(height).unwrap()) };
        assert_eq!(outputs(&mut engine, 9), expected);
    }
    let used = engine.scratch_use();
    assert_eq!((engine.control(), used.height, used.refused), (MemoryControl::Planned, height, 0));
    assert_eq!(engine.persistent_use().height, 0, "weights lie on the heap");
    assert_eq!(unattributed(), before, "every request has a model");
}

/// A refusal is an error of the one call: the process, the module and the others go on.
#[test]
fn what_is_not_planned_is_refused_and_nothing_else_is_touched() {
    let Some(room) = room() else { return };
    let add = room.tiny("add", &["x"], &[("Add", &["x", "x"], "h"), ("Mul", &["h", "h"], "y")], &["y"]);
    let arena = Arena::map(8 * MIB, true).unwrap();
    let mut other = load(&room.runtime, &add, &arena, (2 * MIB, MIB), Sequence::Free).unwrap();
    let expected = outputs(&mut other, 1);
    let mut small = load(&room.runtime, room.soft(), &arena, (4 * MIB, 20_000), Sequence::Free).unwrap();
    for _ in 0..2 {
        fill(&mut small, 1);
        let error = small.run().unwrap_err();
        assert!(
            matches!(&error, BackendError::Refused(why) if why.contains("do not fit the region of 20000")),
            "{error}"
        );
        assert_eq!(outputs(&mut other, 1), expected, "another module runs on");
    }
    // Another module's recording.
    let (_, recording, height) = recorded(room, &add);
    let run = Sequence::Planned { runs: vec![recording].leak(), owns_region: false };
    let mut strange = load(&room.runtime, room.soft(), &arena, (4 * MIB, height), run).unwrap();
    let error = strange.run().unwrap_err().to_string();
    assert!(error.contains("no recording fits") && error.contains("recorded is"), "{error}");
    strange.serve_from(Region { span: arena.span(0, MIB).unwrap(), sequence: Sequence::Free });
    let mut whole = load(&room.runtime, room.soft(), &arena, (4 * MIB, MIB), Sequence::Free).unwrap();
    assert_eq!(outputs(&mut strange, 5), outputs(&mut whole, 5), "refused before, it computes the same");
}

/// Threads inherit the name of the one that makes them, and tests have names of their own.
fn threads_of_this_test() -> usize {
    let name = std::fs::read("/proc/thread-self/comm").unwrap();
    let all = std::fs::read_dir("/proc/self/task").unwrap();
    all.filter(|task| std::fs::read(task.as_ref().unwrap().path().join("comm")).is_ok_and(|other| other == name))
        .count()
}

#[test]
fn a_module_runs_on_the_calling_thread_only() {
    let Some(room) = room() else { return };
    let arena = Arena::map(8 * MIB, true).unwrap();
    let mut engine = load(&room.runtime, room.soft(), &arena, (4 * MIB, 4 * MIB), Sequence::Free).unwrap();
    for seed in 0..3 {
        outputs(&mut engine, seed);
    }
    assert_eq!(threads_of_this_test(), 1);
}

#[test]
fn a_file_that_is_no_module_for_this_runtime_is_told_in_words() {
    let Some(room) = room() else { return };
    let load = |file: &Path, version: &str| {
        let runtime = TvmRuntime::open(&room.path("libtvm_runtime.so"), version).unwrap();
        let error = TvmModel::load(&runtime, file, heap(), None).unwrap_err();
        assert!(matches!(&error, BackendError::Load { path, .. } if *path == file), "{error}");
        error.to_string()
    };
    let nowhere = load(&room.path("nowhere.so"), VERSION);
    assert!(nowhere.contains("cannot open shared object file"), "{nowhere}");
    let text = room.path("text.so");
    std::fs::write(&text, "no library").unwrap();
    let text = load(&text, VERSION);
    assert!(text.contains("file too short") || text.contains("invalid ELF header"), "{text}");
    // A library, but no module of TVM's.
    let library = load(&room.path("libtvm_ffi.so"), VERSION);
    assert!(library.contains("it has no function vm_load_executable"), "{library}");
    // A module, but not compiled by our script.
    let plain = room.path("plain.so");
    let program = "import tvm, onnx\nfrom tvm.relax.frontend.onnx import from_onnx\n\
                   tvm.compile(from_onnx(onnx.load(MODEL)), target='llvm').export_library(MODULE)";
    room.soft();
    let program = program.replace("MODEL", &format!("{:?}", room.path("soft.onnx")));
    room.tvm.program(&program.replace("MODULE", &format!("{plain:?}"))).unwrap();
    let plain = load(&plain, VERSION);
    assert!(plain.contains("it has no function aegis_interface") && plain.contains("compile.py"), "{plain}");
    let other = load(room.soft(), "0.26.0");
    assert!(other.contains("was compiled by TVM 0.27.0") && other.contains("the runtime is 0.26.0"), "{other}");
}

#[test]
fn a_library_that_is_missing_or_another_is_told_in_words() {
    let Some(room) = room() else { return };
    let open = |path: &Path| {
        let error = TvmRuntime::open(path, VERSION).unwrap_err();
        assert!(matches!(&error, BackendError::Library { path: told, .. } if told == path), "{error}");
        error.to_string()
    };
    // A process has one TVM.
    let second = open(Path::new("/nowhere/libtvm_runtime.so"));
    assert!(second.contains("the process has already opened"), "{second}");
    assert!(TvmRuntime::open(&room.path("libtvm_runtime.so"), VERSION).is_ok());
}

#[test]
fn what_cannot_be_bound_is_refused_with_both_sides() {
    let Some(room) = room() else { return };
    let arena = Arena::map(8 * MIB, true).unwrap();
    let bind = |change: &dyn Fn(&mut PlannedMemory)| {
        let model = TvmModel::load(&room.runtime, room.soft(), heap(), None).unwrap();
        let mut memory = memory(&arena, [model.inputs(), model.outputs()], (4 * MIB, MIB), Sequence::Free);
        change(&mut memory);
        TvmEngine::bind(model, memory).err().unwrap().to_string()
    };
    let error = bind(&|memory| memory.inputs[0].shape = vec![1, 5]);
    assert_eq!(error, "\"x\" cannot be bound: it is f32 [1, 4096] in the module, the plan has f32 [1, 5]");
    let error = bind(&|memory| memory.outputs[1].element = ElementType::I32);
    assert_eq!(error, "\"sum\" cannot be bound: it is f32 [1, 4096] in the module, the plan has i32 [1, 4096]");
    let error = bind(&|memory| memory.inputs[0].name = "w".to_owned());
    assert_eq!(error, "\"w\" cannot be bound: the module has no such tensor");
    let error = bind(&|memory| drop(memory.inputs.pop()));
    assert_eq!(error, "\"z\" cannot be bound: it has no place");
    let error = bind(&|memory| memory.outputs[0].span = arena.span(0, 64).unwrap());
    assert_eq!(error, "\"y\" cannot be bound: 64 bytes are not the size of [1, 4096]");
}

/// Compiling for a device needs none.
#[test]
fn a_module_for_a_device_is_refused_on_the_cpu() {
    let Some(room) = room() else { return };
    room.soft();
    let module = room.path("soft-9.0.so");
    let Some(compiled) = room.tvm.compile_for_cuda((&room.path("soft.onnx"), &module), "9.0", &[]) else { return };
    compiled.unwrap();
    let error = TvmModel::load(&room.runtime, &module, heap(), None).unwrap_err().to_string();
    assert!(error.contains("soft-9.0.so") && error.contains("compiled for a CUDA device (sm_90)"), "{error}");
    // Machine code, and no text that would have to be compiled in the vehicle.
    let bytes = std::fs::read(&module).unwrap();
    let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    assert!(has(b"aegis_kernels") && has(b"threadIdx.x") && !has(b"__launch_bounds__"));
}

#[test]
fn a_model_that_cannot_be_compiled_for_a_plan_is_told_in_words() {
    let Some(room) = room() else { return };
    room.soft();
    let compile =
        |arguments: &[&str]| room.tvm.compile(&room.path("soft.onnx"), &room.path("x.so"), arguments).unwrap_err();
    let error = compile(&["--shape", "w=1,4096"]);
    assert!(error.contains("there is no input w; the model has: x, z"), "{error}");
    let error = compile(&["--shape", "x=1,5"]);
    assert!(error.contains("input x was given the shape [1, 5], the model has [1, 4096]"), "{error}");
    let error = compile(&["--target", "metal"]);
    assert!(
        error.contains("the target is metal, and AegisRT runs TVM's modules on the CPU and on CUDA devices only"),
        "{error}"
    );
    for arguments in [["--target", "cuda"], ["--capability", "9.0"]] {
        let error = compile(&arguments);
        assert!(error.contains("--capability 9.0 goes with --target cuda"), "{error}");
    }
    let error = compile(&["--target", "cuda", "--capability", "9"]);
    assert!(error.contains("a compute capability is like 8.7 or 9.0"), "{error}");
}

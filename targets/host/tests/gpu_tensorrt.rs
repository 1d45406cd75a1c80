//! TensorRT's providers on a GPU: each either builds an engine of a tiny model, which says what the model says, or refuses with the
//! reason. Needs a device and `ORT_DYLIB_PATH` with the providers beside it; where one is missing the test says so and passes.
// Tests fill and read planned memory directly.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

mod common;

use aegis_core::desc::{EngineLibrary, MemoryControl, Precision, Waiting};
use aegis_cuda::{Device, Part};
use aegis_host::arena::{Arena, BoundTensor};
use aegis_host::backend::{BackendError, Engine as _, LoadedSegment as _, PlannedMemory, Port, Region, Sequence};
use aegis_host::gpu::Seat;
use aegis_host::onnx::{EngineOptions, OnnxEngine, OnnxModel, OnnxRuntime};
use common::tiny;
use std::path::Path;
use std::sync::Arc;

/// Builds, loads and runs an engine of a file that doubles its input and adds it.
fn thrice(
    runtime: &OnnxRuntime,
    device: &Arc<Device>,
    library: EngineLibrary,
    folder: &Path,
) -> Result<(), BackendError> {
    let units = device.facts().units.unwrap();
    let part = Part::divide(device, &[units.sms]).unwrap().remove(0);
    let seat = Seat::new(part, Waiting::Polling).unwrap();
    let file = folder.join("tiny.onnx");
    let nodes: [tiny::Node<'_>; 2] = [("Add", &["x", "x"], "twice"), ("Add", &["twice", "x"], "y")];
    std::fs::write(&file, tiny::model(&["x"], &nodes, &["y"])).unwrap();
    let options = EngineOptions { library, precision: Precision::Model, workspace: 64 << 20 };
    let engine = folder.join(format!("{}.onnx", library.name()));
    runtime.build_engine(&file, options, &seat, &engine)?;
    let nothing = || {
        let arena = Arena::of_device(device, 0).unwrap();
        Region { span: arena.span(0, 0).unwrap(), sequence: Sequence::Heap }
    };
    let model = OnnxModel::load_engine(runtime, &engine, options, nothing(), Arc::clone(&seat))?;
    let tensor = |port: &Port| {
        let span = Arena::of_device(device, tiny::BYTES).unwrap().span(0, tiny::BYTES).unwrap();
        let host = Some(Arena::pinned(device, tiny::BYTES).unwrap().span(0, tiny::BYTES).unwrap());
        BoundTensor { name: port.name.clone(), element: port.element, shape: port.shape.clone(), span, host }
    };
    let inputs = model.inputs().iter().map(tensor).collect();
    let outputs = model.outputs().iter().map(tensor).collect();
    let memory =
        PlannedMemory { inputs, outputs, persistent: nothing(), scratch: nothing(), seat: Some(Arc::clone(&seat)) };
    let mut engine = OnnxEngine::bind(model, memory)?;
    assert_eq!(engine.control(), MemoryControl::Measured);
    // Through the warm-up, the capture, and beyond it.
    for run in 0..12_u16 {
        let number = f32::from(run);
        // SAFETY: nothing runs now, and only this thread knows the memory.
        unsafe { engine.inputs()[0].write::<f32>() }.unwrap().fill(number);
        engine.run()?;
        // SAFETY: as above.
        let found = unsafe { engine.outputs()[0].read::<f32>() }.unwrap();
        assert!(found.iter().all(|found| (found - 3.0 * number).abs() < 0.01), "{run}: {found:?}");
    }
    println!(
        "{}: captured as one graph: {:?}",
        library.name(),
        aegis_host::backend::BoundSegment::why_not_captured(&engine)
    );
    // It is not one of the other library's, and a damaged one is refused.
    let bytes = std::fs::read(folder.join(format!("{}.onnx", library.name()))).unwrap();
    let damaged = folder.join("damaged.onnx");
    std::fs::write(&damaged, &bytes[..bytes.len() / 2]).unwrap();
    let refused = OnnxModel::load_engine(runtime, &damaged, options, nothing(), seat).unwrap_err();
    println!("{refused}");
    Ok(())
}

// A process has one ONNX Runtime, so this is one test.
#[test]
fn each_provider_runs_an_engine_or_says_why_not() {
    let Some(device) = common::gpu() else { return };
    let Some(path) = std::env::var_os("ORT_DYLIB_PATH") else {
        println!("skipped: ORT_DYLIB_PATH names no ONNX Runtime with TensorRT's providers");
        return;
    };
    let mut runtime = OnnxRuntime::open(path.as_ref()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for library in EngineLibrary::ALL {
        let name = library.provider_file();
        let opened = runtime.open_engines(library);
        let taken = opened.and_then(|version| runtime.takes_device(library, &device).map(|()| version));
        let ran = taken.and_then(|version| {
            println!("{}: version {version}", library.name());
            thrice(&runtime, &device, library, folder.path())
        });
        let Err(error) = ran else { continue };
        let error = error.to_string();
        println!("{}: {error}", library.name());
        let beside = Path::new(&path).with_file_name(name).exists();
        let (major, minor) = device.facts().compute_capability;
        let reasons: &[String] = match library {
            _ if !beside => &["is not beside ONNX Runtime's".to_owned()],
            // With it this has to be mended, whatever it says.
            EngineLibrary::TensorRt => &["libnvinfer.so".to_owned(), "cannot open shared object".to_owned()],
            EngineLibrary::TensorRtRtx => {
                &["does not take device 0".to_owned(), format!("compute capability {major}.{minor}")]
            }
        };
        for reason in reasons {
            assert!(error.contains(reason.as_str()), "{reason}: {error}");
        }
    }
}

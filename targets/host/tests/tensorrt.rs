//! TensorRT's providers where they cannot run: what is missing is told by name. Needs ONNX Runtime in the cache (`aegis fetch`), or
//! that of `ORT_DYLIB_PATH` with the provider for TensorRT beside it, and pip's package of TensorRT-RTX; where one is missing the
//! test says so and passes.
#![allow(clippy::unwrap_used, reason = "a test stops at whatever it did not expect")]

mod common;

use aegis_core::desc::EngineLibrary;
use aegis_host::onnx::OnnxRuntime;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

// A process has one ONNX Runtime, so this is one test.
#[test]
fn what_a_provider_lacks_is_told_by_name() {
    let given = std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from);
    let Some(library) = given.or_else(|| common::cached(common::LIBRARY)) else { return };
    let Some(plugin) = aegis_tests::tensorrt::plugin() else { return };
    let folder = tempfile::tempdir().unwrap();
    let runtime = folder.path().join("libonnxruntime.so");
    symlink(&library, &runtime).unwrap();
    let mut runtime = OnnxRuntime::open(&runtime).unwrap();

    let missing = runtime.open_engines(EngineLibrary::TensorRt).unwrap_err().to_string();
    let told = "/libonnxruntime_providers_tensorrt.so cannot be loaded: it is not beside ONNX Runtime's, where that looks for the provider \
                \"tensorrt\": name it by `beside` in [runtime.onnxruntime], or put it where ORT_DYLIB_PATH points";
    assert!(missing.ends_with(told), "{missing}");

    let provider = EngineLibrary::TensorRt.provider_file();
    if library.with_file_name(provider).exists() {
        for file in [provider, "libonnxruntime_providers_shared.so"] {
            symlink(library.with_file_name(file), folder.path().join(file)).unwrap();
        }
        match runtime.open_engines(EngineLibrary::TensorRt) {
            Ok(version) => println!("TensorRT {version} is installed"),
            Err(error) => {
                let error = error.to_string();
                println!("{error}");
                assert!(error.contains("cannot open shared object file"), "{error}");
                assert!(error.contains("; the provider needs TensorRT 10 (libnvinfer.so.10"), "{error}");
            }
        }
    } else {
        println!("skipped in part: {provider} is not beside {}", library.display());
    }

    // Alone it does not find what it needs.
    let provider = EngineLibrary::TensorRtRtx.provider_file();
    symlink(plugin.join(provider), folder.path().join(provider)).unwrap();
    let alone = runtime.open_engines(EngineLibrary::TensorRtRtx).unwrap_err().to_string();
    println!("{alone}");
    assert!(alone.contains(provider) && alone.contains("cannot open shared object file"), "{alone}");
    assert!(
        alone.contains("; the provider needs libtensorrt_rtx, libtensorrt_onnxparser_rtx and libcudart"),
        "{alone}"
    );

    for entry in std::fs::read_dir(plugin).unwrap() {
        let file = entry.unwrap().path();
        let link = folder.path().join(file.file_name().unwrap());
        let _ = symlink(&file, link);
    }
    match runtime.open_engines(EngineLibrary::TensorRtRtx) {
        // NVIDIA's driver is here.
        Ok(version) => assert_eq!(version, "1.7.1"),
        Err(error) => {
            let error = error.to_string();
            println!("{error}");
            assert!(error.contains("libcuda.so.1: cannot open shared object file"), "{error}");
        }
    }
    // A second time nothing is registered twice, and nothing hangs.
    let _ = runtime.open_engines(EngineLibrary::TensorRtRtx);
}

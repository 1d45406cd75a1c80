//! Engines: TensorRT's providers, how they are asked to build one of a file, and how one is run.
//!
//! ```text
//!  probe    file ─▶ engine built, put into a file of its own ─▶ cache, by its checksum ─▶ loaded and measured
//!  vehicle                                                      cache, by its checksum ─▶ loaded
//! ```
//!
//! An engine's file is a model of one node whose attribute is the engine: there is nothing in it that a provider could build
//! another one of. One that the library does not take, because it was built by another version or for another device, is an error
//! of loading.
//!
//! TensorRT takes its device memory itself, so these sessions are served none. For that it is asked to take all of it before the
//! first release: contexts keep theirs, and no memory comes from the driver's pools.

use super::library::{infer_version, preload};
use super::model::{declared, ports};
use super::{OnnxRuntime, base, plugin};
use crate::backend::{BackendError, Declared, Port};
use crate::gpu::Seat;
use aegis_core::desc::{EngineDesc, EngineLibrary, Precision};
use aegis_cuda::Device;
use ort::compiler::ModelCompiler;
use ort::ep::{ArbitrarilyConfigurableExecutionProvider as _, TensorRT};
use ort::session::Session;
use ort::session::builder::SessionBuilder;
use std::ffi::c_void;
use std::path::Path;

/// How engines are built.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EngineOptions {
    /// What builds and runs them.
    pub library: EngineLibrary,
    /// In what numbers they may compute.
    pub precision: Precision,
    /// The most device memory that one may use as workspace, in bytes.
    pub workspace: u64,
}

type Pair = (String, String);

impl EngineOptions {
    /// Those of a plan's engines.
    #[must_use]
    pub const fn of(engines: &EngineDesc) -> Self {
        Self { library: engines.library, precision: engines.precision, workspace: engines.workspace.0 }
    }

    /// What the provider is told in each session, by its own names: on which stream it works, and to take no other. `build` is the
    /// file that is to get the engine.
    fn told(self, ordinal: u16, stream: *mut c_void, build: Option<&Path>) -> Vec<Pair> {
        let workspace = self.workspace.to_string();
        let stream = stream.addr().to_string();
        let own = |options: &[(&str, &str)]| -> Vec<Pair> {
            options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        match self.library {
            EngineLibrary::TensorRt => {
                let ordinal = ordinal.to_string();
                let flag = |precision| if self.precision == precision { "1" } else { "0" };
                let mut options = own(&[
                    ("device_id", &ordinal),
                    ("has_user_compute_stream", "1"),
                    ("user_compute_stream", &stream),
                    ("trt_max_workspace_size", &workspace),
                    ("trt_fp16_enable", flag(Precision::Half)),
                    ("trt_bf16_enable", flag(Precision::BFloat16)),
                    // Others would be made beside the lane's, and a run would not wait for them alone.
                    ("trt_auxiliary_streams", "0"),
                    // Runs are captured by the lane.
                    ("trt_cuda_graph_enable", "0"),
                ]);
                if let Some(file) = build {
                    options.extend(own(&[
                        ("trt_dump_ep_context_model", "1"),
                        ("trt_ep_context_embed_mode", "1"),
                        ("trt_ep_context_file_path", &file.to_string_lossy()),
                    ]));
                }
                options
            }
            EngineLibrary::TensorRtRtx => own(&[
                ("has_user_compute_stream", "1"),
                ("user_compute_stream", &stream),
                ("nv_max_workspace_size", &workspace),
                ("enable_cuda_graph", "0"),
                ("nv_use_sync_gpu_allocator", "1"),
                ("nv_persistent_context_memory", "1"),
            ]),
        }
    }
}

/// What a library needs in its own folder before it can be loaded, in this order: each name is the beginning of a file's.
const fn preloads(library: EngineLibrary) -> &'static [&'static str] {
    match library {
        EngineLibrary::TensorRt => &["libcudart.so", "libnvinfer.so", "libnvinfer_plugin.so", "libnvonnxparser.so"],
        EngineLibrary::TensorRtRtx => &["libcudart.so", "libtensorrt_rtx.so", "libtensorrt_onnxparser_rtx.so"],
    }
}

/// The beginning of the file name of the library that builds and runs engines.
const fn infer(library: EngineLibrary) -> &'static str {
    match library {
        EngineLibrary::TensorRt => "libnvinfer.so",
        EngineLibrary::TensorRtRtx => "libtensorrt_rtx.so",
    }
}

impl OnnxRuntime {
    /// Opens a provider for engines, and returns its library's version. Before an engine is built or loaded.
    ///
    /// # Errors
    /// A library is missing, by name: the provider's beside the runtime's own, or one that the loader does not find.
    pub fn open_engines(&mut self, library: EngineLibrary) -> Result<String, BackendError> {
        let file = self.library.with_file_name(library.provider_file());
        let failed = |text: String| BackendError::Library { path: file.clone(), text };
        if !file.exists() {
            let text = format!(
                "it is not beside ONNX Runtime's, where that looks for the provider \"{}\": name it by `beside` in [runtime.onnxruntime], \
                 or put it where ORT_DYLIB_PATH points",
                library.name()
            );
            return Err(failed(text));
        }
        let refused = preload(&self.library, preloads(library));
        let hint = |text: String| {
            let besides = refused.iter().map(|error| format!("; {error}")).collect::<String>();
            failed(format!("{}{besides}; the provider needs {}", text.trim_end(), needs(library)))
        };
        match library {
            EngineLibrary::TensorRt => {
                // The runtime loads it when a session first asks for it.
                let builder = Session::builder(&self.environment).map_err(|error| failed(error.to_string()))?;
                let provider = [TensorRT::default().build().error_on_failure()];
                builder.with_execution_providers(provider).map_err(|error| hint(error.to_string()))?;
            }
            EngineLibrary::TensorRtRtx if !self.registered => {
                let registered = self.environment.register_ep_library(plugin::NAME, &file);
                registered.map_err(|error| hint(error.to_string()))?;
                self.registered = true;
            }
            EngineLibrary::TensorRtRtx => {}
        }
        let missing = || failed(format!("no {}* is loaded with it", infer(library)));
        infer_version(infer(library)).ok_or_else(missing)
    }

    /// Whether a provider takes a device. TensorRT's says it only when an engine is built or loaded.
    ///
    /// # Errors
    /// It does not: with the device's name and compute capability.
    pub fn takes_device(&self, library: EngineLibrary, device: &Device) -> Result<(), BackendError> {
        if library == EngineLibrary::TensorRt {
            return Ok(());
        }
        let pci = device.pci_bus_id()?;
        // Asked before a session is: of a device that it cannot use the plug-in may throw where the runtime does not catch.
        let why = match plugin::objection(&self.environment, &pci) {
            Ok(None) if plugin::device_at(&self.environment, &pci).is_some() => return Ok(()),
            Ok(None) => "it is not among its devices".to_owned(),
            Ok(Some(words)) => words,
            Err(error) => error.trim_end().to_owned(),
        };
        let (major, minor) = device.facts().compute_capability;
        let (name, ordinal) = (&device.facts().name, device.ordinal());
        let text = format!(
            "its provider does not take device {ordinal} ({name}, compute capability {major}.{minor}, PCI {pci}): {why}"
        );
        Err(BackendError::Library { path: self.library.with_file_name(library.provider_file()), text })
    }

    /// A session's options for running or building engines on a part of a device. They have its stream, so the session must not
    /// outlive the seat.
    pub(super) fn with_engines(
        &self,
        options: EngineOptions,
        seat: &Seat,
        build: Option<&Path>,
    ) -> Result<SessionBuilder, BackendError> {
        let failed =
            |error: ort::Error| BackendError::Run(format!("the provider \"{}\": {error}", options.library.name()));
        let device = seat.device();
        let told = options.told(device.ordinal(), seat.stream(), build);
        let builder = base(&self.environment).map_err(failed)?;
        // What it does not take would run on the CPU, and wait for it within each run; and an engine is all that is loaded later.
        let builder = builder.with_disable_cpu_fallback().map_err(|error| failed(error.into()))?;
        match options.library {
            EngineLibrary::TensorRt => {
                let provider = [tensorrt(told).build().error_on_failure()];
                Ok(builder.with_execution_providers(provider).map_err(|error| failed(error.into()))?)
            }
            EngineLibrary::TensorRtRtx => {
                let pci = device.pci_bus_id()?;
                let missing = || BackendError::Run(format!("the provider \"tensorrt-rtx\" was not opened on {pci}"));
                let chosen = plugin::device_at(&self.environment, &pci).ok_or_else(missing)?;
                let told: Vec<Pair> =
                    told.into_iter().map(|(key, value)| (format!("{}.{key}", plugin::NAME), value)).collect();
                Ok(builder.with_devices([chosen], Some(&told)).map_err(|error| failed(error.into()))?)
            }
        }
    }

    /// Builds an engine of a file on a part of a device, into the file `into`, whose folder is there.
    ///
    /// # Errors
    /// [`BackendError::Load`] with the runtime's words, or where the provider does not take the whole of the model.
    pub fn build_engine(
        &self,
        file: &Path,
        options: EngineOptions,
        seat: &Seat,
        into: &Path,
    ) -> Result<(), BackendError> {
        let failed = |text: String| BackendError::Load {
            path: file.to_owned(),
            text: format!("no engine could be built of it by \"{}\": {text}", options.library.name()),
        };
        seat.with(|partition| {
            let build = (options.library == EngineLibrary::TensorRt).then_some(into);
            let builder = self.with_engines(options, seat, build)?;
            let built = match options.library {
                EngineLibrary::TensorRt => {
                    let mut builder = builder;
                    builder.commit_from_file(file).map(drop)
                }
                EngineLibrary::TensorRtRtx => ModelCompiler::new(builder)
                    .and_then(|compiler| compiler.with_model_from_file(file))
                    .and_then(ModelCompiler::with_embed_ep_context)
                    .and_then(|compiler| compiler.compile_to_file(into)),
            };
            seat.wait(partition)?;
            built.map_err(|error| failed(error.to_string()))
        })?;
        if into.exists() { Ok(()) } else { Err(failed("it does not take the whole of the model".to_owned())) }
    }

    /// What a file says of itself, whatever runs it: its inputs, its outputs, and what it declares of the whole model.
    ///
    /// # Errors
    /// [`BackendError::Load`] with the runtime's words, [`BackendError::Tensor`].
    pub fn described(&self, file: &Path) -> Result<(Vec<Port>, Vec<Port>, Declared), BackendError> {
        let failed = |error: ort::Error| BackendError::Load { path: file.to_owned(), text: error.to_string() };
        let session = base(&self.environment).and_then(|mut builder| builder.commit_from_file(file)).map_err(failed)?;
        Ok((ports(session.inputs())?, ports(session.outputs())?, declared(&session)))
    }
}

fn tensorrt(told: impl IntoIterator<Item = Pair>) -> TensorRT {
    told.into_iter().fold(TensorRT::default(), |provider, (key, value)| provider.with_arbitrary_config(key, value))
}

/// What a provider cannot be loaded without, for messages.
const fn needs(library: EngineLibrary) -> &'static str {
    match library {
        EngineLibrary::TensorRt => {
            "TensorRT 10 (libnvinfer.so.10, libnvonnxparser.so.10), which no package of pip has for ONNX Runtime: install NVIDIA's and \
             put its folder on LD_LIBRARY_PATH, with those of CUDA and cuDNN"
        }
        EngineLibrary::TensorRtRtx => {
            "libtensorrt_rtx, libtensorrt_onnxparser_rtx and libcudart of its own package beside it, and NVIDIA's driver"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::EngineOptions;
    use aegis_core::desc::{EngineLibrary, Precision};
    use std::path::Path;

    fn told(library: EngineLibrary, precision: Precision, build: Option<&Path>) -> String {
        let options = EngineOptions { library, precision, workspace: 256 << 20 };
        let told = options.told(1, std::ptr::without_provenance_mut(4_096), build);
        told.iter().map(|(key, value)| format!("{key}={value}\n")).collect()
    }

    #[test]
    fn tensorrt_is_told_the_lanes_stream_alone_and_where_the_engine_goes() {
        let run = "device_id=1\nhas_user_compute_stream=1\nuser_compute_stream=4096\ntrt_max_workspace_size=268435456\n\
                   trt_fp16_enable=0\ntrt_bf16_enable=0\ntrt_auxiliary_streams=0\ntrt_cuda_graph_enable=0\n";
        assert_eq!(told(EngineLibrary::TensorRt, Precision::Model, None), run);
        let half = run.replace("fp16_enable=0", "fp16_enable=1");
        let build = "trt_dump_ep_context_model=1\ntrt_ep_context_embed_mode=1\ntrt_ep_context_file_path=/c/e.onnx\n";
        assert_eq!(told(EngineLibrary::TensorRt, Precision::Half, Some("/c/e.onnx".as_ref())), half + build);
        let bfloat = run.replace("bf16_enable=0", "bf16_enable=1");
        assert_eq!(told(EngineLibrary::TensorRt, Precision::BFloat16, None), bfloat);
    }

    #[test]
    fn tensorrt_rtx_is_told_to_take_its_memory_once() {
        let run = "has_user_compute_stream=1\nuser_compute_stream=4096\nnv_max_workspace_size=268435456\nenable_cuda_graph=0\n\
                   nv_use_sync_gpu_allocator=1\nnv_persistent_context_memory=1\n";
        assert_eq!(told(EngineLibrary::TensorRtRtx, Precision::Model, None), run);
    }
}

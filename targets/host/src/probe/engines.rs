//! Builds the engines of models that TensorRT is to run, or finds those that were built, and sizes what they take.

use super::bench::Bench;
use super::devices::Devices;
use super::models::{SizedSegment, filled, lay_out};
use super::protocol::{GpuRequest, Request};
use super::record::{RUNS, Record};
use super::wiring::{Tensor, Wiring};
use crate::backend::{BackendError, PlannedMemory, Port};
use crate::cache::{Cache, sha256};
use crate::error::HostError;
use crate::onnx::EngineOptions;
use crate::runtimes::{Runtimes, Source};
use aegis_core::desc::{Backend, EngineLibrary, Precision};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How engines are to be built, or which are to be measured.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct EnginesRequest {
    library: String,
    precision: String,
    workspace_bytes: u64,
    /// The checksums of engines in the cache, one for each segment; empty where they are to be built.
    #[serde(default)]
    built: Vec<String>,
}

impl EnginesRequest {
    fn library(&self) -> Result<EngineLibrary, String> {
        let known = EngineLibrary::ALL.into_iter().find(|library| library.name() == self.library);
        known.ok_or_else(|| format!("there is no provider \"{}\"", self.library))
    }

    fn options(&self) -> Result<EngineOptions, String> {
        let precision = Precision::ALL.into_iter().find(|precision| precision.name() == self.precision);
        let precision = precision.ok_or_else(|| format!("there is no precision \"{}\"", self.precision))?;
        Ok(EngineOptions { library: self.library()?, precision, workspace: self.workspace_bytes })
    }
}

/// The providers for engines that models ask for: each on its device, with its library's version or why it cannot be opened.
#[derive(Debug, Default)]
pub(super) struct Providers(BTreeMap<(String, u16), Result<String, String>>);

impl Providers {
    /// Opens each once. What cannot be opened fails the models that ask for it, and no others.
    pub(super) fn open(request: &Request, runtimes: &mut Runtimes, devices: &Devices) -> Self {
        let mut all = Self::default();
        for model in &request.models {
            let (Some(engines), Some(gpu)) = (&model.engines, &model.gpu) else { continue };
            let key = (engines.library.clone(), gpu.ordinal);
            if all.0.contains_key(&key) {
                continue;
            }
            let mut open = || {
                let device = devices.get(gpu.ordinal)?;
                runtimes.open_engines(engines.library()?, &device).map_err(|error| error.to_string())
            };
            all.0.insert(key, open());
        }
        all
    }

    /// What a model's engines are built and run with.
    pub(super) fn of(&self, asked: &EnginesRequest, gpu: Option<&GpuRequest>) -> Result<Wanted, String> {
        let gpu = gpu.ok_or("an engine runs on a part of a GPU, and none was asked for")?;
        let opened = self.0.get(&(asked.library.clone(), gpu.ordinal)).cloned();
        let version = opened.unwrap_or_else(|| Err(format!("the provider \"{}\" was not opened", asked.library)))?;
        Ok(Wanted { options: asked.options()?, version, built: asked.built.clone() })
    }
}

/// The engines of one model.
#[derive(Debug)]
pub(super) struct Wanted {
    options: EngineOptions,
    /// Their library's version.
    pub(super) version: String,
    built: Vec<String>,
}

/// Loads the engine of a segment, and sizes it: its tensors, and what it takes of its device.
pub(super) fn size_segment(
    (runtimes, bench): (&Runtimes, &Bench),
    (file, number): (&Path, usize),
    wanted: &Wanted,
    wiring: &mut Wiring<'_>,
    is_last: bool,
) -> Result<SizedSegment, String> {
    let text = |error: BackendError| error.to_string();
    let name = file.display().to_string();
    let sha256 = sha256(file).map_err(|error| format!("{name} cannot be read: {error}"))?;
    // Taken before it is built and first loaded, so that what the driver keeps from there on is in the difference, too.
    let untouched = bench.free_bytes()?;
    let (digest, path) = engine(runtimes, bench, (file, number), wanted)?;
    let seat = bench.seat().ok_or("an engine runs on a part of a GPU, and there is none")?;
    let source = Source { backend: Backend::OnnxRuntime, file: &path, program: None, engine: Some(wanted.options) };
    let open = || runtimes.open(source, bench.nothing()?, Some(seat.clone())).map_err(text);
    let model = open()?;
    let inputs = wiring.read(&name, model.inputs())?;
    let (own_inputs, own_outputs, declared) = runtimes.onnx().and_then(|onnx| onnx.described(file)).map_err(text)?;
    if !same(model.inputs(), &own_inputs) || !same(model.outputs(), &own_outputs) {
        return Err(format!("\"{}\" does not take the whole of {name} as one engine", wanted.options.library.name()));
    }
    // An engine's file does not say it.
    wiring.declare(declared);
    if is_last {
        wiring.check_asked()?;
    }
    let shapes = model.output_shapes(&filled(bench, &inputs)?, bench.nothing()?).map_err(text)?;
    let outputs = model.outputs().iter().zip(shapes).map(|(port, shape)| Tensor::of(port, shape));
    let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
    wiring.write(&name, &outputs)?;
    drop(model);
    let without_own = bench.free_bytes()?;
    let memory = PlannedMemory {
        inputs: filled(bench, &inputs)?,
        outputs: lay_out(bench, &outputs, false)?,
        persistent: bench.nothing()?,
        scratch: bench.nothing()?,
        seat: Some(seat.clone()),
    };
    // What its tensors just took will lie in the arena.
    let own = without_own.zip(bench.free_bytes()?).map_or(0, |(before, after)| before.saturating_sub(after));
    let before = untouched.map_or(0, |untouched| untouched.saturating_sub(own));
    let mut engine = open()?.bind(memory).map_err(text)?;
    for _ in 0..RUNS {
        engine.run().map_err(text)?;
    }
    let weights = before.saturating_sub(bench.free_bytes()?.unwrap_or(0));
    let record = Record::of_what_is_outside("TensorRT takes the device's memory itself");
    Ok(SizedSegment { model: engine.unbind(), sha256, engine: Some(digest), record, weights })
}

/// Whether an engine has the tensors of its file, in any order.
fn same(engine: &[Port], file: &[Port]) -> bool {
    engine.len() == file.len() && file.iter().all(|port| engine.contains(port))
}

/// The engine of a segment, in the cache: the one that is asked for, or a new one.
fn engine(
    runtimes: &Runtimes,
    bench: &Bench,
    (file, number): (&Path, usize),
    wanted: &Wanted,
) -> Result<(String, PathBuf), String> {
    let text = |error: HostError| error.to_string();
    let cache = Cache::of_user().map_err(text)?;
    if !wanted.built.is_empty() {
        let asked = wanted.built.get(number).filter(|digest| !digest.is_empty());
        let digest = asked.ok_or("its profile names no engine of this segment")?;
        let path = cache.path(digest);
        let found = sha256(&path).map_err(|error| format!("its engine {}: {error}", path.display()))?;
        if found != *digest {
            return Err(format!("its engine {} has the SHA-256 {found}", path.display()));
        }
        return Ok((found, path));
    }
    let failed = |error: std::io::Error| format!("the cache cannot take an engine: {error}");
    let workshop = cache.workshop().map_err(failed)?;
    let into = workshop.join("engine.onnx");
    let seat = bench.seat().ok_or("an engine is built on a part of a GPU, and there is none")?;
    let onnx = runtimes.onnx().map_err(|error| error.to_string())?;
    let built = onnx.build_engine(file, wanted.options, &seat, &into).map_err(|error| error.to_string());
    let kept = built.and_then(|()| cache.keep(&into).map_err(failed));
    // What a provider left beside the engine is no part of it.
    let removed = std::fs::remove_dir_all(&workshop).map_err(failed);
    let digest = kept?;
    removed?;
    let path = cache.path(&digest);
    Ok((digest, path))
}

#[cfg(test)]
mod tests {
    use super::{EnginesRequest, same};
    use crate::backend::Port;
    use aegis_core::desc::{ElementType, EngineLibrary, Precision};

    #[test]
    fn an_engine_of_a_part_of_a_file_is_none_of_it() {
        let port =
            |name: &str, shape: &[i64]| Port { name: name.into(), element: ElementType::F32, shape: shape.into() };
        let file = [port("x", &[1, 4]), port("y", &[1])];
        assert!(same(&[port("y", &[1]), port("x", &[1, 4])], &file));
        assert!(!same(&[port("x", &[1, 4])], &file));
        assert!(!same(&[port("x", &[1, 4]), port("between", &[1])], &file));
        assert!(!same(&[port("x", &[1, 8]), port("y", &[1])], &file));
    }

    #[test]
    fn what_is_asked_of_engines_has_known_names() {
        let asked = |library: &str, precision: &str| {
            let text = format!(r#"{{"library":"{library}","precision":"{precision}","workspace_bytes":7}}"#);
            serde_json::from_str::<EnginesRequest>(&text).unwrap().options()
        };
        let options = asked("tensorrt-rtx", "model").unwrap();
        assert_eq!((options.library, options.precision), (EngineLibrary::TensorRtRtx, Precision::Model));
        assert_eq!(options.workspace, 7);
        assert_eq!(asked("tensorflow", "model").unwrap_err(), "there is no provider \"tensorflow\"");
        assert_eq!(asked("tensorrt", "fp8").unwrap_err(), "there is no precision \"fp8\"");
    }
}

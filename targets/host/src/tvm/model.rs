//! A module that was compiled ahead of time, loaded but not bound to memory yet.
//!
//! `compile.py` puts a function `aegis_interface` into each module, which says what a compiled library does not: names, element
//! types and shapes. It is called once more after each run, because the virtual machine keeps what its last call returned.

use super::TvmRuntime;
use super::abi::{Any, Api, MODULE};
use super::engine::TvmEngine;
use super::part::Loaded;
use super::value::{Elements, Function, Value};
use crate::arena::BoundTensor;
use crate::backend::{BackendError, BoundSegment, Declared, LoadedSegment, PlannedMemory, Port, Region, ScratchUse};
use crate::gpu::Seat;
use crate::serve::Server;
use aegis_core::desc::ElementType;
use aegis_cuda::Partition;
use serde::Deserialize;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

/// The form of what modules say of themselves.
const SCHEMA: &str = "aegis.tvm/1";
/// The number of a CPU among TVM's devices.
const CPU: i64 = 1;
/// The virtual machine's allocator that keeps nothing. It is never asked: storage comes from the plan.
const NAIVE: i64 = 1;

/// What a module says of itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Interface {
    schema: String,
    tvm: String,
    target: String,
    /// Of a CUDA device, as in `sm_87`.
    #[serde(default)]
    arch: String,
    inputs: Vec<Form>,
    outputs: Vec<Form>,
    model_inputs: Vec<String>,
    model_outputs: Vec<String>,
}

/// A tensor.
#[derive(Clone, Debug, Deserialize)]
struct Form {
    name: String,
    dtype: String,
    shape: Vec<i64>,
}

/// A module in memory, with its virtual machine.
#[derive(Debug)]
pub struct TvmModel {
    pub(super) api: &'static Api,
    pub(super) main: Function,
    pub(super) interface: Function,
    pub(super) elements: Elements,
    /// Of a module on a GPU its kernels and weights.
    pub(super) part: Option<Loaded>,
    /// Served its loading.
    load: Server,
    pub(super) inputs: Vec<Port>,
    pub(super) outputs: Vec<Port>,
    declared: Declared,
}

impl TvmModel {
    /// Loads a library that `compile.py` wrote, and starts its virtual machine. On a part of a GPU its weights are copied to that
    /// device's memory, into the region.
    ///
    /// # Errors [`BackendError::Load`] with TVM's words, or that it is no such library, of another version or for another device;
    /// [`BackendError::Refused`] where its requests are not the region's planned ones, [`BackendError::Tensor`] for an element
    /// type that plans do not know, [`BackendError::Device`].
    pub fn load(
        runtime: &TvmRuntime,
        path: &Path,
        region: Region,
        seat: Option<Arc<Seat>>,
    ) -> Result<Self, BackendError> {
        let failed = |text: String| BackendError::Load { path: path.to_owned(), text };
        let span = region.span.clone();
        let mut load = Server::new(region.span, region.sequence);
        let elements = runtime.elements().map_err(failed)?;
        let started = match &seat {
            None => load.during(|| Started::new(runtime, path, None).map_err(failed).map(|started| (started, None))),
            Some(seat) => seat.with(|partition| {
                let capability = Some(partition.device().facts().compute_capability);
                let on_part = || {
                    let started = Started::new(runtime, path, capability).map_err(failed)?;
                    let kernels = find(runtime, &started.library, "aegis_kernels").and_then(|own| own.call(&[]));
                    let kernels = kernels.map_err(failed)?;
                    let weights = find(runtime, &started.machine, "aegis_weights").and_then(|own| own.call(&[]));
                    let weights = weights.and_then(|weights| weights.elements(&elements)).map_err(failed)?;
                    let part = Loaded::load(runtime.api, (seat, partition), (&kernels, &weights), &span, &failed)?;
                    // The virtual machine keeps what its last call returned.
                    started.interface.call(&[]).map_err(failed)?;
                    Ok((started, Some(part)))
                };
                let started = load.during(on_part);
                ended(partition, seat, started)
            }),
        };
        load.end();
        if let Some(refusal) = load.take_refusal() {
            return Err(BackendError::Refused(format!("loading {}: {refusal}", path.display())));
        }
        let (Started { main, interface, told, .. }, part) = started?;
        let Interface { inputs, outputs, model_inputs, model_outputs, .. } = told;
        let ports = |forms: Vec<Form>| forms.into_iter().map(port).collect::<Result<Vec<_>, _>>();
        Ok(Self {
            api: runtime.api,
            main,
            interface,
            elements,
            part,
            load,
            inputs: ports(inputs)?,
            outputs: ports(outputs)?,
            declared: Declared { inputs: model_inputs, outputs: model_outputs },
        })
    }
}

/// What came of loading, once the device has done what it submitted: also where it failed, since its memory may be another's next.
fn ended<R>(partition: &Partition, seat: &Seat, loaded: Result<R, BackendError>) -> Result<R, BackendError> {
    match seat.wait(partition) {
        Ok(()) => loaded,
        // What the device says is why.
        Err(error) => Err(error.into()),
    }
}

impl LoadedSegment for TvmModel {
    fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    fn declared(&self) -> Declared {
        self.declared.clone()
    }

    /// None on the CPU where it is as it should be: there weights come from the heap. On a GPU they are one block.
    fn recorded_load(&mut self) -> Vec<i64> {
        self.load.take_events()
    }

    fn persistent_use(&self) -> ScratchUse {
        self.load.usage()
    }

    fn output_shapes(&self, _: &[BoundTensor], _: Region) -> Result<Vec<Vec<i64>>, BackendError> {
        Ok(self.outputs.iter().map(|port| port.shape.clone()).collect())
    }

    fn bind(self: Box<Self>, memory: PlannedMemory) -> Result<Box<dyn BoundSegment>, BackendError> {
        Ok(Box::new(TvmEngine::bind(*self, memory)?))
    }
}

/// A started virtual machine, with what the module says of itself.
struct Started {
    main: Function,
    interface: Function,
    told: Interface,
    library: Value,
    machine: Value,
}

/// A function of a module, or of what it imports.
fn find(runtime: &TvmRuntime, of: &Value, name: &str) -> Result<Function, String> {
    let text = CString::new(name).map_err(|error| error.to_string())?;
    let found = runtime.get.call(&[of.any(), Any::text(&text), Any::bool(true)])?.into_function();
    found.ok_or_else(|| format!("it has no function {name}, so it is no module that targets/host/tvm/compile.py wrote"))
}

impl Started {
    /// Loads a library, for the CPU or a device of this compute capability.
    fn new(runtime: &TvmRuntime, path: &Path, capability: Option<(u32, u32)>) -> Result<Self, String> {
        // A name without a folder would be looked for where the system has its libraries.
        let path = std::path::absolute(path).map_err(|error| error.to_string())?;
        let file = CString::new(path.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
        let library = runtime.load.call(&[Any::text(&file), Any::text(c"so")])?;
        let machine = find(runtime, &library, "vm_load_executable")?.call(&[])?;
        if machine.index() != MODULE {
            return Err("its virtual machine is none".to_owned());
        }
        // Also of a module for a GPU: constants stay where they are, and storage is asked for elsewhere.
        let device = [CPU, 0, NAIVE].map(Any::int);
        find(runtime, &machine, "vm_initialization")?.call(&device)?;
        let interface = find(runtime, &machine, "aegis_interface")?;
        let main = find(runtime, &machine, "main")?;
        let told = interface.call(&[])?.text().ok_or("its aegis_interface returns no text")?;
        let told: Interface = serde_json::from_str(&told).map_err(|error| format!("its aegis_interface: {error}"))?;
        fits(&told, runtime.version(), capability)?;
        Ok(Self { main, interface, told, library, machine })
    }
}

/// Whether a module can be run by a runtime of a version, on the CPU or a device of a compute capability.
fn fits(told: &Interface, version: &str, capability: Option<(u32, u32)>) -> Result<(), String> {
    if told.schema != SCHEMA {
        return Err(format!("its aegis_interface is \"{}\", this program reads \"{SCHEMA}\"", told.schema));
    }
    match (told.target.as_str(), capability) {
        ("llvm" | "c", None) => {}
        ("cuda", Some((major, minor))) if runs_on(&told.arch, (major, minor)) => {}
        ("cuda", Some((major, minor))) => {
            let arch = &told.arch;
            return Err(format!(
                "it was compiled for {arch}, and the device has compute capability {major}.{minor}: compile it with \
                 --target cuda --capability {major}.{minor}"
            ));
        }
        ("llvm" | "c", Some((major, minor))) => {
            return Err(format!(
                "it was compiled for the CPU, and its lane is a part of a GPU: compile it with --target cuda --capability \
                 {major}.{minor}"
            ));
        }
        ("cuda", None) => {
            let arch = &told.arch;
            return Err(format!(
                "it was compiled for a CUDA device ({arch}), and its lane is of a CPU: compile it without --target cuda, or move \
                 its task"
            ));
        }
        (other, _) => {
            return Err(format!("it was compiled for {other}, and TVM's modules run on the CPU and on CUDA devices"));
        }
    }
    if release(&told.tvm) != release(version) {
        return Err(format!("it was compiled by TVM {}, the runtime is {version}: compile it with that one", told.tvm));
    }
    Ok(())
}

/// The capabilities of Tegra's devices: their machine code runs on no other, nor that of others on them.
const TEGRA: [(u32, u32); 4] = [(7, 2), (8, 7), (10, 1), (11, 0)];

/// Whether machine code for an architecture such as `sm_90` runs on a device: of the same major number, and not a later one; with
/// an `a` behind it, or on one of Tegra's, on no other at all.
///
/// Source: NVIDIA, CUDA C++ Programming Guide, "Binary Compatibility".
fn runs_on(arch: &str, (major, minor): (u32, u32)) -> bool {
    let Some(number) = arch.strip_prefix("sm_") else { return false };
    let (number, is_exact) = number.strip_suffix('a').map_or((number, false), |number| (number, true));
    let Ok(number) = number.parse::<u32>() else { return false };
    let (own_major, own_minor) = (number / 10, number % 10);
    let is_exact = is_exact || TEGRA.contains(&(major, minor)) || TEGRA.contains(&(own_major, own_minor));
    own_major == major && (own_minor == minor || (own_minor < minor && !is_exact))
}

/// The release of a version: its first three numbers.
fn release(version: &str) -> Vec<&str> {
    version.split('.').take(3).collect()
}

fn port(form: Form) -> Result<Port, BackendError> {
    let element = match form.dtype.as_str() {
        "float32" => ElementType::F32,
        "int64" => ElementType::I64,
        "int32" => ElementType::I32,
        "uint8" => ElementType::U8,
        other => {
            let text = format!("has element type {other}; plans know f32, i64, i32 and u8");
            return Err(BackendError::Tensor { tensor: form.name, text });
        }
    };
    Ok(Port { name: form.name, element, shape: form.shape })
}

#[cfg(test)]
mod tests {
    use super::{Form, Interface, fits, port};

    fn told() -> Interface {
        let text = r#"{"schema": "aegis.tvm/1", "tvm": "0.27.0.post1", "target": "llvm", "inputs": [], "outputs": [],
                       "model-inputs": [], "model-outputs": []}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_module_of_another_release_form_or_target_is_told_with_both_sides() {
        assert_eq!(fits(&told(), "0.27.0", None), Ok(()));
        let other = fits(&told(), "0.28.0", None).unwrap_err();
        assert_eq!(other, "it was compiled by TVM 0.27.0.post1, the runtime is 0.28.0: compile it with that one");
        let other = fits(&Interface { schema: "aegis.tvm/2".into(), ..told() }, "0.27.0", None).unwrap_err();
        assert_eq!(other, "its aegis_interface is \"aegis.tvm/2\", this program reads \"aegis.tvm/1\"");
    }

    #[test]
    fn a_module_for_another_device_is_told_with_both_sides_and_how_to_compile_it() {
        let cuda = |arch: &str| Interface { target: "cuda".into(), arch: arch.into(), ..told() };
        let fits = |told: &Interface, capability| fits(told, "0.27.0", capability);
        for (arch, capability) in
            [("sm_90", (9, 0)), ("sm_86", (8, 9)), ("sm_87", (8, 7)), ("sm_90a", (9, 0)), ("sm_120", (12, 1))]
        {
            assert_eq!(fits(&cuda(arch), Some(capability)), Ok(()), "{arch}");
        }
        for (arch, capability) in [
            ("sm_87", (8, 6)),
            ("sm_86", (8, 7)),
            ("sm_87", (8, 9)),
            ("sm_80", (9, 0)),
            ("sm_100a", (10, 3)),
            ("", (9, 0)),
            ("90", (9, 0)),
        ] {
            let error = fits(&cuda(arch), Some(capability)).unwrap_err();
            let (major, minor) = capability;
            assert!(error.starts_with(&format!(
                "it was compiled for {arch}, and the device has compute capability {major}.{minor}"
            )));
            assert!(error.ends_with(&format!("--target cuda --capability {major}.{minor}")), "{error}");
        }
        let error = fits(&told(), Some((8, 7))).unwrap_err();
        assert!(error.starts_with("it was compiled for the CPU") && error.ends_with("--capability 8.7"), "{error}");
        let error = fits(&cuda("sm_90"), None).unwrap_err();
        assert!(error.starts_with("it was compiled for a CUDA device (sm_90)"), "{error}");
        let error = fits(&Interface { target: "metal".into(), ..told() }, None).unwrap_err();
        assert_eq!(error, "it was compiled for metal, and TVM's modules run on the CPU and on CUDA devices");
    }

    #[test]
    fn an_element_type_that_plans_do_not_know_is_told_with_the_tensors_name() {
        let form = |dtype: &str| Form { name: "mask".into(), dtype: dtype.into(), shape: vec![1] };
        assert!(port(form("int32")).is_ok());
        let error = port(form("bool")).unwrap_err().to_string();
        assert_eq!(error, "\"mask\" has element type bool; plans know f32, i64, i32 and u8");
    }
}

//! A module that was compiled ahead of time, loaded but not bound to memory yet.
//!
//! `compile.py` puts a function `aegis_interface` into each module, which says what a compiled library does not: names, element
//! types and shapes. It is called once more after each run, because the virtual machine keeps what its last call returned.

use super::TvmRuntime;
use super::abi::{Any, Api, MODULE};
use super::engine::TvmEngine;
use super::value::{Elements, Function};
use crate::arena::BoundTensor;
use crate::backend::{BackendError, BoundSegment, Declared, LoadedSegment, PlannedMemory, Port, Region, ScratchUse};
use crate::serve::Server;
use aegis_core::desc::ElementType;
use serde::Deserialize;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

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
    /// Served its loading.
    load: Server,
    pub(super) inputs: Vec<Port>,
    pub(super) outputs: Vec<Port>,
    declared: Declared,
}

impl TvmModel {
    /// Loads a library that `compile.py` wrote, and starts its virtual machine on the CPU.
    ///
    /// # Errors
    /// [`BackendError::Load`] with TVM's words, or that it is no such library, or of another version; [`BackendError::Refused`]
    /// where its requests are not the region's planned ones, [`BackendError::Tensor`] for an element type that plans do not know.
    pub fn load(runtime: &TvmRuntime, path: &Path, region: Region) -> Result<Self, BackendError> {
        let failed = |text: String| BackendError::Load { path: path.to_owned(), text };
        let mut load = Server::new(region.span, region.sequence);
        let started = load.during(|| start(runtime, path));
        load.end();
        if let Some(refusal) = load.take_refusal() {
            return Err(BackendError::Refused(format!("loading {}: {refusal}", path.display())));
        }
        let (main, interface, told) = started.map_err(failed)?;
        let Interface { inputs, outputs, model_inputs, model_outputs, .. } = told;
        let ports = |forms: Vec<Form>| forms.into_iter().map(port).collect::<Result<Vec<_>, _>>();
        Ok(Self {
            api: runtime.api,
            main,
            interface,
            elements: runtime.elements().map_err(failed)?,
            load,
            inputs: ports(inputs)?,
            outputs: ports(outputs)?,
            declared: Declared { inputs: model_inputs, outputs: model_outputs },
        })
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

    /// None where it is as it should be: weights come from the heap.
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

/// The functions of a started virtual machine, with what the module says of itself.
fn start(runtime: &TvmRuntime, path: &Path) -> Result<(Function, Function, Interface), String> {
    // A name without a folder would be looked for where the system has its libraries.
    let path = std::path::absolute(path).map_err(|error| error.to_string())?;
    let file = CString::new(path.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    let library = runtime.load.call(&[Any::text(&file), Any::text(c"so")])?;
    let find = |of: Any, name: &str| {
        let text = CString::new(name).map_err(|error| error.to_string())?;
        let found = runtime.get.call(&[of, Any::text(&text), Any::bool(true)])?.into_function();
        found.ok_or_else(|| name.to_owned())
    };
    let foreign =
        |name: String| format!("it has no function {name}, so it is no module that targets/host/tvm/compile.py wrote");
    let machine = find(library.any(), "vm_load_executable").map_err(foreign)?.call(&[])?;
    if machine.index() != MODULE {
        return Err("its virtual machine is none".to_owned());
    }
    let initialize = find(machine.any(), "vm_initialization").map_err(foreign)?;
    let device = [CPU, 0, NAIVE].map(Any::int);
    initialize.call(&device)?;
    let interface = find(machine.any(), "aegis_interface").map_err(foreign)?;
    let main = find(machine.any(), "main").map_err(foreign)?;
    let told = interface.call(&[])?.text().ok_or("its aegis_interface returns no text")?;
    let told: Interface = serde_json::from_str(&told).map_err(|error| format!("its aegis_interface: {error}"))?;
    fits(&told, runtime.version())?;
    Ok((main, interface, told))
}

/// Whether a module can be run by a runtime of a version.
fn fits(told: &Interface, version: &str) -> Result<(), String> {
    if told.schema != SCHEMA {
        return Err(format!("its aegis_interface is \"{}\", this program reads \"{SCHEMA}\"", told.schema));
    }
    if !matches!(told.target.as_str(), "llvm" | "c") {
        return Err(format!(
            "it was compiled for {}, and this version runs TVM's modules on the CPU only",
            told.target
        ));
    }
    if release(&told.tvm) != release(version) {
        return Err(format!("it was compiled by TVM {}, the runtime is {version}: compile it with that one", told.tvm));
    }
    Ok(())
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
        assert_eq!(fits(&told(), "0.27.0"), Ok(()));
        let other = fits(&told(), "0.28.0").unwrap_err();
        assert_eq!(other, "it was compiled by TVM 0.27.0.post1, the runtime is 0.28.0: compile it with that one");
        let other = fits(&Interface { schema: "aegis.tvm/2".into(), ..told() }, "0.27.0").unwrap_err();
        assert_eq!(other, "its aegis_interface is \"aegis.tvm/2\", this program reads \"aegis.tvm/1\"");
        let other = fits(&Interface { target: "cuda".into(), ..told() }, "0.27.0").unwrap_err();
        assert_eq!(other, "it was compiled for cuda, and this version runs TVM's modules on the CPU only");
    }

    #[test]
    fn an_element_type_that_plans_do_not_know_is_told_with_the_tensors_name() {
        let form = |dtype: &str| Form { name: "mask".into(), dtype: dtype.into(), shape: vec![1] };
        assert!(port(form("int32")).is_ok());
        let error = port(form("bool")).unwrap_err().to_string();
        assert_eq!(error, "\"mask\" has element type bool; plans know f32, i64, i32 and u8");
    }
}

//! TVM's compiler and runtime, installed as a user's would be.

use crate::fetched::root;
use crate::pip::{installed, run};
use aegis_codegen::check::{Options, check_loaded, load};
use aegis_codegen::fetch::{Context, Kind, Silent, fetch};
use aegis_codegen::probe::{self, Answer, GpuRequest, Library, ModelRequest, Request};
use aegis_codegen::tables;
use aegis_core::desc::SystemDesc;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The version of pip's `apache-tvm`.
pub const VERSION: &str = "0.27.0.post1";
/// What is installed: the compiler with its C interface, and what reads ONNX files.
const PACKAGES: [&str; 3] = ["apache-tvm==0.27.0.post1", "apache-tvm-ffi==0.1.15.post2", "onnx==1.23.2"];

/// NVIDIA's compiler with the headers that TVM's kernels include; no device is needed.
const CUDA_PACKAGES: [&str; 4] = [
    "cuda-bindings==13.5.0",
    "nvidia-cuda-nvrtc==13.5.37",
    "nvidia-cuda-runtime==13.5.37",
    "nvidia-cuda-cccl==13.3.5.0.6",
];

/// The packages in a folder of their own.
#[derive(Debug)]
pub struct Tvm {
    packages: PathBuf,
}

/// TVM, installed into the build folder once; `None` with a printed reason where pip cannot do it.
///
/// # Panics
/// Where it cannot be installed although `AEGIS_REQUIRE_TOOLS` is set.
pub fn tvm() -> Option<&'static Tvm> {
    static TVM: OnceLock<Result<Tvm, String>> = OnceLock::new();
    match TVM.get_or_init(install) {
        Ok(tvm) => Some(tvm),
        Err(why) => {
            assert!(std::env::var_os("AEGIS_REQUIRE_TOOLS").is_none(), "AEGIS_REQUIRE_TOOLS is set, but: {why}");
            eprintln!("skipped: TVM cannot be installed: {why}");
            None
        }
    }
}

/// Where NVIDIA's compiler is installed, once; `None` with a printed reason where pip cannot do it.
///
/// # Panics
/// As for [`tvm`].
fn cuda() -> Option<&'static Path> {
    static CUDA: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match CUDA.get_or_init(|| installed("cuda-compiler-13.5", &CUDA_PACKAGES)) {
        Ok(packages) => Some(packages),
        Err(why) => {
            assert!(std::env::var_os("AEGIS_REQUIRE_TOOLS").is_none(), "AEGIS_REQUIRE_TOOLS is set, but: {why}");
            eprintln!("skipped: NVIDIA's compiler cannot be installed: {why}");
            None
        }
    }
}

fn install() -> Result<Tvm, String> {
    Ok(Tvm { packages: installed(&format!("tvm-{VERSION}"), &PACKAGES)? })
}

impl Tvm {
    /// Links `libtvm_runtime.so` and `libtvm_ffi.so` into a folder, and returns the first.
    ///
    /// # Panics
    /// Where the folder cannot be written to.
    #[must_use]
    pub fn library(&self, folder: &Path) -> PathBuf {
        for file in ["tvm/lib/libtvm_runtime.so", "tvm_ffi/lib/libtvm_ffi.so"] {
            let file = self.packages.join(file);
            let link = folder.join(file.file_name().unwrap());
            if !link.exists() {
                std::os::unix::fs::symlink(file, link).unwrap();
            }
        }
        folder.join("libtvm_runtime.so")
    }

    /// Compiles an ONNX file as the manual says: arguments of `compile.py` after the two files.
    ///
    /// # Errors
    /// The script's words.
    pub fn compile(&self, model: &Path, module: &Path, arguments: &[&str]) -> Result<(), String> {
        let script = root().join("targets/host/tvm/compile.py");
        run(self.python().arg(script).arg(model).arg(module).args(arguments)).map(drop)
    }

    /// Likewise for a CUDA device of a compute capability, such as 9.0. `None` with a printed reason where NVIDIA's compiler
    /// cannot be installed.
    ///
    /// # Panics
    /// As for [`tvm`].
    #[must_use]
    pub fn compile_for_cuda(
        &self,
        (model, module): (&Path, &Path),
        capability: &str,
        arguments: &[&str],
    ) -> Option<Result<(), String>> {
        let mut path = self.packages.clone().into_os_string();
        path.push(":");
        path.push(cuda()?);
        let script = root().join("targets/host/tvm/compile.py");
        let mut python = self.python();
        python.env("PYTHONPATH", path).env_remove("CUDA_PATH").arg(script).arg(model).arg(module);
        Some(run(python.args(["--target", "cuda", "--capability", capability]).args(arguments)).map(drop))
    }

    /// Runs a program of Python with the packages.
    ///
    /// # Errors
    /// Its words.
    pub fn program(&self, text: &str) -> Result<(), String> {
        run(self.python().args(["-c", text])).map(drop)
    }

    fn python(&self) -> Command {
        let mut python = Command::new("python3");
        python.env("PYTHONPATH", &self.packages).env("PYTHONDONTWRITEBYTECODE", "1");
        python
    }
}

/// The profile of device 0 in a probe's answer, as `aegis device probe` writes it.
///
/// # Panics
/// Where the answer has none.
#[must_use]
pub fn device_profile(answer: &Answer) -> String {
    toml::to_string(&answer.device_profile(0).unwrap()).unwrap()
}

/// A manifest's plan for this machine, from what a probe program measures in a few runs: manifest and profiles are written into the
/// folder, the files come into the user's cache. `None` with a printed reason where they cannot be fetched.
///
/// # Panics
/// Where the manifest cannot be planned, or files cannot be fetched although `AEGIS_REQUIRE_TOOLS` is set.
pub fn planned(folder: &Path, text: &str, program: &Path) -> Option<&'static SystemDesc> {
    planned_on(folder, text, None, |request| probe::ask(program, request, |_, _, _| {}).unwrap())
}

/// Likewise where all models run on parts of these sizes of one device: by model its lane's place among them. `ask` asks a probe.
///
/// # Panics
/// As for [`planned`].
pub fn planned_on(
    folder: &Path,
    text: &str,
    parts: Option<&[(&str, u16)]>,
    ask: impl FnOnce(&Request) -> Answer,
) -> Option<&'static SystemDesc> {
    let file = folder.join("system.toml");
    std::fs::write(&file, text).unwrap();
    let (loaded, findings) = load(&file.to_string_lossy(), text.to_owned());
    let loaded = loaded.unwrap_or_else(|| panic!("{findings:#?}"));
    let fetched = fetch(&loaded, std::env::consts::ARCH, &Context::from_environment().unwrap(), &Silent);
    if !fetched.is_complete() {
        assert!(
            std::env::var_os("AEGIS_REQUIRE_TOOLS").is_none(),
            "AEGIS_REQUIRE_TOOLS is set: {:#?}",
            fetched.findings
        );
        eprintln!("skipped: files cannot be fetched: {:#?}", fetched.findings);
        return None;
    }
    let path = |kind, name: &str| fetched.file(kind, name).unwrap().path.clone();
    let libraries = loaded.manifest.runtimes.iter().map(|runtime| Library {
        name: runtime.name.get_ref().clone(),
        path: path(Kind::Library, runtime.name.get_ref()),
        version: runtime.version.get_ref().clone(),
    });
    let place = |model: &str| parts?.iter().position(|(own, _)| *own == model);
    let part = |model: &str| {
        let (before, own) = parts?.split_at(place(model)?);
        Some(GpuRequest {
            ordinal: 0,
            before: before.iter().map(|(_, sms)| sms).sum(),
            sms: own.first()?.1,
            completion: "polling",
        })
    };
    // The first lane is on core 1, the next on core 2.
    let core = |model: &str| (1..).nth(place(model).unwrap_or(0)).unwrap();
    let models = loaded.manifest.models.iter().map(|model| ModelRequest {
        name: model.name.get_ref().clone(),
        files: (0..model.sources.len()).map(|number| path(Kind::Model, &model.segment_name(number))).collect(),
        backend: model.backend.name(),
        core: core(model.name.get_ref()),
        inputs: Vec::new(),
        gpu: part(model.name.get_ref()),
        kernels: None,
        engines: None,
    });
    let request = Request {
        schema: probe::SCHEMA,
        command: "profile",
        device: None,
        libraries: libraries.collect(),
        orchestration_core: 0,
        lanes: Vec::new(),
        models: models.collect(),
        min_runs: 5,
        min_seconds: 0,
        warmup_runs: 1,
    };
    let answer = ask(&request);
    for model in &request.models {
        let profile = answer.model_profile(model).unwrap();
        let path = folder.join(format!("{}.toml", model.name));
        std::fs::write(path, toml::to_string(&profile).unwrap()).unwrap();
    }
    let checked = check_loaded(&loaded, findings, Options::default()).unwrap();
    let lock = checked.lock.unwrap_or_else(|| panic!("{:#?}", checked.findings));
    Some(tables::leak(&lock).unwrap())
}

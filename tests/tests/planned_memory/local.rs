//! Plans whose recordings were made on this machine: what a runtime requests depends on the processor's vector units, so a
//! committed profile's recordings hold for its machine only.

use aegis_codegen::check::{Options, check_loaded, load};
use aegis_codegen::fetch::{Context, Kind, Outcome, Silent, fetch};
use aegis_codegen::manifest::{Execution, Overheads};
use aegis_codegen::probe::{self, Library, ModelRequest, Request, ShapeRequest};
use aegis_codegen::resolve::Loaded;
use aegis_codegen::{profile, tables};
use aegis_core::desc::SystemDesc;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A plan and the files it needs.
pub(crate) struct Local {
    pub(crate) system: &'static SystemDesc,
    pub(crate) files: Outcome,
}

impl Local {
    pub(crate) fn file(&self, kind: Kind, name: &str) -> PathBuf {
        self.files.file(kind, name).unwrap().path.clone()
    }
}

/// The plan of a manifest of the repository with this machine's recordings and the committed times, all in one process; `None` with a
/// printed reason where its files cannot be fetched.
pub(crate) fn plan(manifest: &str) -> Option<Local> {
    let file = root().join(manifest);
    let text = std::fs::read_to_string(&file).unwrap();
    let (loaded, findings) = load(&file.to_string_lossy(), text);
    let loaded = in_one_process(loaded.unwrap());
    let files = fetch(&loaded, std::env::consts::ARCH, &Context::from_environment().unwrap(), &Silent);
    if !files.is_complete() {
        let why: Vec<&str> = files.findings.iter().map(|finding| finding.message.as_str()).collect();
        assert!(std::env::var_os("AEGIS_REQUIRE_TOOLS").is_none(), "AEGIS_REQUIRE_TOOLS is set, but: {why:?}");
        eprintln!("skipped: the files cannot be fetched: {why:?}");
        return None;
    }
    let profiles = tempfile::tempdir().unwrap();
    record(&loaded, &files, profiles.path());
    let options = Options { substitute: Some(profiles.path()), ..Options::default() };
    let checked = check_loaded(&loaded, findings, options).unwrap();
    let lock = checked.lock.unwrap_or_else(|| panic!("{:#?}", checked.findings));
    Some(Local { system: tables::leak(&lock).unwrap(), files })
}

/// The same vehicle without fault domains: what runs here has one process and one arena.
fn in_one_process(mut loaded: Loaded) -> Loaded {
    let manifest = &mut loaded.manifest;
    manifest.domains.clear();
    manifest.models.iter_mut().for_each(|model| model.domain = None);
    manifest.tasks.iter_mut().for_each(|task| task.domain = None);
    loaded
}

/// Writes the manifest's profiles into a folder: times and conditions as committed, memory as recorded here.
fn record(loaded: &Loaded, files: &Outcome, into: &Path) {
    let manifest = &loaded.manifest;
    for lane in &manifest.lanes {
        let Overheads::Profile(path) = &lane.overheads else { continue };
        std::fs::copy(loaded.profile_file(path.get_ref(), None), loaded.profile_file(path.get_ref(), Some(into)))
            .unwrap();
    }
    let mut models = Vec::new();
    for task in &manifest.tasks {
        let (Execution::Profile(path), Some(model)) = (&task.execution, task.model) else { continue };
        let model = &manifest.models[model];
        let inputs = model.inputs.iter();
        let request = ModelRequest {
            name: model.name.get_ref().clone(),
            files: (0..model.sources.len())
                .map(|number| files.file(Kind::Model, &model.segment_name(number)).unwrap().path.clone())
                .collect(),
            backend: "onnxruntime",
            core: 0,
            inputs: inputs
                .map(|(name, shape)| ShapeRequest { name: name.get_ref().clone(), shape: shape.clone() })
                .collect(),
            gpu: None,
            kernels: None,
            engines: None,
        };
        models.push((request, path.get_ref().clone()));
    }
    let runtime = &manifest.runtimes[0];
    let request = Request {
        schema: probe::SCHEMA,
        command: "profile",
        device: None,
        libraries: vec![Library {
            name: runtime.name.get_ref().clone(),
            path: files.file(Kind::Library, runtime.name.get_ref()).unwrap().path.clone(),
            version: runtime.version.get_ref().clone(),
        }],
        orchestration_core: 0,
        lanes: Vec::new(),
        models: models.iter().map(|(request, _)| request.clone()).collect(),
        min_runs: 3,
        min_seconds: 0,
        warmup_runs: 1,
    };
    let answer = probe::ask(&probe_program(), &request, |_, _, _| {}).unwrap();
    for (request, path) in &models {
        let measured = answer.model_profile(request).unwrap();
        let text = std::fs::read_to_string(loaded.profile_file(path, None)).unwrap();
        let committed: profile::ModelProfile = toml::from_str(&text).unwrap();
        let mut own = measured;
        own.conditions = committed.conditions;
        for (segment, committed) in own.segments.iter_mut().zip(&committed.segments) {
            // All that is of the series of times: a tail of another one would contradict it.
            segment.execution = committed.execution;
            segment.alone = committed.alone;
            segment.tail.clone_from(&committed.tail);
        }
        std::fs::write(loaded.profile_file(path, Some(into)), toml::to_string(&own).unwrap()).unwrap();
    }
}

/// The probe of this build.
pub(crate) fn probe_program() -> PathBuf {
    let build = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package=aegis-host", "--bin=aegis-host-probe"])
        .current_dir(root())
        .status()
        .unwrap();
    assert!(build.success());
    // This program lies in the folder `deps` beside it.
    let own = std::env::current_exe().unwrap();
    let built = own.ancestors().nth(2).unwrap();
    let debug = built.parent().unwrap().join("debug/aegis-host-probe");
    let beside = built.join("aegis-host-probe");
    if beside.exists() { beside } else { debug }
}

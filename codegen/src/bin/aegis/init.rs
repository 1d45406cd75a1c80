//! `aegis init`.

use crate::{Failure, Outcome, print, show_findings};
use aegis_codegen::init::Init;
use aegis_codegen::onnx;
use std::path::{Path, PathBuf};

/// The command's arguments.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The vehicle's name, and that of its new folder.
    name: String,
    /// ONNX files: each is copied into the crate, and becomes a model with a task.
    #[arg(long, value_name = "MODEL", num_args = 1..)]
    from: Vec<PathBuf>,
    /// The folder of AegisRT's sources; without this the one that this command was built from.
    #[arg(long, value_name = "FOLDER")]
    aegis: Option<PathBuf>,
}

/// Where this command was built from.
const SOURCES: &str = env!("CARGO_MANIFEST_DIR");

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let aegis = sources(arguments.aegis.as_deref())?;
    let name = arguments.name.as_str();
    let mut init = Init::new(name, &aegis.to_string_lossy()).map_err(Failure::input)?;
    let folder = Path::new(name);
    if folder.symlink_metadata().is_ok() {
        return Err(Failure::Input(format!("`{name}` is there already: choose another name, or remove it")));
    }
    let mut models = Vec::new();
    for path in &arguments.from {
        let cannot = |error: std::io::Error| Failure::Input(format!("cannot read `{}`: {error}", path.display()));
        let model = onnx::read(path).map_err(cannot)?.map_err(|findings| {
            show_findings(&findings, "", "");
            Failure::Findings
        })?;
        let outside = Vec::from_iter(model.outside());
        if !outside.is_empty() {
            return Err(Failure::Input(format!(
                "--from: `{}` keeps weights in other files, `{}`, which are not copied: save it as one file, by \
                 `onnx.save(onnx.load(\"{}\"), \"one.onnx\")` in Python, or name it in `system.toml` where it lies",
                path.display(),
                outside.join("`, `"),
                path.display()
            )));
        }
        let bytes = path.metadata().map_err(cannot)?.len();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        models.push((init.add(&model, &stem, bytes).map_err(Failure::input)?, path));
    }
    let files = init.files().map_err(Failure::internal)?;
    // All of it is written beside its place, so that a folder of this name is whole.
    let placed = tempfile::Builder::new().prefix(&format!(".{name}.")).tempdir_in(".").and_then(|beside| {
        let whole = beside.path().join(name);
        std::fs::create_dir(&whole)?;
        let put = |path: &str| -> std::io::Result<PathBuf> {
            let path = whole.join(path);
            path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            Ok(path)
        };
        for file in &files {
            std::fs::write(put(file.path)?, &file.text)?;
        }
        for (place, model) in &models {
            std::fs::copy(model, put(place)?)?;
        }
        // The versions that AegisRT is tested with; Cargo adds the vehicle itself.
        let versions = aegis.join("Cargo.lock");
        if versions.is_file() {
            std::fs::copy(versions, put("Cargo.lock")?)?;
        }
        std::fs::rename(&whole, folder)
    });
    placed.map_err(|error| Failure::Input(format!("cannot write `{name}`: {error}")))?;
    let mut written: Vec<&str> = files.iter().map(|file| file.path).collect();
    written.extend(models.iter().map(|(place, _)| place.as_str()));
    written.sort_unstable();
    print(&format!("{name}: {}\nnext: cd {name} && aegis run --fit\n", written.join(", ")));
    Ok(())
}

/// The folder of AegisRT's sources, which the new crate depends on.
fn sources(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let built_from = Path::new(SOURCES).parent().unwrap_or(Path::new(SOURCES));
    let folder = given.unwrap_or(built_from);
    let absolute = folder.canonicalize().ok().filter(|folder| folder.join("targets/host/Cargo.toml").is_file());
    absolute.ok_or_else(|| {
        Failure::Input(format!(
            "there are no sources of AegisRT at `{}`: name their folder by --aegis FOLDER, the one with targets/host",
            folder.display()
        ))
    })
}

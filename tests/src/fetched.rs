//! The reference vehicle's files, fetched as a user's would be.

use aegis_codegen::check::load;
use aegis_codegen::fetch::{Context, Kind, Outcome, Silent, fetch};
use aegis_codegen::resolve::Loaded;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The repository's root.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The reference manifest.
#[must_use]
pub fn reference() -> Loaded {
    let file = root().join("system.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    load(&file.to_string_lossy(), text).0.unwrap()
}

/// Every file of the reference manifest, or `None` with a printed reason where it cannot be fetched.
///
/// # Panics
/// Where it cannot be fetched although `AEGIS_REQUIRE_TOOLS` is set.
pub fn reference_files() -> Option<&'static Outcome> {
    static FILES: OnceLock<Outcome> = OnceLock::new();
    let outcome = FILES.get_or_init(|| {
        let context = Context::from_environment().unwrap();
        fetch(&reference(), std::env::consts::ARCH, &context, &Silent)
    });
    if outcome.is_complete() {
        return Some(outcome);
    }
    let why: Vec<&str> = outcome.findings.iter().map(|finding| finding.message.as_str()).collect();
    let why = why.join("; ");
    assert!(std::env::var_os("AEGIS_REQUIRE_TOOLS").is_none(), "AEGIS_REQUIRE_TOOLS is set, but: {why}");
    eprintln!("skipped: the files cannot be fetched: {why}");
    None
}

/// The path of one fetched file of the reference manifest.
pub fn reference_file(kind: Kind, name: &str) -> Option<PathBuf> {
    Some(reference_files()?.file(kind, name).unwrap().path.clone())
}

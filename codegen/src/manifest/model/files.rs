//! The files that a manifest names, and where they come from.

use super::Span;
use toml::Spanned;

/// A runtime library.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// Its name: that of the [`aegis_core::desc::Backend`] which needs it.
    pub name: Spanned<String>,
    /// Its version.
    pub version: Spanned<String>,
    /// Where it comes from.
    pub source: Source,
    /// Where it comes from on an aarch64 machine, if not from `source`.
    pub source_aarch64: Option<Source>,
    /// Libraries that it looks for in its own folder, each of another file name; none on a machine that has `source_aarch64`.
    pub beside: Vec<Source>,
    /// Its table's header.
    pub span: Span,
}

impl Runtime {
    /// Where it comes from on a machine of the architecture `arch`, as Rust spells it.
    #[must_use]
    pub fn source_for(&self, arch: &str) -> &Source {
        match &self.source_aarch64 {
            Some(source) if arch == "aarch64" => source,
            _ => &self.source,
        }
    }

    /// What it looks for in its own folder on a machine of the architecture `arch`.
    #[must_use]
    pub fn beside_for(&self, arch: &str) -> &[Source] {
        if arch == "aarch64" && self.source_aarch64.is_some() { &[] } else { &self.beside }
    }
}

/// Where a file comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// It lies beside the manifest.
    File {
        /// Its path, relative to the manifest.
        path: Spanned<String>,
    },
    /// It lies in a published package.
    Package {
        /// The registry's client.
        client: Client,
        /// The package's name.
        package: Spanned<String>,
        /// The package's version.
        version: Spanned<String>,
        /// The file's path inside the package.
        path: Spanned<String>,
        /// The file's SHA-256, 64 lower-case hexadecimal digits.
        sha256: Spanned<String>,
    },
}

impl Source {
    /// The path that it gives: beside the manifest, or inside the package.
    #[must_use]
    pub const fn path(&self) -> &Spanned<String> {
        match self {
            Self::File { path } | Self::Package { path, .. } => path,
        }
    }

    /// The last part of its path.
    #[must_use]
    pub fn file_name(&self) -> &str {
        let path = self.path().get_ref();
        path.rsplit('/').next().unwrap_or(path)
    }
}

/// A package registry's client.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Client {
    /// Python packages.
    Pip,
    /// JavaScript packages.
    Npm,
}

impl Client {
    /// The name in manifests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pip => "pip",
            Self::Npm => "npm",
        }
    }
}

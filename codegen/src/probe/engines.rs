//! What is asked of a model that TensorRT is to run.

use super::Measured;
use crate::engines::{Built, Engines};
use serde::Serialize;

/// How engines are to be built, or which are to be measured.
#[derive(Clone, Debug, Serialize)]
pub struct EnginesRequest {
    /// The library's name.
    pub library: &'static str,
    /// The precision's name.
    pub precision: &'static str,
    /// The most device memory that one of them may use as workspace.
    pub workspace_bytes: u64,
    /// The checksums of engines that lie in the cache, one for each segment: these are measured. Where it is empty, engines are
    /// built.
    pub built: Vec<String>,
    /// All that; not asked, but noted in the profile.
    #[serde(skip)]
    pub engines: Engines,
}

impl EnginesRequest {
    /// To build engines as a manifest says.
    #[must_use]
    pub const fn of(engines: Engines) -> Self {
        Self {
            library: engines.library.name(),
            precision: engines.precision.name(),
            workspace_bytes: engines.workspace.0,
            built: Vec::new(),
            engines,
        }
    }

    /// How they were built, where the probe told of all of them.
    pub(super) fn built_as(&self, measured: &Measured) -> Result<Built, String> {
        let version = measured.engines_version.as_ref();
        let version = version.filter(|_| measured.segments.iter().all(|segment| segment.engine_sha256.is_some()));
        let version = version.ok_or_else(|| "the probe measured it without engines".to_owned())?;
        Ok(self.engines.built_by(version))
    }
}

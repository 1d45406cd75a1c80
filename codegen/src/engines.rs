//! Engines that TensorRT builds of a model's files: what a manifest asks for, and how they were built.

use aegis_core::desc::{EngineLibrary, Precision};
use aegis_core::units::Bytes;
use serde::{Deserialize, Serialize};

/// What a manifest asks for: the `provider` of a model and its table `tensorrt`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Engines {
    /// What builds and runs them.
    pub library: EngineLibrary,
    /// In what numbers they may compute; always [`Precision::Model`] for TensorRT-RTX.
    pub precision: Precision,
    /// The most device memory that one of them may use as workspace; more than zero.
    pub workspace: Bytes,
}

/// How engines were built, as profiles and locks say it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Built {
    /// The library's name.
    pub library: String,
    /// The library's version, such as `10.14.1`.
    pub version: String,
    /// The precision's name.
    pub precision: String,
    /// The most device memory that one of them may use as workspace.
    pub workspace_bytes: u64,
}

impl Engines {
    /// How they are said to have been built by a version of their library.
    #[must_use]
    pub fn built_by(self, version: &str) -> Built {
        Built {
            library: self.library.name().to_owned(),
            version: version.to_owned(),
            precision: self.precision.name().to_owned(),
            workspace_bytes: self.workspace.0,
        }
    }

    /// In what engines that were built differ from what is asked for, each with both values: what was measured, and what is asked
    /// for.
    #[must_use]
    pub fn differences(self, built: &Built) -> Vec<(String, String)> {
        let asked = self.built_by(&built.version);
        let pairs = [
            (format!("by `{}`", built.library), format!("`provider = \"{}\"`", asked.library)),
            (format!("with the precision \"{}\"", built.precision), format!("\"{}\"", asked.precision)),
            (
                format!("with a workspace of {} bytes", built.workspace_bytes),
                format!("{} bytes", asked.workspace_bytes),
            ),
        ];
        let differ = [
            built.library != asked.library,
            built.precision != asked.precision,
            built.workspace_bytes != asked.workspace_bytes,
        ];
        pairs.into_iter().zip(differ).filter(|(_, differ)| *differ).map(|(pair, _)| pair).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Built, Engines};
    use aegis_core::desc::{EngineLibrary, Precision};
    use aegis_core::units::Bytes;

    #[test]
    fn what_differs_is_told_with_both_values_and_the_version_is_nobodys_wish() {
        let asked = Engines { library: EngineLibrary::TensorRt, precision: Precision::Half, workspace: Bytes(1 << 20) };
        let built = asked.built_by("10.14.1");
        assert_eq!(asked.differences(&built), []);
        let other = Built { library: "tensorrt-rtx".into(), precision: "model".into(), ..built.clone() };
        let told = [
            ("by `tensorrt-rtx`".to_owned(), "`provider = \"tensorrt\"`".to_owned()),
            ("with the precision \"model\"".to_owned(), "\"fp16\"".to_owned()),
        ];
        assert_eq!(asked.differences(&other), told);
        let larger = Built { workspace_bytes: 2 << 20, ..built };
        let told = ("with a workspace of 2097152 bytes".to_owned(), "1048576 bytes".to_owned());
        assert_eq!(asked.differences(&larger), [told]);
    }
}

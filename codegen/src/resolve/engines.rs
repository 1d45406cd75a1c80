//! Whether a model was measured with the engines that its manifest asks for.

use super::Resolver;
use crate::finding::{Code, Finding};
use crate::manifest;
use crate::profile::{ModelProfile, SegmentFacts};
use aegis_core::desc::MemoryControl;
use aegis_core::units::Bytes;
use toml::Spanned;

const AGAIN: &str = "measure it again with `aegis profile`, which builds engines as the manifest says";

impl Resolver<'_> {
    /// A profile is of the provider that the manifest names, and of engines that were built as it says; `None` where that was
    /// reported.
    pub(super) fn compare_engines(
        &mut self,
        path: &Spanned<String>,
        profile: &ModelProfile,
        model: &manifest::Model,
    ) -> Option<()> {
        let (given, name) = (path.get_ref(), model.name.get_ref());
        let wrong = match (&model.engines, &profile.conditions.engines) {
            (None, None) => None,
            (None, Some(built)) => Some(format!(
                "with engines of `{}`, and the manifest's model `{name}` has no such provider",
                built.library
            )),
            (Some(asked), None) => Some(format!(
                "without engines, and the manifest's model `{name}` has `provider = \"{}\"`",
                asked.library.name()
            )),
            (Some(asked), Some(built)) => {
                let told = asked.differences(built).into_iter().map(|(was, is)| format!("{was}, not {is}"));
                let told = told.collect::<Vec<_>>().join("; ");
                (!told.is_empty()).then(|| format!("with engines that were built {told}"))
            }
        };
        if let Some(wrong) = wrong {
            let message = format!("profile `{given}` was measured {wrong}");
            let finding = Finding::error(Code::ProfileOfOtherEngines, message);
            let finding = finding.at(&self.loaded.file, path.span(), "its times and sizes are those of other kernels");
            let finding = finding.also(&self.loaded.file, model.span.clone(), "asked for here");
            self.findings.push(finding.help(AGAIN));
            return None;
        }
        self.engines_agree(path, profile)?;
        self.versions_agree(path, profile);
        Some(())
    }

    /// Each segment has an engine where the model has engines, and none otherwise.
    fn engines_agree(&mut self, path: &Spanned<String>, profile: &ModelProfile) -> Option<()> {
        let has_some = profile.conditions.engines.is_some();
        let is_digest =
            |text: &str| text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let wrong = |(number, segment): (usize, &SegmentFacts)| match &segment.engine_sha256 {
            None if has_some => Some(format!("[conditions.engines], and no `engine-sha256` of segment {number}")),
            None => None,
            Some(_) if !has_some => {
                Some(format!("an `engine-sha256` of segment {number}, and no [conditions.engines]"))
            }
            Some(digest) if !is_digest(digest) => {
                Some(format!("an `engine-sha256` of segment {number} that is no SHA-256"))
            }
            Some(_) if segment.memory != MemoryControl::Measured.name() => Some(format!(
                "an engine of segment {number} whose memory is `{}`, and what an engine takes is only measured",
                segment.memory
            )),
            Some(_) => None,
        };
        let Some(wrong) = (1..).zip(&profile.segments).find_map(wrong) else { return Some(()) };
        let message = format!("profile `{}` has {wrong}", path.get_ref());
        self.error(Code::ProfileUnreadable, &path.span(), message, "named here", AGAIN);
        None
    }

    /// A vehicle loads one version of a library, and each refuses engines of another.
    fn versions_agree(&mut self, path: &Spanned<String>, profile: &ModelProfile) {
        let Some(built) = &profile.conditions.engines else { return };
        let Some((first, other)) = self.engines.iter().find(|(_, other)| other.library == built.library) else {
            self.engines.push((path.get_ref().clone(), built.clone()));
            return;
        };
        if other.version == built.version {
            return;
        }
        let message = format!(
            "profile `{}` was measured with {} {}, but `{first}` with {}",
            path.get_ref(),
            built.library,
            built.version,
            other.version
        );
        let text = "one vehicle loads one version, which refuses engines of another";
        self.error(Code::ProfileOfOtherEngines, &path.span(), message, text, AGAIN);
    }

    /// What a segment holds of its device outside the arena: with an engine what was measured, and all of its workspace besides.
    pub(super) fn weights(
        &mut self,
        path: &Spanned<String>,
        facts: &SegmentFacts,
        model: &manifest::Model,
    ) -> Option<Bytes> {
        let workspace = model.engines.map_or(0, |engines| engines.workspace.0);
        let weights = facts.weights_bytes.checked_add(workspace).map(Bytes);
        if weights.is_none() {
            let message = format!(
                "the weights of profile `{}` and the workspace of model `{}` sum to more than 2^64 - 1 bytes",
                path.get_ref(),
                model.name.get_ref()
            );
            self.error(Code::ProfileUnreadable, &path.span(), message, "named here", "lower the workspace");
        }
        weights
    }
}

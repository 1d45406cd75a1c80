//! What `[model.NAME]` says.

use super::{kernels, source};
use crate::launches::Kernels;
use crate::manifest::model::{Source, Span};
use crate::manifest::reader::Section;
use aegis_core::desc::{Backend, TensorLife};
use toml::Spanned;

/// Backends that belong to the design but not to this version.
pub(super) const NOT_YET: [&str; 1] = ["tensorrt"];

/// `[model.NAME]`.
pub(crate) struct Model {
    pub(crate) name: Spanned<String>,
    pub(crate) span: Span,
    /// Where `files` is given, be it readable or not.
    pub(crate) files_key: Option<Span>,
    /// One for each segment.
    pub(crate) sources: Option<Vec<Source>>,
    pub(crate) backend: Option<Backend>,
    /// Whether `domain` is given, be it readable or not.
    pub(crate) has_domain: bool,
    pub(crate) domain: Option<Spanned<String>>,
    pub(crate) inputs: Vec<(Spanned<String>, Vec<u32>)>,
    /// Of the backend `kernels`.
    pub(crate) kernels: Option<Kernels>,
    pub(crate) tensors: Option<TensorLife>,
}

pub(super) fn model(name: Spanned<String>, section: &mut Section<'_>) -> Model {
    let sources = source::segments(section);
    let backend = section.required("backend", "backend = \"onnxruntime\"", |s, key| {
        s.choice(key, &Backend::ALL.map(|backend| (backend.name(), backend)), &NOT_YET)
    });
    let (backend, domain) = (backend.map(Spanned::into_inner), section.text("domain"));
    let kernels = kernels::kernels(section, backend);
    // Those of kernels have been read; where the backend is not known, neither is what they should be.
    let inputs = match backend {
        Some(Backend::Kernels) | None => {
            section.has("inputs");
            Vec::new()
        }
        Some(Backend::OnnxRuntime | Backend::Tvm) => shapes(section),
    };
    let tensors = if section.has("tensors") {
        let words = &[("kept", TensorLife::Kept), ("job", TensorLife::Job)];
        section.choice("tensors", words, &[]).map(Spanned::into_inner)
    } else {
        Some(TensorLife::Kept)
    };
    let has_domain = section.has("domain");
    Model {
        name,
        span: section.span.clone(),
        files_key: section.key_span("files"),
        sources,
        backend,
        has_domain,
        domain,
        inputs,
        kernels,
        tensors,
    }
}

/// The dimensions of inputs that a model's file leaves open.
fn shapes(section: &mut Section<'_>) -> Vec<(Spanned<String>, Vec<u32>)> {
    let mut inputs = Vec::new();
    if let Some(mut table) = section.section("inputs", "a table such as { input = [1, 128, 128, 3] }") {
        for (input, value) in table.pairs() {
            let dimensions = table.dimensions(input.get_ref(), value);
            inputs.extend(dimensions.map(|dimensions| (input, dimensions)));
        }
    }
    inputs
}

//! What `[model.NAME]` says.

use super::engines::{self, Provider};
use super::{kernels, source};
use crate::finding::{Code, Finding};
use crate::launches::Kernels;
use crate::manifest::model::{Source, Span};
use crate::manifest::reader::Section;
use aegis_core::desc::{Backend, EngineLibrary, TensorLife};
use toml::Spanned;

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
    pub(crate) provider: Provider,
    /// Where it says that the model is not trusted, if it does.
    pub(crate) untrusted: Option<Span>,
}

pub(super) fn model(name: Spanned<String>, section: &mut Section<'_>) -> Model {
    let sources = source::segments(section);
    let backend = section.required("backend", "backend = \"onnxruntime\"", |section, key| {
        let providers = EngineLibrary::ALL.map(EngineLibrary::name);
        match providers.into_iter().find_map(|name| Some((name, section.place_of(key, name)?))) {
            Some((name, span)) => {
                let message = format!("`backend` of {} has no value \"{name}\"", section.title());
                let finding = Finding::error(Code::UnknownValue, message);
                let finding = finding.at(section.sink.file, span, "ONNX Runtime's provider runs it");
                let help = format!("write `backend = \"onnxruntime\"` and `provider = \"{name}\"`");
                section.sink.push(finding.help(help));
                None
            }
            None => section.choice(key, &Backend::ALL.map(|backend| (backend.name(), backend)), &[]),
        }
    });
    let (backend, domain) = (backend.map(Spanned::into_inner), section.text("domain"));
    let kernels = kernels::kernels(section, backend);
    let provider = engines::provider(section, backend);
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
    let trust = section.choice("trust", &[("full", false), ("none", true)], &[]);
    let untrusted = trust.filter(|untrusted| *untrusted.get_ref()).map(|untrusted| untrusted.span());
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
        provider,
        untrusted,
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

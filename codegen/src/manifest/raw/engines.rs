//! What runs a model of ONNX Runtime on a part of a GPU: `provider`, and how TensorRT builds its engines.

use aegis_core::desc::{Backend, EngineLibrary, Precision};
use aegis_core::units::Bytes;
use toml::Spanned;

use crate::engines::Engines;
use crate::finding::{Code, Finding};
use crate::manifest::model::Span;
use crate::manifest::reader::Section;

/// The providers; without one a part of a GPU has that of CUDA.
const PROVIDERS: &[(&str, Option<EngineLibrary>)] = &[
    ("cuda", None),
    (EngineLibrary::TensorRt.name(), Some(EngineLibrary::TensorRt)),
    (EngineLibrary::TensorRtRtx.name(), Some(EngineLibrary::TensorRtRtx)),
];

const PRECISIONS: &[(&str, Precision)] = &[
    (Precision::Model.name(), Precision::Model),
    (Precision::Half.name(), Precision::Half),
    (Precision::BFloat16.name(), Precision::BFloat16),
];

pub(crate) const OPTIONS: &str = "tensorrt = { workspace = \"256MiB\" }";

/// What is said of a model's provider.
pub(crate) struct Provider {
    /// Where `provider` is given, be it readable or not.
    pub(crate) key: Option<Span>,
    /// How engines are to be built; `None` where there are none, and where something of it was reported.
    pub(crate) engines: Option<Engines>,
    /// Whether there is a provider and no table of how it is to build engines: reported where the provider has its place.
    pub(crate) lacks_options: bool,
    /// Whether nothing is wrong with it, and nothing missing.
    pub(crate) sound: bool,
}

pub(super) fn provider(section: &mut Section<'_>, backend: Option<Backend>) -> Provider {
    let key = section.key_span("provider");
    let chosen = match key {
        Some(_) => section.choice("provider", PROVIDERS, &[]).map(Spanned::into_inner),
        None => Some(None),
    };
    let none = |sound| Provider { key: key.clone(), engines: None, lacks_options: false, sound };
    match chosen {
        // What it should be is not known; the table is.
        None => {
            section.has("tensorrt");
            none(false)
        }
        Some(None) => match section.key_span("tensorrt") {
            Some(span) => {
                let message = format!("{} has `tensorrt`, and no provider that it is of", section.title());
                let finding = Finding::error(Code::EngineOption, message).at(section.sink.file, span, "no effect here");
                let help = "add `provider = \"tensorrt\"` or `provider = \"tensorrt-rtx\"`, or remove it";
                section.sink.push(finding.help(help));
                none(false)
            }
            None => none(true),
        },
        Some(Some(library)) => {
            let fixed = backend != Some(Backend::OnnxRuntime) || is_fixed(section, library);
            let lacks_options = !section.has("tensorrt");
            let engines = options(section, "tensorrt", library);
            Provider { sound: engines.is_some() && fixed, engines: engines.filter(|_| fixed), lacks_options, key }
        }
    }
}

/// An engine is built for one shape of its inputs, which its file says.
fn is_fixed(section: &mut Section<'_>, library: EngineLibrary) -> bool {
    let Some(span) = section.key_span("inputs") else { return true };
    let message = format!("{} has the provider \"{}\" and `inputs`", section.title(), library.name());
    let finding = Finding::error(Code::EngineOption, message);
    let finding = finding.at(section.sink.file, span, "an engine is built of the shapes that the file has");
    let help = "fix the dimensions in the file, as `python -m onnxruntime.tools.make_dynamic_shape_fixed` does, and remove `inputs`";
    section.sink.push(finding.help(help));
    false
}

fn options(section: &mut Section<'_>, key: &'static str, library: EngineLibrary) -> Option<Engines> {
    let mut table = section.section(key, "a table such as { workspace = \"256MiB\" }")?;
    let workspace: Option<Spanned<Bytes>> = table.required("workspace", "workspace = \"256MiB\"", Section::size);
    let precision = if table.has("precision") {
        table.choice("precision", PRECISIONS, &[])
    } else {
        Some(Spanned::new(0..0, Precision::Model))
    };
    let mut sound = true;
    if let (EngineLibrary::TensorRtRtx, Some(given)) = (library, &precision)
        && *given.get_ref() != Precision::Model
    {
        let (name, given) = (given.get_ref().name(), given.span());
        let message = format!("{} is \"{name}\", and TensorRT-RTX computes as the model says", table.title());
        let message = message.replacen("`tensorrt`", "`precision` in `tensorrt`", 1);
        let finding =
            Finding::error(Code::EngineOption, message).at(section.sink.file, given, "not with this provider");
        section.sink.push(finding.help("remove it, and convert the model's file, or use `provider = \"tensorrt\"`"));
        sound = false;
    }
    table.finish();
    let (workspace, precision) = (*workspace?.get_ref(), precision?.into_inner());
    sound.then_some(Engines { library, precision, workspace })
}

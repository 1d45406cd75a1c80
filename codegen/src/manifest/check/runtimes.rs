//! The rules of a runtime's libraries.

use std::collections::BTreeMap;

use aegis_core::desc::Backend;

use crate::finding::{Code, Finding};
use crate::manifest::model::{Source, Span};
use crate::manifest::raw::Raw;
use crate::manifest::reader::Sink;

/// Libraries beside a runtime's lie in one folder, so their file names differ.
pub(super) fn check(raw: &Raw, sink: &Sink<'_>) {
    providers(raw, sink);
    for runtime in &raw.runtimes {
        let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
        // The runtime's own library lies there by the runtime's name.
        seen.insert(runtime.name.get_ref(), runtime.name.span());
        for source in runtime.beside.iter().flatten() {
            let (name, span) = (source.file_name(), source.path().span());
            // By these names a plan tells which libraries belong to which runtime.
            if name != runtime.name.get_ref() && Backend::ALL.iter().any(|backend| backend.name() == name) {
                let message = format!(
                    "a library beside the runtime `{}` has the file name `{name}`, which is a runtime's",
                    runtime.name.get_ref()
                );
                let finding = Finding::error(Code::RepeatedFile, message).at(sink.file, span.clone(), "this name");
                sink.push(finding.help("name a file that is called otherwise"));
            }
            match seen.get(name) {
                Some(first) => {
                    let message = format!(
                        "two libraries of the runtime `{}` would have the file name `{name}` in one folder",
                        runtime.name.get_ref()
                    );
                    let finding = Finding::error(Code::RepeatedFile, message)
                        .at(sink.file, span, "given again here")
                        .also(sink.file, first.clone(), "first here");
                    sink.push(finding.help("name each library once, and none as the runtime"));
                }
                None => {
                    seen.insert(name, span);
                }
            }
        }
        if let (Some(Source::File { path }), [first, ..]) =
            (&runtime.source, runtime.beside.as_deref().unwrap_or_default())
        {
            let message = format!(
                "the runtime `{}` is a file beside the manifest, where it finds its libraries itself",
                runtime.name.get_ref()
            );
            let finding = Finding::error(Code::KeyConflict, message)
                .at(sink.file, first.path().span(), "no effect here")
                .also(sink.file, path.span(), "the runtime's library");
            sink.push(finding.help("remove `beside`, or take the library from the package, too"));
        }
    }
}

/// A runtime that comes from a package finds a provider's library only where it is named beside it.
fn providers(raw: &Raw, sink: &Sink<'_>) {
    let runtime = raw.runtimes.iter().find(|runtime| runtime.name.get_ref() == Backend::OnnxRuntime.name());
    let Some((runtime, beside)) = runtime.and_then(|runtime| Some((runtime, runtime.beside.as_ref()?))) else { return };
    if !matches!(runtime.source, Some(Source::Package { .. })) {
        return;
    }
    let mut told = Vec::new();
    for model in &raw.models {
        let (Some(engines), Some(key)) = (model.provider.engines, &model.provider.key) else { continue };
        let file = engines.library.provider_file();
        if beside.iter().any(|source| source.file_name() == file) || told.contains(&file) {
            continue;
        }
        told.push(file);
        let message = format!(
            "the model `{}` has the provider \"{}\", and nothing beside the runtime `onnxruntime` is its library `{file}`",
            model.name.get_ref(),
            engines.library.name()
        );
        let finding = Finding::error(Code::ProviderLibrary, message)
            .at(sink.file, runtime.span.clone(), "it is missing in `beside` here")
            .also(sink.file, key.clone(), "it is needed here");
        sink.push(finding.help(format!("add {{ pip, version, path = \"…/{file}\", sha256 }} to `beside`")));
    }
}

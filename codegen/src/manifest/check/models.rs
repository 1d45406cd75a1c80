//! The rules of models that are cut into segments, of those that are kernels, and of what their backends cannot do.

use std::collections::{BTreeMap, BTreeSet};

use aegis_core::desc::{Backend, Preemption};

use super::{Links, kind_of};
use crate::finding::{Code, Finding};
use crate::manifest::model::{Execution, LaneKind, Source, Span};
use crate::manifest::raw::{Lane, Model, OPTIONS, Raw, Task};
use crate::manifest::reader::Sink;
use crate::manifest::units::Time;

/// Applies the rules to every model that is cut, and to the tasks that run one.
pub(super) fn check(raw: &Raw, links: &Links, sink: &Sink<'_>) {
    for model in &raw.models {
        repeats(model, sink);
        in_one_file(model, sink);
    }
    let mut refused = BTreeSet::new();
    for ((task, number), index) in raw.tasks.iter().zip(&links.models).zip(&links.lanes) {
        let model = number.and_then(|model| raw.models.get(model));
        let lane = index.and_then(|lane| raw.lanes.get(lane));
        if let (Some(model), Some(lane)) = (model, lane) {
            declared(task, model, lane, sink);
            let kind = index.and_then(|index| kind_of(raw, links, index));
            has_part(task, model, (lane, kind), sink);
            if !has_provider(task, model, (lane, kind), sink) {
                refused.extend(*number);
            }
        }
    }
    for (_, model) in raw.models.iter().enumerate().filter(|(number, _)| !refused.contains(number)) {
        has_options(model, sink);
    }
}

/// How a provider builds engines its table says; of one that has no place nothing is missing.
fn has_options(model: &Model, sink: &Sink<'_>) {
    if !model.provider.lacks_options {
        return;
    }
    let message = format!("[model.{}] needs `tensorrt`", model.name.get_ref());
    let finding = Finding::error(Code::MissingKey, message);
    let finding = finding.at(sink.file, model.span.clone(), "`tensorrt` is missing here");
    sink.push(finding.help(format!("add it, for example `{OPTIONS}`")));
}

/// Kernels are one file.
fn in_one_file(model: &Model, sink: &Sink<'_>) {
    let (Some(Backend::Kernels), Some(files)) = (model.backend, &model.files_key) else { return };
    let message = format!("the model `{}` is of the backend \"kernels\" and has `files`", model.name.get_ref());
    let finding = Finding::error(Code::LaunchesCut, message).at(sink.file, files.clone(), "one file is launched from");
    sink.push(finding.help("name one file by `file` or `source`"));
}

/// Kernels run on a part of a GPU.
fn has_part(task: &Task, model: &Model, (lane, kind): (&Lane, Option<LaneKind>), sink: &Sink<'_>) {
    // A lane that nothing is known of is reported for that.
    let (Some(Backend::Kernels), Some(kind)) = (model.backend, kind) else { return };
    if kind == LaneKind::Gpu && lane.gpu.sms_key.is_some() {
        return;
    }
    let (name, lane_name) = (model.name.get_ref(), lane.name.get_ref());
    let what = match kind {
        LaneKind::Cpu => "a CPU".to_owned(),
        LaneKind::Gpu => "a GPU without `sms`".to_owned(),
    };
    let message = format!(
        "the task `{}` runs the kernels of `{name}` on the lane `{lane_name}`, which is {what}",
        task.name.get_ref()
    );
    let finding = Finding::error(Code::LaunchesWithoutPart, message);
    let finding = finding.at(sink.file, lane.span.clone(), "it has no part of a GPU");
    let finding = finding.also(sink.file, model.span.clone(), "these are launched on a part of a GPU");
    sink.push(finding.help("use a lane with `sms` of a device of kind \"gpu\" that has a `profile`"));
}

/// A provider is one of ONNX Runtime's, and runs on a part of a GPU; false where it has no place.
fn has_provider(task: &Task, model: &Model, (lane, kind): (&Lane, Option<LaneKind>), sink: &Sink<'_>) -> bool {
    // A backend or lane that nothing is known of is reported for that.
    let (Some(key), Some(backend), Some(kind)) = (&model.provider.key, model.backend, kind) else { return true };
    let (name, lane_name) = (model.name.get_ref(), lane.name.get_ref());
    if backend != Backend::OnnxRuntime {
        let message = format!("the model `{name}` is of the backend \"{}\" and has `provider`", backend.name());
        let finding = Finding::error(Code::ProviderRefused, message).at(sink.file, key.clone(), "no effect here");
        sink.push(finding.help("remove it, or let ONNX Runtime execute the model"));
        return false;
    }
    if kind == LaneKind::Gpu && lane.gpu.sms_key.is_some() {
        return true;
    }
    let what = match kind {
        LaneKind::Cpu => "a CPU",
        LaneKind::Gpu => "a GPU without `sms`",
    };
    let message = format!(
        "the model `{name}` of the task `{}` has `provider`, and its lane `{lane_name}` is {what}",
        task.name.get_ref()
    );
    let finding = Finding::error(Code::ProviderRefused, message);
    let finding = finding.at(sink.file, key.clone(), "it runs on a part of a GPU");
    let finding = finding.also(sink.file, lane.span.clone(), "it has no part of a GPU");
    sink.push(finding.help("remove it, or use a lane with `sms` of a device of kind \"gpu\" that has a `profile`"));
    false
}

/// No file is a model's segment twice.
fn repeats(model: &Model, sink: &Sink<'_>) {
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    for source in model.sources.iter().flatten() {
        let Source::File { path } = source else { continue };
        if let Some(first) = seen.get(path.get_ref().as_str()) {
            let message = format!("the model `{}` has the file `{}` twice", model.name.get_ref(), path.get_ref());
            let finding = Finding::error(Code::RepeatedFile, message)
                .at(sink.file, path.span(), "given again here")
                .also(sink.file, first.clone(), "first given here");
            sink.push(
                finding.help("each segment is a file of its own: name those of `aegis model cut` in their order"),
            );
        } else {
            seen.insert(path.get_ref(), path.span());
        }
    }
}

/// Where a job can lose its lane between files, each file's time counts, which only a profile has.
fn declared(task: &Task, model: &Model, lane: &Lane, sink: &Sink<'_>) {
    let (Some(files), Some(Execution::Wcet(wcet))) = (&model.files_key, &task.execution) else { return };
    let Some((Preemption::Segments, place)) = &lane.preemption else { return };
    let count = model.sources.as_ref().map_or_else(String::new, |sources| format!("{} ", sources.len()));
    let message = format!(
        "the task `{}` declares one wcet {}, but its model `{}` has {count}files, between which its lane `{}` preempts",
        task.name.get_ref(),
        Time(*wcet.get_ref()),
        model.name.get_ref(),
        lane.name.get_ref()
    );
    let finding = Finding::error(Code::CutWithoutProfile, message)
        .at(sink.file, wcet.span(), "one time for all files")
        .also(sink.file, files.clone(), "each needs its own")
        .also(sink.file, place.clone().unwrap_or_else(|| lane.span.clone()), "the lane's preemption");
    sink.push(finding.help("measure the files with `aegis profile`, and name the `profile` instead of the wcet"));
}

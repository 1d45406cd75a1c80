//! What a validated manifest may have for analysis and simulation, but not for a binary.

use aegis_core::desc::{Backend, Preemption};

use super::model::{Execution, LaneKind, Manifest, Span};
use crate::finding::{Code, Finding};

/// Findings where `manifest`, which findings call `file`, describes no vehicle that this version can build.
#[must_use]
pub fn unbuildable(file: &str, manifest: &Manifest) -> Vec<Finding> {
    let mut findings = Vec::new();
    processes(file, manifest, &mut findings);
    let mut refuse = |message: String, span: &Span, help: &str| {
        findings.push(Finding::error(Code::NotBuildable, message).at(file, span.clone(), "").help(help));
    };
    for lane in &manifest.lanes {
        let name = lane.name.get_ref();
        if lane.kind == LaneKind::Gpu && lane.partition.is_none() {
            let message = format!("lane `{name}` is a GPU and has no `sms`, so no part of the device is its own");
            let help = "give it `sms` of a device with a `profile`, or use a CPU lane; other GPU lanes are for analysis and simulation";
            refuse(message, &lane.span, help);
        }
        if lane.preemption == Preemption::Full {
            let message =
                format!("lane `{name}` has preemption \"full\", but a started model gives way only between its files");
            let help = "use \"none\" or \"segments\", which gives way between a model's files; \"full\" is for analysis \
                        and simulation only";
            refuse(message, &lane.span, help);
        }
    }
    for task in &manifest.tasks {
        let name = task.name.get_ref();
        if task.model.is_none() {
            let message = format!("task `{name}` has no model, so there is nothing that a binary could run");
            refuse(message, &task.span, "give it a model with a profile; without one it is for analysis only");
        } else if !matches!(task.execution, Execution::Profile(_)) {
            let message = format!("task `{name}` has a declared WCET and no profile, so its model's memory is unknown");
            refuse(message, &task.span, "give it a `profile` and measure it with `aegis profile`");
        }
    }
    for backend in Backend::ALL.into_iter().filter(|backend| backend.has_library()) {
        let name = backend.name();
        let needs_it = manifest.models.iter().any(|model| model.backend == backend);
        if needs_it && !manifest.runtimes.iter().any(|runtime| runtime.name.get_ref() == name) {
            let message = format!("the runtime `{name}` is not named, but models need it");
            let help = format!("add [runtime.{name}] with its version and source");
            refuse(message, &manifest.name.span(), &help);
        }
    }
    findings
}

/// The process of a domain runs segments of a CPU or of a part of a GPU.
fn processes(file: &str, manifest: &Manifest, findings: &mut Vec<Finding>) {
    for (position, domain) in manifest.domains.iter().enumerate() {
        let with_models = || manifest.tasks.iter().filter(|task| task.domain == Some(position) && task.model.is_some());
        let name = domain.name.get_ref();
        let on_gpu = with_models().find_map(|task| {
            let lane =
                manifest.lanes.get(task.lane).filter(|lane| lane.kind == LaneKind::Gpu && lane.partition.is_none())?;
            Some((task, lane))
        });
        if let Some((task, lane)) = on_gpu {
            let message = format!(
                "the task `{}` of the domain `{name}` runs a model on the GPU lane `{}`, which has no `sms`",
                task.name.get_ref(),
                lane.name.get_ref()
            );
            let finding = Finding::error(Code::ProcessRefused, message)
                .at(file, task.span.clone(), "no part of the device would be its process'")
                .also(file, lane.span.clone(), "this lane");
            findings
                .push(finding.help("give the lane `sms`, or use a CPU lane; it is for analysis and simulation only"));
        }
    }
}

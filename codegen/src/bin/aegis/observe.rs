//! What a trace observed, for the page of a check.

use crate::Failure;
use aegis_codegen::check::Checked;
use aegis_codegen::report::html::{Observed, Response};
use aegis_codegen::tables;
use aegis_codegen::trace;
use aegis_core::trace::Kind;
use aegis_trace::{EXTENSION, is_lines};
use std::path::Path;

/// Reads a trace of the plan of a check; `None` where nothing was planned.
pub(crate) fn of(path: &Path, checked: &Checked) -> Result<Option<Observed>, Failure> {
    let refused = |why: &dyn std::fmt::Display| Failure::Input(format!("--trace: {why}"));
    let draft = checked.lock_or_draft().map_err(Failure::internal)?;
    let (Some(lock), Some(resolved), Some(analysis)) = (draft, &checked.resolved, &checked.analysis) else {
        return Ok(None);
    };
    let (system, plan) = (&resolved.system, tables::leak(&lock).map_err(Failure::internal)?);
    if is_lines(path) {
        return Err(refused(&format!(
            "`{}` is in JSON lines, and only the binary form is read: write the trace under a name that ends in `.{EXTENSION}`",
            path.display()
        )));
    }
    let (header, mut records) = trace::open(path).map_err(|why| refused(&why))?;
    if header.config_hash != plan.config_hash {
        let (of, own) = (hexadecimal(&header.config_hash), hexadecimal(&plan.config_hash));
        let help = "give a trace of this plan, or the manifest of that one, and by `--profiles FOLDER` the profiles that its run \
                    measured; of a run with `--fit`, which changes the plan, there is no page";
        let file = path.display();
        return Err(refused(&format!(
            "`{file}` is of the plan {of} of `{}`, this plan is {own}: {help}",
            header.system
        )));
    }
    records = records.of_plan(plan);
    // The plan has the tasks in another order.
    let place = |name: &str| system.tasks.iter().position(|task| task.name == name);
    let places: Vec<Option<usize>> = plan.tasks.iter().map(|task| place(task.name)).collect();
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let mut observed = Observed::new(&name, system, analysis);
    for record in records.by_ref() {
        let (job, response, aborted) = match record.map_err(|why| refused(&why))?.kind {
            Kind::Completed { job, response, .. } => (job, response, false),
            Kind::Aborted { job, response, .. } => (job, response, true),
            _ => continue,
        };
        if let Some(task) = places.get(job.task.index()).copied().flatten() {
            observed.add(Response { task, response_ns: response.as_ns(), aborted });
        }
    }
    for note in records.notes() {
        observed.note(note.to_string());
    }
    Ok(Some(observed))
}

fn hexadecimal(hash: &[u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

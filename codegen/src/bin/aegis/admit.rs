//! `aegis admit`.

use crate::check::human;
use crate::{Failure, Outcome, print, read};
use aegis_codegen::admit::{Change, SCHEMA, Way, added, changes, ways};
use aegis_codegen::analysis::Analysis;
use aegis_codegen::check::{Checked, Options, check, show, show_down};
use aegis_codegen::finding::{Finding, sort};
use aegis_codegen::report::json::{FindingView, findings_of};
use aegis_codegen::system::System;
use aegis_core::Duration;
use serde::Serialize;
use std::path::PathBuf;

/// The command's arguments.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The manifest, which must hold by itself.
    #[arg(default_value = "system.toml")]
    manifest: PathBuf,
    /// Tables to be added: tasks, and the models, lanes and chains that they need. Paths in it are relative to the manifest.
    #[arg(long, value_name = "FILE")]
    add: PathBuf,
    /// What is printed on the standard output.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

/// The answer's form.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Sentences for people.
    Human,
    /// Schema `aegis.admission/1`.
    Json,
}

/// The answer.
#[derive(Serialize)]
struct Answer<'a> {
    schema: &'a str,
    system: &'a str,
    admitted: bool,
    added: Vec<Change>,
    changed: Vec<Change>,
    ways: Vec<Way>,
    findings: Vec<FindingView<'a>>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let file = arguments.manifest.to_string_lossy().into_owned();
    let base = read(&arguments.manifest)?;
    let addition = arguments.add.to_string_lossy().into_owned();
    let more = std::fs::read_to_string(&arguments.add)
        .map_err(|error| Failure::Input(format!("cannot read `{addition}`: {error}")))?;
    let before = check(&file, base.clone(), Options::default()).map_err(Failure::internal)?;
    if !before.passes() {
        crate::show_findings(&before.findings, &file, &base);
        eprintln!("admit: `{file}` does not hold by itself, so nothing can be admitted beside it");
        return Err(Failure::Findings);
    }
    let gap = if base.ends_with('\n') { "" } else { "\n" };
    let whole = format!("{base}{gap}{more}");
    let start = base.len().saturating_add(gap.len());
    let mut after = check(&file, whole.clone(), Options::default()).map_err(Failure::internal)?;
    apart(&mut after.findings, &file, &addition, start);
    let admitted = after.passes() && !after.without_certificate;
    let first = parts(&before).map_or(0, |(system, _)| system.tasks.len());
    let (added, changed, ways) = match (parts(&before), parts(&after)) {
        (Some(one), Some(other)) => {
            let ways = if admitted { Vec::new() } else { ways(other.0, first, after.layout.as_ref()) };
            (added(other.0, first), changes(one, other), ways)
        }
        _ => Default::default(),
    };
    if added.is_empty() && after.resolved.is_some() {
        return Err(Failure::Input(format!("`{addition}` adds no task")));
    }
    let of = |name: &str| match name {
        _ if name == file => Some(base.as_str()),
        _ if name == addition => Some(more.as_str()),
        _ => None,
    };
    let color = crate::is_coloured();
    if !after.findings.is_empty() {
        eprint!("{}", aegis_codegen::report::terminal::render(&after.findings, of, color));
    }
    match arguments.format {
        Format::Human => {
            print(&human(&after, admitted));
            print(&told(admitted, &added, &changed, &ways));
        }
        Format::Json => {
            let name = after.resolved.as_ref().map_or(file.as_str(), |resolved| &resolved.system.name);
            let findings = findings_of(&after.findings, of);
            let answer = Answer { schema: SCHEMA, system: name, admitted, added, changed, ways, findings };
            let json = serde_json::to_string_pretty(&answer).map_err(Failure::internal)?;
            print(&format!("{json}\n"));
        }
    }
    if admitted { Ok(()) } else { Err(Failure::Findings) }
}

fn parts(checked: &Checked) -> Option<(&System, &Analysis)> {
    Some((&checked.resolved.as_ref()?.system, checked.analysis.as_ref()?))
}

/// Lets findings of the added text name its own file.
fn apart(findings: &mut [Finding], file: &str, addition: &str, start: usize) {
    for label in findings.iter_mut().flat_map(|finding| &mut finding.labels) {
        if let Some(span) = label.span.as_mut().filter(|span| span.start >= start && label.file == file) {
            *span = span.start.saturating_sub(start)..span.end.saturating_sub(start);
            label.file = addition.to_owned();
        }
    }
    sort(findings);
}

/// The answer in sentences.
fn told(admitted: bool, added: &[Change], changed: &[Change], ways: &[Way]) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        text.push_str(&words);
        text.push('\n');
    };
    let time = |ns: u64| show(Duration::from_ns(ns));
    let bound = |ns: Option<u64>| ns.map_or_else(|| "no bound".to_owned(), time);
    if added.is_empty() {
        return text;
    }
    let names: Vec<&str> = added.iter().map(|task| task.task.as_str()).collect();
    line(format!("{}: {}", if admitted { "admitted" } else { "not admitted" }, names.join(", ")));
    for task in changed {
        let (name, before, after) = (&task.task, bound(task.before_ns), bound(task.after_ns));
        line(format!(
            "  {name} responds within {after}, before within {before}; its deadline is {}",
            time(task.deadline_ns)
        ));
    }
    if admitted {
        return text;
    }
    if ways.is_empty() {
        line("  no single change was found that would make it fit".to_owned());
    }
    for way in ways {
        line(match way {
            // Rounded down: what is said must hold.
            Way::Wcet { task, from_ns, to_ns } => {
                format!(
                    "  would fit: {task} with a WCET of {} instead of {}",
                    show_down(Duration::from_ns(*to_ns)),
                    time(*from_ns)
                )
            }
            Way::Period { task, from_ns, to_ns } => {
                format!(
                    "  would fit: {task} with a period of {to_ns} ns ({}) instead of {}",
                    time(*to_ns),
                    time(*from_ns)
                )
            }
            Way::Deadline { task, from_ns, to_ns } => {
                format!(
                    "  would fit: {task} with a deadline of {to_ns} ns ({}) instead of {}",
                    time(*to_ns),
                    time(*from_ns)
                )
            }
            Way::Lane { task, lane } => format!("  would fit: {task} on lane {lane}, measured there"),
            Way::Without { task } => format!("  would fit: without {task}"),
            Way::Memory { device, from_bytes, to_bytes } => {
                format!("  would fit: {to_bytes} bytes of {device} instead of {from_bytes}")
            }
        });
    }
    text
}

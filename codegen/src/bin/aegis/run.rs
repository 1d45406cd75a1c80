//! `aegis run`: everything from the manifest to the running vehicle.

use crate::build::{load_sound, render};
use crate::check::{human, lock_path, write_lock_to};
use crate::vehicle::Vehicle;
use crate::{Failure, Outcome, measure, print, show_findings};
use aegis_codegen::check::{Checked, Options, check_loaded};
use aegis_codegen::finding::Finding;
use aegis_codegen::manifest::unbuildable;
use aegis_codegen::probe;
use aegis_codegen::report;
use aegis_codegen::resolve::Loaded;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

/// The command's arguments.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The manifest.
    #[arg(default_value = "system.toml")]
    pub(crate) manifest: PathBuf,
    /// How long the vehicle runs.
    #[arg(long = "for", value_name = "DURATION", default_value = "10s")]
    pub(crate) duration: String,
    /// The trace: JSON lines where the name ends in `.jsonl`, else the binary form, which `aegis trace` reads.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Keep the newest so many bytes of the trace, as in `64MiB`; without this all of it.
    #[arg(long, value_name = "SIZE")]
    trace_limit: Option<String>,
    /// The summary, one JSON object.
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// The report with what was proven beside what was observed, as Markdown. (That of `aegis check --report` is a page of HTML.)
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Metrics for Prometheus' textfile collector, written again and again while the vehicle runs.
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
    /// How often they are written, at least "100ms"; otherwise "1s".
    #[arg(long, value_name = "DURATION", requires = "metrics")]
    metrics_every: Option<String>,
    /// Answer to GET /metrics there, as at "127.0.0.1:9464", while the vehicle runs.
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_listen: Option<String>,
    /// Let others than this machine read the metrics there.
    #[arg(long, requires = "metrics_listen")]
    metrics_allow_remote: bool,
    /// Do not fail because the machine grants no guarantee.
    #[arg(long)]
    allow_void: bool,
    /// If this machine's own measurements refute the vehicle, run it slower: every period, phase, deadline and limit of a chain
    /// times the smallest whole number, up to 64, with which all is proven.
    #[arg(long)]
    fit: bool,
}

/// How much slower `--fit` lets a vehicle run, at most.
const SLOWEST: u64 = 64;

/// Starts the vehicle and waits for its end.
pub(crate) type Start<'a> = &'a dyn Fn(&mut Command) -> std::io::Result<ExitStatus>;

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    run_with(arguments, &Command::status)
}

/// Does all that `aegis run` does; the vehicle's program is started by `start`.
pub(crate) fn run_with(arguments: &Arguments, start: Start<'_>) -> Outcome {
    let (loaded, findings) = load_sound(&arguments.manifest)?;
    let unbuildable = unbuildable(&loaded.file, &loaded.manifest);
    if !unbuildable.is_empty() {
        show_findings(&unbuildable, &loaded.file, &loaded.text);
        return Err(Failure::Findings);
    }
    // What the committed profiles already refute is refused before anything is fetched or built.
    let committed = check_loaded(&loaded, findings.clone(), Options::default()).map_err(Failure::internal)?;
    if committed.resolved.is_some() && !committed.passes() && !arguments.fit {
        print("with the profiles that the manifest names, the plan does not hold:\n");
        return refuse(&loaded, &committed);
    }
    let vehicle = Vehicle::find(&loaded)?;
    measure::fetch_all(&loaded)?;
    let program = vehicle.build_probe()?;
    let answer = probe::ask(&program, &measure::machine_request(), |_, _, _| {}).map_err(Failure::input)?;
    let machine = &answer.machine;
    let output = vehicle.output();
    let local = output.join("profiles");
    let locally = Options { substitute: Some(&local), exact: false };
    let is_of_here = measure::is_of(&committed, &answer);
    let (is_local, mut checked) = if is_of_here && measure::loads_as_recorded(&loaded, &program)? {
        (false, committed)
    } else {
        if is_of_here {
            print(&format!(
                "the committed profiles are of another machine whose processor is called {}, too: here the runtime requests other \
                 memory while it loads the models, or the GPU or its driver is another one\n",
                machine.cpu_model
            ));
        } else if committed.resolved.is_some() {
            print(&format!(
                "no committed profile is of this machine ({}, {} cores)\n",
                machine.cpu_model, machine.cores
            ));
        } else {
            for finding in committed.findings.iter().filter(|finding| finding.is_error()) {
                print(&format!("not used: {}\n", finding.message));
            }
            print(
                "the profiles that the manifest names cannot be used, so this run has its own; `aegis profile` renews them\n",
            );
        }
        let mut checked = check_loaded(&loaded, findings.clone(), locally).map_err(Failure::internal)?;
        if !measure::is_of(&checked, &answer) {
            measure::measure(&loaded, &program, measure::Measuring::into(&local))?;
            checked = check_loaded(&loaded, findings.clone(), locally).map_err(Failure::internal)?;
        }
        (true, checked)
    };
    let options = if is_local { locally } else { Options::default() };
    // Why the vehicle that runs is not the one of the manifest.
    let mut slowed = None;
    if arguments.fit
        && checked.resolved.is_some()
        && !checked.passes()
        && let Some((times, fitting)) = fit(&loaded, &findings, options)?
    {
        let words = format!(
            "NOT THE VEHICLE OF {}: by its own measurements this machine is too slow for it. As --fit permits, every \
             period, phase, deadline, limit of a chain and time of a fault domain is {times} times as long in all that follows.\n\n",
            loaded.file
        );
        print(&words);
        (slowed, checked) = (Some(words), fitting);
    }
    if !checked.passes() {
        let outcome = refuse(&loaded, &checked);
        if is_local {
            let fit = if arguments.fit { "" } else { "; `--fit` runs the vehicle as much slower as they demand" };
            print(&format!(
                "these are this machine's own measurements: remove {} to measure again{fit}\n",
                local.display()
            ));
        }
        return outcome;
    }
    show_findings(&checked.findings, &loaded.file, &loaded.text);
    print(&human(&checked, true));
    // Of the manifest's own profiles and pace, or of this machine's and this run's.
    let is_own = is_local || slowed.is_some();
    let lock = if is_own { output.join("system.lock") } else { lock_path(&arguments.manifest) };
    write_lock_to(&lock, &checked)?;
    let lock = std::path::absolute(&lock).map_err(Failure::input)?;
    let binary = vehicle.build_binary(is_own.then_some(lock.as_path()))?;
    render(&arguments.manifest, &lock, &output.join("plan.rs"))?;
    drive(arguments, &checked, slowed.as_deref().unwrap_or_default(), (&binary, start), &output)
}

/// By how much the vehicle has to be slower so that all is proven, at least, with that check.
fn fit(loaded: &Loaded, findings: &[Finding], options: Options<'_>) -> Result<Option<(u64, Checked)>, Failure> {
    let at = |times: u64| {
        let Some(manifest) = loaded.manifest.slowed(times) else { return Ok(None) };
        let slowed = Loaded { manifest, ..loaded.clone() };
        let checked = check_loaded(&slowed, findings.to_vec(), options).map_err(Failure::internal)?;
        Ok(checked.passes().then_some(checked))
    };
    // What does not hold at the slowest pace is not a matter of pace.
    if at(SLOWEST)?.is_none() {
        return Ok(None);
    }
    for times in 2..=SLOWEST {
        if let Some(checked) = at(times)? {
            return Ok(Some((times, checked)));
        }
    }
    Ok(None)
}

fn refuse(loaded: &Loaded, checked: &Checked) -> Outcome {
    show_findings(&checked.findings, &loaded.file, &loaded.text);
    print(&human(checked, false));
    let errors = checked.findings.iter().filter(|finding: &&Finding| finding.is_error()).count();
    print(&format!("refused: {errors} error(s); nothing was built or started\n"));
    Err(Failure::Findings)
}

/// Runs the binary, and writes the report, after `words`, whatever its status.
fn drive(
    arguments: &Arguments,
    checked: &Checked,
    words: &str,
    (binary, start): (&Path, Start<'_>),
    output: &Path,
) -> Outcome {
    let or = |given: &Option<PathBuf>, name: &str| given.clone().unwrap_or_else(|| output.join(name));
    let (trace, summary) = (or(&arguments.trace, "trace.aegistrace"), or(&arguments.summary, "summary.json"));
    let report = or(&arguments.report, "report.md");
    for old in [&trace, &summary, &report] {
        let cannot = |error| Failure::Input(format!("cannot replace `{}`: {error}", old.display()));
        aegis_trace::remove(old).map_err(cannot)?;
    }
    // What goes into a stream cannot be read again here.
    if !matches!(aegis_trace::Place::of(&summary), Ok(aegis_trace::Place::File(_))) {
        let summary = summary.display();
        return Err(Failure::Input(format!("the summary `{summary}` has to be a file: the report is made from it")));
    }
    // Ctrl-C reaches the vehicle too, which ends cleanly; this process waits for it and writes the report.
    ctrlc::set_handler(|| {}).map_err(Failure::internal)?;
    let mut command = Command::new(binary);
    command.arg("--for").arg(&arguments.duration).arg("--trace").arg(&trace).arg("--summary").arg(&summary);
    let metrics = arguments.metrics.as_deref().map(Path::as_os_str);
    for (flag, value) in [
        ("--metrics", metrics),
        ("--metrics-every", arguments.metrics_every.as_deref().map(OsStr::new)),
        ("--metrics-listen", arguments.metrics_listen.as_deref().map(OsStr::new)),
    ] {
        command.args(value.map(|value| [OsStr::new(flag), value]).into_iter().flatten());
    }
    if arguments.metrics_allow_remote {
        command.arg("--metrics-allow-remote");
    }
    if let Some(limit) = &arguments.trace_limit {
        command.arg("--trace-limit").arg(limit);
    }
    if arguments.allow_void {
        command.arg("--allow-void");
    }
    let status =
        start(&mut command).map_err(|error| Failure::Input(format!("cannot run `{}`: {error}", binary.display())))?;
    if let Ok(text) = std::fs::read_to_string(&summary) {
        let markdown = report::run::render(checked, &text).map_err(Failure::internal)?;
        let markdown = format!("{words}{markdown}");
        crate::output::write_atomically(&report, &markdown)
            .map_err(|error| Failure::Input(format!("cannot write `{}`: {error}", report.display())))?;
        print(&format!("trace   {}\nsummary {}\nreport  {}\n", trace.display(), summary.display(), report.display()));
    }
    match status.code() {
        Some(0) => Ok(()),
        Some(code) => Err(Failure::Status(u8::try_from(code).unwrap_or(3))),
        None => Err(Failure::Input(format!("the vehicle was killed: {status}"))),
    }
}

//! `aegis pack`: offsets for a table of buffers.

use crate::{Failure, Outcome, print, show_findings};
use aegis_codegen::manifest::units;
use aegis_codegen::memory::solver::pools::Sizes;
use aegis_codegen::memory::solver::{Limits, minimise};
use aegis_codegen::pack::{Sheet, judge, refused};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Where standard error is no terminal, progress is a line this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The command's arguments.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// CSV with the columns id, lower, upper, size, and where needed alignment, gaps, offset.
    file: PathBuf,
    /// What must not be exceeded: a number of bytes, or a size such as 1MiB.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    capacity: u64,
    /// Where the rows with their offsets go; without it, or as `-`, to the standard output, and the figures to the standard error.
    #[arg(short, long, value_name = "OUT.csv")]
    output: Option<PathBuf>,
    /// How much is searched at most: all of it to fit the capacity, a small part to go below it. The same number gives the
    /// same offsets on every machine.
    #[arg(long, default_value_t = Limits::default().nodes)]
    nodes: u64,
    /// A wall-clock limit such as 10s. Where it ends the search, that is said, and another run may find another plan.
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    time: Option<aegis_core::Duration>,
    /// Threads that search; the offsets do not depend on them. 0: one per core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// The memory is cut into powers of two, at least this large.
    #[arg(long, value_name = "LEAST", value_parser = bytes)]
    power_of_two: Option<u64>,
    /// Print the figures as schema `aegis.pack/1`.
    #[arg(long)]
    json: bool,
}

fn bytes(text: &str) -> Result<u64, String> {
    let sized = |_| units::size(text).map(|size| size.0);
    text.parse().or_else(sized).map_err(|why| format!("{why}; give bytes, or kB, MB, GB, KiB, MiB or GiB"))
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let file = arguments.file.to_string_lossy();
    let text = std::fs::read(&arguments.file).map_err(|error| unreadable(&arguments.file, &error))?;
    let text = String::from_utf8(text).map_err(|error| unreadable(&arguments.file, &error))?;
    let sheet = Sheet::read(&file, &text).map_err(|findings| {
        show_findings(&findings, &file, &text);
        Failure::Findings
    })?;
    let sizes = arguments.power_of_two.map_or(Sizes::Any, |least| Sizes::PowersOfTwo { least });
    let limits = Limits {
        nodes: arguments.nodes,
        capacity: Some(sizes.within(arguments.capacity).unwrap_or(arguments.capacity)),
        time: arguments.time.map(|time| Duration::from_nanos(time.as_ns())),
        threads: arguments.threads,
    };
    let progress = Progress::new(arguments.nodes);
    let plan = minimise(sheet.problem(), limits, Some(&|nodes, best, bound| progress.tell(nodes, best, bound)));
    progress.end();
    let told = judge(&sheet, &plan, arguments.capacity, sizes);
    let finding = refused(&sheet, &plan, &told, sizes);
    if finding.is_none() {
        let rows = sheet.with_offsets(&plan);
        match &arguments.output {
            Some(output) if output != Path::new("-") => write_beside(output, &rows)?,
            _ => print(&rows),
        }
    }
    let figures = if arguments.json {
        serde_json::to_string_pretty(&told).map_err(Failure::internal)? + "\n"
    } else {
        told.text()
    };
    let to_file = arguments.output.as_ref().is_some_and(|output| output != Path::new("-"));
    if to_file || finding.is_some() {
        print(&figures);
    } else {
        eprint!("{figures}");
    }
    match finding {
        None => Ok(()),
        Some(finding) => {
            show_findings(&[finding], &file, &text);
            Err(Failure::Findings)
        }
    }
}

fn unreadable(file: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::Input(format!("cannot read the table `{}`: {error}", file.display()))
}

/// Writes a file whole or not at all.
fn write_beside(output: &Path, rows: &str) -> Outcome {
    let refused = |error: std::io::Error| Failure::Input(format!("cannot write `{}`: {error}", output.display()));
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Readable by whom the user lets, as any other file: the umask applies.
    let permissions = std::fs::Permissions::from_mode(0o666);
    let mut beside = tempfile::Builder::new().permissions(permissions).tempfile_in(folder).map_err(refused)?;
    beside.write_all(rows.as_bytes()).map_err(refused)?;
    beside.persist(output).map_err(|error| refused(error.error))?;
    Ok(())
}

/// What people see of a long search.
struct Progress {
    bar: Option<ProgressBar>,
    told: Mutex<Instant>,
}

impl Progress {
    fn new(nodes: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(nodes), ProgressDrawTarget::stderr());
            // The template is constant; a wrong one leaves the default style.
            if let Ok(style) = ProgressStyle::with_template("{bar:20} {human_pos} of {human_len} nodes, {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, told: Mutex::new(Instant::now()) }
    }

    fn tell(&self, nodes: u64, best: u64, bound: u64) {
        let best = if best == u64::MAX { "no plan yet".to_owned() } else { format!("height {best}") };
        let state = format!("{best}, at least {bound}");
        if let Some(bar) = &self.bar {
            bar.set_position(nodes);
            bar.set_message(state);
        } else if let Ok(mut told) = self.told.lock()
            && told.elapsed() >= LINE_EVERY
        {
            *told = Instant::now();
            eprintln!("pack: {nodes} nodes, {state}");
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

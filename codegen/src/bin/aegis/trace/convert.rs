//! `aegis trace convert`.

use super::{find_lock, proven_for};
use crate::{Failure, Outcome};
use aegis_codegen::replay;
use aegis_codegen::trace::{Form, Header, Lines, Note, Records, as_run, open};
use aegis_core::desc::SystemDesc;
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::{self, BufRead as _, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

/// The command's arguments.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The trace, in the binary form; its older parts are read with it.
    file: PathBuf,
    /// What becomes of it.
    #[arg(long, value_enum)]
    to: Target,
    /// Where it goes; without this to the standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The lock of the plan that ran; without this `system.lock` in the present folder, or else beside the trace, whichever has
    /// the trace's plan.
    #[arg(long)]
    lock: Option<PathBuf>,
}

/// What a trace can become.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Target {
    /// One JSON object a line, as a vehicle writes it: schema `aegis.trace/2`, see `aegis trace schema`.
    Jsonl,
}

/// A trace beside its plan.
pub(super) struct Opened {
    pub(super) records: Records,
    /// As the dispatcher had it.
    pub(super) system: &'static SystemDesc,
    pub(super) header: Header,
    /// As the lock has it.
    pub(super) plan: &'static SystemDesc,
}

/// Opens a trace in the binary form, and finds and proves its plan.
pub(super) fn opened(file: &Path, lock: Option<&Path>) -> Result<Opened, Failure> {
    let (header, records) = open(file).map_err(Failure::input)?;
    let told = replay::Header::from(&header);
    let lock = match lock {
        Some(lock) => lock.to_owned(),
        None => find_lock(file, &told)?,
    };
    let plan = proven_for(&lock)?;
    if plan.config_hash != header.config_hash {
        let (file, lock) = (file.display(), lock.display());
        return Err(Failure::Input(format!(
            "`{file}` is of the plan {} of `{}`, `{lock}` is not its lock",
            told.config_hash, told.system
        )));
    }
    Ok(Opened { records: records.of_plan(plan), system: as_run(plan, &header), header, plan })
}

/// Says what a reader passed over.
pub(super) fn tell(notes: &[Note]) {
    for note in notes {
        eprintln!("aegis: {note}");
    }
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    if Form::of(&arguments.file) == Form::Lines {
        let file = arguments.file.display();
        return Err(Failure::Input(format!(
            "`{file}` is a trace in JSON lines already; only the binary form is converted"
        )));
    }
    let Opened { records, system, .. } = opened(&arguments.file, arguments.lock.as_deref())?;
    let bar = bar(records.size(), arguments.output.is_some());
    let mut records = Some(records);
    let place = |out: &mut dyn Write| match (arguments.to, records.take()) {
        (Target::Jsonl, Some(records)) => lines(records, system, out, &bar),
        (_, None) => Ok(()),
    };
    let outcome = match &arguments.output {
        Some(path) => placed(path, place),
        None => piped(place),
    };
    bar.finish_and_clear();
    outcome.map_err(|error| Failure::Input(format!("cannot convert `{}`: {error}", arguments.file.display())))
}

/// Writes lines.
fn lines(records: Records, system: &'static SystemDesc, out: &mut dyn Write, bar: &ProgressBar) -> io::Result<()> {
    let mut lines = Lines::new(records, system);
    loop {
        let text = lines.fill_buf()?;
        if text.is_empty() {
            break;
        }
        out.write_all(text)?;
        let count = text.len();
        lines.consume(count);
        bar.set_position(lines.records().position());
    }
    tell(lines.records().notes());
    Ok(())
}

/// A bar over the bytes of a trace, on terminals only.
fn bar(size: u64, is_file: bool) -> ProgressBar {
    // Where the output itself goes to the terminal, there is enough to see.
    if !is_file && io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(size);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes}, {eta} left") {
        bar.set_style(style);
    }
    bar
}

/// Writes a file beside the destination and gives it its name when it is complete.
fn placed(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".part-{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let whole = || {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&beside)?);
        write(&mut out)?;
        out.flush()?;
        std::fs::rename(&beside, path)
    };
    let outcome = whole();
    if outcome.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    outcome
}

/// Writes to the standard output; a reader that closed the pipe is not an error.
fn piped(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

//! `aegis trace convert`.

use super::{find_lock, proven_for};
use crate::build::load_sound;
use crate::{Failure, Outcome};
use aegis_codegen::export::{Chain, Export, Format, chains};
use aegis_codegen::lock::Lock;
use aegis_codegen::replay;
use aegis_codegen::trace::{Form, Header, Lines, Note, Records, as_run, open};
use aegis_core::desc::SystemDesc;
use aegis_trace::Output;
use indicatif::{ProgressBar, ProgressStyle};
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
    /// Where it goes; without this, or at `-`, to the standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The lock of the plan that ran; without this `system.lock` in the present folder, or else beside the trace, whichever has
    /// the trace's plan.
    #[arg(long)]
    lock: Option<PathBuf>,
    /// The manifest of the plan that ran: its chains become arrows in what viewers show.
    #[arg(long)]
    manifest: Option<PathBuf>,
}

/// What a trace can become.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Target {
    /// One JSON object a line, as a vehicle writes it: schema `aegis.trace/2`, see `aegis trace schema`.
    Jsonl,
    /// Protobuf for ui.perfetto.dev and Perfetto's trace processor.
    Perfetto,
    /// Chrome's trace events as JSON.
    Chrome,
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
    if Form::of(file) == Form::Lines {
        let file = file.display();
        return Err(Failure::Input(format!(
            "`{file}` is a trace in JSON lines already, and this command reads the binary form; `aegis trace replay` reads both"
        )));
    }
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

/// The most notes that are told.
const MOST_NOTES: usize = 20;

/// Says what a reader passed over.
pub(super) fn tell(notes: &[Note]) {
    for note in notes.iter().take(MOST_NOTES) {
        eprintln!("aegis: {note}");
    }
    let more = notes.len().saturating_sub(MOST_NOTES);
    if more > 0 {
        eprintln!("aegis: and {more} places more were passed over");
    }
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let Opened { records, system, header, plan } = opened(&arguments.file, arguments.lock.as_deref())?;
    let chains = match (&arguments.manifest, &arguments.lock) {
        (None, _) => Vec::new(),
        (Some(manifest), Some(lock)) => chains_of(manifest, lock, plan)?,
        (Some(manifest), None) => chains_of(manifest, &find_lock(&arguments.file, &(&header).into())?, plan)?,
    };
    let bar = bar(records.size(), arguments.output.as_ref().is_some_and(|path| path.as_os_str() != "-"));
    let mut records = Some(records);
    let place = |out: &mut dyn Write| match (arguments.to, records.take()) {
        (Target::Jsonl, Some(records)) => lines(records, system, out, &bar),
        (Target::Perfetto, Some(records)) => view(records, Export::new(Format::Perfetto, system, &chains, out), &bar),
        (Target::Chrome, Some(records)) => view(records, Export::new(Format::Chrome, system, &chains, out), &bar),
        (_, None) => Ok(()),
    };
    let outcome = match &arguments.output {
        Some(path) if path.as_os_str() != "-" => placed(path, place),
        _ => piped(place),
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

/// Writes what viewers show.
fn view(mut records: Records, mut export: Export<'_, &mut dyn Write>, bar: &ProgressBar) -> io::Result<()> {
    let mut count = 0_u32;
    while let Some(record) = records.next() {
        export.observe(&record.map_err(io::Error::other)?)?;
        count = count.wrapping_add(1);
        if count.is_multiple_of(1 << 12) {
            bar.set_position(records.position());
        }
    }
    tell(records.notes());
    export.finish().map(|_| ())
}

/// The chains of the manifest that a plan was made from.
fn chains_of(file: &Path, lock: &Path, plan: &SystemDesc) -> Result<Vec<Chain>, Failure> {
    let (loaded, _) = load_sound(file)?;
    let read = Lock::read(lock).map_err(Failure::input)?;
    read.matches(lock, loaded.manifest.name.get_ref(), file).map_err(Failure::input)?;
    Ok(chains(&loaded.manifest, plan))
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

/// Writes a file beside the destination and gives it its name when it is complete, or straight into a stream.
fn placed(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, Output::open(path)?);
    write(&mut out)?;
    out.flush()?;
    out.get_mut().name()
}

/// Writes to the standard output; a reader that closed the pipe is not an error.
fn piped(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

//! What processes on one device do to each other: what it takes to go from one's work to another's, and how much one loses
//! when another ends.
//!
//! ```text
//!  switch    one runs a kernel, then the other one, by turns            minus what one takes alone
//!  blackout  one runs kernels without a pause ─────────────────────────────────▶ how much later than usual they ended, in all
//!            another starts ─▶ is told to ─▶ fails ─▶ is killed ─▶ gone ─▶ settled
//!                                            └── from here on what is lost counts; of one that is killed in a kernel from the kill
//! ```
//!
//! All are processes of their own, this program started again, so nothing that goes wrong reaches the one that answers. What is
//! told is the longest of some rounds: seen, and no bound.

mod child;

pub use child::take_role;

use super::statistics::Stats;
use child::{GO_ON, LOST, ONCE, READY, VARIABLE, WATCH};
use serde::Serialize;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// How often each way to end is tried.
const ROUNDS: usize = 6;
/// Kernels of one process alone, and of each of two by turns.
const KERNELS: usize = 2_000;
/// How long a process may take to answer; it may have to open the device first, and to take all of its memory.
const LIMIT: Duration = Duration::from_secs(60);
/// How long kernels of a process run before it is killed.
const RUNNING: Duration = Duration::from_millis(50);
/// How long the one that watches goes on after another is gone.
const SETTLED: Duration = Duration::from_millis(250);

/// How a process that uses a device ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// By an address that no memory has.
    Crash,
    /// Killed while its kernels run.
    Kill,
    /// Killed while a kernel runs that does not end.
    Hang,
    /// Killed when it has taken all memory of the device and was refused more.
    Memory,
}

impl End {
    pub(super) const ALL: [Self; 4] = [Self::Crash, Self::Kill, Self::Hang, Self::Memory];

    /// The name in manifests and profiles.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Kill => "kill",
            Self::Hang => "hang",
            Self::Memory => "memory",
        }
    }

    /// What one that ends so says before it is killed, or a part of it.
    const fn says(self) -> &'static str {
        match self {
            Self::Crash => "CUDA_ERROR_ILLEGAL_ADDRESS",
            Self::Kill | Self::Hang => READY,
            Self::Memory => "CUDA_ERROR_OUT_OF_MEMORY",
        }
    }
}

/// What was measured of processes that share a device.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Sharing {
    /// How long a small kernel takes from before it is submitted until its end is seen, of one process alone.
    alone: Stats,
    /// The same of two processes by turns.
    by_turns: Stats,
    /// By how much more than half of those alone the longest of them took.
    switch_ns: u64,
    /// How much one lost while another opened the device.
    starting: Blackout,
    /// How much one lost when another ended, for each way to end.
    blackouts: Vec<Blackout>,
}

/// What a process loses by another one, in all of what it took longer than usual: of several rounds.
#[derive(Clone, Debug, Serialize)]
struct Blackout {
    end: &'static str,
    rounds: usize,
    shortest_ns: u64,
    longest_ns: u64,
    /// The longest single one of the times that it took longer, in any of the rounds.
    gap_ns: u64,
}

impl Blackout {
    fn of(end: &'static str, rounds: &[Lost]) -> Self {
        let all = || rounds.iter().map(|lost| lost.all_ns);
        Self {
            end,
            rounds: rounds.len(),
            shortest_ns: all().min().unwrap_or(0),
            longest_ns: all().max().unwrap_or(0),
            gap_ns: rounds.iter().map(|lost| lost.gap_ns).max().unwrap_or(0),
        }
    }
}

/// What one has lost in one round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Lost {
    all_ns: u64,
    gap_ns: u64,
}

/// Measures a device that no other process uses; `program` is this one. It takes about a minute. Of an `integrated`
/// device, which works in the CPU's memory, the end without memory is not tried.
///
/// # Errors
/// In words: a process could not be started, did not do what it was to do, or lost the device by what another one did.
pub(super) fn measure(program: &Path, ordinal: u16, integrated: bool) -> Result<Sharing, String> {
    let mut first = Process::start(program, WATCH, ordinal)?;
    let alone = (0..KERNELS).map(|_| first.number(ONCE)).collect::<Result<Vec<_>, _>>()?;
    let mut second = Process::start(program, WATCH, ordinal)?;
    let mut by_turns = Vec::new();
    for _ in 0..KERNELS {
        by_turns.push(first.number(ONCE)?);
        by_turns.push(second.number(ONCE)?);
    }
    drop(second);
    first.tell(GO_ON)?;
    let (mut starting, mut blackouts) = (Vec::new(), Vec::new());
    // Of a device in the CPU's memory that would take the machine's, and the system would end whatever it likes.
    for end in End::ALL.into_iter().filter(|end| !integrated || *end != End::Memory) {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            thread::sleep(SETTLED);
            first.lost()?;
            let culprit = Process::start(program, end.name(), ordinal)?;
            starting.push(first.lost()?);
            fail(culprit, end, || first.lost())?;
            thread::sleep(SETTLED);
            let lost = |error| format!("the one that watches was lost when another ended by {}: {error}", end.name());
            rounds.push(first.lost().map_err(lost)?);
        }
        blackouts.push(Blackout::of(end.name(), &rounds));
    }
    let starting = Blackout::of("starting", &starting);
    let (alone, by_turns) = (Stats::of(alone), Stats::of(by_turns));
    let switch_ns = by_turns.max_ns.saturating_sub(alone.p50_ns);
    Ok(Sharing { alone, by_turns, switch_ns, starting, blackouts })
}

/// Lets a process end, and asks for what was lost so far right before that counts; returns when it is gone, and with it what it had
/// of the device.
fn fail(mut culprit: Process, end: End, mut lost: impl FnMut() -> Result<Lost, String>) -> Result<(), String> {
    lost()?;
    culprit.tell("fail")?;
    let said = culprit.line()?;
    if !said.contains(end.says()) {
        return Err(format!("one that was to end by {} says \"{said}\"", end.name()));
    }
    if matches!(end, End::Kill | End::Hang) {
        thread::sleep(RUNNING);
        // Until it is killed it has the device by turns, as its lane lets it.
        lost()?;
    }
    drop(culprit);
    Ok(())
}

/// One of the probe's own processes. Dropped, it is killed, and gone then.
struct Process {
    role: String,
    child: std::process::Child,
    lines: Receiver<String>,
}

impl Process {
    /// Starts one and waits until it has the device.
    fn start(program: &Path, role: &str, ordinal: u16) -> Result<Self, String> {
        let mut command = Command::new(program);
        command.env(VARIABLE, format!("{role} {ordinal}"));
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = child.map_err(|error| format!("the probe could not be started again: {error}"))?;
        let (sender, lines) = channel();
        if let Some(out) = child.stdout.take() {
            // It ends with the process.
            thread::spawn(move || {
                BufReader::new(out).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
            });
        }
        let mut process = Self { role: role.to_owned(), child, lines };
        match process.line()? {
            line if line == READY => Ok(process),
            line => Err(format!("the process to {role}: {line}")),
        }
    }

    fn tell(&mut self, order: &str) -> Result<(), String> {
        let Some(input) = &mut self.child.stdin else {
            return Err(format!("the process to {} takes no orders", self.role));
        };
        writeln!(input, "{order}").map_err(|error| format!("the process to {}: {error}", self.role))
    }

    fn line(&mut self) -> Result<String, String> {
        self.lines.recv_timeout(LIMIT).map_err(|error| match error {
            RecvTimeoutError::Timeout => format!("the process to {} did not answer within {LIMIT:?}", self.role),
            RecvTimeoutError::Disconnected => format!("the process to {} has ended", self.role),
        })
    }

    /// Asks the one that watches for what it has lost since it was asked last.
    fn lost(&mut self) -> Result<Lost, String> {
        self.tell(LOST)?;
        let line = self.line()?;
        let numbers = line.split_once(' ').and_then(|(all, gap)| Some((all.parse().ok()?, gap.parse().ok()?)));
        let (all_ns, gap_ns) = numbers.ok_or_else(|| format!("the process to {}: {line}", self.role))?;
        Ok(Lost { all_ns, gap_ns })
    }

    /// Gives an order that is answered by a number.
    fn number(&mut self, order: &str) -> Result<u64, String> {
        self.tell(order)?;
        let line = self.line()?;
        line.parse().map_err(|_| format!("the process to {}: {line}", self.role))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended already is only waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::{End, Process, WATCH, measure};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::{Path, PathBuf};

    /// A program that stands for the probe.
    fn script(folder: &tempfile::TempDir, text: &str) -> PathBuf {
        let path = folder.path().join("probe");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        path
    }

    #[test]
    fn a_process_that_does_not_get_the_device_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let error = measure(&script(&folder, "echo there is no CUDA device 0; exit 3"), 0, false).unwrap_err();
        assert_eq!(error, "the process to watch: there is no CUDA device 0");
        let error = measure(&script(&folder, "exit 0"), 0, false).unwrap_err();
        assert_eq!(error, "the process to watch has ended");
        assert!(
            measure(Path::new("/nowhere"), 0, false).unwrap_err().starts_with("the probe could not be started again")
        );
    }

    #[test]
    fn one_that_does_not_fail_as_it_is_to_is_told_and_gone() {
        let folder = tempfile::tempdir().unwrap();
        let program = script(&folder, "echo ready; read order; echo nothing went wrong; read order");
        let process = Process::start(&program, End::Crash.name(), 0).unwrap();
        let pid = process.child.id();
        let nothing = || Ok(super::Lost { all_ns: 0, gap_ns: 0 });
        let error = super::fail(process, End::Crash, nothing).unwrap_err();
        assert_eq!(error, "one that was to end by crash says \"nothing went wrong\"");
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn of_several_rounds_the_longest_counts() {
        let lost = [(5, 4), (7, 2), (6, 6)].map(|(all_ns, gap_ns)| super::Lost { all_ns, gap_ns });
        let of = super::Blackout::of("kill", &lost);
        assert_eq!((of.rounds, of.shortest_ns, of.longest_ns, of.gap_ns), (3, 5, 7, 6));
    }

    #[test]
    fn numbers_are_answers_to_orders_and_the_role_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let text = "echo ready; while read order; do echo \"$order $AEGIS_PROBE_ROLE\" | tr -dc 0-9; echo; done";
        let mut process = Process::start(&script(&folder, text), WATCH, 7).unwrap();
        assert_eq!((process.number("35"), process.number("1")), (Ok(357), Ok(17)));
        assert_eq!(process.lost().unwrap_err(), "the process to watch: 7");
    }
}

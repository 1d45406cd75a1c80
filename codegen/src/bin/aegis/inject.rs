//! `aegis inject`: runs a vehicle as `aegis run` does, and lets the process of a fault domain fail while it runs.
//!
//! Nothing in the vehicle knows of it: the fault comes from outside, by signals and through the process' memory, as a crash or a
//! hostile model would bring it about.

use crate::build::load_sound;
use crate::{Failure, Outcome, print, run};
use aegis_codegen::manifest::units;
use clap::ValueEnum as _;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::process::{ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

/// The command's arguments.
#[derive(clap::Args)]
#[group(id = "injection")]
pub(crate) struct Arguments {
    #[command(flatten)]
    vehicle: run::Arguments,
    /// The fault domain whose process fails.
    #[arg(long, value_name = "NAME")]
    domain: String,
    /// How it fails.
    #[arg(long, value_enum)]
    fault: Fault,
    /// When, from when the vehicle is ready.
    #[arg(long, value_name = "DURATION", default_value = "2s")]
    at: String,
}

/// How a process is made to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Fault {
    /// It is killed.
    Kill,
    /// It gets the signal of an access to memory that is not its own.
    Segv,
    /// All its threads stop.
    Hang,
    /// The pages through which it answers are written over.
    CorruptMailbox,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let wrong = |what: String| Failure::Input(what);
    let at = units::duration(&arguments.at).map_err(|error| wrong(format!("--at: {error}")))?;
    let length = units::duration(&arguments.vehicle.duration).map_err(|error| wrong(format!("--for: {error}")))?;
    if at >= length {
        return Err(wrong(format!(
            "--at {} is not before the end of the run, --for {}",
            arguments.at, arguments.vehicle.duration
        )));
    }
    let (loaded, _) = load_sound(&arguments.vehicle.manifest)?;
    let domains = &loaded.manifest.domains;
    let Some(position) = domains.iter().position(|domain| *domain.name.get_ref() == arguments.domain) else {
        let known: Vec<_> = domains.iter().map(|domain| domain.name.get_ref().as_str()).collect();
        let known =
            if known.is_empty() { "it has none".to_owned() } else { format!("its domains are {}", known.join(", ")) };
        return Err(wrong(format!("`{}` has no fault domain `{}`: {known}", loaded.file, arguments.domain)));
    };
    if !loaded.manifest.models.iter().any(|model| model.domain == Some(position)) {
        let name = &arguments.domain;
        return Err(wrong(format!("no model lies in the fault domain `{name}`, so it has no process that could fail")));
    }
    let (name, fault, at) = (arguments.domain.clone(), arguments.fault, Duration::from_nanos(at.as_ns()));
    run::run_with(&arguments.vehicle, &|command| beside(command, &name, (fault, at)))
}

/// Starts the vehicle, hands its words on, and lets the process fail that these name.
fn beside(command: &mut std::process::Command, domain: &str, (fault, at): (Fault, Duration)) -> io::Result<ExitStatus> {
    let mut vehicle = command.stdout(Stdio::piped()).spawn()?;
    let told = vehicle.stdout.take();
    let mut is_there = false;
    let mut injected = None;
    let begins = format!("domain \"{domain}\": process ");
    for line in told.into_iter().flat_map(|told| BufReader::new(told).lines()) {
        let line = line?;
        print(&format!("{line}\n"));
        let number = line.strip_prefix(&begins).and_then(|rest| rest.split(';').next()?.trim().parse().ok());
        if let Some(process) = number.and_then(Pid::from_raw) {
            is_there = true;
            let domain = domain.to_owned();
            // Waited for only where it is over: a vehicle may end before the fault was due.
            injected = Some(thread::spawn(move || {
                thread::sleep(at);
                let done = inject(process, &domain, fault);
                let is_done = done.is_ok();
                let value = fault.to_possible_value();
                let named = value.as_ref().map_or("", |value| value.get_name());
                let what =
                    done.map_or_else(|error| format!("could not be injected: {error}"), |()| "injected".to_owned());
                eprintln!("aegis inject: {named} of domain \"{domain}\", process {}: {what}", process.as_raw_nonzero());
                is_done
            }));
        }
    }
    let status = vehicle.wait()?;
    let is_done = injected.is_some_and(|thread| thread.is_finished() && thread.join().is_ok_and(|is_done| is_done));
    if is_there && status.success() && !is_done {
        return Err(io::Error::other(format!(
            "no fault was injected into the domain \"{domain}\" before the vehicle ended"
        )));
    }
    if is_there || !status.success() {
        return Ok(status);
    }
    Err(io::Error::other(format!(
        "it has no process of the domain \"{domain}\": its crate's build.rs names another manifest than this one"
    )))
}

/// Lets a process fail.
fn inject(process: Pid, domain: &str, fault: Fault) -> io::Result<()> {
    match fault {
        Fault::Kill => kill_process(process, Signal::KILL)?,
        Fault::Hang => kill_process(process, Signal::STOP)?,
        Fault::Segv => {
            // A Rust program takes the first one for its stack's end and goes on; from then on it has no handler.
            kill_process(process, Signal::SEGV)?;
            thread::sleep(Duration::from_millis(10));
            // It may be gone.
            let _ = kill_process(process, Signal::SEGV);
        }
        Fault::CorruptMailbox => corrupt(process, domain)?,
    }
    Ok(())
}

/// Writes over the pages of a process, until it is gone.
fn corrupt(process: Pid, domain: &str) -> io::Result<()> {
    let folder = format!("/proc/{}", process.as_raw_nonzero());
    let maps = fs::read_to_string(format!("{folder}/maps"))?;
    let is_page = |line: &&str| {
        let object = line.split_once("memfd:").map_or("", |(_, object)| object);
        object.split_whitespace().next() == Some(&format!("aegis-{domain}"))
    };
    let begins = |line: &str| u64::from_str_radix(line.split('-').next()?, 16).ok();
    let pages: Vec<u64> = maps.lines().filter(is_page).filter_map(begins).collect();
    if pages.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "it has no such pages"));
    }
    let memory = fs::OpenOptions::new().write(true).open(format!("{folder}/mem"))?;
    let all = |pages: &[u64]| pages.iter().all(|page| memory.write_all_at(&[0xa5; 4_096], *page).is_ok());
    while all(&pages) {
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

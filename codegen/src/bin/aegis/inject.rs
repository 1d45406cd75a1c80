//! `aegis inject`: runs a vehicle as `aegis run` does, and lets the process of a fault domain fail while it runs.
//!
//! Nothing in the vehicle knows of it: the fault comes from outside, by signals, limits and through the process' memory, as a crash,
//! a hostile model or a machine without memory would bring it about.

mod fault;

use crate::build::load_sound;
use crate::{Failure, Outcome, print, run};
use aegis_codegen::manifest::{Manifest, units};
use fault::{Fault, Target};
use std::io::{self, BufRead as _, BufReader};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
    /// How it fails: "kill", "segv" (the signal of an access to memory that is not its own), "hang" (all its threads stop), "oom"
    /// (it gets no more memory), "corrupt-mailbox" (the pages through which it answers are written over), or "slow=3x" (from then on
    /// it takes so many times as long, 1.1x to 100x).
    #[arg(long, value_name = "FAULT")]
    fault: String,
    /// When, from when the vehicle is ready.
    #[arg(long, value_name = "DURATION", default_value = "2s")]
    at: String,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let mut wrong = Vec::new();
    let fault = Fault::parse(&arguments.fault).map_err(|why| wrong.push(format!("--fault: {why}")));
    let mut time =
        |option: &str, text: &str| units::duration(text).map_err(|error| wrong.push(format!("{option}: {error}"))).ok();
    let (at, length) = (time("--at", &arguments.at), time("--for", &arguments.vehicle.duration));
    if let (Some(at), Some(length)) = (at, length)
        && at >= length
    {
        wrong.push(format!(
            "--at {} is not before the end of the run, --for {}",
            arguments.at, arguments.vehicle.duration
        ));
    }
    let loaded = load_sound(&arguments.vehicle.manifest);
    if let Ok((loaded, _)) = &loaded {
        wrong.extend(has_process(&loaded.file, &loaded.manifest, &arguments.domain).err());
    }
    if !wrong.is_empty() {
        return Err(Failure::Input(wrong.join("\naegis: ")));
    }
    loaded?;
    let (Ok(fault), Some(at)) = (fault, at) else { return Err(Failure::internal("what is wrong was not told")) };
    let (name, at) = (arguments.domain.clone(), Duration::from_nanos(at.as_ns()));
    run::run_with(&arguments.vehicle, &|command| beside(command, &name, (fault, at)))
}

/// Whether the manifest has a domain of this name with a process; what is wrong, in words.
fn has_process(file: &str, manifest: &Manifest, name: &str) -> Result<(), String> {
    let domains = &manifest.domains;
    let Some(position) = domains.iter().position(|domain| domain.name.get_ref() == name) else {
        let known: Vec<_> = domains.iter().map(|domain| domain.name.get_ref().as_str()).collect();
        let known =
            if known.is_empty() { "it has none".to_owned() } else { format!("its domains are {}", known.join(", ")) };
        return Err(format!("--domain: `{file}` has no fault domain `{name}`: {known}"));
    };
    if manifest.models.iter().any(|model| model.domain == Some(position)) {
        return Ok(());
    }
    Err(format!("--domain: no model lies in the fault domain `{name}`, so it has no process that could fail"))
}

/// Starts the vehicle, hands its words on, and lets the process fail that these name.
fn beside(command: &mut std::process::Command, domain: &str, (fault, at): (Fault, Duration)) -> io::Result<ExitStatus> {
    let mut vehicle = command.stdout(Stdio::piped()).spawn()?;
    let told = vehicle.stdout.take();
    let is_done = Arc::new(AtomicBool::new(false));
    let mut target = None;
    let begins = format!("domain \"{domain}\": process ");
    for line in told.into_iter().flat_map(|told| BufReader::new(told).lines()) {
        let line = line?;
        print(&format!("{line}\n"));
        let number = line.strip_prefix(&begins).and_then(|rest| rest.split(';').next()?.trim().parse().ok());
        if let Some(number) = number.filter(|_| target.is_none()) {
            target = Some(number);
            let (domain, is_done) = (domain.to_owned(), Arc::clone(&is_done));
            // Nobody waits for it: a vehicle may end before the fault is due, and what lasts ends with the process.
            thread::spawn(move || inject(number, &domain, (fault, at), &is_done));
        }
    }
    let status = vehicle.wait()?;
    if target.is_none() && status.success() {
        return Err(io::Error::other(format!(
            "it has no process of the domain \"{domain}\": its crate's build.rs names another manifest than this one"
        )));
    }
    if status.success() && !is_done.load(Ordering::Acquire) {
        return Err(io::Error::other(format!(
            "no fault was injected into the domain \"{domain}\" before the vehicle ended"
        )));
    }
    Ok(status)
}

/// Lets a process fail once it is time, and says so.
fn inject(process: u32, domain: &str, (fault, at): (Fault, Duration), is_done: &AtomicBool) {
    let tell = |what: &str| eprintln!("aegis inject: {fault} of domain \"{domain}\", process {process}: {what}");
    // Before it is due: later the number may be another one's.
    let target = Target::open(process, domain);
    thread::sleep(at);
    match target.and_then(|target| fault.begin(&target).map(|()| target)) {
        Ok(target) => {
            is_done.store(true, Ordering::Release);
            tell("injected");
            // Until it is gone.
            let _ = fault.go_on(&target);
        }
        Err(error) => tell(&format!("could not be injected: {error}")),
    }
}

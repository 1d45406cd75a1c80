//! `aegis device`: what GPUs have, by themselves or as built in.

use crate::build::load_sound;
use crate::measure::machine_request;
use crate::output::write_atomically;
use crate::vehicle::Vehicle;
use crate::{Failure, Outcome, print, show_findings};
use aegis_codegen::device::{BuiltIn, built_ins};
use aegis_codegen::probe::{self, DeviceAnswer, Request};
use aegis_codegen::report::table::{bytes, table};
use comfy_table::CellAlignment;
use std::path::{Path, PathBuf};

/// The arguments of `aegis device`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Ask a GPU of this machine what it has, and write its profile.
    #[command(after_help = "Example:\n  aegis device probe --device 0 --output profiles/lab/device.toml")]
    Probe(ProbeArguments),
    /// Show the built-in profiles with their sources.
    #[command(after_help = "Example:\n  aegis device list")]
    List,
}

#[derive(clap::Args)]
struct ProbeArguments {
    /// The manifest of the vehicle whose target library has the probe.
    #[arg(default_value = "system.toml")]
    manifest: PathBuf,
    /// The number of the GPU among the machine's CUDA devices.
    #[arg(long, value_name = "N", default_value_t = 0)]
    device: u16,
    /// The file to write; the standard output without it.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The probe program to ask, `aegis-host-probe`, instead of building it: for a machine without Cargo.
    #[arg(long, value_name = "PROGRAM")]
    probe: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    match &arguments.command {
        Command::Probe(arguments) => probe_device(arguments),
        Command::List => {
            list();
            Ok(())
        }
    }
}

fn probe_device(arguments: &ProbeArguments) -> Outcome {
    let program = match &arguments.probe {
        // Nothing of the manifest is needed.
        Some(program) => program.clone(),
        None => {
            let (loaded, findings) = load_sound(&arguments.manifest)?;
            show_findings(&findings, &loaded.file, &loaded.text);
            Vehicle::find(&loaded)?.build_probe()?
        }
    };
    let request = Request { command: "device", device: Some(arguments.device), ..machine_request() };
    let answer = probe::ask(&program, &request, |_, _, _| {}).map_err(Failure::input)?;
    let profile = answer.device_profile(arguments.device).map_err(Failure::Input)?;
    if let Some(device) = answer.devices.iter().find(|device| device.ordinal == arguments.device) {
        tell(device);
    }
    let body = toml::to_string(&profile).map_err(Failure::internal)?;
    let text = format!("# Told by the device that `name` names, asked by `aegis device probe`.\n\n{body}");
    let Some(file) = &arguments.output else {
        print(&text);
        return Ok(());
    };
    write(file, &text).map_err(|error| Failure::Input(format!("cannot write `{}`: {error}", file.display())))
}

/// What is not in the profile of what processes on a device do to each other.
fn tell(device: &DeviceAnswer) {
    if let Some(error) = &device.sharing_error {
        eprintln!("warning: what processes on the device do to each other was not measured: {error}");
    }
    if let Some(sharing) = &device.sharing {
        let lost = sharing.starting.longest_ns.div_euclid(1_000);
        eprintln!("a process lost up to {lost} µs while another one began to use the device; no key has that");
    }
}

/// Beside the file, and then in its place: what is there is whole.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    write_atomically(file, text)
}

/// The sizes of its partitions, and how many of the smallest there are, where that is known.
fn partitions(device: &BuiltIn) -> String {
    let most = device.partition_count.map_or_else(String::new, |count| format!(", at most {count}"));
    format!("from {}, by {}{most}", device.partition_unit, device.partition_step)
}

fn list() {
    let mut shown = table(&["profile", "device", "compute capability", "SMs", "partitions", "memory", "shared", "L2"]);
    for device in built_ins() {
        shown.add_row([
            device.name.clone(),
            device.title.clone(),
            device.compute_capability.clone(),
            device.sms.to_string(),
            partitions(device),
            bytes(device.memory_bytes),
            if device.integrated { "with the CPU" } else { "-" }.to_owned(),
            bytes(device.l2_bytes),
        ]);
    }
    for column in shown.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    print(&format!("{shown}\n"));
    for device in built_ins() {
        print(&format!("\n{}:\n", device.name));
        for source in &device.source {
            print(&format!("  {source}\n"));
        }
    }
}

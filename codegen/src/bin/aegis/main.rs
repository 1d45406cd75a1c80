//! The `aegis` command: parses arguments and calls the library.
//!
//! Exit status: 0 holds, 1 findings, 2 usage or unreadable input, 3 an error inside AegisRT (`aegis-ICE`). `aegis run`
//! ends with the vehicle's own status once the vehicle runs.

mod admit;
mod build;
mod check;
mod device;
mod diff;
mod explain;
mod formats;
mod init;
#[cfg(target_os = "linux")]
mod inject;
mod measure;
mod model;
mod observe;
mod output;
mod pack;
mod plan;
mod run;
mod schema;
mod simulate;
mod trace;
mod vehicle;
mod verify;

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Plans and proves several neural networks on one device.
#[derive(Parser)]
#[command(name = "aegis", version, about, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write a new vehicle's crate, which builds and runs, into a new folder.
    #[command(
        after_help = "Examples:\n  aegis init rover\n  aegis init rover --from models/lanes.onnx models/signs.onnx"
    )]
    Init(init::Arguments),
    /// Prove a manifest's deadlines and memory, and write its lock.
    #[command(after_help = "Example:\n  aegis check examples/overloaded/system.toml --format json")]
    Check(check::Arguments),
    /// Fetch, profile where needed, check, build and run a vehicle.
    #[command(after_help = "Example:\n  aegis run --for 30s")]
    Run(run::Arguments),
    /// Run a vehicle as `aegis run` does, and let the process of one of its fault domains fail meanwhile.
    #[cfg(target_os = "linux")]
    #[command(after_help = "Example:\n  aegis inject --domain vision --fault kill --at 2s --for 10s")]
    Inject(inject::Arguments),
    /// Build a vehicle's binary from its lock.
    #[command(after_help = "Example:\n  aegis build examples/inspector/system.toml")]
    Build(ManifestArgument),
    /// Render a lock's Rust tables where people can read them.
    #[command(after_help = "Example:\n  aegis generate --output plan.rs")]
    Generate(build::GenerateArguments),
    /// Get models, runtimes and assets into the cache.
    #[command(after_help = "Example:\n  aegis fetch examples/inspector/system.toml")]
    Fetch(ManifestArgument),
    /// Measure models and overheads on this machine and write the profiles that the manifest names.
    #[command(after_help = "Example:\n  aegis profile --into profiles/orin-nano-15w")]
    Profile(measure::Arguments),
    /// Say what GPUs have: that of this machine, or those that are built in.
    #[command(after_help = "Examples:\n  aegis device list\n  aegis device probe --output profiles/lab/device.toml")]
    Device(device::Arguments),
    /// Check a manifest, show where its models lie in memory and what forbids sharing more; writes no lock.
    #[command(after_help = "Example:\n  aegis plan --svg memory.svg")]
    Plan(plan::Arguments),
    /// Place a table of buffers in as little memory as can be found.
    #[command(after_help = "Example:\n  aegis pack buffers.csv --capacity 1MiB -o placed.csv")]
    Pack(pack::Arguments),
    /// Say whether more tasks still fit, and if not what would make them fit; writes no lock.
    #[command(after_help = "Example:\n  aegis admit --add depth.toml")]
    Admit(admit::Arguments),
    /// Re-prove a lock with the checker that ships in the vehicle.
    #[command(after_help = "Example:\n  aegis verify system.lock --manifest system.toml")]
    Verify(verify::Arguments),
    /// Say what a finding's code means, or why a task's response bound is what it is.
    #[command(after_help = "Examples:\n  aegis explain AEG202\n  aegis explain --task face")]
    Explain(explain::Arguments),
    /// Run a plan through the dispatcher in virtual time, and compare with its bounds.
    #[command(after_help = "Example:\n  aegis simulate --pattern random --seed 7 --for 600s")]
    Simulate(simulate::Arguments),
    /// Replay a trace against its plan, or make of it what other tools read.
    #[command(after_help = "Example:\n  aegis trace replay target/aegis/courier/trace.aegistrace --lock system.lock")]
    Trace(trace::Arguments),
    /// Say what an ONNX file needs: memory at least, weights, times; or cut it into segments.
    #[command(
        after_help = "Examples:\n  aegis model signs.onnx --dim x=1,3,320,320\n  aegis model cut lines.onnx --at Conv_12 Conv_40"
    )]
    Model(model::Arguments),
    /// Say what one plan means that another does not: tasks, bounds, slack, load, memory. Status 0 also where something differs.
    #[command(
        after_help = "Examples:\n  aegis diff system.lock system.toml\n  aegis diff old.lock system.lock --exit-code --format json"
    )]
    Diff(diff::Arguments),
    /// Write the JSON Schema of manifests, by which an editor completes and explains keys.
    #[command(after_help = "Example:\n  aegis schema --output system.schema.json")]
    Schema(schema::SchemaArguments),
    /// Write a script that lets a shell complete this command.
    #[command(after_help = "Example:\n  aegis completions bash > ~/.local/share/bash-completion/completions/aegis")]
    Completions(schema::CompletionsArguments),
}

/// A command whose only argument is the manifest.
#[derive(Args)]
struct ManifestArgument {
    /// The manifest.
    #[arg(default_value = "system.toml")]
    manifest: PathBuf,
}

/// When a finding of lower weight refuses the manifest.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Deny {
    /// Warnings count as errors.
    Warnings,
}

/// How a command ends.
enum Failure {
    /// Findings were shown: status 1.
    Findings,
    /// The input cannot be read or the usage is wrong: status 2, with the reason.
    Input(String),
    /// A bug in AegisRT: status 3.
    Internal(String),
    /// The status of a program that was run.
    Status(u8),
}

impl Failure {
    fn internal(error: impl std::fmt::Display) -> Self {
        Self::Internal(error.to_string())
    }

    fn input(error: impl std::fmt::Display) -> Self {
        Self::Input(error.to_string())
    }
}

type Outcome = Result<(), Failure>;

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Init(arguments) => init::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        #[cfg(target_os = "linux")]
        Command::Inject(arguments) => inject::run(&arguments),
        Command::Build(arguments) => build::run(&arguments.manifest),
        Command::Generate(arguments) => build::generate(&arguments),
        Command::Fetch(arguments) => measure::fetch(&arguments.manifest),
        Command::Profile(arguments) => measure::run(&arguments),
        Command::Device(arguments) => device::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Pack(arguments) => pack::run(&arguments),
        Command::Admit(arguments) => admit::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Trace(arguments) => trace::run(&arguments),
        Command::Model(arguments) => model::run(&arguments),
        Command::Diff(arguments) => diff::run(&arguments),
        Command::Schema(arguments) => schema::schema(&arguments),
        Command::Completions(arguments) => schema::completions(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Findings) => ExitCode::from(1),
        Err(Failure::Input(reason)) => {
            eprintln!("aegis: {reason}");
            ExitCode::from(2)
        }
        Err(Failure::Internal(reason)) => {
            eprintln!("aegis-ICE: {reason}\nThis is an error inside AegisRT, not in your manifest; please report it.");
            ExitCode::from(3)
        }
        Err(Failure::Status(status)) => ExitCode::from(status),
    }
}

/// Reads a manifest's text.
fn read(manifest: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(manifest).map_err(|error| {
        Failure::Input(format!(
            "cannot read the manifest `{}`: {error}; name it, or start in its folder",
            manifest.display()
        ))
    })
}

/// Shows findings on the standard error and says whether any refuses.
fn show_findings(findings: &[aegis_codegen::finding::Finding], file: &str, text: &str) {
    if findings.is_empty() {
        return;
    }
    let color = is_coloured();
    let of = |name: &str| (name == file).then_some(text);
    eprint!("{}", aegis_codegen::report::terminal::render(findings, of, color));
}

/// Whether the standard error shows colours: it is a terminal, and nobody said by `NO_COLOR` that there are to be none.
fn is_coloured() -> bool {
    use std::io::IsTerminal as _;
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Prints to the standard output; a reader that closed the pipe is not an error.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

    use super::Arguments;
    use clap::{CommandFactory as _, Parser as _};

    /// All commands that can be started, with their names.
    fn commands(command: &clap::Command, name: &str, all: &mut Vec<(String, clap::Command)>) {
        let below: Vec<_> = command.get_subcommands().filter(|below| below.get_name() != "help").collect();
        if below.is_empty() || !command.is_subcommand_required_set() {
            all.push((name.to_owned(), command.clone()));
        }
        for one in below {
            commands(one, &format!("{name} {}", one.get_name()), all);
        }
    }

    /// What a shell would hand over of a line without quotes and redirections.
    fn words(line: &str) -> impl Iterator<Item = &str> {
        line.split(" > ").next().unwrap_or_default().split_whitespace()
    }

    #[test]
    fn the_help_of_every_command_has_examples_that_it_understands() {
        let root = Arguments::command();
        root.clone().debug_assert();
        let mut all = Vec::new();
        for below in root.get_subcommands().filter(|below| below.get_name() != "help") {
            commands(below, &format!("aegis {}", below.get_name()), &mut all);
        }
        assert!(all.len() >= 20, "{}", all.len());
        for (name, command) in all {
            let help = command.get_after_help().unwrap_or_else(|| panic!("{name} has no example")).to_string();
            assert!(help.starts_with("Example:\n  ") || help.starts_with("Examples:\n  "), "{name}: {help}");
            let examples: Vec<_> = help.lines().filter_map(|line| line.strip_prefix("  ")).collect();
            assert!(examples.iter().any(|line| line.starts_with(&name)), "{name}: {help}");
            for example in examples {
                if let Err(error) = Arguments::try_parse_from(words(example)) {
                    panic!("{name}: {example}: {error}");
                }
            }
        }
    }
}

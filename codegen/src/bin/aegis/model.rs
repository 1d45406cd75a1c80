//! `aegis model` and `aegis model cut`.

use crate::{Failure, Outcome, print, show_findings};
use aegis_codegen::finding::{Finding, Severity};
use aegis_codegen::manifest::units;
use aegis_codegen::onnx::cut::Cutter;
use aegis_codegen::onnx::lifespans::Lifespans;
use aegis_codegen::onnx::measured::{Matched, RuntimeProfile};
use aegis_codegen::onnx::shapes::{Dimensions, Shapes};
use aegis_codegen::onnx::summary::{Recorded, Summary};
use aegis_codegen::onnx::{self, Model};
use aegis_codegen::profile::{MODEL_SCHEMA, ModelProfile};
use aegis_codegen::report;
use aegis_codegen::system::Sequence;
use std::path::{Path, PathBuf};

/// The command's arguments.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    input: Option<Input>,
    /// A profile that `aegis profile` wrote of this model: shows the peak that was recorded.
    #[arg(long, value_name = "FILE")]
    model_profile: Option<PathBuf>,
    /// What is printed on the standard output.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Cut a model into consecutive segments, each a model of its own.
    #[command(after_help = "Example:\n  aegis model cut lines.onnx --max-segment 3ms --profile ort-profile.json")]
    Cut(CutArguments),
}

/// The model and what is known of it.
#[derive(clap::Args)]
struct Input {
    /// The ONNX file.
    file: PathBuf,
    /// Fix all dimensions of an input, as in `x=1,3,224,224`; may be given for several inputs.
    #[arg(long = "dim", value_name = "INPUT=DIMENSIONS")]
    dimensions: Vec<String>,
    /// What ONNX Runtime wrote with `enable_profiling`: shapes and times of the nodes.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
}

#[derive(clap::Args)]
struct CutArguments {
    #[command(flatten)]
    input: Input,
    /// Cut after these nodes, or after the nodes that give these values.
    #[arg(long, value_name = "NODE", num_args = 1.., required_unless_present = "max_segment", conflicts_with = "max_segment")]
    at: Vec<String>,
    /// Cut into as few segments as possible of which none takes longer; needs `--profile`.
    #[arg(long, value_name = "DURATION", requires = "profile")]
    max_segment: Option<String>,
    /// The folder for the segments; the model's own without this.
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// What is printed on the standard output.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

/// The output's form.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Tables for people.
    Human,
    /// Schema `aegis.model/1` or `aegis.cut/1`.
    Json,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    match (&arguments.command, &arguments.input) {
        (Some(Command::Cut(arguments)), _) => cut(arguments),
        (None, Some(input)) => summarize(input, arguments),
        // clap demands a file or a command.
        (None, None) => Err(Failure::Input("name an ONNX file".to_owned())),
    }
}

/// A read model with its sizes and times.
struct Loaded {
    model: Model,
    shapes: Shapes,
    measured: Option<Matched>,
}

impl Loaded {
    fn read(input: &Input) -> Result<Self, Failure> {
        let dimensions = Dimensions::parse(&input.dimensions).map_err(|why| Failure::Input(format!("--dim: {why}")))?;
        let model = onnx::read(&input.file).map_err(|error| cannot_read(&input.file, &error))?.map_err(refuse)?;
        let measured = match &input.profile {
            None => None,
            Some(path) => {
                let text = std::fs::read(path).map_err(|error| cannot_read(path, &error))?;
                let profile = RuntimeProfile::parse(&path.to_string_lossy(), &text).map_err(refuse)?;
                Some(profile.of(&model).map_err(refuse)?)
            }
        };
        let shapes = Shapes::of(&model, &dimensions, measured.as_ref()).map_err(refuse)?;
        Ok(Self { model, shapes, measured })
    }
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Input(format!("cannot read `{}`: {error}", path.display()))
}

fn refuse(findings: Vec<Finding>) -> Failure {
    show_findings(&findings, "", "");
    Failure::Findings
}

fn summarize(input: &Input, arguments: &Arguments) -> Outcome {
    let Loaded { model, shapes, measured } = Loaded::read(input)?;
    let recorded = arguments.model_profile.as_deref().map(|profile| recorded(profile, &input.file)).transpose()?;
    let summary = Summary::of(&model, &shapes, measured.as_ref(), recorded.as_ref());
    // What is missing does not refuse the model: the sizes that are known are shown.
    if let Some(finding) = Lifespans::of(&model, &shapes).unknown_finding(&model) {
        show_findings(&[Finding { severity: Severity::Warning, ..finding }], "", "");
    }
    match arguments.format {
        Format::Human => print(&report::model::summary(&summary)),
        Format::Json => print_json(&summary)?,
    }
    Ok(())
}

/// What the probe recorded of the runs: the most that is live at once, or where runs differ the size of the region that held
/// them all; and the requests of one.
fn recorded(path: &Path, model: &Path) -> Result<Recorded, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| cannot_read(path, &error))?;
    let refuse =
        |why: &dyn std::fmt::Display| Failure::Input(format!("`{}` is no model profile: {why}", path.display()));
    let profile: ModelProfile = toml::from_str(&text).map_err(|error| refuse(&error))?;
    if profile.schema != MODEL_SCHEMA {
        return Err(refuse(&format!("its schema is `{}`, not `{MODEL_SCHEMA}`", profile.schema)));
    }
    let file = std::fs::read(model).map_err(|error| cannot_read(model, &error))?;
    let found = aegis_codegen::lock::sha256(&file);
    let Some(segment) = profile.segments.iter().find(|segment| segment.sha256 == found) else {
        let files: Vec<&str> = profile.segments.iter().map(|segment| segment.sha256.as_str()).collect();
        return Err(refuse(&format!("it is of a file with SHA-256 {}, the model has {found}", files.join(", "))));
    };
    let runs: Result<Vec<Sequence>, _> = segment.runs.iter().map(|run| Sequence::new(run)).collect();
    let runs = runs.map_err(|error| refuse(&error))?;
    let requests = runs.first().map(|run| run.blocks().iter().map(|block| block.size).collect());
    let peak = runs.iter().map(Sequence::peak).max().unwrap_or(segment.scratch_bytes);
    Ok(Recorded { peak, requests: requests.unwrap_or_default() })
}

fn cut(arguments: &CutArguments) -> Outcome {
    let limit = arguments.max_segment.as_deref().map(units::duration).transpose();
    let limit = limit.map_err(|why| Failure::Input(format!("--max-segment: {why}")))?;
    let Loaded { model, shapes, measured } = Loaded::read(&arguments.input)?;
    let cutter = Cutter::new(&model);
    let boundaries = match (limit, &measured) {
        (Some(limit), Some(measured)) => cutter.within(limit.as_ns(), measured, &shapes),
        (Some(_), None) => return Err(Failure::Input("--max-segment needs --profile".to_owned())),
        (None, _) => cutter.after(&arguments.at),
    };
    let cut = cutter.cut(&boundaries.map_err(refuse)?, &shapes, measured.as_ref()).map_err(refuse)?;
    let beside = model.folder();
    let folder = arguments.output.as_deref().unwrap_or(beside);
    cut.write(folder).map_err(Failure::input)?;
    for path in cut.leftovers(folder) {
        eprintln!("cut: `{}` is of an earlier cut into more segments", path.display());
    }
    match arguments.format {
        Format::Human => print(&report::model::cut(&cut)),
        Format::Json => print_json(&cut)?,
    }
    Ok(())
}

fn print_json(value: &impl serde::Serialize) -> Outcome {
    let json = serde_json::to_string_pretty(value).map_err(Failure::internal)?;
    print(&format!("{json}\n"));
    Ok(())
}

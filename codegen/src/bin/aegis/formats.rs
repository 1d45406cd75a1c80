//! A check's report in the formats of people and programs: one on the standard output, and as many as wanted in files.

use crate::check::human;
use crate::output::write_atomically;
use crate::{Failure, Outcome, print};
use aegis_codegen::check::Checked;
use aegis_codegen::report::html::{self, Observed};
use aegis_codegen::report::sensitivity::Sensitivity;
use aegis_codegen::report::verdict::Verdict;
use aegis_codegen::report::{self, baseline};
use aegis_codegen::simulate::worst;
use aegis_codegen::tables;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The report's form.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Format {
    /// Tables for people.
    Human,
    /// Schema `aegis.report/1`.
    Json,
    /// Findings as SARIF 2.1.0, for code hosts.
    Sarif,
    /// A test for each deadline and finding, as JUnit's XML.
    Junit,
    /// Findings as annotations of GitHub's workflow commands.
    Github,
    /// Verdict, tasks and findings as a page of Markdown.
    Markdown,
    /// The whole report as one page of HTML that needs nothing but itself.
    Html,
}

/// `FORMAT=PATH`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Output {
    format: Format,
    path: PathBuf,
}

impl Output {
    /// The whole report as a page.
    pub(crate) const fn page(path: PathBuf) -> Self {
        Self { format: Format::Html, path }
    }

    /// Whether it is the page.
    pub(crate) fn is_page(&self) -> bool {
        self.format == Format::Html
    }
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        use clap::ValueEnum as _;
        let (name, path) = text.split_once('=').ok_or("give a format and a path, as in sarif=report.sarif")?;
        let known = || Format::value_variants().iter().filter_map(|one| one.to_possible_value());
        let format = Format::from_str(name, false).map_err(|_| {
            let names: Vec<String> = known().map(|one| one.get_name().to_owned()).collect();
            format!("there is no format `{name}`; known are {}", names.join(", "))
        })?;
        if path.is_empty() {
            return Err(format!("`{text}` names no path"));
        }
        Ok(Self { format, path: path.into() })
    }
}

/// That no two outputs are one file, and none is a file that is `taken` by what the words say.
pub(crate) fn apart(outputs: &[Output], taken: &[(&str, &Path)]) -> Outcome {
    let mut seen: Vec<(PathBuf, String)> = Vec::new();
    seen.extend(taken.iter().filter_map(|(what, path)| Some((place(path)?, format!("is {what}")))));
    for Output { path, .. } in outputs {
        let Some(place) = place(path) else { continue };
        if let Some((_, why)) = seen.iter().find(|(other, _)| *other == place) {
            return Err(Failure::Input(format!("--output: `{}` {why}: give each format a file", path.display())));
        }
        seen.push((place, "is named twice".to_owned()));
    }
    Ok(())
}

/// Where a path leads, however it is written; `None` of what holds nothing, such as a device.
fn place(path: &Path) -> Option<PathBuf> {
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        return None;
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let there = || Some(parent.canonicalize().ok()?.join(path.file_name()?));
    Some(path.canonicalize().ok().or_else(there).unwrap_or_else(|| path.to_owned()))
}

/// What there is to tell of a check.
pub(crate) struct Reported<'a> {
    pub(crate) checked: &'a Checked,
    pub(crate) file: &'a str,
    pub(crate) text: &'a str,
    pub(crate) passes: bool,
    pub(crate) denies_warnings: bool,
    pub(crate) sensitivity: Option<Sensitivity>,
    /// What a trace observed.
    pub(crate) observed: Option<Observed>,
}

impl Reported<'_> {
    fn in_format(&self, format: Format) -> Result<String, Failure> {
        let verdict = || Verdict::of(self.checked, self.file, self.text, self.passes, self.denies_warnings);
        Ok(match format {
            Format::Human => {
                human(self.checked, self.passes)
                    + &self.sensitivity.as_ref().map(Sensitivity::render).unwrap_or_default()
            }
            Format::Json => {
                report::json::render(self.checked, self.file, self.text, self.passes, self.sensitivity.clone())
                    .map_err(Failure::internal)?
            }
            Format::Sarif => report::sarif::render(&verdict()).map_err(Failure::internal)?,
            Format::Junit => report::junit::render(&verdict()).map_err(Failure::internal)?,
            Format::Github => report::github::render(&verdict()),
            Format::Markdown => report::markdown::render(&verdict()),
            Format::Html => self.html(&verdict())?,
        })
    }

    /// The page, with the schedules behind the bounds.
    fn html(&self, verdict: &Verdict<'_>) -> Result<String, Failure> {
        let both = self.checked.resolved.as_ref().zip(self.checked.analysis.as_ref());
        let draft = self.checked.lock_or_draft().map_err(Failure::internal)?;
        let plan = draft.as_ref().map(tables::leak).transpose().map_err(Failure::internal)?;
        let schedules = match (both, plan) {
            (Some((resolved, analysis)), Some(plan)) => {
                let system = &resolved.system;
                (0..system.tasks.len()).map(|task| worst::schedule(system, analysis, plan, task)).collect()
            }
            _ => Vec::new(),
        };
        let input =
            html::Input { checked: self.checked, verdict, schedules: &schedules, observed: self.observed.as_ref() };
        html::render(&input).map_err(Failure::internal)
    }

    /// Writes it to the standard output and into files, each beside its place first and then renamed.
    pub(crate) fn write(&self, format: Format, outputs: &[Output]) -> Outcome {
        for Output { format, path } in outputs {
            let text = self.in_format(*format)?;
            let failed = |error| Failure::Input(format!("--output: cannot write `{}`: {error}", path.display()));
            write_atomically(path, &text).map_err(failed)?;
        }
        print(&self.in_format(format)?);
        Ok(())
    }

    /// What got worse since an older report; each on a line of the standard error.
    pub(crate) fn is_worse_than(&self, old: &Baseline) -> Result<bool, Failure> {
        let Baseline { path, text } = old;
        let now = self.in_format(Format::Json)?;
        let worse = baseline::worse(text, &now).map_err(|error| path.refused(&error))?;
        for one in &worse {
            eprintln!("worse than {}: {one}", path.0.display());
        }
        for one in baseline::gone(text, &now).map_err(|error| path.refused(&error))? {
            eprintln!("not compared any more: {one}, which this report does not have");
        }
        if worse.is_empty() {
            eprintln!("nothing is worse than {}", path.0.display());
        }
        Ok(!worse.is_empty())
    }
}

/// An older report, read before anything is written: it may be where the new one goes.
pub(crate) struct Baseline {
    path: Old,
    text: String,
}

struct Old(PathBuf);

impl Old {
    fn refused(&self, why: &dyn std::fmt::Display) -> Failure {
        Failure::Input(format!("--baseline: `{}`: {why}", self.0.display()))
    }
}

impl Baseline {
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let path = Old(path.to_owned());
        let text = std::fs::read_to_string(&path.0).map_err(|error| path.refused(&error))?;
        baseline::comparable(&text).map_err(|error| path.refused(&error))?;
        Ok(Self { path, text })
    }
}

#[cfg(test)]
mod tests {
    use super::{Format, Output, apart};
    use std::path::Path;

    #[test]
    fn two_outputs_are_two_files() {
        let of = |texts: &[&str]| {
            let outputs: Vec<Output> = texts.iter().map(|text| text.parse().unwrap()).collect();
            apart(&outputs, &[("the manifest", Path::new("m.toml"))])
        };
        assert!(of(&["json=a", "sarif=b"]).is_ok() && of(&[]).is_ok());
        assert!(of(&["json=a", "junit=c", "sarif=a"]).is_err() && of(&["json=a", "html=./a"]).is_err());
        assert!(of(&["html=src/../m.toml"]).is_err(), "the manifest");
        assert!(of(&["html=/dev/null", "json=/dev/null"]).is_ok(), "it holds nothing");
    }

    #[test]
    fn an_output_is_a_format_and_a_path() {
        let of = |text: &str| text.parse::<Output>();
        assert_eq!(of("sarif=a=b"), Ok(Output { format: Format::Sarif, path: "a=b".into() }));
        assert!(of("sarif").unwrap_err().contains("sarif=report.sarif"));
        assert!(of("xml=a").unwrap_err().contains("human, json, sarif, junit, github, markdown, html"));
        assert!(of("json=").unwrap_err().contains("names no path"));
    }
}

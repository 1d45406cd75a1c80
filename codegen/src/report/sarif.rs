//! Findings as SARIF 2.1.0, for code hosts that show them beside the lines that they are of.
//!
//! Source: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0", 2020. What is written: one run, a rule for
//! each code that occurs with what `aegis explain` says, and a result for each finding. Columns count characters.

use super::verdict::{Verdict, sentence};
use crate::finding::{Code, Finding, Label, Position, Severity};
use serde::Serialize;

#[derive(Serialize)]
struct Log<'a> {
    #[serde(rename = "$schema")]
    schema: &'a str,
    version: &'a str,
    runs: [Run<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    tool: Tool<'a>,
    column_kind: &'a str,
    results: Vec<Found<'a>>,
}

#[derive(Serialize)]
struct Tool<'a> {
    driver: Driver<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver<'a> {
    name: &'a str,
    semantic_version: &'a str,
    rules: Vec<Rule<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule<'a> {
    id: &'a str,
    short_description: Text<'a>,
    full_description: Text<'a>,
}

#[derive(Serialize)]
struct Text<'a> {
    text: std::borrow::Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Found<'a> {
    rule_id: &'a str,
    rule_index: usize,
    level: &'a str,
    message: Text<'a>,
    locations: Vec<Location<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related_locations: Vec<Location<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fixes: Vec<Fix<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Fix<'a> {
    description: Text<'a>,
    artifact_changes: [Change<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Change<'a> {
    artifact_location: Artifact,
    replacements: Vec<Replacement<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Replacement<'a> {
    deleted_region: Region,
    inserted_content: Text<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location<'a> {
    physical_location: Physical,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Text<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Physical {
    artifact_location: Artifact,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<Region>,
}

#[derive(Serialize)]
struct Artifact {
    uri: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: usize,
    start_column: usize,
    end_line: usize,
    end_column: usize,
}

impl Region {
    const fn of((start, end): (Position, Position)) -> Self {
        Self { start_line: start.line, start_column: start.column, end_line: end.line, end_column: end.column }
    }
}

/// Renders a check's findings; a finding without a place is of the manifest as a whole.
///
/// # Errors
/// Only what the serializer says, which is an internal error.
pub fn render(verdict: &Verdict<'_>) -> serde_json::Result<String> {
    let mut codes: Vec<Code> = verdict.findings.iter().map(|finding| finding.code).collect();
    codes.sort_by_key(|code| code.id());
    codes.dedup();
    let rule = |code: &Code| Rule {
        id: code.id(),
        short_description: Text { text: code.title().into() },
        full_description: Text { text: code.explain().into() },
    };
    let driver =
        Driver { name: "aegis", semantic_version: env!("CARGO_PKG_VERSION"), rules: codes.iter().map(rule).collect() };
    let log = Log {
        schema: "https://json.schemastore.org/sarif-2.1.0.json",
        version: "2.1.0",
        runs: [Run {
            tool: Tool { driver },
            column_kind: "unicodeCodePoints",
            results: verdict.findings.iter().map(|finding| found(verdict, &codes, finding)).collect(),
        }],
    };
    let mut json = serde_json::to_string_pretty(&log)?;
    json.push('\n');
    Ok(json)
}

fn found<'a>(verdict: &Verdict<'_>, codes: &[Code], finding: &'a Finding) -> Found<'a> {
    let place = finding.place();
    let (own, related): (Vec<&Label>, Vec<&Label>) =
        finding.labels.iter().partition(|label| place.is_some_and(|place| std::ptr::eq(place, *label)));
    let mut locations: Vec<Location<'a>> = own.into_iter().map(|label| location(verdict, label)).collect();
    if locations.is_empty() {
        let artifact_location = Artifact { uri: uri(verdict.file) };
        locations.push(Location { physical_location: Physical { artifact_location, region: None }, message: None });
    }
    Found {
        rule_id: finding.code.id(),
        rule_index: codes.iter().position(|code| *code == finding.code).unwrap_or(0),
        level: match finding.severity {
            Severity::Error => "error",
            Severity::Warning if verdict.denies_warnings => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        },
        message: Text { text: sentence(finding).into() },
        locations,
        related_locations: related.into_iter().map(|label| location(verdict, label)).collect(),
        fixes: fix(verdict, finding).into_iter().collect(),
    }
}

/// The finding's changes of the manifest, all of them one fix.
fn fix<'a>(verdict: &Verdict<'_>, finding: &'a Finding) -> Option<Fix<'a>> {
    let own = finding.patches.iter().filter(|patch| patch.file == verdict.file);
    let replacements: Vec<_> = own
        .map(|patch| Replacement {
            deleted_region: Region::of(verdict.between(&patch.span)),
            inserted_content: Text { text: patch.replacement.as_str().into() },
        })
        .collect();
    let description = Text { text: finding.help.as_deref().unwrap_or("change it like this").into() };
    let artifact_location = Artifact { uri: uri(verdict.file) };
    (!replacements.is_empty())
        .then_some(Fix { description, artifact_changes: [Change { artifact_location, replacements }] })
}

fn location<'a>(verdict: &Verdict<'_>, label: &'a Label) -> Location<'a> {
    let region = verdict.region(label).map(Region::of);
    let physical_location = Physical { artifact_location: Artifact { uri: uri(&label.file) }, region };
    let message = (!label.text.is_empty()).then_some(Text { text: label.text.as_str().into() });
    Location { physical_location, message }
}

/// A path as a URI reference (RFC 3986): relative ones stay so, and what a path may not hold is escaped.
fn uri(path: &str) -> String {
    let mut uri = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn paths_become_uris() {
        assert_eq!(uri("a/b c.toml"), "a/b%20c.toml");
        assert_eq!(uri("/tmp/ä.toml"), "file:///tmp/%C3%A4.toml");
        assert_eq!(uri("c:x"), "c%3Ax");
    }
}

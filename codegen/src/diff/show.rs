//! Differences for people and for programs.

use super::{About, Change, Diff, Difference, Effect, SCHEMA, Side, Value};
use crate::check::show;
use crate::report::table::{bytes, percent, table};
use aegis_core::time::Duration;
use comfy_table::CellAlignment;
use serde::Serialize;
use std::fmt::Write as _;

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    old: File<'a>,
    new: File<'a>,
    /// Whether nothing differs.
    same: bool,
    /// Whether only what is no fact here differs.
    differs_within: bool,
    /// Whether chains were compared: a lock has none.
    chains_compared: bool,
    differences: &'a [Difference],
}

#[derive(Serialize)]
struct File<'a> {
    file: &'a str,
    system: &'a str,
    verdict: super::Verdict,
}

/// Schema [`SCHEMA`].
///
/// # Errors
/// Only what the serializer says, which is an internal error.
pub fn json(old: &Side<'_>, new: &Side<'_>, diff: &Diff) -> serde_json::Result<String> {
    let file = |side: &'_ Side<'_>| (side.file.clone(), side.plan.name.clone(), side.verdict);
    let ((old_file, old_name, old_verdict), (new_file, new_name, new_verdict)) = (file(old), file(new));
    let document = Document {
        schema: SCHEMA,
        old: File { file: &old_file, system: &old_name, verdict: old_verdict },
        new: File { file: &new_file, system: &new_name, verdict: new_verdict },
        same: diff.is_empty(),
        differs_within: diff.differs_within,
        chains_compared: old.chains.is_some() && new.chains.is_some(),
        differences: &diff.differences,
    };
    Ok(format!("{}\n", serde_json::to_string_pretty(&document)?))
}

/// A table of all differences, with a line of what they come to.
#[must_use]
pub fn text(old: &Side<'_>, new: &Side<'_>, diff: &Diff) -> String {
    let mut text = String::new();
    let side = |side: &Side<'_>| format!("{} ({}, {})", side.file, side.plan.name, side.verdict.name());
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{} -> {}", side(old), side(new));
    if old.chains.is_none() || new.chains.is_none() {
        text.push_str("chains are not compared: a lock has none\n");
    }
    if diff.is_empty() {
        text.push_str("no difference\n");
        return text;
    }
    if diff.differs_within {
        text.push_str("something that is not shown here differs: certificates, the places of bytes or other details\n");
        return text;
    }
    let mut rows = table(&["", "what", "before", "after", "difference", ""]);
    let mut last = None;
    for one in &diff.differences {
        let subject = (one.about, &one.name);
        let first = last != Some(subject);
        last = Some(subject);
        rows.add_row([
            if first { heading(one) } else { String::new() },
            what(&one.key),
            shown(&one.key, one.old.as_ref()),
            shown(&one.key, one.new.as_ref()),
            one.by.map_or_else(String::new, |by| signed(&one.key, by)),
            match one.effect {
                Some(Effect::Worse) => "worse",
                Some(Effect::Better) => "better",
                None => "",
            }
            .to_owned(),
        ]);
    }
    for column in rows.column_iter_mut().skip(2).take(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let count = |effect: Effect| diff.differences.iter().filter(|one| one.effect == Some(effect)).count();
    let _ = writeln!(
        text,
        "{rows}\n{} difference{}: {} for the worse, {} for the better",
        diff.differences.len(),
        if diff.differences.len() == 1 { "" } else { "s" },
        count(Effect::Worse),
        count(Effect::Better)
    );
    text
}

fn heading(one: &Difference) -> String {
    let change = match one.change {
        Change::Added => "added: ",
        Change::Removed => "removed: ",
        Change::Changed => "",
    };
    match one.about {
        About::System => one.about.name().to_owned(),
        about => format!("{change}{} {}", about.name(), one.name),
    }
}

/// A key in words.
fn what(key: &str) -> String {
    let bare = ["_ns", "_bytes", "_ppm"].into_iter().find_map(|unit| key.strip_suffix(unit)).unwrap_or(key);
    bare.replace('_', " ")
}

fn shown(key: &str, value: Option<&Value>) -> String {
    match value {
        None => "-".to_owned(),
        // Of a checksum the beginning tells two apart.
        Some(Value::Word(word)) => word.split(", ").map(short).collect::<Vec<_>>().join(", "),
        Some(Value::Number(number)) if *number < 0 => format!("-{}", amount(key, number.unsigned_abs())),
        Some(Value::Number(number)) => amount(key, number.unsigned_abs()),
    }
}

fn short(word: &str) -> String {
    let is_sum = |part: &str| part.len() == 64 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts = word.split(' ').map(|part| if is_sum(part) { part.get(..12).unwrap_or(part) } else { part });
    parts.collect::<Vec<_>>().join(" ")
}

fn signed(key: &str, by: i128) -> String {
    format!("{}{}", if by < 0 { '-' } else { '+' }, amount(key, by.unsigned_abs()))
}

fn amount(key: &str, number: u128) -> String {
    let Ok(number) = u64::try_from(number) else { return number.to_string() };
    if key.ends_with("_ns") {
        show(Duration::from_ns(number))
    } else if key.ends_with("_bytes") {
        bytes(number)
    } else if key.ends_with("_ppm") {
        percent(number)
    } else {
        number.to_string()
    }
}

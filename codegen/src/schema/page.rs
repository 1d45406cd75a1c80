//! The manual's page of all tables and keys.

use super::{Absent, TableWords, Words, absent, form};
use crate::manifest::asked::{Asked, Kind, Table};
use std::collections::BTreeSet;
use std::fmt::Write as _;

const BEGINNING: &str = "\
# Every key of `system.toml`

`aegis schema --format markdown` writes this page, from what the parser asks for; `aegis schema` writes the same for editors. All keys are those of version
0.1.0, the first one. A time is a string with a unit such as `\"33ms\"` and is exact to the nanosecond, a size one such as `\"256MiB\"`. A table by name is
`[task.NAME]`, a name of lower-case letters, digits, `-` and `_`. What depends on other tables is said by `aegis check`, each rule with a code
that `aegis explain CODE` explains. The repository's own `system.toml` is commented from the first line to the last.
";

/// Renders the page.
pub(super) fn page(words: &Words, asked: &Asked) -> Result<String, String> {
    let mut out = BEGINNING.to_owned();
    for table in &words.table {
        let title: Vec<String> = table.places.iter().map(|place| title(place)).collect();
        let _ = write!(out, "\n## {}\n\n{}\n\n", title.join(", "), table.about);
        out.push_str("| key | means | value | without it |\n|---|---|---|---|\n");
        let place = table.places.first().ok_or("words of no table")?;
        let asked = asked.get(place).ok_or_else(|| format!("no table at `{place}` was asked for"))?;
        for key in table.keys.keys() {
            row(&mut out, table, asked, key)?;
        }
    }
    Ok(out)
}

/// A table's name as people write it.
fn title(place: &str) -> String {
    let mut words: Vec<&str> = place.split('.').collect();
    let last = words.len().saturating_sub(1);
    // A `*` behind what is an array of tables is a position.
    let is_position = last >= 3 && words.last() == Some(&"*");
    if is_position {
        words.pop();
    }
    if place.is_empty() {
        return "The file".to_owned();
    }
    let path = words.join(".").replace('*', "NAME");
    if is_position { format!("each table of `{path}`") } else { format!("`[{path}]`") }
}

fn row(out: &mut String, words: &TableWords, asked: &Table, key: &str) -> Result<(), String> {
    let told = words.keys.get(key).ok_or_else(|| format!("nothing is said of `{key}`"))?;
    let kinds: &BTreeSet<Kind> = asked.keys.get(key).ok_or_else(|| format!("`{key}` was not asked for"))?;
    let forms: Vec<String> = kinds.iter().map(form).collect();
    let without = match absent(told, asked, key) {
        Absent::Default(what) => what.to_owned(),
        Absent::Required => "required".to_owned(),
        Absent::OneOf(keys) => format!("exactly one of `{}`", keys.join("`, `")),
        Absent::Elsewhere => "required where it applies".to_owned(),
    };
    let key = if key == "*" { "a name".to_owned() } else { format!("`{key}`") };
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let _ = writeln!(out, "| {key} | {} | {} | {} |", cell(&told.means), cell(&forms.join(" Or: ")), cell(&without));
    Ok(())
}

//! A check as a page of Markdown, for a summary of CI or a comment on a change.

use super::verdict::Verdict;
use crate::check::{show, show_down};
use std::fmt::Write as _;

/// Renders verdict, tasks and findings.
#[must_use]
pub fn render(verdict: &Verdict<'_>) -> String {
    let mut out = format!("## {}: {}\n", cell(verdict.system), if verdict.passes { "pass" } else { "fail" });
    if verdict.tasks.is_empty() {
        out.push_str("\nNothing was analysed.\n");
    } else {
        out.push_str(
            "\n| task | lane | period | deadline | WCET | response | slack | |\n|---|---|--:|--:|--:|--:|--:|---|\n",
        );
    }
    for task in &verdict.tasks {
        let response = task.response.map_or_else(|| "no bound".to_owned(), show);
        let slack = task.response.map_or_else(
            || "-".to_owned(),
            |response| {
                // Rounded down: a slack must not look larger than it is.
                let late = || format!("-{}", show(response.saturating_sub(task.deadline)));
                task.deadline.checked_sub(response).map_or_else(late, show_down)
            },
        );
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {response} | {slack} | {} |",
            cell(task.task),
            cell(task.lane),
            show(task.period),
            show(task.deadline),
            show(task.wcet),
            if task.holds { "holds" } else { "**fails**" },
        );
    }
    if !verdict.findings.is_empty() {
        out.push_str("\n| | where | what | fix |\n|---|---|---|---|\n");
    }
    for finding in &verdict.findings {
        let place = finding.place();
        let mut at = place.map_or_else(String::new, |label| label.file.clone());
        if let Some((start, _)) = place.and_then(|label| verdict.region(label)) {
            let _ = write!(at, ":{}", start.line);
        }
        let severity = if verdict.refuses(finding) { "error" } else { finding.severity.name() };
        let help = finding.help.as_deref().unwrap_or("");
        let _ = writeln!(
            out,
            "| {severity} {} | {} | {} | {} |",
            finding.code.id(),
            cell(&at),
            cell(&finding.message),
            cell(help)
        );
    }
    out
}

/// Text as a cell of a table: what ends one, or begins something else, is escaped. What stands between backticks stays code.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut is_code = false;
    // One without a partner begins no code.
    let odd = text.rfind('`').filter(|_| text.matches('`').count() % 2 == 1);
    for (at, character) in text.char_indices() {
        match character {
            '`' if odd == Some(at) => out.push_str("\\`"),
            '`' => {
                is_code = !is_code;
                out.push('`');
            }
            '\n' | '\r' => out.push(' '),
            '|' => out.push_str("\\|"),
            '<' if !is_code => out.push_str("&lt;"),
            '*' | '_' | '[' | ']' | '#' | '\\' if !is_code => {
                out.push('\\');
                out.push(character);
            }
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn a_cell_ends_where_the_table_says() {
        assert_eq!(cell("a|b\nc <d> *e*"), "a\\|b c &lt;d> \\*e\\*");
        assert_eq!(cell("key `x_y` of a_b"), "key `x_y` of a\\_b");
        assert_eq!(cell("`a_b` and `c_d<"), "`a_b` and \\`c\\_d&lt;");
    }
}

//! What has to go from a manifest's text with an entry that is to be removed.

use super::model::Span;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The lines of the entry whose key or value lies at `place`, with its comment behind it; `None` where it shares a line with
/// something else, as in an inline table, or is a table of its own.
pub(crate) fn removal(text: &str, place: &Span) -> Option<Span> {
    let (tree, _) = DeTable::parse_recoverable(text);
    let entry = entry(tree.get_ref(), place)?;
    let before = text.get(..entry.start)?;
    let after = text.get(entry.end..)?;
    let begin = before.rfind('\n').map_or(0, |newline| newline + 1);
    let rest = after.split_inclusive('\n').next().unwrap_or("");
    let is_alone = text.get(begin..entry.start)?.trim().is_empty()
        && (rest.trim().is_empty() || rest.trim_start().starts_with('#'));
    // With the line's own end, or that of the one before where nothing follows.
    match (rest.ends_with('\n'), begin.checked_sub(1)) {
        (false, Some(end)) => is_alone.then_some(end..entry.end + rest.len()),
        _ => is_alone.then_some(begin..entry.end + rest.len()),
    }
}

/// From the beginning of the key to the end of the value.
fn entry(table: &DeTable<'_>, place: &Span) -> Option<Span> {
    table.iter().find_map(|(key, value)| {
        let (key, span) = (key.span(), value.span());
        // The header of a table of its own holds its key.
        let whole = (key.end <= span.start).then_some(key.start..span.end);
        let is_it = key == *place || span == *place;
        whole.filter(|_| is_it).or_else(|| within(value, place))
    })
}

fn within(value: &Spanned<DeValue<'_>>, place: &Span) -> Option<Span> {
    match value.get_ref() {
        DeValue::Table(table) => entry(table, place),
        DeValue::Array(items) => items.iter().find_map(|item| within(item, place)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::removal;

    const TEXT: &str =
        "[a]\nx = 1 # of x\n  y = [\n  2,\n]\nz = { p = 1, q = 2 }\n\n[a.b]\nk = 3\n[[c]]\nx = 4\n[d]\ne.f = 5";

    /// What is left where the entry at the first `part` goes.
    fn without(part: &str) -> Option<String> {
        let start = TEXT.find(part).unwrap();
        removal(TEXT, &(start..start + part.len())).map(|span| {
            let mut text = TEXT.to_owned();
            text.replace_range(span, "");
            text
        })
    }

    #[test]
    fn an_entry_goes_with_its_lines_and_its_comment() {
        assert_eq!(without("1 # of x").as_deref(), None, "no value");
        assert_eq!(without("1").unwrap(), TEXT.replace("x = 1 # of x\n", ""));
        assert_eq!(without("y").unwrap(), TEXT.replace("  y = [\n  2,\n]\n", ""));
        assert_eq!(without("z").unwrap(), TEXT.replace("z = { p = 1, q = 2 }\n", ""));
        assert_eq!(without("k").unwrap(), TEXT.replace("k = 3\n", ""));
        assert_eq!(without("4").unwrap(), TEXT.replace("x = 4\n", ""));
    }

    #[test]
    fn what_shares_its_line_or_is_a_table_stays() {
        for part in ["p", "q", "a", "[a.b]", "5", "b", "nothing"] {
            if TEXT.contains(part) {
                assert_eq!(without(part), None, "{part}");
            }
        }
        assert_eq!(removal("", &(0..0)), None);
        assert_eq!(removal("x = 1", &(90..99)), None);
    }
}

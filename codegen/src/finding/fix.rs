//! Carries out the changes that findings have.

use super::{Finding, Patch};

/// `text`, the text of `file`, with the changes of `findings`, and how many findings had their changes made.
///
/// A finding's changes are made together or not at all: not where one of them touches a change that was made before (unless that
/// is the same), is of another file, or is none of the text's.
#[must_use]
pub fn fixed(findings: &[Finding], file: &str, text: &str) -> (String, usize) {
    let mut made: Vec<&Patch> = Vec::new();
    let mut count = 0;
    for finding in findings.iter().filter(|finding| !finding.patches.is_empty()) {
        let can = |patch: &Patch| {
            let touches = |other: &&&Patch| {
                patch.span.start <= other.span.end && other.span.start <= patch.span.end && ***other != *patch
            };
            patch.file == file && text.get(patch.span.clone()).is_some() && !made.iter().any(|other| touches(&other))
        };
        if finding.patches.iter().all(can) {
            let new: Vec<&Patch> = finding.patches.iter().filter(|patch| !made.contains(patch)).collect();
            made.extend(new);
            count += 1;
        }
    }
    made.sort_by_key(|patch| patch.span.start);
    let mut fixed = text.to_owned();
    for patch in made.iter().rev() {
        fixed.replace_range(patch.span.clone(), &patch.replacement);
    }
    (fixed, count)
}

#[cfg(test)]
mod tests {
    use super::fixed;
    use crate::finding::{Code, Finding};

    fn finding() -> Finding {
        Finding::error(Code::UnknownKey, "x")
    }

    #[test]
    fn changes_are_made_together_where_none_touches_another() {
        let text = "abc def ghi";
        let two = finding().patch("f", 8..11, "G").patch("f", 0..3, "ABCD");
        let same = finding().patch("f", 0..3, "ABCD");
        let touching = finding().patch("f", 3..5, "-").patch("f", 5..6, "+");
        let other = finding().patch("g", 4..7, "?");
        let outside = finding().patch("f", 10..12, "?");
        let all = [two, same, touching, other, outside, finding()];
        assert_eq!(fixed(&all, "f", text), ("ABCD def G".to_owned(), 2));
        assert_eq!(fixed(&all[2..3], "f", text), ("abc-+f ghi".to_owned(), 1));
        assert_eq!(fixed(&[], "f", text), (text.to_owned(), 0));
    }

    #[test]
    fn a_place_inside_a_character_is_none_of_the_text() {
        assert_eq!(fixed(&[finding().patch("f", 1..2, "")], "f", "é"), ("é".to_owned(), 0));
    }
}

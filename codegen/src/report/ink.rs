//! What drawings are made with: colours, looks, lengths, and text that XML takes.

use std::fmt::{self, Write as _};

/// Fills and outlines, from Okabe and Ito's palette, which people with any colour vision tell apart. More models than
/// colours begin again; columns have names.
pub(super) const COLORS: [(&str, &str); 8] = [
    ("#0072b2", "#003f63"),
    ("#e69f00", "#7f5800"),
    ("#009e73", "#005740"),
    ("#cc79a7", "#7a3f60"),
    ("#56b4e9", "#236a93"),
    ("#d55e00", "#763400"),
    ("#f0e442", "#7d760c"),
    ("#767676", "#3a3a3a"),
];

/// How each class looks.
pub(super) const STYLE: &str = "\
text{font-family:sans-serif;font-size:12px;fill:#1a1a1a}\
.title{font-size:18px;font-weight:bold}.name{font-weight:bold}.small{font-size:11px;fill:#555}\
.note{font-size:11px;fill:#333}.middle{text-anchor:middle}.end{text-anchor:end}\
.column{fill:#f4f4f2}.grid{stroke:#dcdcd8;stroke-width:1}.lane{stroke:#888;stroke-width:1.5}\
.block{fill-opacity:.85;stroke-width:.7}.block.thin{stroke-width:.2}\
.kept{fill-opacity:.28;stroke-width:.5;stroke-opacity:.55}\
.job{fill-opacity:.42;stroke-width:.5;stroke-opacity:.55}\
.region{fill-opacity:.07;stroke-width:.8;stroke-opacity:.7}\
.capped{fill-opacity:.3;stroke-width:1;stroke-dasharray:5 3}\
.height,.bound{stroke:#1a1a1a;stroke-width:1.2;stroke-dasharray:7 4}.bound{stroke:#a00000}\
.peak{stroke:#1a1a1a;stroke-width:1.2;stroke-dasharray:2 2}.tip{fill:#1a1a1a;stroke:#fff;stroke-width:.7}";

/// Thousandths of a pixel, printed as pixels.
#[derive(Clone, Copy)]
pub(super) struct Px(pub(super) u64);

impl fmt::Display for Px {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:03}", self.0 / 1_000, self.0 % 1_000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// Text as XML takes it.
pub(super) struct Xml<'a>(pub(super) &'a str);

impl fmt::Display for Xml<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\u{fffe}' | '\u{ffff}' => f.write_char('\u{fffd}')?,
                letter if letter.is_control() => f.write_char('\u{fffd}')?,
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

/// `part / whole` of a length, rounded down.
pub(super) fn share(part: u64, whole: u64, length: u64) -> u64 {
    let share = u128::from(part) * u128::from(length) / u128::from(whole.max(1));
    u64::try_from(share).unwrap_or(length).min(length)
}

/// A count among lengths.
pub(super) fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Px, Xml, share};

    #[test]
    fn lengths_have_no_needless_digits_and_names_break_no_markup() {
        let px = |length| Px(length).to_string();
        assert_eq!((px(0), px(12_000), px(1_050), px(7)), ("0".into(), "12".into(), "1.05".into(), "0.007".into()));
        assert_eq!(Xml("a<b>&\"c\u{1}").to_string(), "a&lt;b&gt;&amp;&quot;c\u{fffd}");
        assert_eq!((share(1, 3, 1_000), share(5, 0, 10), share(u64::MAX, u64::MAX, 7)), (333, 10, 7));
    }
}

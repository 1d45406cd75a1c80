//! Reads the values that are strings and truth values.

use toml::Spanned;
use toml::de::DeValue;

use super::Section;
use crate::finding::{Code, Finding};
use crate::manifest::asked::Kind;
use crate::manifest::model::{Exceedance, Span};
use crate::manifest::suggest::nearest;

impl Section<'_> {
    /// A string that is not empty.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<Spanned<String>> {
        self.asks(key, Kind::Text);
        let text = self.string(key, "a string")?;
        self.not_empty(&self.call(key), text)
    }

    /// A string that should be this word; whoever asks reports what is not.
    pub(crate) fn word(&mut self, key: &'static str, word: &str) -> Option<Spanned<String>> {
        self.asks(key, Kind::Words(vec![word.to_owned()]));
        let text = self.string(key, "a string")?;
        self.not_empty(&self.call(key), text)
    }

    /// `text`, which messages call `called`, where it is not empty.
    pub(super) fn not_empty(&self, called: &str, text: Spanned<String>) -> Option<Spanned<String>> {
        if text.get_ref().is_empty() {
            let finding = Finding::error(Code::BadText, format!("{called} must not be empty"));
            self.sink.push(finding.at(self.sink.file, text.span(), "this is empty"));
            return None;
        }
        Some(text)
    }

    /// A SHA-256 in 64 lower-case hexadecimal digits.
    pub(crate) fn sha256(&mut self, key: &'static str) -> Option<Spanned<String>> {
        self.asks(key, Kind::Sha256);
        let text = self.string(key, "a string of 64 hexadecimal digits")?;
        let fault = if text.get_ref().len() != 64 {
            format!("this has {} characters", text.get_ref().chars().count())
        } else if text.get_ref().bytes().any(|b| !matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            "this has other characters than 0 to 9 and a to f".to_owned()
        } else {
            return Some(text);
        };
        let message = format!("{} must be 64 lower-case hexadecimal digits", self.call(key));
        let finding = Finding::error(Code::BadText, message).at(self.sink.file, text.span(), fault);
        self.sink.push(finding.help("`sha256sum FILE` prints it"));
        None
    }

    /// A probability of exceedance.
    pub(crate) fn exceedance(&mut self, key: &'static str) -> Option<Spanned<Exceedance>> {
        self.asks(key, Kind::Exceedance);
        let text = self.string(key, "a string such as \"1e-9\"")?;
        if let Some(found) = Exceedance::parse(text.get_ref()) {
            return Some(Spanned::new(text.span(), found));
        }
        let message =
            format!("{} must be a power of ten from \"1e-3\" to \"1e-12\", not {:?}", self.call(key), text.get_ref());
        let finding =
            Finding::error(Code::BadExceedance, message).at(self.sink.file, text.span(), "no such probability");
        self.sink.push(finding.help("it is that of one execution: one in a thousand to one in a million millions"));
        None
    }

    /// A truth value.
    pub(crate) fn boolean(&mut self, key: &'static str) -> Option<Spanned<bool>> {
        self.asks(key, Kind::Boolean);
        let (_, value) = self.entry(key)?;
        match value.get_ref() {
            DeValue::Boolean(boolean) => Some(Spanned::new(value.span(), *boolean)),
            other => {
                self.wrong_type(key, other, value.span(), "true or false");
                None
            }
        }
    }

    /// Where a key's value is this word, the value's place.
    pub(crate) fn place_of(&mut self, key: &'static str, word: &str) -> Option<Span> {
        let (_, value) = self.entry(key)?;
        match value.get_ref() {
            DeValue::String(text) if text == word => Some(value.span()),
            _ => None,
        }
    }

    /// One of the words of `known`; those of `planned` belong to the design but not to this version.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        known: &[(&str, T)],
        planned: &[&str],
    ) -> Option<Spanned<T>> {
        self.asks(key, Kind::Words(known.iter().map(|(word, _)| (*word).to_owned()).collect()));
        let words = known.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>();
        let words = words.join(", ");
        let text = self.string(key, &format!("a string, one of {words}"))?;
        let (word, span) = (text.get_ref().as_str(), text.span());
        if let Some(&(_, value)) = known.iter().find(|(name, _)| *name == word) {
            return Some(Spanned::new(span, value));
        }
        let has = if known.len() == 1 { "this version has only" } else { "this version has" };
        if planned.contains(&word) {
            let message = format!("`{key} = \"{word}\"` is not supported by this version");
            let finding = Finding::error(Code::Unsupported, message);
            self.sink.push(finding.at(self.sink.file, span, "not supported yet").help(format!("{has} {words}")));
            return None;
        }
        let message = format!("{} has no value \"{word}\"", self.call(key));
        let mut finding = Finding::error(Code::UnknownValue, message).help(format!("{has} {words}"));
        let near = nearest(word, known.iter().map(|(word, _)| *word));
        let label = near.map_or_else(|| "not known".to_owned(), |near| format!("did you mean \"{near}\"?"));
        finding = finding.at(self.sink.file, span.clone(), label);
        if let Some(near) = near {
            finding = self.sink.instead(finding, &span, near);
        }
        self.sink.push(finding);
        None
    }

    fn string(&mut self, key: &'static str, expected: &str) -> Option<Spanned<String>> {
        let (_, value) = self.entry(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(Spanned::new(value.span(), text.to_string())),
            other => {
                self.wrong_type(key, other, value.span(), expected);
                None
            }
        }
    }
}

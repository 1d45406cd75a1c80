//! Which keys of a table go together, which come with a later version, and which nobody knows.

use super::{Section, nearest};
use crate::finding::{Code, Finding};

impl Section<'_> {
    /// Reports those of `keys` that are given: they belong to the design, but not to this version.
    pub(crate) fn planned(&mut self, keys: &[&'static str], help: &str) -> bool {
        let mut any = false;
        for &key in keys {
            self.planned.push(key);
            if let Some(span) = self.key_span(key) {
                any = true;
                let called = if self.is_root() { format!("[{key}]") } else { self.call(key) };
                let message = format!("{called} is not supported by this version");
                let finding = Finding::error(Code::Unsupported, message);
                let finding = finding.at(self.sink.file, span, "not supported yet");
                self.sink.push(finding.help(help));
            }
        }
        any
    }

    /// Whether this is the whole file.
    pub(super) fn is_root(&self) -> bool {
        self.span.is_empty()
    }

    /// Reports those of `keys` that are given beside `other`; `help` tells why they must not be.
    pub(crate) fn none_beside(&mut self, other: &'static str, keys: &[&'static str], help: &str) {
        let Some(there) = self.key_span(other) else { return };
        for &key in keys {
            if let Some(span) = self.key_span(key) {
                let message = format!("{} must not have both `{other}` and `{key}`", self.title);
                let finding = Finding::error(Code::KeyConflict, message)
                    .at(self.sink.file, span.clone(), "remove this")
                    .also(self.sink.file, there.clone(), "");
                self.sink.push(self.sink.without(finding.help(help), &span));
            }
        }
    }

    /// Reports that exactly one of `keys` is needed, unless exactly one is given; `help` tells how they differ.
    pub(crate) fn exactly_one(&mut self, keys: &[&'static str], help: &str) {
        self.one_of.insert(keys.to_vec());
        let given: Vec<_> = keys.iter().filter_map(|&key| Some((key, self.key_span(key)?))).collect();
        let finding = match given.as_slice() {
            [_] => return,
            [] => {
                let (message, label) = match keys {
                    [a, b] => (format!("{} needs either `{a}` or `{b}`", self.title), "both are missing here"),
                    _ => (format!("{} needs one of `{}`", self.title, keys.join("`, `")), "all are missing here"),
                };
                Finding::error(Code::KeyConflict, message).at(self.sink.file, self.span.clone(), label)
            }
            [(a, first), rest @ ..] => {
                let others: Vec<_> = rest.iter().map(|(key, _)| *key).collect();
                let message = match others.as_slice() {
                    [b] => format!("{} must not have both `{a}` and `{b}`", self.title),
                    _ => format!("{} must have only one of `{a}`, `{}`", self.title, others.join("`, `")),
                };
                let mut finding = Finding::error(Code::KeyConflict, message);
                for (_, span) in rest {
                    finding = finding.at(self.sink.file, span.clone(), "one of these is too many");
                }
                finding.also(self.sink.file, first.clone(), "")
            }
        };
        self.sink.push(finding.help(help));
    }

    /// Reports every key that nobody asked for.
    pub(crate) fn finish(self) {
        let what = if self.is_root() { "table" } else { "key" };
        let mut suggested = Vec::new();
        let here: Vec<_> = self.known.iter().copied().filter(|key| !self.planned.contains(key)).collect();
        for (key, _) in self.pairs() {
            let name = key.get_ref().as_str();
            if self.known.contains(&name) {
                continue;
            }
            let message = format!("{} has no {what} `{name}`", self.title);
            let finding = Finding::error(Code::UnknownKey, message);
            let finding = match nearest(name, here.iter().copied()) {
                Some(near) => {
                    let finding = finding.at(self.sink.file, key.span(), format!("did you mean `{near}`?"));
                    // Renaming it would give the other twice where both are there, or two come to be it.
                    let is_free = self.table.get(near).is_none() && !suggested.contains(&near);
                    suggested.push(near);
                    if is_free { self.sink.instead(finding, &key.span(), near) } else { finding }
                }
                None => finding
                    .at(self.sink.file, key.span(), "not known")
                    .help(format!("the {what}s are {}", here.join(", "))),
            };
            self.sink.push(finding);
        }
        let mut asked = self.sink.asked.borrow_mut();
        asked.entry(self.place).or_default().add(self.known, self.planned, self.required, self.one_of);
    }
}

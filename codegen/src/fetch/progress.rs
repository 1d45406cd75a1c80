//! What people see while files are fetched.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Fetched, State};

/// How often the bar's spinner turns.
const TICK: Duration = Duration::from_millis(100);

/// Who is told how far a fetch is. Failures are not told here: they are findings.
pub trait Progress {
    /// So many files are wanted.
    fn begin(&self, files: usize);
    /// A package is being downloaded, such as `npm blazeface 1.2.0`.
    fn downloading(&self, package: &str);
    /// Something is odd, but is being put right.
    fn warn(&self, text: &str);
    /// A file is there.
    fn finished(&self, file: &Fetched);
    /// Nothing more follows.
    fn end(&self);
}

/// Tells nobody.
#[derive(Clone, Copy, Default, Debug)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: usize) {}
    fn downloading(&self, _: &str) {}
    fn warn(&self, _: &str) {}
    fn finished(&self, _: &Fetched) {}
    fn end(&self) {}
}

/// Tells on standard error: a line per file that was fetched, and a bar where standard error is a terminal.
#[derive(Debug)]
pub struct Terminal {
    bar: Option<ProgressBar>,
}

impl Terminal {
    /// Shows the bar if standard error is a terminal.
    #[must_use]
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
            ProgressStyle::with_template("{spinner} fetch {bar:20} {pos}/{len} {wide_msg}")
                .map_or(bar.clone(), |style| bar.with_style(style))
        });
        Self { bar }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress for Terminal {
    fn begin(&self, files: usize) {
        if let Some(bar) = &self.bar {
            bar.set_length(u64::try_from(files).unwrap_or(u64::MAX));
        }
    }

    fn downloading(&self, package: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(package.to_owned());
            bar.enable_steady_tick(TICK);
        }
    }

    fn warn(&self, text: &str) {
        self.line(&format!("warning: {text}"));
    }

    fn finished(&self, file: &Fetched) {
        if matches!(file.state, State::Added | State::Repaired) {
            self.line(&file.line());
        }
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Fetched {
    /// The file in one line, such as `fetched face (0.4 MB, npm blazeface 1.2.0)`.
    #[must_use]
    pub fn line(&self) -> String {
        let verb = match self.state {
            State::Added => "fetched",
            State::Repaired => "fetched again",
            State::Present => "present",
            State::Given => "given",
        };
        format!("{verb} {} ({}, {})", self.name, size(self.bytes), self.origin)
    }
}

/// A size for people: `999 B`, `12 kB`, `0.4 MB`; rounded up, never down to nothing.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..100_000 => format!("{} kB", bytes.div_ceil(1_000)),
        _ => {
            let tenths = bytes.div_ceil(100_000);
            format!("{}.{} MB", tenths / 10, tenths % 10)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_have_one_unit_and_few_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_001, "2 kB"),
            (99_999, "100 kB"),
            (100_000, "0.1 MB"),
            (393_216, "0.4 MB"),
            (21_950_000, "22.0 MB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}

//! Compares outputs with files, and rewrites the files where `AEGIS_BLESS` is set.

use std::path::Path;

/// Collects what differs, so that one run shows all of it.
#[derive(Debug, Default)]
pub struct Goldens {
    wrong: String,
}

impl Goldens {
    /// Compares `shown` with the file at `path`, or writes it there where `AEGIS_BLESS` is set.
    pub fn compare(&mut self, path: &Path, shown: &str) {
        if std::env::var_os("AEGIS_BLESS").is_some() {
            std::fs::write(path, shown).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        } else if std::fs::read_to_string(path).ok().as_deref() != Some(shown) {
            self.wrong.push_str(&format!("--- {}\n{shown}\n", path.display()));
        }
    }

    /// Ends the comparison.
    ///
    /// # Panics
    /// Where an output differs from its file.
    pub fn finish(self) {
        assert!(self.wrong.is_empty(), "not as expected (AEGIS_BLESS=1 accepts them):\n{}", self.wrong);
    }
}

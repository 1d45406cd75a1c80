//! Outputs at the places that the user named.

use aegis_trace::{Place, write_whole};
use std::path::Path;

/// Writes a file beside its place and renames it, so that no reader sees half of it, or straight into a stream. An equal file is
/// left alone.
///
/// # Errors
/// What the file system says, and a name that stands for neither a file nor a stream.
pub(crate) fn write_atomically(path: &Path, text: &str) -> std::io::Result<()> {
    // Of a stream nothing is read: that would wait, or take what another reader is to have.
    let present = matches!(Place::of(path)?, Place::File(_)).then(|| std::fs::read(path).ok()).flatten();
    if present.is_some_and(|present| present == text.as_bytes()) { Ok(()) } else { write_whole(path, text.as_bytes()) }
}

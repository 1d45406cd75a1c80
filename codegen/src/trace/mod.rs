//! Traces as files: opened, and shown in other forms.
//!
//! `aegis_trace` reads the binary form that a vehicle writes. What of it other tools read is made here, record by record, so that a
//! trace of any length needs the memory of one block.

pub use aegis_trace::{EXTENSION, Header, Note, OpenError, ReadError, Records, Releases, open};

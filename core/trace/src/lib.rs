//! Trace files: the binary form that a vehicle writes, and its reader.
//!
//! ```text
//! FILE.2 ─▶ FILE.1 ─▶ FILE            parts, the oldest first
//!                     ├ head          whose plan ran, and which part this is
//!                     ├ block         head (numbers, counts, checksums), then records
//!                     ├ block         each can be read without the others
//!                     ┊
//! ```
//!
//! A block reaches the file in one piece, and the file has its name as soon as it has its first block: whatever becomes of the
//! process, what was written before can be read. So a [`Writer`] cannot write beside and rename at the end, as all else here does.
//!
//! A [`Reader`](Records) goes on behind what is damaged or torn off, and says what is missing. `docs/formats.md` describes every byte.

mod block;
mod damage;
mod files;
mod head;
mod output;
mod plan;
mod reader;
mod source;
mod writer;

pub use block::MOST as BLOCK_MOST;
pub use damage::Note;
pub use files::{Files, LEAST_LIMIT, PARTS, remove};
pub use head::{EXTENSION, HeadError, Header, Releases, is_lines};
pub use output::{Output, Place, write_whole};
pub use plan::{OutOfPlan, check};
pub use reader::{OpenError, ReadError, Records, open};
pub use writer::{Store, Stream, Writer};

//! What a reader says of a trace that is not whole.

/// Something that the reader passed over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// There is no newest part, only older ones.
    Nameless {
        /// Where it should be.
        file: String,
    },
    /// Parts are gone: the oldest ones of a trace of bounded size, or others that somebody took away.
    Gone {
        /// The number of the first record that is there after them.
        first: u64,
        /// How many records were in them.
        records: u64,
    },
    /// Bytes in the middle are not as they were written.
    Damaged {
        /// The part.
        file: String,
        /// Which block of the part it is, from 1; the first one, where several lie side by side.
        block: u64,
        /// Where it begins.
        offset: u64,
        /// How many bytes were passed over.
        bytes: u64,
        /// How many records were in them; `None` where nothing comes after that could tell.
        records: Option<u64>,
    },
    /// The trace ends within a block: whoever wrote it was killed meanwhile.
    Torn {
        /// The part.
        file: String,
        /// The bytes of what there is of the block.
        bytes: u64,
    },
}

impl std::fmt::Display for Note {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nameless { file } => {
                write!(out, "`{file}` itself is not there: only what its older parts have is read")
            }
            Self::Gone { first, records } => {
                write!(out, "{records} records before record {first} were in parts of the trace that are gone")
            }
            Self::Damaged { file, block, offset, bytes, records } => {
                write!(out, "`{file}`, block {block}, at byte {offset}: {bytes} bytes are damaged and passed over, ")?;
                match records {
                    Some(records) => write!(out, "with {records} records"),
                    None => write!(out, "with all records from there on"),
                }
            }
            Self::Torn { file, bytes } => {
                write!(out, "`{file}` ends within a block, of which there are {bytes} bytes: its records are lost")
            }
        }
    }
}

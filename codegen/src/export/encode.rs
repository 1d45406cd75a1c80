//! What a viewer's form has to spell.

use super::words::{Fixed, Word};
use std::io;

/// A track, numbered from 0 in the order in which they are declared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TrackId(pub(super) u32);

/// What a track has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TrackKind {
    /// Other tracks only.
    Group,
    /// Slices and instants.
    Slices,
    /// A counter without unit.
    Count,
    /// A counter of bytes.
    Bytes,
    /// A counter of nanoseconds.
    Nanoseconds,
}

/// A track to be declared.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewTrack<'a> {
    /// What is shown of it: of a counter, whose it is.
    pub(super) name: &'a str,
    /// What a counter counts; empty for others.
    pub(super) series: &'a str,
    /// What it lies in.
    pub(super) parent: Option<TrackId>,
    /// What it has.
    pub(super) kind: TrackKind,
}

/// What a slice or an instant is.
#[derive(Clone, Copy, Debug)]
pub(super) struct What {
    pub(super) name: Word,
    pub(super) category: Fixed,
}

/// A value of an argument.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Word(Word),
    Text(&'a str),
    Unsigned(u64),
    Signed(i64),
    /// Sixteen hexadecimal digits.
    Hex(u64),
    Flag(bool),
}

/// An argument of a slice or an instant.
pub(super) type Arg<'a> = (Fixed, Value<'a>);

/// An arrow between events that have the same number.
#[derive(Clone, Copy, Debug)]
pub(super) enum Flow {
    /// It begins here.
    Begins(u64),
    /// It passes through, or may end here.
    Passes(u64),
    /// It ends here.
    Ends(u64),
}

/// Writes events in a viewer's form. Times are nanoseconds; events of a track come in any order of their times, but those of equal
/// times in the order in which they are to be read.
pub(super) trait Encode {
    /// Declares the track with the next number.
    fn track(&mut self, id: TrackId, track: NewTrack<'_>);

    /// A slice begins.
    fn begin(&mut self, track: TrackId, at: u64, what: What, args: &[Arg<'_>], flows: &[Flow]);

    /// The innermost open slice of the track ends.
    fn end(&mut self, track: TrackId, at: u64, args: &[Arg<'_>]);

    /// Something without length; its flows belong to it, or to the slice around it.
    fn instant(&mut self, track: TrackId, at: u64, what: What, args: &[Arg<'_>], flows: &[Flow]);

    /// A counter has a value from here on.
    fn counter(&mut self, track: TrackId, at: u64, value: i64);

    /// Hands over what is buffered where that is much.
    fn relieve(&mut self) -> io::Result<()>;

    /// Hands over what is left.
    fn finish(self) -> io::Result<()>;
}

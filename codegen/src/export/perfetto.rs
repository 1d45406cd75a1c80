//! Perfetto's protobuf: one sequence of packets, all words interned by the first of them.
//!
//! Written as bytes and not through structs: a packet is some 40 bytes, and there are two of them for a record. Numbers of fields
//! are those of `perfetto_trace.proto`, each named beside its constant. Lengths of nested messages take two bytes, padded as Perfetto's
//! own writer pads its four, so that a packet is written once from front to back.

use super::encode::{Arg, Encode, Flow, NewTrack, TrackId, TrackKind, Value, What};
use super::words::{Fixed, Words};
use aegis_core::desc::SystemDesc;
use std::io::{self, Write};

/// From so many bytes on what is buffered is handed over.
const MUCH: usize = 1 << 20;

/// A field that is a varint.
const fn varint(field: u32) -> u32 {
    field << 3
}

/// A field of eight bytes.
const fn fixed64(field: u32) -> u32 {
    field << 3 | 1
}

/// A field with a length: text, bytes, messages.
const fn sized(field: u32) -> u32 {
    field << 3 | 2
}

const TRACE_PACKET: u32 = sized(1);

/// Fields of `TracePacket`.
mod packet {
    use super::{sized, varint};
    pub(super) const TIMESTAMP: u32 = varint(8);
    pub(super) const TRUSTED_PACKET_SEQUENCE_ID: u32 = varint(10);
    pub(super) const TRACK_EVENT: u32 = sized(11);
    pub(super) const INTERNED_DATA: u32 = sized(12);
    pub(super) const SEQUENCE_FLAGS: u32 = varint(13);
    pub(super) const TRACK_DESCRIPTOR: u32 = sized(60);
    /// `SEQ_INCREMENTAL_STATE_CLEARED`.
    pub(super) const CLEARED: u64 = 1;
    /// `SEQ_NEEDS_INCREMENTAL_STATE`.
    pub(super) const NEEDS: u64 = 2;
}

/// Fields of `TrackDescriptor` and `CounterDescriptor`.
mod descriptor {
    use super::{sized, varint};
    pub(super) const UUID: u32 = varint(1);
    pub(super) const NAME: u32 = sized(2);
    pub(super) const PARENT_UUID: u32 = varint(5);
    pub(super) const COUNTER: u32 = sized(8);
    pub(super) const CHILD_ORDERING: u32 = varint(11);
    pub(super) const SIBLING_ORDER_RANK: u32 = varint(12);
    /// `ChildTracksOrdering.EXPLICIT`.
    pub(super) const EXPLICIT: u64 = 3;
    pub(super) const COUNTER_UNIT: u32 = varint(3);
}

/// Fields of `TrackEvent`.
mod event {
    use super::{fixed64, sized, varint};
    pub(super) const CATEGORY_IIDS: u32 = varint(3);
    pub(super) const DEBUG_ANNOTATIONS: u32 = sized(4);
    pub(super) const TYPE: u32 = varint(9);
    pub(super) const NAME_IID: u32 = varint(10);
    pub(super) const TRACK_UUID: u32 = varint(11);
    pub(super) const COUNTER_VALUE: u32 = varint(30);
    pub(super) const FLOW_IDS: u32 = fixed64(47);
    pub(super) const TERMINATING_FLOW_IDS: u32 = fixed64(48);
    pub(super) const SLICE_BEGIN: u64 = 1;
    pub(super) const SLICE_END: u64 = 2;
    pub(super) const INSTANT: u64 = 3;
    pub(super) const COUNTER: u64 = 4;
}

/// Fields of `DebugAnnotation`.
mod annotation {
    use super::{sized, varint};
    pub(super) const NAME_IID: u32 = varint(1);
    pub(super) const BOOL_VALUE: u32 = varint(2);
    pub(super) const UINT_VALUE: u32 = varint(3);
    pub(super) const INT_VALUE: u32 = varint(4);
    pub(super) const STRING_VALUE: u32 = sized(6);
    pub(super) const STRING_VALUE_IID: u32 = varint(17);
}

/// Fields of `InternedData`, and of each of its entries.
mod interned {
    use super::{sized, varint};
    pub(super) const EVENT_CATEGORIES: u32 = sized(1);
    pub(super) const EVENT_NAMES: u32 = sized(2);
    pub(super) const DEBUG_ANNOTATION_NAMES: u32 = sized(3);
    pub(super) const DEBUG_ANNOTATION_STRING_VALUES: u32 = sized(29);
    pub(super) const IID: u32 = varint(1);
    pub(super) const TEXT: u32 = sized(2);
}

/// Bytes of protobuf.
#[derive(Debug, Default)]
struct Bytes(Vec<u8>);

/// Where a message's length goes.
#[derive(Clone, Copy)]
struct Open(usize);

impl Bytes {
    #[inline]
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(low(number) | 0x80);
            number >>= 7;
        }
        self.0.push(low(number));
    }

    #[inline]
    fn field(&mut self, key: u32, value: u64) {
        self.number(u64::from(key));
        self.number(value);
    }

    /// Negative numbers as protobuf's `int64` has them.
    #[inline]
    fn signed(&mut self, key: u32, value: i64) {
        self.field(key, value.cast_unsigned());
    }

    fn fixed(&mut self, key: u32, value: u64) {
        self.number(u64::from(key));
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn text(&mut self, key: u32, text: &[u8]) {
        self.number(u64::from(key));
        self.number(u64::try_from(text.len()).unwrap_or(u64::MAX));
        self.0.extend_from_slice(text);
    }

    /// Begins a message of less than 2¹⁴ bytes.
    #[inline]
    fn open(&mut self, key: u32) -> Open {
        self.number(u64::from(key));
        let open = Open(self.0.len());
        self.0.extend_from_slice(&[0, 0]);
        open
    }

    /// Ends it; says whether its length fits.
    #[inline]
    fn close(&mut self, open: Open) -> bool {
        let length = u64::try_from(self.0.len().saturating_sub(open.0 + 2)).unwrap_or(u64::MAX);
        if let Some([first, second]) = self.0.get_mut(open.0..open.0 + 2) {
            (*first, *second) = (low(length) | 0x80, low(length >> 7));
        }
        length < 1 << 14
    }
}

/// The lowest seven bits.
#[inline]
fn low(number: u64) -> u8 {
    u8::try_from(number & 0x7f).unwrap_or(0x7f)
}

/// Writes packets.
pub(super) struct Perfetto<W> {
    out: W,
    bytes: Bytes,
    words: Words,
    is_too_long: bool,
}

impl<W: Write> Perfetto<W> {
    /// Begins a trace, with all its words.
    pub(super) fn new(system: &SystemDesc, out: W) -> Self {
        let (bytes, words) = (Bytes(Vec::with_capacity(MUCH + (1 << 16))), Words::of(system));
        let mut one = Self { out, bytes, words, is_too_long: false };
        one.intern();
        one
    }

    /// The words, in each of the tables that events take them from.
    fn intern(&mut self) {
        let mut data = Bytes::default();
        for (iid, text) in (1_u64..).zip(self.words.texts()) {
            let mut entry = Bytes::default();
            entry.field(interned::IID, iid);
            entry.text(interned::TEXT, text.as_bytes());
            for table in [
                interned::EVENT_CATEGORIES,
                interned::EVENT_NAMES,
                interned::DEBUG_ANNOTATION_NAMES,
                interned::DEBUG_ANNOTATION_STRING_VALUES,
            ] {
                data.text(table, &entry.0);
            }
        }
        let mut packet = Bytes::default();
        packet.field(packet::TRUSTED_PACKET_SEQUENCE_ID, 1);
        packet.field(packet::SEQUENCE_FLAGS, packet::CLEARED);
        packet.text(packet::INTERNED_DATA, &data.0);
        self.bytes.text(TRACE_PACKET, &packet.0);
    }

    fn iid(&self, word: super::words::Word) -> u64 {
        u64::try_from(self.words.number(word)).unwrap_or(0).saturating_add(1)
    }

    fn event(&mut self, (track, at, kind): (TrackId, u64, u64), fill: impl FnOnce(&mut Self)) {
        let packet = self.bytes.open(TRACE_PACKET);
        self.bytes.field(packet::TIMESTAMP, at);
        self.bytes.field(packet::TRUSTED_PACKET_SEQUENCE_ID, 1);
        self.bytes.field(packet::SEQUENCE_FLAGS, packet::NEEDS);
        let event = self.bytes.open(packet::TRACK_EVENT);
        self.bytes.field(event::TYPE, kind);
        self.bytes.field(event::TRACK_UUID, uuid(track));
        fill(self);
        let fits = self.bytes.close(event) & self.bytes.close(packet);
        self.is_too_long |= !fits;
    }

    fn named(&mut self, what: What, args: &[Arg<'_>], flows: &[Flow]) {
        self.bytes.field(event::NAME_IID, self.iid(what.name));
        self.bytes.field(event::CATEGORY_IIDS, iid_of(what.category));
        for flow in flows {
            match *flow {
                Flow::Begins(id) | Flow::Passes(id) => self.bytes.fixed(event::FLOW_IDS, id),
                Flow::Ends(id) => self.bytes.fixed(event::TERMINATING_FLOW_IDS, id),
            }
        }
        self.args(args);
    }

    fn args(&mut self, args: &[Arg<'_>]) {
        for (key, value) in args {
            let open = self.bytes.open(event::DEBUG_ANNOTATIONS);
            self.bytes.field(annotation::NAME_IID, iid_of(*key));
            match *value {
                Value::Word(word) => self.bytes.field(annotation::STRING_VALUE_IID, self.iid(word)),
                Value::Text(text) => self.bytes.text(annotation::STRING_VALUE, text.as_bytes()),
                Value::Unsigned(number) => self.bytes.field(annotation::UINT_VALUE, number),
                Value::Signed(number) => self.bytes.signed(annotation::INT_VALUE, number),
                Value::Hex(number) => self.bytes.text(annotation::STRING_VALUE, &hex(number)),
                Value::Flag(flag) => self.bytes.field(annotation::BOOL_VALUE, u64::from(flag)),
            }
            let fits = self.bytes.close(open);
            self.is_too_long |= !fits;
        }
    }

    fn hand_over(&mut self) -> io::Result<()> {
        if self.is_too_long {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a packet of 2^14 bytes or more"));
        }
        self.out.write_all(&self.bytes.0)?;
        self.bytes.0.clear();
        Ok(())
    }
}

/// A fixed word's number in the tables of words.
fn iid_of(fixed: Fixed) -> u64 {
    u64::try_from(fixed.number()).unwrap_or(0).saturating_add(1)
}

/// Sixteen hexadecimal digits.
fn hex(number: u64) -> [u8; 16] {
    let mut digits = [b'0'; 16];
    for (place, digit) in digits.iter_mut().rev().enumerate() {
        let nibble = u8::try_from(number >> (4 * place) & 0xf).unwrap_or(0);
        *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    }
    digits
}

/// Perfetto's number of a track; 0 is its default one.
fn uuid(track: TrackId) -> u64 {
    u64::from(track.0).saturating_add(1)
}

impl<W: Write> Encode for Perfetto<W> {
    fn track(&mut self, id: TrackId, track: NewTrack<'_>) {
        let mut descriptor = Bytes::default();
        descriptor.field(descriptor::UUID, uuid(id));
        let name = [track.name, track.series].join(if track.series.is_empty() { "" } else { " " });
        descriptor.text(descriptor::NAME, name.as_bytes());
        if let Some(parent) = track.parent {
            descriptor.field(descriptor::PARENT_UUID, uuid(parent));
        }
        descriptor.field(descriptor::CHILD_ORDERING, descriptor::EXPLICIT);
        descriptor.field(descriptor::SIBLING_ORDER_RANK, u64::from(id.0));
        // `UNIT_TIME_NS`, `UNIT_COUNT`, `UNIT_SIZE_BYTES`.
        let unit = match track.kind {
            TrackKind::Group | TrackKind::Slices => None,
            TrackKind::Nanoseconds => Some(1),
            TrackKind::Count => Some(2),
            TrackKind::Bytes => Some(3),
        };
        if let Some(unit) = unit {
            let mut counter = Bytes::default();
            counter.field(descriptor::COUNTER_UNIT, unit);
            descriptor.text(descriptor::COUNTER, &counter.0);
        }
        let mut packet = Bytes::default();
        packet.field(packet::TRUSTED_PACKET_SEQUENCE_ID, 1);
        packet.text(packet::TRACK_DESCRIPTOR, &descriptor.0);
        self.bytes.text(TRACE_PACKET, &packet.0);
    }

    fn begin(&mut self, track: TrackId, at: u64, what: What, args: &[Arg<'_>], flows: &[Flow]) {
        self.event((track, at, event::SLICE_BEGIN), |one| one.named(what, args, flows));
    }

    fn end(&mut self, track: TrackId, at: u64, args: &[Arg<'_>]) {
        self.event((track, at, event::SLICE_END), |one| one.args(args));
    }

    fn instant(&mut self, track: TrackId, at: u64, what: What, args: &[Arg<'_>], flows: &[Flow]) {
        self.event((track, at, event::INSTANT), |one| one.named(what, args, flows));
    }

    fn counter(&mut self, track: TrackId, at: u64, value: i64) {
        self.event((track, at, event::COUNTER), |one| one.bytes.signed(event::COUNTER_VALUE, value));
    }

    fn relieve(&mut self) -> io::Result<()> {
        if self.bytes.0.len() < MUCH { Ok(()) } else { self.hand_over() }
    }

    fn finish(mut self) -> io::Result<()> {
        self.hand_over()?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, hex};

    #[test]
    fn numbers_are_varints_and_lengths_are_padded_to_two_bytes() {
        let mut bytes = Bytes::default();
        bytes.number(300);
        assert_eq!(bytes.0, [0xac, 0x02]);
        bytes.0.clear();
        let open = bytes.open(super::sized(4));
        bytes.field(super::varint(1), 5);
        assert!(bytes.close(open));
        assert_eq!(bytes.0, [0x22, 0x82, 0x00, 0x08, 0x05]);
        let long = bytes.open(super::sized(4));
        bytes.0.extend([0; 1 << 14]);
        assert!(!bytes.close(long), "two bytes hold lengths below 2^14");
        bytes.0.clear();
        bytes.signed(super::varint(1), -1);
        assert_eq!(bytes.0.len(), 11, "ten bytes for a negative number");
    }

    #[test]
    fn hexadecimal_numbers_have_sixteen_digits() {
        assert_eq!(&hex(0x0123_4567_89ab_cdef), b"0123456789abcdef");
        assert_eq!(&hex(0), b"0000000000000000");
    }
}

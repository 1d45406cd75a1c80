//! The three slots of an input: no slot is ever both ends', and what is taken is whole and never older than what was taken before.

use crate::exchange::{FRESH, Reader, Words, Writer};
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use std::sync::Arc;

/// Words and slots; loom stops at a slot that both ends use at once.
struct Shared {
    middle: AtomicU32,
    front: AtomicU32,
    slots: [UnsafeCell<[u32; 2]>; 3],
}

// SAFETY: that slots are used by one thread at a time is what the models try; loom's cells tell where they are not.
#[allow(unsafe_code)]
unsafe impl Sync for Shared {}

impl Shared {
    fn new() -> (Arc<Self>, Reader) {
        let slots = [(); 3].map(|()| UnsafeCell::new([0, 0]));
        let shared = Self { middle: AtomicU32::new(0), front: AtomicU32::new(0), slots };
        let reader = Reader::new(&shared.words());
        (Arc::new(shared), reader)
    }

    fn words(&self) -> Words<'_> {
        Words { middle: &self.middle, front: &self.front }
    }

    #[allow(unsafe_code)]
    fn write(&self, slot: u32, part: usize, value: u32) {
        // SAFETY: loom checks that nobody else uses the slot.
        self.slots[slot as usize].with_mut(|slot| unsafe { (*slot)[part] = value });
    }

    #[allow(unsafe_code)]
    fn read(&self, slot: u32) -> [u32; 2] {
        // SAFETY: as above.
        self.slots[slot as usize].with(|slot| unsafe { *slot })
    }
}

/// Publishes these values, each in two parts.
fn publish(shared: &Shared, writer: &mut Writer, values: std::ops::RangeInclusive<u32>) {
    for value in values {
        shared.write(writer.slot(), 0, value);
        shared.write(writer.slot(), 1, value);
        writer.publish(&shared.words());
    }
}

/// Takes so often; the last value that was seen.
fn take(shared: &Shared, reader: &mut Reader, times: u32) -> u32 {
    let mut last = 0;
    for _ in 0..times {
        if reader.take(&shared.words()).unwrap() {
            let [first, second] = shared.read(reader.slot());
            assert_eq!(first, second, "whole");
            assert!(first > last, "newer");
            last = first;
        }
    }
    last
}

#[test]
fn what_is_taken_is_whole_and_the_newest() {
    loom::model(|| {
        let (shared, mut reader) = Shared::new();
        let other = Arc::clone(&shared);
        let writer = thread::spawn(move || {
            let mut writer = Writer::join(&other.words()).unwrap();
            publish(&other, &mut writer, 1..=3);
        });
        let last = take(&shared, &mut reader, 2);
        writer.join().unwrap();
        let newest = take(&shared, &mut reader, 1).max(last);
        assert_eq!(newest, 3, "nothing newer is left behind");
    });
}

#[test]
fn a_writer_that_died_while_it_wrote_leaves_its_slot_to_the_next_one() {
    loom::model(|| {
        let (shared, mut reader) = Shared::new();
        let other = Arc::clone(&shared);
        let writers = thread::spawn(move || {
            let mut first = Writer::join(&other.words()).unwrap();
            publish(&other, &mut first, 1..=1);
            other.write(first.slot(), 0, 7);
            // Here it dies. The reader may be between two steps: the next one tries again.
            let mut second = loop {
                match Writer::join(&other.words()) {
                    Some(writer) => break writer,
                    None => thread::yield_now(),
                }
            };
            publish(&other, &mut second, 2..=2);
        });
        let last = take(&shared, &mut reader, 2);
        writers.join().unwrap();
        assert_eq!(take(&shared, &mut reader, 1).max(last), 2);
    });
}

#[test]
fn whatever_a_writer_puts_into_the_words_the_reader_ends_and_the_next_writer_finds_a_slot() {
    for middle in 0..=9 {
        for front in 0..=3 {
            loom::model(move || {
                let (shared, mut reader) = Shared::new();
                let other = Arc::clone(&shared);
                let hostile = thread::spawn(move || {
                    other.middle.store(middle, Ordering::Relaxed);
                    other.front.store(front, Ordering::Relaxed);
                });
                let _ = reader.take(&shared.words());
                hostile.join().unwrap();
                // What it left is put right by the next two looks.
                let _ = reader.take(&shared.words());
                let _ = reader.take(&shared.words());
                assert!(reader.slot() < 3);
                assert_eq!(shared.middle.load(Ordering::Relaxed) & FRESH, 0);
                let mut writer = Writer::join(&shared.words()).unwrap();
                assert_ne!(writer.slot(), reader.slot());
                publish(&shared, &mut writer, 1..=1);
                assert_eq!(reader.take(&shared.words()), Ok(true));
                assert_eq!(shared.read(reader.slot()), [1, 1]);
            });
        }
    }
}

//! A trace that is cut off, changed, or was never one: what is whole is read, what is not is told, and nothing panics.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use aegis_core::trace::Record;
use aegis_trace::{Note, Records, open};
use common::{jobs, read, records, written};
use fastrand::Rng;
use std::path::Path;

/// Where the blocks begin.
fn blocks(bytes: &[u8]) -> Vec<usize> {
    let windows = bytes.windows(4).enumerate();
    windows.filter(|(_, window)| *window == b"AEGB").map(|(place, _)| place).collect()
}

/// A trace of 60 records in blocks of 10, and where its blocks begin.
fn small(folder: &Path) -> (std::path::PathBuf, Vec<Record>, Vec<u8>, Vec<usize>) {
    let all: Vec<Record> = jobs(60).collect();
    let bytes = written(&all, 10);
    let places = blocks(&bytes);
    assert_eq!(places.len(), 6);
    (folder.join("small.aegistrace"), all, bytes, places)
}

#[test]
fn a_trace_that_ends_anywhere_is_read_up_to_its_last_whole_block() {
    let folder = tempfile::tempdir().unwrap();
    let (path, all, bytes, places) = small(folder.path());
    for length in 0..=bytes.len() {
        std::fs::write(&path, &bytes[..length]).unwrap();
        if length < places[0] {
            let error = open(&path).err().unwrap().to_string();
            assert!(error.ends_with(&format!("it has {length} bytes and ends within its head")), "{error}");
            continue;
        }
        let whole = places[1..].iter().chain([&bytes.len()]).filter(|end| **end <= length).count();
        let (_, back, notes) = read(&path);
        assert_eq!(back, all[..10 * whole], "{length} bytes");
        let begun = places.get(whole).map_or(0, |begin| length - begin);
        let file = path.display().to_string();
        let expected = (begun > 0).then_some(Note::Torn { file, bytes: u64::try_from(begun).unwrap() });
        assert_eq!(notes, expected.into_iter().collect::<Vec<_>>(), "{length} bytes");
    }
}

#[test]
fn a_changed_bit_of_every_byte_is_told_and_costs_its_block() {
    let folder = tempfile::tempdir().unwrap();
    let (path, all, bytes, places) = small(folder.path());
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1 << (place % 8);
        std::fs::write(&path, &changed).unwrap();
        if place < places[0] {
            assert!(open(&path).is_err(), "byte {place}");
            continue;
        }
        let number = places.iter().filter(|begin| **begin <= place).count();
        let without = all.iter().copied().enumerate().filter(|(position, _)| position / 10 != number - 1);
        let without: Vec<Record> = without.map(|(_, record)| record).collect();
        let (_, back, notes) = read(&path);
        assert_eq!(back, without, "byte {place}");
        let [Note::Damaged { block, offset, records, .. }] = &notes[..] else { panic!("byte {place}: {notes:?}") };
        let is_last = number == places.len();
        assert_eq!((*block, *records), (u64::try_from(number).unwrap(), (!is_last).then_some(10)), "byte {place}");
        assert_eq!(*offset, u64::try_from(places[number - 1]).unwrap());
    }
}

#[test]
fn what_is_told_has_file_block_place_and_number() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _, mut bytes, places) = small(folder.path());
    // Two blocks in a row, one by its records and one by its head; then the last one's end.
    bytes[places[2] - 1] ^= 1;
    bytes[places[2]] ^= 1;
    bytes.truncate(bytes.len() - 5);
    std::fs::write(&path, &bytes).unwrap();
    let (_, back, notes) = read(&path);
    assert_eq!(back.len(), 30);
    let told: Vec<String> = notes.iter().map(ToString::to_string).collect();
    let file = path.display();
    let [first, torn] = &told[..] else { panic!("{told:?}") };
    let gone = places[3] - places[1];
    let words = format!("block 2, at byte {}: {gone} bytes are damaged and passed over, with 20 records", places[1]);
    assert_eq!(*first, format!("`{file}`, {words}"));
    let left = bytes.len() - places[5];
    assert_eq!(*torn, format!("`{file}` ends within a block, of which there are {left} bytes: its records are lost"));
}

#[test]
fn lost_records_are_not_taken_for_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gaps.aegistrace");
    let all = records(&mut Rng::with_seed(9), 3_000);
    assert!(all.last().unwrap().sequence > 3_100);
    let bytes = written(&all, 100);
    std::fs::write(&path, &bytes).unwrap();
    assert!(read(&path).2.is_empty());
    let places = blocks(&bytes);
    let mut changed = bytes.clone();
    changed[places[7] + 50] ^= 4;
    std::fs::write(&path, &changed).unwrap();
    let (_, back, notes) = read(&path);
    assert_eq!(back.len(), 2_900);
    assert!(matches!(notes[..], [Note::Damaged { block: 8, records: Some(100), .. }]), "{notes:?}");
}

/// Reads whatever there is.
fn walk(path: &Path) -> Result<usize, String> {
    let (_, mut records) = open(path).map_err(|error| error.to_string())?;
    let mut count = 0;
    for record in records.by_ref() {
        record.map_err(|error| error.to_string())?;
        count += 1;
    }
    assert!(Records::position(&records) <= records.size());
    Ok(count)
}

#[test]
fn bytes_that_nobody_wrote_are_an_error_or_a_note_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.aegistrace");
    let (_, _, bytes, places) = small(folder.path());
    let mut refused = 0;
    for seed in 0..400 {
        let random = &mut Rng::with_seed(seed);
        let mut hostile = bytes.clone();
        let (begin, end) = (places[2], places[3]);
        // Any records, any count, any first number, with checksums that are right.
        for _ in 0..random.usize(1..20) {
            hostile[random.usize(begin + 36..end)] = random.u8(..);
        }
        if random.bool() {
            hostile[begin + 24] = random.u8(1..20);
        }
        if random.u8(..) < 30 {
            hostile[begin + random.usize(8..24)] = random.u8(..);
        }
        let checksum = crc32c::crc32c(&hostile[begin + 36..end]);
        hostile[begin + 28..begin + 32].copy_from_slice(&checksum.to_le_bytes());
        let checksum = crc32c::crc32c(&hostile[begin..begin + 32]);
        hostile[begin + 32..begin + 36].copy_from_slice(&checksum.to_le_bytes());
        std::fs::write(&path, &hostile).unwrap();
        refused += u32::from(walk(&path).is_err());
    }
    assert!(refused > 40, "{refused}");
    for seed in 0..200 {
        let random = &mut Rng::with_seed(seed);
        let noise: Vec<u8> = (0..random.usize(0..3_000)).map(|_| random.u8(..)).collect();
        std::fs::write(&path, &noise).unwrap();
        walk(&path).unwrap_err();
        let after: Vec<u8> = bytes.iter().copied().chain(noise.iter().copied()).collect();
        std::fs::write(&path, &after).unwrap();
        assert_eq!(walk(&path), Ok(60));
    }
}

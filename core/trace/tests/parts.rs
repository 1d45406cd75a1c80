//! A trace of bounded size keeps its newest records in parts, which are read as one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use aegis_core::trace::Record;
use aegis_trace::{Files, LEAST_LIMIT, Note, PARTS, Writer, open};
use common::{PLAN, jobs, read};
use std::fs;
use std::path::{Path, PathBuf};

/// Writes jobs and says how many bytes the folder had at most while they were written.
fn run(path: &Path, count: u64, limit: Option<u64>) -> u64 {
    let mut writer = Writer::new(PLAN, Files::create(path, limit).unwrap());
    let mut most = 0;
    for (record, number) in jobs(count).zip(1_u64..) {
        writer.push(&record).unwrap();
        if number % 10_000 == 0 {
            writer.flush().unwrap();
            most = most.max(size(path));
        }
    }
    writer.finish().unwrap();
    most.max(size(path))
}

fn size(path: &Path) -> u64 {
    let all = fs::read_dir(path.parent().unwrap()).unwrap();
    all.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

fn part(path: &Path, number: u64) -> PathBuf {
    PathBuf::from(format!("{}.{number}", path.display()))
}

#[test]
fn the_newest_records_stay_within_the_bound_and_what_is_gone_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.aegistrace");
    let most = run(&path, 400_000, Some(LEAST_LIMIT));
    assert!((LEAST_LIMIT * 5 / 8..=LEAST_LIMIT).contains(&most), "{most}");
    assert!(part(&path, PARTS - 1).exists() && !part(&path, PARTS).exists());
    let (_, back, notes) = read(&path);
    let first = back[0].sequence;
    assert!(first > 100_000);
    let expected: Vec<Record> = jobs(400_000).skip(usize::try_from(first).unwrap()).collect();
    assert!(back == expected);
    assert_eq!(notes, [Note::Gone { first, records: first }]);
    assert!(notes[0].to_string().contains(&format!("{first} records before record {first} were in parts")));
    // One of the parts alone.
    let (_, back, notes) = read(&part(&path, 3));
    assert!(back[0].sequence > first && matches!(notes[..], [Note::Gone { .. }]));
}

#[test]
fn without_a_bound_there_is_one_part_and_a_small_run_needs_no_second_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.aegistrace");
    run(&path, 200_000, None);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(read(&path).1.len(), 200_000);
    run(&path, 1_000, Some(LEAST_LIMIT));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(read(&path).1.len(), 1_000);
}

#[test]
fn an_older_trace_stays_until_there_is_a_newer_one_and_its_parts_go_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.aegistrace");
    run(&path, 200_000, Some(LEAST_LIMIT));
    let before = read(&path).1;
    // A run that never began.
    drop(Writer::new(PLAN, Files::create(&path, None).unwrap()));
    assert!(read(&path).1 == before);
    run(&path, 10, None);
    assert_eq!((fs::read_dir(folder.path()).unwrap().count(), read(&path).1.len()), (1, 10));
    // A run without a record.
    run(&path, 0, None);
    assert_eq!((fs::read_dir(folder.path()).unwrap().count(), read(&path).1.len()), (1, 0));
}

#[test]
fn a_writer_that_was_killed_between_two_names_leaves_what_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.aegistrace");
    run(&path, 200_000, Some(LEAST_LIMIT));
    let whole = read(&path).1;
    // As a rotation does: the oldest part goes, the others move up one by one, and the new one comes last.
    fs::remove_file(part(&path, PARTS - 1)).unwrap();
    let after = read(&path).1;
    assert!(after.len() < whole.len() && whole.ends_with(&after));
    for number in (0..PARTS - 1).rev() {
        let from = if number == 0 { path.clone() } else { part(&path, number) };
        fs::rename(from, part(&path, number + 1)).unwrap();
        assert!(read(&path).1 == after, "part {number} has moved");
    }
    assert!(!path.exists());
}

#[test]
fn a_part_that_is_missing_or_damaged_in_the_middle_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.aegistrace");
    run(&path, 200_000, Some(LEAST_LIMIT));
    let whole = read(&path).1;
    let third = part(&path, 3);
    let bytes = fs::read(&third).unwrap();
    // The end of a part that is not the last one.
    fs::write(&third, &bytes[..bytes.len() - 10]).unwrap();
    let (_, back, notes) = read(&path);
    let missing = u64::try_from(whole.len() - back.len()).unwrap();
    let [Note::Gone { .. }, Note::Damaged { file, records, .. }] = &notes[..] else { panic!("{notes:?}") };
    assert_eq!((file, *records), (&third.display().to_string(), Some(missing)));
    fs::remove_file(&third).unwrap();
    let (_, back, notes) = read(&path);
    let missing = u64::try_from(whole.len() - back.len()).unwrap();
    let [Note::Gone { .. }, Note::Gone { first, records }] = &notes[..] else { panic!("{notes:?}") };
    assert_eq!(*records, missing);
    assert!(back.iter().any(|record| record.sequence == *first));
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.aegistrace");
    run(&path, 200_000, Some(LEAST_LIMIT));
    let why = |path: &Path| open(path).err().map(|error| error.to_string()).unwrap_or_default();
    fs::copy(part(&path, 2), part(&path, 3)).unwrap();
    assert!(why(&path).contains("are not of one run: both are part "), "{}", why(&path));
    // A first part of another run of the same plan.
    let other = folder.path().join("other.aegistrace");
    run(&other, 200_000, None);
    fs::rename(&other, part(&path, 3)).unwrap();
    let (_, mut records) = open(&path).unwrap();
    let error = records.find_map(Result::err).unwrap().to_string();
    assert!(error.contains("it is of another run"), "{error}");
    assert!(records.next().is_none());
    fs::write(part(&path, 3), "AEGTRACE").unwrap();
    assert!(why(&path).ends_with("it has 8 bytes and ends within its head"), "{}", why(&path));
    assert!(why(&folder.path().join("nowhere")).starts_with("cannot read `"));
}

#[test]
fn what_begins_otherwise_is_somebody_elses_and_neither_read_nor_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace");
    let others = [part(&path, 1), part(&path, 3)];
    others.iter().for_each(|other| fs::write(other, "a page of the manual").unwrap());
    run(&path, 10, None);
    assert_eq!(read(&path).1.len(), 10);
    aegis_trace::remove(&path).unwrap();
    assert!(others.iter().all(|other| fs::read(other).unwrap() == b"a page of the manual") && !path.exists());
    // With a bound its older parts would need these names.
    let refused = Files::create(&path, Some(LEAST_LIMIT)).unwrap_err().to_string();
    assert!(refused.contains("trace.1` is in the way of its older parts"), "{refused}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn an_old_run_goes_as_a_whole_and_parts_without_the_newest_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.aegistrace");
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    run(&link, 200_000, Some(LEAST_LIMIT));
    let whole = read(&path).1;
    assert!(read(&link).1 == whole && link.is_symlink());
    fs::remove_file(&path).unwrap();
    let (_, back, notes) = read(&path);
    assert!(!back.is_empty() && back.len() < whole.len());
    assert!(notes[0].to_string().contains("trace.aegistrace` itself is not there"), "{notes:?}");
    aegis_trace::remove(&link).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

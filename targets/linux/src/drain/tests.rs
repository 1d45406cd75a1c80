//! Records through the ring into files: whole ones, ones that fail, and ones that wait for their disk.

use super::Drain;
use crate::fixture;
use crate::trace_file::TraceFile;
use aegis_core::trace::{Kind, Record, Recorder, Ring, Sink};
use aegis_core::{Duration, Instant, TaskId, trace_line};
use aegis_trace::{Header, Note, Store, Stream, open};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

const ADMITTED: Kind = Kind::Admitted { task: TaskId(0), bound: Duration::ZERO, optional: false };

fn records(path: &Path) -> (Vec<Record>, Vec<Note>) {
    let (_, mut records) = open(path).unwrap();
    let all = records.by_ref().map(Result::unwrap).collect();
    (all, records.notes().to_vec())
}

#[test]
fn every_record_becomes_a_line_of_a_file_that_appears_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.jsonl");
    let system = fixture::system(&[(10, 2)]);
    let mut ring: Ring<8> = Ring::new();
    let (writer, reader) = ring.split();
    let mut recorder = Recorder::new(writer);
    let file = TraceFile::create(&path, system, None).unwrap();
    let mut drain: Drain<'_, 1> = Drain::new(system, reader, Some(file));
    for _ in 0..3 {
        recorder.record(Instant::START, ADMITTED);
    }
    assert_eq!(drain.pump(), 3);
    recorder.record(Instant::START, Kind::Rejected { task: TaskId(0), arrival: Instant::START, count: 2 });
    assert!(!path.exists());
    let written = drain.finish().unwrap();
    assert!(written.failure.is_none() && written.unwritten == 0, "{written:?}");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sequences: Vec<_> = lines.iter().map(|line| line["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, [0, 1, 2, 3]);
    assert_eq!((&lines[0]["event"], &lines[3]["event"]), (&"admission".into(), &"rejected".into()));
}

#[test]
fn a_trace_that_cannot_be_named_leaves_nothing_beside_and_counts_what_is_missing() {
    for name in ["trace.jsonl", "trace.aegistrace"] {
        let folder = tempfile::tempdir().unwrap();
        // A folder cannot be replaced by a file: neither one that is there, nor one that comes later.
        let taken = folder.path().join(name);
        let system = fixture::system(&[(10, 2)]);
        assert!(TraceFile::create(folder.path(), system, None).is_err());
        let mut file = TraceFile::create(&taken, system, None).unwrap();
        std::fs::create_dir(&taken).unwrap();
        file.record(system, &Record { sequence: 0, at: Instant::START, kind: ADMITTED });
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        let written = file.finish();
        assert!(written.failure.is_some() && written.unwritten == 1, "{written:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_binary_trace_has_its_name_from_its_first_block_on_and_becomes_the_lines_of_the_other_form() {
    let folder = tempfile::tempdir().unwrap();
    let (path, lines) = (folder.path().join("trace.aegistrace"), folder.path().join("trace.jsonl"));
    let system = fixture::system(&[(10, 2)]);
    std::fs::write(&path, "older").unwrap();
    let mut file = TraceFile::create(&path, system, None).unwrap();
    let mut other = TraceFile::create(&lines, system, None).unwrap();
    for sequence in 0..10 {
        let record = Record { sequence, at: Instant::from_ns(sequence), kind: ADMITTED };
        file.record(system, &record);
        other.record(system, &record);
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "older", "no block has ended");
    std::thread::sleep(std::time::Duration::from_millis(110));
    file.attend();
    assert_eq!(records(&path).0.len(), 10);
    assert!(file.finish().failure.is_none() && other.finish().failure.is_none());
    let (all, notes) = records(&path);
    let mut text = String::new();
    all.iter().for_each(|record| trace_line::write(&mut text, system, record));
    assert!(notes.is_empty() && text == std::fs::read_to_string(&lines).unwrap(), "{notes:?}");
}

/// A disk that is full after some blocks, in the middle of one.
struct Full {
    file: Stream<File>,
    blocks: usize,
}

impl Store for Full {
    fn append(&mut self, header: &Header, block: &[u8]) -> io::Result<()> {
        self.blocks = self.blocks.checked_sub(1).ok_or_else(|| io::Error::other("written to after an error"))?;
        if self.blocks == 0 {
            self.file.append(header, &block[..block.len() / 2])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.append(header, block)
    }
}

#[test]
fn a_full_disk_ends_the_writing_and_not_the_run_and_what_is_missing_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.aegistrace");
    let system = fixture::system(&[(10, 2)]);
    let mut ring: Ring<1_024> = Ring::new();
    let (writer, reader) = ring.split();
    let mut recorder = Recorder::new(writer);
    let full = Full { file: Stream::new(File::create(&path).unwrap()), blocks: 3 };
    let mut drain: Drain<'_, 1> = Drain::new(system, reader, Some(TraceFile::of(system, Box::new(full))));
    let mut drained = 0;
    for number in 0..50_000 {
        recorder.record(Instant::from_ns(number), ADMITTED);
        if number % 1_000 == 0 {
            drained += drain.pump();
        }
    }
    drained += drain.pump();
    assert_eq!((drained, recorder.lost()), (50_000, 0), "the ring is drained on");
    let written = drain.finish().unwrap();
    assert_eq!(written.failure.unwrap().kind(), io::ErrorKind::StorageFull);
    let (all, notes) = records(&path);
    assert!(all.len() > 5_000, "{}", all.len());
    assert_eq!(written.unwritten, 50_000 - u64::try_from(all.len()).unwrap());
    assert!(matches!(notes[..], [Note::Torn { .. }]), "{notes:?}");
}

/// A disk that takes each block only when it is told to.
struct Stalled {
    file: Stream<File>,
    goes: Receiver<()>,
}

impl Store for Stalled {
    fn append(&mut self, header: &Header, block: &[u8]) -> io::Result<()> {
        // Where nobody tells any more, the disk is as fast as it can be.
        let _ = self.goes.recv();
        self.file.append(header, block)
    }
}

#[test]
fn while_the_disk_stalls_the_ring_fills_and_the_gaps_of_the_file_are_the_counted_losses() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.aegistrace");
    let system = fixture::system(&[(10, 2)]);
    let mut ring: Ring<4_096> = Ring::new();
    let (writer, reader) = ring.split();
    let mut recorder = Recorder::new(writer);
    let (go, goes) = channel();
    let stalled = Stalled { file: Stream::new(File::create(&path).unwrap()), goes };
    let mut drain: Drain<'_, 1> = Drain::new(system, reader, Some(TraceFile::of(system, Box::new(stalled))));
    std::thread::scope(|scope| {
        // Records come until some are lost, which is only while the disk stalls, or the system does not let the drain run.
        let draining = scope.spawn(move || {
            let mut drained = 0;
            while drained < 1_000_000 {
                drained += drain.pump();
            }
            drain
        });
        let mut stalls = 0;
        let mut number = 0;
        while number - recorder.lost() < 1_000_000 {
            let before = recorder.lost();
            recorder.record(Instant::from_ns(number), ADMITTED);
            number += 1;
            if recorder.lost() > before {
                std::thread::yield_now();
                if recorder.lost() % 1_000 == 0 {
                    stalls += 1;
                    let _ = go.send(());
                }
            }
        }
        assert!(stalls > 3 && recorder.lost() > 3_000, "{stalls}");
        drop(go);
        let mut drain = draining.join().unwrap();
        // The last one shows the gap before it.
        recorder.record(Instant::from_ns(number), Kind::Ended);
        drain.pump();
        let written = drain.finish().unwrap();
        assert!(written.failure.is_none() && written.unwritten == 0, "{written:?}");
    });
    let (all, notes) = records(&path);
    assert_eq!(all.len(), 1_000_001);
    let gaps: u64 = all.windows(2).map(|pair| pair[1].sequence - pair[0].sequence - 1).sum();
    let gaps = gaps + all[0].sequence;
    assert_eq!((gaps, notes.len()), (recorder.lost(), 0));
    assert_eq!(all.last().unwrap().sequence + 1, recorder.numbered());
}

/// The reference vehicle makes 576 records a second, so a hundred times as many are 576 in each pause of the drain, which has 10 ms.
#[test]
fn at_a_hundred_times_the_rate_of_the_reference_vehicle_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.aegistrace");
    let system = fixture::system(&[(10, 2)]);
    // A sixty-fourth of the vehicle's own.
    let mut ring: Ring<1_024> = Ring::new();
    let (writer, reader) = ring.split();
    let mut recorder = Recorder::new(writer);
    let file = TraceFile::create(&path, system, Some(aegis_trace::LEAST_LIMIT)).unwrap();
    let mut drain: Drain<'_, 1> = Drain::new(system, reader, Some(file));
    for pause in 0..1_000 {
        for _ in 0..700 {
            recorder.record(Instant::from_ns(pause * 10_000_000), ADMITTED);
        }
        drain.pump();
    }
    assert!(drain.finish().unwrap().failure.is_none());
    assert_eq!((recorder.numbered(), recorder.lost()), (700_000, 0));
    let size: u64 = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!((aegis_trace::LEAST_LIMIT / 2..=aegis_trace::LEAST_LIMIT).contains(&size), "{size}");
    let (all, notes) = records(&path);
    let first = all[0].sequence;
    assert!(all.iter().zip(first..).all(|(record, number)| record.sequence == number));
    assert_eq!(all.last().unwrap().sequence, 699_999);
    assert_eq!(notes, [Note::Gone { first, records: first }]);
}

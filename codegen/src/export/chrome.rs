//! Chrome's trace events: a JSON object whose `traceEvents` have a line each.
//!
//! A group is a process, a track of slices a thread of it, by numbers that mean nothing else. Times are microseconds with three
//! digits for the nanoseconds.

use super::encode::{Arg, Encode, Flow, NewTrack, TrackId, TrackKind, Value, What};
use super::words::Words;
use aegis_core::desc::SystemDesc;
use std::fmt::Write as _;
use std::io::{self, Write};

/// From so many bytes on what is buffered is handed over.
const MUCH: usize = 1 << 20;

/// How a track is named in events.
struct Place {
    /// The group's.
    process: u32,
    thread: u32,
    /// In quotes: of a counter, which is known by its name and its series.
    name: String,
    series: String,
}

/// Writes events.
pub(super) struct Chrome<W> {
    out: W,
    text: String,
    /// In quotes, by their numbers.
    words: Vec<String>,
    table: Words,
    places: Vec<Place>,
}

impl<W: Write> Chrome<W> {
    /// Begins a trace.
    pub(super) fn new(system: &SystemDesc, out: W) -> Self {
        let table = Words::of(system);
        let words = table.texts().iter().map(|text| quoted(text)).collect();
        let mut text = String::with_capacity(MUCH + (1 << 16));
        let _ = writeln!(text, "{{\"displayTimeUnit\":\"ns\",\"otherData\":{{\"system\":{}}},", quoted(system.name));
        text.push_str("\"traceEvents\":[");
        Self { out, text, words, table, places: Vec::new() }
    }

    /// Begins an event: its phase, its track, its time.
    fn event(&mut self, phase: char, track: TrackId, at: u64) {
        self.line();
        let Some(place) = usize::try_from(track.0).ok().and_then(|track| self.places.get(track)) else { return };
        let (process, thread) = (place.process, place.thread);
        let _ = write!(self.text, "{{\"ph\":\"{phase}\",\"pid\":{process},\"tid\":{thread}");
        let _ = write!(self.text, ",\"ts\":{}.{:03}", at / 1_000, at % 1_000);
    }

    fn line(&mut self) {
        let is_first = self.text.ends_with('[');
        self.text.push_str(if is_first { "\n" } else { ",\n" });
    }

    fn named(&mut self, what: What) {
        self.text.push_str(",\"name\":");
        push(&mut self.text, &self.words, self.table.number(what.name));
        self.text.push_str(",\"cat\":");
        push(&mut self.text, &self.words, what.category.number());
    }

    fn args(&mut self, args: &[Arg<'_>]) {
        if !args.is_empty() {
            self.text.push_str(",\"args\":");
            for (number, (key, value)) in args.iter().enumerate() {
                self.text.push(if number == 0 { '{' } else { ',' });
                push(&mut self.text, &self.words, key.number());
                self.text.push(':');
                match *value {
                    Value::Word(word) => push(&mut self.text, &self.words, self.table.number(word)),
                    Value::Text(text) => self.text.push_str(&quoted(text)),
                    Value::Unsigned(number) => {
                        let _ = write!(self.text, "{number}");
                    }
                    Value::Signed(number) => {
                        let _ = write!(self.text, "{number}");
                    }
                    Value::Hex(number) => {
                        let _ = write!(self.text, "\"{number:016x}\"");
                    }
                    Value::Flag(flag) => self.text.push_str(if flag { "true" } else { "false" }),
                }
            }
            self.text.push('}');
        }
        self.text.push('}');
    }

    /// Flows are events of their own, which belong to the slice around them.
    fn flows(&mut self, track: TrackId, at: u64, flows: &[Flow]) {
        for flow in flows {
            let (phase, id) = match *flow {
                Flow::Begins(id) => ('s', id),
                Flow::Passes(id) => ('t', id),
                Flow::Ends(id) => ('f', id),
            };
            self.event(phase, track, at);
            let _ = write!(self.text, ",\"name\":\"flow\",\"cat\":\"flow\",\"id\":\"{id:#x}\",\"bp\":\"e\"}}");
        }
    }

    fn metadata(&mut self, what: &str, place: (u32, u32), value: &str) {
        self.line();
        let (process, thread) = place;
        let _ = write!(
            self.text,
            "{{\"ph\":\"M\",\"pid\":{process},\"tid\":{thread},\"name\":\"{what}\",\"args\":{{{value}}}}}"
        );
    }

    fn hand_over(&mut self) -> io::Result<()> {
        self.out.write_all(self.text.as_bytes())?;
        self.text.clear();
        Ok(())
    }
}

fn push(text: &mut String, words: &[String], number: usize) {
    text.push_str(words.get(number).map_or("\"\"", String::as_str));
}

/// A JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl<W: Write> Encode for Chrome<W> {
    fn track(&mut self, id: TrackId, track: NewTrack<'_>) {
        let number = id.0.saturating_add(1);
        let process = match track.parent.and_then(|parent| self.places.get(usize::try_from(parent.0).ok()?)) {
            // Only groups within the one of all are shown.
            Some(parent) if track.kind != TrackKind::Group => parent.process,
            _ => number,
        };
        let name = quoted(track.name);
        let (titled, sorted) = (format!("\"name\":{name}"), format!("\"sort_index\":{}", id.0));
        match track.kind {
            TrackKind::Group => {
                self.metadata("process_name", (number, 0), &titled);
                self.metadata("process_sort_index", (number, 0), &sorted);
            }
            TrackKind::Slices => {
                self.metadata("thread_name", (process, number), &titled);
                self.metadata("thread_sort_index", (process, number), &sorted);
            }
            TrackKind::Count | TrackKind::Bytes | TrackKind::Nanoseconds => {}
        }
        self.places.push(Place { process, thread: number, name, series: quoted(track.series) });
    }

    fn begin(&mut self, track: TrackId, at: u64, what: What, args: &[Arg<'_>], flows: &[Flow]) {
        self.event('B', track, at);
        self.named(what);
        self.args(args);
        self.flows(track, at, flows);
    }

    fn end(&mut self, track: TrackId, at: u64, args: &[Arg<'_>]) {
        self.event('E', track, at);
        self.args(args);
    }

    fn instant(&mut self, track: TrackId, at: u64, what: What, args: &[Arg<'_>], flows: &[Flow]) {
        self.event('i', track, at);
        self.named(what);
        self.text.push_str(",\"s\":\"t\"");
        self.args(args);
        self.flows(track, at, flows);
    }

    fn counter(&mut self, track: TrackId, at: u64, value: i64) {
        let Some(place) = usize::try_from(track.0).ok().and_then(|track| self.places.get(track)) else { return };
        let is_first = self.text.ends_with('[');
        self.text.push_str(if is_first { "\n" } else { ",\n" });
        let Place { process, name, series, .. } = place;
        let _ = write!(self.text, "{{\"ph\":\"C\",\"pid\":{process},\"name\":{name}");
        let _ = write!(self.text, ",\"ts\":{}.{:03},\"args\":{{{series}:{value}}}}}", at / 1_000, at % 1_000);
    }

    fn relieve(&mut self) -> io::Result<()> {
        if self.text.len() < MUCH { Ok(()) } else { self.hand_over() }
    }

    fn finish(mut self) -> io::Result<()> {
        self.text.push_str("\n]}\n");
        self.hand_over()?;
        self.out.flush()
    }
}

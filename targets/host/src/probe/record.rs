//! Records what loading and running a model request, several times, and grades how far that can be planned.
//!
//! Runs of one loaded model always request the same, whatever its inputs hold, unless shapes depend on data. But loading a
//! model again may give another order of execution: some of the runtime's graph transformers iterate over hash tables of
//! pointers. So the model is loaded several times, with a heap that looks different each time, and every order that is
//! seen is a recording of its own.

use super::bench::Bench;
use crate::backend::{BoundSegment, Region, Sequence};
use crate::first_fit::replayable;
use aegis_core::Bytes;
use aegis_core::desc::{ALIGNMENT, GPU_ALIGNMENT, MemoryControl, Recording};

/// How often a model is loaded for its recordings.
pub(super) const LOADS: u32 = 12;
/// How many runs are recorded after each loading, each with other inputs.
pub(super) const RUNS: u32 = 3;
/// More orders of execution than this are not planned.
const MOST_RECORDINGS: usize = 8;

/// Heap blocks that lie between what is loaded before and after: addresses differ from those of other loads.
pub(super) fn stir(load: u32) -> Vec<Vec<u8>> {
    let mut state = load.wrapping_mul(0x9e37_79b9) | 1;
    let mut blocks = Vec::new();
    for _ in 0..load.saturating_mul(61) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let length = usize::try_from(state % 700).unwrap_or(0);
        if state & 1 == 0 {
            blocks.push(vec![1_u8; length]);
        } else {
            drop(vec![1_u8; length]);
        }
    }
    blocks
}

/// The first event in which two sequences differ, in words.
fn difference(first: &[i64], other: &[i64]) -> Option<String> {
    let what = |event: Option<&i64>| match event {
        Some(size) if *size >= 0 => format!("a request of {size} bytes"),
        Some(block) => format!("the return of block {}", block.unsigned_abs()),
        None => "nothing more".to_owned(),
    };
    let length = first.len().max(other.len());
    let at = (0..length).find(|at| first.get(*at) != other.get(*at))?;
    let (first, other) = (what(first.get(at)), what(other.get(at)));
    Some(format!("event {} is {other}, in the first recording {first}", at.saturating_add(1)))
}

fn sorted(events: &[i64]) -> Vec<i64> {
    let mut events = events.to_vec();
    events.sort_unstable();
    events
}

/// What loading and runs of a model request.
#[derive(Debug, Default)]
pub(super) struct Record {
    loads: u32,
    load: Vec<i64>,
    load_height: u64,
    load_differs: Option<String>,
    /// Whether blocks of a loading that all stay may come in any order: those of a device.
    any_order: bool,
    on_device: bool,
    /// Whether it asks us for nothing.
    outside: bool,
    /// Each order of execution with how often it was seen.
    runs: Vec<(Vec<i64>, u32)>,
    height: u64,
    run_differs: Option<String>,
}

impl Record {
    /// Nothing is recorded yet; of a model on a device, or on the CPU.
    pub(super) fn new(on_device: bool) -> Self {
        Self { any_order: on_device, on_device, ..Self::default() }
    }

    /// Of a model that takes its memory itself, and why: nothing of it is planned.
    pub(super) fn of_what_is_outside(why: &str) -> Self {
        Self { outside: true, on_device: true, load_differs: Some(why.to_owned()), ..Self::default() }
    }

    /// Adds one loading.
    pub(super) fn add_load(&mut self, events: Vec<i64>, height: u64) {
        self.loads = self.loads.saturating_add(1);
        self.load_height = self.load_height.max(height);
        // Where a block comes back the order counts.
        self.any_order &= events.iter().all(|event| *event >= 0);
        let (first, other) =
            if self.any_order { (sorted(&self.load), sorted(&events)) } else { (self.load.clone(), events.clone()) };
        if self.loads == 1 {
            self.load = events;
        } else if let Some(what) = difference(&first, &other) {
            let loads = self.loads;
            self.load_differs.get_or_insert_with(|| format!("loading number {loads} differed: {what}"));
        }
    }

    /// Adds the runs of one loaded model, whose engine lies in a recording region; `run` makes the run of this number.
    pub(super) fn add_runs(
        &mut self,
        engine: &mut dyn BoundSegment,
        mut run: impl FnMut(&mut dyn BoundSegment, u32) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut first: Option<Vec<i64>> = None;
        for number in 0..RUNS {
            run(engine, number)?;
            let events = engine.recorded_run();
            match &first {
                None => first = Some(events),
                Some(first) => {
                    if let Some(what) = difference(first, &events) {
                        let (run, load) = (number.saturating_add(1), self.loads);
                        self.run_differs
                            .get_or_insert_with(|| format!("run {run} after loading {load} differed: {what}"));
                    }
                }
            }
        }
        self.height = self.height.max(engine.scratch_use().height);
        let events = first.unwrap_or_default();
        match self.runs.iter_mut().find(|(known, _)| *known == events) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => self.runs.push((events, 1)),
        }
        Ok(())
    }

    /// Puts the orders that were seen most often first, and judges whether all can be planned.
    pub(super) fn close(&mut self) {
        self.runs.sort_by(|one, two| (two.1, &one.0).cmp(&(one.1, &two.0)));
        let (orders, loads) = (self.runs.len(), self.loads);
        if orders > MOST_RECORDINGS {
            let text = format!("{loads} times loaded, it ran in {orders} orders, more than {MOST_RECORDINGS}");
            self.run_differs.get_or_insert(text);
        }
        if self.recordings().is_none() {
            self.run_differs.get_or_insert("a run has more live blocks than a plan can name".to_owned());
        }
        if self.replayed_load().is_none() {
            self.load_differs.get_or_insert("loading it leaves more blocks than a plan can name".to_owned());
        }
    }

    /// That of the memory in which it was recorded.
    const fn alignment(&self) -> Bytes {
        if self.on_device { GPU_ALIGNMENT } else { ALIGNMENT }
    }

    fn recordings(&self) -> Option<Vec<Recording>> {
        self.runs.iter().map(|(events, _)| replayable(events, self.height, self.alignment())).collect()
    }

    fn replayed_load(&self) -> Option<Recording> {
        replayable(&self.load, self.load_height, self.alignment())
    }

    /// How far loading and runs can be planned.
    pub(super) const fn control(&self) -> MemoryControl {
        match (&self.load_differs, &self.run_differs) {
            (Some(_), _) => MemoryControl::Measured,
            (None, Some(_)) => MemoryControl::Capped,
            (None, None) => MemoryControl::Planned,
        }
    }

    /// Notes that a run of the measurement was not a recorded one.
    pub(super) fn grade_down(&mut self, why: String) {
        self.run_differs.get_or_insert(why);
    }

    /// Why it is not planned.
    pub(super) fn why(&self) -> Option<String> {
        self.load_differs.clone().or_else(|| self.run_differs.clone())
    }

    /// A region for loading it as in a vehicle.
    pub(super) fn load_region(&self, bench: &Bench) -> Result<Region, String> {
        match self.replayed_load().filter(|_| self.load_differs.is_none()) {
            Some(recording) => {
                let steps = recording.steps;
                let sequence = if self.any_order { Sequence::LoadInAnyOrder(steps) } else { Sequence::Load(steps) };
                bench.region(self.load_height.max(1), false, sequence)
            }
            // A device has no heap.
            None if self.on_device => {
                let why = self.why().unwrap_or_default();
                Err(format!("its memory on the device cannot be planned: {why}"))
            }
            None => bench.region(1, false, Sequence::Heap),
        }
    }

    /// A locked region in which runs lie as in a vehicle: replayed where they are planned.
    pub(super) fn run_region(&self, bench: &Bench) -> Result<Region, String> {
        if self.outside {
            return bench.nothing();
        }
        let recordings = self.recordings().filter(|_| self.run_differs.is_none());
        match recordings {
            Some(recordings) => {
                let sequence = Sequence::Planned { runs: recordings.leak(), owns_region: true };
                bench.region(self.height.max(1), true, sequence)
            }
            // Room for runs that differ.
            None => bench.room(),
        }
    }

    /// The bytes of one run, placed by first fit.
    pub(super) const fn height(&self) -> u64 {
        self.height
    }

    /// Notes how high later runs were.
    pub(super) fn reached(&mut self, height: u64) {
        self.height = self.height.max(height);
    }

    /// The bytes of a run that lie outside the arena.
    pub(super) const fn outside(&self) -> u64 {
        if self.load_differs.is_some() { self.height } else { 0 }
    }

    /// The requests of loading; none where they are not planned.
    pub(super) fn load(&self) -> Vec<i64> {
        if self.load_differs.is_none() { self.load.clone() } else { Vec::new() }
    }

    /// The requests of runs; none where they are not planned.
    pub(super) fn runs(&self) -> Vec<Vec<i64>> {
        let planned = self.control() == MemoryControl::Planned;
        self.runs.iter().filter(|_| planned).map(|(events, _)| events.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Record, difference};
    use aegis_core::desc::MemoryControl;

    #[test]
    fn a_difference_names_its_event_and_both_sides() {
        assert_eq!(difference(&[5, 7, -1], &[5, 7, -1]), None);
        let told = difference(&[5, 7, -1], &[5, 8]).unwrap();
        assert_eq!(told, "event 2 is a request of 8 bytes, in the first recording a request of 7 bytes");
        let told = difference(&[5, -1], &[5]).unwrap();
        assert_eq!(told, "event 2 is nothing more, in the first recording the return of block 1");
    }

    #[test]
    fn several_orders_are_several_recordings_the_most_frequent_first() {
        let mut record = Record { height: 128, load_height: 64, ..Record::default() };
        for _ in 0..3 {
            record.add_load(vec![9], 64);
        }
        record.runs = vec![(vec![5, -1], 1), (vec![6, -1], 2)];
        record.close();
        assert_eq!((record.control(), record.runs()), (MemoryControl::Planned, vec![vec![6, -1], vec![5, -1]]));
        record.grade_down("run 7 of the measurement differed".to_owned());
        assert_eq!((record.control(), record.runs().len(), record.load()), (MemoryControl::Capped, 0, vec![9]));
        record.add_load(vec![8], 64);
        assert_eq!((record.control(), record.load().len(), record.outside()), (MemoryControl::Measured, 0, 128));
        let why = record.why().unwrap();
        assert_eq!(
            why,
            "loading number 4 differed: event 1 is a request of 8 bytes, in the first recording a request of 9 bytes"
        );
    }

    #[test]
    fn of_what_takes_its_memory_itself_nothing_is_planned() {
        let record = Record::of_what_is_outside("it does as it likes");
        assert_eq!((record.control(), record.height(), record.outside()), (MemoryControl::Measured, 0, 0));
        assert_eq!((record.load().len(), record.runs().len()), (0, 0));
        assert_eq!(record.why().unwrap(), "it does as it likes");
    }

    #[test]
    fn too_many_orders_are_not_planned() {
        let mut record = Record { loads: 12, height: 64, ..Record::default() };
        record.runs = (0..9).map(|size| (vec![size, -1], 1)).collect();
        record.close();
        assert_eq!(record.control(), MemoryControl::Capped);
        assert_eq!(record.why().unwrap(), "12 times loaded, it ran in 9 orders, more than 8");
    }
}

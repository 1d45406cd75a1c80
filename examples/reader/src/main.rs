//! A reader of pages: each job first asks how the page is turned, then where its lines of text are. It reads one page over and
//! over, and listens to one recording meanwhile.

use aegis_host::{Inputs, JobContext, Outputs, TaskHooks, TaskStats};
use perception::audio::Clip;
use perception::decode::{orientation, signs, voice};
use perception::scene::Picture;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

aegis_host::plan!();

/// What the first stage hands to the second: of which job, by its arrival in nanoseconds, and how the page is turned.
#[derive(Default)]
struct Turn {
    arrival: AtomicI64,
    degrees: AtomicI64,
}

/// The page is turned in no way that the first stage is sure of.
const UNSURE: i64 = -1;

fn main() -> ExitCode {
    let turn = Arc::new(Turn { arrival: AtomicI64::new(UNSURE), degrees: AtomicI64::new(UNSURE) });
    let handed = Arc::clone(&turn);
    plan::vehicle()
        .hooks_from(plan::task::READ_1, |assets| Ok(Tilt(Picture::load(&assets.path(plan::asset::PAGE)?)?, turn)))
        .hooks_from(plan::task::READ_2, |assets| {
            let page = Picture::load(&assets.path(plan::asset::PAGE)?)?;
            Ok(Lines { page, turn: handed, degrees: UNSURE, lines: 0, strangers: 0 })
        })
        .hooks_from(plan::task::LISTEN, |assets| {
            Ok(Voice { clip: Clip::read(&assets.path(plan::asset::SPEECH)?)?, state: [0.0; voice::STATE], surest: 0.0 })
        })
        .run()
}

fn copy(from: &[f32], to: Option<&mut [f32]>) {
    for (element, value) in to.into_iter().flatten().zip(from) {
        *element = *value;
    }
}

/// An instant as a number to hand on: all stages of a job have one arrival.
fn arrival(job: &JobContext) -> i64 {
    i64::try_from(job.arrival.as_ns()).unwrap_or(i64::MAX)
}

/// The first stage.
struct Tilt(Picture, Arc<Turn>);

impl TaskHooks for Tilt {
    fn input(&mut self, _job: &JobContext, inputs: &mut Inputs<'_>) {
        copy(&self.0.orientation, inputs.f32(0));
    }

    fn output(&mut self, job: &JobContext, outputs: &Outputs<'_>) {
        let seen = orientation::orientation(outputs.f32(0).unwrap_or(&[]), orientation::MIN_PROBABILITY);
        let degrees = seen.map_or(UNSURE, |seen| i64::from(seen.degrees));
        self.1.degrees.store(degrees, Ordering::Relaxed);
        // Last, and only by a job that delivers: one that fails leaves the arrival of the one before.
        self.1.arrival.store(arrival(job), Ordering::Relaxed);
    }
}

/// The second stage: the page again, and what it made of it.
struct Lines {
    page: Picture,
    turn: Arc<Turn>,
    degrees: i64,
    lines: usize,
    /// How many jobs were handed another job's turn: none.
    strangers: u64,
}

impl TaskHooks for Lines {
    fn input(&mut self, job: &JobContext, inputs: &mut Inputs<'_>) {
        copy(&self.page.signs, inputs.f32(0));
        self.strangers += u64::from(self.turn.arrival.load(Ordering::Relaxed) != arrival(job));
        self.degrees = self.turn.degrees.load(Ordering::Relaxed);
    }

    fn output(&mut self, _job: &JobContext, outputs: &Outputs<'_>) {
        let mut found = heapless::Vec::<signs::TextRegion, 16>::new();
        signs::regions(outputs.f32(0).unwrap_or(&[]), &mut found);
        self.lines = found.len();
    }

    fn closing(&mut self, stats: &TaskStats) {
        let turned =
            if self.degrees == UNSURE { "in no sure way".to_owned() } else { format!("by {} degrees", self.degrees) };
        println!(
            "read: a page turned {turned}, with {} lines of text; {} of {} jobs met another's turn",
            self.lines, self.strangers, stats.jobs
        );
    }
}

/// The recording, the model's memory, and the surest probability of speech so far.
struct Voice {
    clip: Clip,
    state: [f32; voice::STATE],
    surest: f32,
}

impl TaskHooks for Voice {
    fn input(&mut self, job: &JobContext, inputs: &mut Inputs<'_>) {
        if let Some(window) = inputs.f32("input") {
            let chunk = usize::try_from(job.arrival.as_ns() / 32_000_000).unwrap_or(0);
            self.clip.fill_window(chunk % self.clip.chunks().max(1), window);
        }
        copy(&self.state, inputs.f32("state"));
    }

    fn output(&mut self, _job: &JobContext, outputs: &Outputs<'_>) {
        voice::carry_state(outputs.f32("stateN").unwrap_or(&[]), &mut self.state);
        self.surest =
            voice::probability(outputs.f32("output").unwrap_or(&[])).map_or(self.surest, |p| p.max(self.surest));
    }

    fn closing(&mut self, _stats: &TaskStats) {
        println!("listen: speech with probability {:.2}", self.surest);
    }
}

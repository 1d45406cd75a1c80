//! The courier's hooks: what each model is fed, and what its outputs mean.
//!
//! They run on the lane's real-time thread as part of their job, so they neither wait nor allocate; what they saw is
//! told once, after the run.

use aegis_host::{Inputs, JobContext, Outputs, TaskHooks, TaskStats};
use perception::audio::Clip;
use perception::decode::{face, lines, orientation, signs, voice};
use perception::scene::{Picture, Scene};
use std::fmt::Display;

/// How many frames the scene has.
const FRAMES: usize = 5;

/// What was seen in each frame: how often it was looked at, and the last fact.
struct Seen<T> {
    what: &'static str,
    scene: &'static Scene,
    /// The frame of the job that runs.
    now: usize,
    facts: [(u32, Option<T>); FRAMES],
}

impl<T: Copy + Display> Seen<T> {
    fn new(what: &'static str, scene: &'static Scene) -> Self {
        Self { what, scene, now: 0, facts: [(0, None); FRAMES] }
    }

    /// Copies what the camera saw when the job arrived into an input.
    fn look(&mut self, job: &JobContext, input: Option<&mut [f32]>, tensor: impl Fn(&Picture) -> &[f32]) {
        let (Some((position, frame)), Some(input)) = (self.scene.at(job.arrival.as_ns()), input) else { return };
        self.now = position;
        for (element, value) in input.iter_mut().zip(tensor(&frame.picture)) {
            *element = *value;
        }
    }

    fn note(&mut self, fact: Option<T>) {
        if let Some((times, last)) = self.facts.get_mut(self.now) {
            *times = times.saturating_add(1);
            *last = fact;
        }
    }

    fn tell(&self) {
        for (frame, (times, fact)) in self.scene.frames().iter().zip(&self.facts) {
            match (times, fact) {
                (0, _) => {}
                (_, Some(fact)) => println!("{:<12} {:<14} {fact}", self.what, frame.name),
                (_, None) => println!("{:<12} {:<14} nothing", self.what, frame.name),
            }
        }
    }
}

/// A fact with its words.
#[derive(Clone, Copy)]
struct Told<T>(T, fn(&T, &mut std::fmt::Formatter<'_>) -> std::fmt::Result);

impl<T> Display for Told<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (self.1)(&self.0, f)
    }
}

/// Finds people in front of the robot.
pub(crate) struct Face(Seen<Told<face::FaceBox>>);

impl Face {
    pub(crate) fn new(scene: &'static Scene) -> Self {
        Self(Seen::new("face", scene))
    }
}

impl TaskHooks for Face {
    fn input(&mut self, job: &JobContext, inputs: &mut Inputs<'_>) {
        self.0.look(job, inputs.f32(0), |picture| &picture.face);
    }

    fn output(&mut self, _job: &JobContext, outputs: &Outputs<'_>) {
        let mut found = heapless::Vec::<face::FaceBox, 8>::new();
        let part = |name| outputs.f32(name).unwrap_or(&[]);
        let (fine, coarse) = (part("Identity:0"), part("Identity_1:0"));
        face::faces(fine, coarse, part("Identity_2:0"), part("Identity_3:0"), face::MIN_SCORE, &mut found);
        self.0.note(found.first().map(|best| {
            Told(*best, |b, f| {
                write!(
                    f,
                    "face from {:.2},{:.2} to {:.2},{:.2}, score {:.2}",
                    b.left, b.top, b.right, b.bottom, b.score
                )
            })
        }));
    }

    fn closing(&mut self, _stats: &TaskStats) {
        self.0.tell();
    }
}

/// Finds kerbs and lane edges.
pub(crate) struct Lines(Seen<Told<(usize, lines::Segment)>>);

impl Lines {
    pub(crate) fn new(scene: &'static Scene) -> Self {
        Self(Seen::new("lines", scene))
    }
}

impl TaskHooks for Lines {
    fn input(&mut self, job: &JobContext, inputs: &mut Inputs<'_>) {
        self.0.look(job, inputs.f32(0), |picture| &picture.lanes);
    }

    fn output(&mut self, _job: &JobContext, outputs: &Outputs<'_>) {
        let mut found = heapless::Vec::<lines::Segment, 64>::new();
        let part = |name| outputs.f32(name).unwrap_or(&[]);
        lines::segments(part("offsets"), part("scores"), lines::MIN_SCORE, lines::MIN_LENGTH, &mut found);
        self.0.note(found.first().map(|best| {
            Told((found.len(), *best), |(count, s), f| {
                let ([x, y], [to_x, to_y]) = (s.start, s.end);
                let (score, lean) = (s.score, s.lean_degrees());
                write!(
                    f,
                    "{count} lines, strongest {x:.2},{y:.2} to {to_x:.2},{to_y:.2}, score {score:.2}, lean {lean:.0}"
                )
            })
        }));
    }

    fn closing(&mut self, _stats: &TaskStats) {
        self.0.tell();
    }
}

/// Notices a camera that is not upright.
pub(crate) struct Orientation(Seen<Told<orientation::Orientation>>);

impl Orientation {
    pub(crate) fn new(scene: &'static Scene) -> Self {
        Self(Seen::new("orientation", scene))
    }
}

impl TaskHooks for Orientation {
    fn input(&mut self, job: &JobContext, inputs: &mut Inputs<'_>) {
        self.0.look(job, inputs.f32(0), |picture| &picture.orientation);
    }

    fn output(&mut self, _job: &JobContext, outputs: &Outputs<'_>) {
        let found = orientation::orientation(outputs.f32(0).unwrap_or(&[]), orientation::MIN_PROBABILITY);
        self.0.note(found.map(|found| {
            Told(found, |o, f| write!(f, "turned by {} degrees, probability {:.2}", o.degrees, o.probability))
        }));
    }

    fn closing(&mut self, _stats: &TaskStats) {
        self.0.tell();
    }
}

/// Finds text: signs and house numbers.
pub(crate) struct Signs(Seen<Told<(usize, f32)>>);

impl Signs {
    pub(crate) fn new(scene: &'static Scene) -> Self {
        Self(Seen::new("signs", scene))
    }
}

impl TaskHooks for Signs {
    fn input(&mut self, job: &JobContext, inputs: &mut Inputs<'_>) {
        self.0.look(job, inputs.f32(0), |picture| &picture.signs);
    }

    fn output(&mut self, _job: &JobContext, outputs: &Outputs<'_>) {
        let mut found = heapless::Vec::<signs::TextRegion, 16>::new();
        let share = signs::regions(outputs.f32(0).unwrap_or(&[]), &mut found);
        let fact = share.filter(|_| !found.is_empty());
        self.0.note(fact.map(|share| {
            Told((found.len(), share), |(count, share), f| {
                write!(f, "{count} lines of text on {:.1} % of it", share * 100.0)
            })
        }));
    }

    fn closing(&mut self, _stats: &TaskStats) {
        self.0.tell();
    }
}

/// Listens for voices; the model's memory is carried from job to job.
pub(crate) struct Voice {
    clip: Clip,
    state: [f32; voice::STATE],
    gate: voice::SpeechGate,
    heard: u32,
    spoken: u32,
    surest: f32,
}

impl Voice {
    pub(crate) fn new(clip: Clip) -> Self {
        Self { clip, state: [0.0; voice::STATE], gate: voice::SpeechGate::default(), heard: 0, spoken: 0, surest: 0.0 }
    }
}

impl TaskHooks for Voice {
    fn input(&mut self, job: &JobContext, inputs: &mut Inputs<'_>) {
        if let Some(window) = inputs.f32("input") {
            let chunk = usize::try_from(job.arrival.as_ns() / 32_000_000).unwrap_or(0);
            self.clip.fill_window(chunk % self.clip.chunks().max(1), window);
        }
        if let Some(state) = inputs.f32("state") {
            for (element, value) in state.iter_mut().zip(&self.state) {
                *element = *value;
            }
        }
    }

    fn output(&mut self, _job: &JobContext, outputs: &Outputs<'_>) {
        voice::carry_state(outputs.f32("stateN").unwrap_or(&[]), &mut self.state);
        let Some(probability) = voice::probability(outputs.f32("output").unwrap_or(&[])) else { return };
        self.heard = self.heard.saturating_add(1);
        self.spoken = self.spoken.saturating_add(u32::from(self.gate.update(probability)));
        self.surest = self.surest.max(probability);
    }

    fn closing(&mut self, _stats: &TaskStats) {
        let (heard, spoken, surest) = (self.heard, self.spoken, self.surest);
        println!("{:<12} {:<14} speech in {spoken} of {heard} chunks, surest {surest:.2}", "voice", "recording");
    }
}

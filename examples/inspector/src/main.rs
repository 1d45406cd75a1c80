//! An inspection rover: three networks under EDF. It reads one page over and over, and listens to one recording.

use aegis_host::{Inputs, JobContext, Outputs, TaskHooks, TaskStats};
use perception::audio::Clip;
use perception::decode::{orientation, signs, voice};
use perception::scene::Picture;
use std::process::ExitCode;

aegis_host::plan!();

fn main() -> ExitCode {
    plan::vehicle()
        .hooks_from(plan::task::SIGNS, |assets| Ok(Signs(Picture::load(&assets.path(plan::asset::PAGE)?)?, 0)))
        .hooks_from(plan::task::ORIENTATION, |assets| Ok(Tilt(Picture::load(&assets.path(plan::asset::PAGE)?)?, None)))
        .hooks_from(plan::task::VOICE, |assets| {
            Ok(Voice { clip: Clip::read(&assets.path(plan::asset::SPEECH)?)?, state: [0.0; voice::STATE], surest: 0.0 })
        })
        .run()
}

fn copy(from: &[f32], to: Option<&mut [f32]>) {
    for (element, value) in to.into_iter().flatten().zip(from) {
        *element = *value;
    }
}

/// The page, and how many lines of text were last seen on it.
struct Signs(Picture, usize);

impl TaskHooks for Signs {
    fn input(&mut self, _job: &JobContext, inputs: &mut Inputs<'_>) {
        copy(&self.0.signs, inputs.f32(0));
    }

    fn output(&mut self, _job: &JobContext, outputs: &Outputs<'_>) {
        let mut found = heapless::Vec::<signs::TextRegion, 16>::new();
        signs::regions(outputs.f32(0).unwrap_or(&[]), &mut found);
        self.1 = found.len();
    }

    fn closing(&mut self, _stats: &TaskStats) {
        println!("signs: {} lines of text on the page", self.1);
    }
}

/// The page, and how it was last seen to be turned.
struct Tilt(Picture, Option<orientation::Orientation>);

impl TaskHooks for Tilt {
    fn input(&mut self, _job: &JobContext, inputs: &mut Inputs<'_>) {
        copy(&self.0.orientation, inputs.f32(0));
    }

    fn output(&mut self, _job: &JobContext, outputs: &Outputs<'_>) {
        self.1 = orientation::orientation(outputs.f32(0).unwrap_or(&[]), orientation::MIN_PROBABILITY);
    }

    fn closing(&mut self, _stats: &TaskStats) {
        match self.1 {
            Some(seen) => println!("orientation: turned by {} degrees", seen.degrees),
            None => println!("orientation: unsure"),
        }
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
        println!("voice: speech with probability {:.2}", self.surest);
    }
}

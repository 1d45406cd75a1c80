//! A lookout with four networks on two parts of a GPU.

use aegis_host::{Inputs, JobContext, Outputs, TaskHooks, TaskStats};
use std::process::ExitCode;

aegis_host::plan!();

fn main() -> ExitCode {
    plan::vehicle()
        .hooks(plan::task::GLIMPSE, View::new("glimpse"))
        .hooks(plan::task::MOTION, View::new("motion"))
        .hooks(plan::task::OBJECT, View::new("object"))
        .hooks(plan::task::SCENE, View::new("scene"))
        .run()
}

/// Shows its model one of two pictures in turns, and compares what it says of each: where another model's memory were read, or a picture
/// of another job, it would not say the same again.
struct View {
    name: &'static str,
    /// Of each picture, what was said of it first.
    first: [Option<(usize, f32)>; 2],
    others: u64,
}

impl View {
    fn new(name: &'static str) -> Self {
        Self { name, first: [None; 2], others: 0 }
    }
}

/// Which of the two pictures a job is shown.
fn picture(job: &JobContext) -> usize {
    usize::from(job.request % 2 == 1)
}

impl TaskHooks for View {
    fn input(&mut self, job: &JobContext, inputs: &mut Inputs<'_>) {
        let stripes = if picture(job) == 0 { 7 } else { 50 };
        for (position, value) in inputs.f32(0).into_iter().flatten().enumerate() {
            *value = if position / stripes % 2 == 0 { 0.25 } else { 0.75 };
        }
    }

    fn output(&mut self, job: &JobContext, outputs: &Outputs<'_>) {
        let scores = outputs.f32(0).unwrap_or(&[]);
        let best = scores.iter().copied().enumerate().max_by(|one, two| one.1.total_cmp(&two.1));
        let Some(first) = self.first.get_mut(picture(job)) else { return };
        match *first {
            None => *first = best,
            known => self.others += u64::from(known != best),
        }
    }

    fn closing(&mut self, stats: &TaskStats) {
        let name = self.name;
        println!("{name}: {:?}, something else in {} of {} jobs", self.first, self.others, stats.jobs);
    }
}

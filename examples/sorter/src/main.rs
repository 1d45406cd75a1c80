//! A sorting line: four classifiers take turns on one core and in one region of memory.

use aegis_host::{Inputs, JobContext, Outputs, TaskHooks, TaskStats};
use std::process::ExitCode;

aegis_host::plan!();

fn main() -> ExitCode {
    plan::vehicle()
        .hooks(plan::task::COARSE, Sorter::default())
        .hooks(plan::task::SHAPE, Sorter::default())
        .hooks(plan::task::SURFACE, Sorter::default())
        .hooks(plan::task::FINE, Sorter::default())
        .run()
}

/// Shows its model the same striped part for each job, and compares what it says of it: where memory that others use
/// were read, it would not say the same again.
#[derive(Default)]
struct Sorter {
    first: Option<(usize, f32)>,
    others: u64,
}

impl TaskHooks for Sorter {
    fn input(&mut self, _job: &JobContext, inputs: &mut Inputs<'_>) {
        // All of it: with `tensors = "job"` an input holds anything before.
        for (position, value) in inputs.f32(0).into_iter().flatten().enumerate() {
            *value = if position / 7 % 2 == 0 { 0.25 } else { 0.75 };
        }
    }

    fn output(&mut self, _job: &JobContext, outputs: &Outputs<'_>) {
        let scores = outputs.f32(0).unwrap_or(&[]);
        let best = scores.iter().copied().enumerate().max_by(|one, two| one.1.total_cmp(&two.1));
        match (self.first, best) {
            (None, best) => self.first = best,
            (first, best) => self.others += u64::from(first != best),
        }
    }

    fn closing(&mut self, stats: &TaskStats) {
        let (class, score) = self.first.unwrap_or_default();
        println!("class {class} with score {score}, another class in {} of {} jobs", self.others, stats.jobs);
    }
}

//! A vehicle that finds faces in what another process sees: `camera.c`, or any other that has `aegis_input.h`.

use aegis_core::Duration;
use aegis_host::input::Shared;
use aegis_host::{Inputs, JobContext, Outputs, TaskHooks, TaskStats};
use perception::decode::face::{FaceBox, MIN_SCORE, faces};
use std::process::ExitCode;

aegis_host::plan!();

/// A frame: 128 × 128 pixels of red, green and blue.
const BYTES: u32 = 128 * 128 * 3;
/// What is older tells nothing of what is there now.
const TOO_OLD: Duration = Duration::from_ns(200_000_000);

fn main() -> ExitCode {
    let socket = std::env::var_os("FEEDER_CAMERA").unwrap_or_else(|| "feeder-camera".into());
    plan::vehicle().hooks_from(plan::task::FACE, move |_| Ok(Face::new(Shared::listen(socket, BYTES)?))).run()
}

/// The camera, and what became of its frames.
struct Face {
    camera: Shared,
    /// Whether the model sees a frame in this job.
    sees: bool,
    new: u64,
    missing: u64,
    found: Option<FaceBox>,
}

impl Face {
    const fn new(camera: Shared) -> Self {
        Self { camera, sees: false, new: 0, missing: 0, found: None }
    }
}

impl TaskHooks for Face {
    fn input(&mut self, _job: &JobContext, inputs: &mut Inputs<'_>) {
        let Some(pixels) = inputs.f32(0) else { return };
        // From the memory of the camera's process straight into the planned input, as the network wants it: -1 to 1.
        let frame = self.camera.newest().filter(|frame| frame.age().is_some_and(|age| age <= TOO_OLD));
        self.sees = frame.is_some_and(|frame| frame.decode(pixels, |byte| f32::from(byte) / 127.5 - 1.0));
        self.new += u64::from(self.sees && frame.is_some_and(|frame| frame.is_new()));
        self.missing += u64::from(!self.sees);
    }

    fn output(&mut self, _job: &JobContext, outputs: &Outputs<'_>) {
        if !self.sees {
            return;
        }
        let mut found = heapless::Vec::<FaceBox, 8>::new();
        let part = |name| outputs.f32(name).unwrap_or(&[]);
        let (fine, coarse) = (part("Identity:0"), part("Identity_1:0"));
        faces(fine, coarse, part("Identity_2:0"), part("Identity_3:0"), MIN_SCORE, &mut found);
        self.found = found.first().copied().or(self.found);
    }

    fn closing(&mut self, _stats: &TaskStats) {
        let Self { new, missing, .. } = self;
        println!("camera: {new} frames seen, {missing} jobs without one that was young enough");
        if let Some(found) = self.found {
            println!("face from {:.2},{:.2} to {:.2},{:.2}", found.left, found.top, found.right, found.bottom);
        }
    }
}

//! What the reference vehicle's networks see and hear in real pictures and a real recording: one fact per model, and what
//! must not be seen. The ranges are wide enough for another processor's rounding.
//!
//! The models run as in the vehicle: inside planned memory, all scratch in one shared region.

// Fills and reads planned memory directly.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

#[path = "planned_memory/local.rs"]
mod local;

use aegis_codegen::fetch::Kind;
use aegis_core::desc::{ModelDesc, SystemDesc};
use aegis_host::arena::{Arena, BoundTensor};
use aegis_host::backend::{Engine, Place, PlannedMemory, RuntimeBackend as _};
use aegis_host::onnx::OnnxRuntime;
use aegis_tests::fetched::reference_file;
use perception::audio::{Clip, WINDOW};
use perception::decode::{face, lines, orientation, signs, voice};
use perception::scene::{Picture, Scene};

/// The reference vehicle's models, each loaded into its planned place of one arena.
struct Bench {
    system: &'static SystemDesc,
    engines: Vec<Box<dyn Engine>>,
}

impl Bench {
    fn new() -> Option<Self> {
        let local = local::plan("system.toml")?;
        let system = local.system;
        let arena = Arena::map(system.pools[0].height.0, true).unwrap();
        let runtime = OnnxRuntime::open(&local.file(Kind::Library, "onnxruntime")).unwrap();
        let load = |model: &ModelDesc| {
            let file = local.file(Kind::Model, model.name);
            runtime
                .load(&file, PlannedMemory::of(model, &model.segments[0], true, &Place::of(&arena)).unwrap())
                .unwrap()
        };
        let engines = system.models.iter().map(load).collect();
        Some(Self { system, engines })
    }

    /// Runs a model once and gives its outputs to `look`, by name.
    fn run(&mut self, model: &str, inputs: &[&[f32]]) -> Vec<(String, Vec<f32>)> {
        let position = self.system.models.iter().position(|desc| desc.name == model).unwrap();
        let engine = &mut self.engines[position];
        for (tensor, values) in engine.inputs().iter_mut().zip(inputs) {
            // SAFETY: one thread uses the arena.
            unsafe { tensor.write::<f32>() }.unwrap().copy_from_slice(values);
        }
        engine.run().unwrap();
        assert_eq!(engine.scratch_use().refused, 0, "{model} took memory beyond its plan");
        // SAFETY: as above.
        let read = |tensor: &BoundTensor| (tensor.name.clone(), unsafe { tensor.read::<f32>() }.unwrap().to_vec());
        engine.outputs().iter().map(read).collect()
    }

    fn faces(&mut self, picture: &Picture) -> heapless::Vec<face::FaceBox, 8> {
        let outputs = self.run("face", &[&picture.face]);
        let mut found = heapless::Vec::new();
        let part = |name| by_name(&outputs, name);
        let (fine, coarse) = (part("Identity:0"), part("Identity_1:0"));
        face::faces(fine, coarse, part("Identity_2:0"), part("Identity_3:0"), face::MIN_SCORE, &mut found);
        found
    }

    fn lines(&mut self, picture: &Picture) -> heapless::Vec<lines::Segment, 64> {
        let outputs = self.run("lines", &[&picture.lanes]);
        let mut found = heapless::Vec::new();
        let (offsets, scores) = (by_name(&outputs, "offsets"), by_name(&outputs, "scores"));
        lines::segments(offsets, scores, lines::MIN_SCORE, lines::MIN_LENGTH, &mut found);
        found
    }

    fn orientation(&mut self, picture: &Picture) -> Option<orientation::Orientation> {
        let outputs = self.run("orientation", &[&picture.orientation]);
        orientation::orientation(&outputs[0].1, orientation::MIN_PROBABILITY)
    }

    fn text(&mut self, picture: &Picture) -> (usize, f32) {
        let outputs = self.run("signs", &[&picture.signs]);
        let mut found = heapless::Vec::<signs::TextRegion, 16>::new();
        let share = signs::regions(&outputs[0].1, &mut found).unwrap();
        (found.len(), share)
    }

    /// The probability of speech in each chunk.
    fn voice(&mut self, chunks: usize, fill: impl Fn(usize, &mut [f32])) -> Vec<f32> {
        let (mut state, mut window) = ([0.0; voice::STATE], [0.0; WINDOW]);
        let mut probabilities = Vec::new();
        for chunk in 0..chunks {
            fill(chunk, &mut window);
            let outputs = self.run("voice", &[&window, &state]);
            probabilities.push(voice::probability(by_name(&outputs, "output")).unwrap());
            assert!(voice::carry_state(by_name(&outputs, "stateN"), &mut state));
        }
        probabilities
    }
}

fn by_name<'a>(outputs: &'a [(String, Vec<f32>)], name: &str) -> &'a [f32] {
    &outputs.iter().find(|(given, _)| given == name).unwrap_or_else(|| panic!("no output {name}")).1
}

#[test]
fn each_network_sees_what_is_there_and_nothing_that_is_not() {
    let Some(mut bench) = Bench::new() else { return };
    let asset = |name| reference_file(Kind::Asset, name).unwrap();
    let scene = Scene::load(&asset("person"), &asset("page"), &asset("brick"), &asset("grass")).unwrap();
    let [person, page, brick, grass, turned] = scene.frames() else { panic!("five frames") };
    let [person, page, brick, grass, turned] = [person, page, brick, grass, turned].map(|frame| &frame.picture);

    // One face, where the face is; none on a page, a wall and a lawn.
    let faces = bench.faces(person);
    assert_eq!(faces.len(), 1, "{faces:?}");
    let expected = [(faces[0].left, 0.349), (faces[0].top, 0.161), (faces[0].right, 0.530), (faces[0].bottom, 0.341)];
    assert!(expected.iter().all(|(found, edge)| (found - edge).abs() < 0.02), "{faces:?}");
    for picture in [page, brick, grass] {
        assert!(bench.faces(picture).is_empty());
    }

    // A brick wall is full of lines; the strongest is nearly level. A lawn has none.
    let wall = bench.lines(brick);
    assert!(wall.len() >= 40 && wall[0].score > 0.6 && wall[0].lean_degrees().abs() > 80.0, "{:?}", wall[0]);
    assert!(bench.lines(grass).is_empty());

    // Upright, turned, and nothing to tell it by.
    assert_eq!(bench.orientation(person).map(|found| found.degrees), Some(0));
    assert_eq!(bench.orientation(turned).map(|found| found.degrees), Some(90));
    assert!(bench.orientation(grass).is_none() && bench.orientation(brick).is_none());

    // Seven printed lines on the page; no text elsewhere.
    let (regions, share) = bench.text(page);
    assert!((5..=9).contains(&regions) && (0.12..0.18).contains(&share), "{regions} regions, {share}");
    for picture in [person, brick, grass] {
        assert_eq!(bench.text(picture).0, 0);
    }

    // Speech is voice; silence is not.
    let clip = Clip::read(&asset("speech")).unwrap();
    let spoken = bench.voice(clip.chunks(), |chunk, window| clip.fill_window(chunk, window));
    let sure = spoken.iter().filter(|probability| **probability >= 0.5).count();
    assert!(sure >= 200, "{sure} of {} chunks are voice", spoken.len());
    let silence = bench.voice(clip.chunks(), |_, window| window.fill(0.0));
    assert!(silence.iter().all(|probability| *probability < 0.1), "silence is not voice");
}

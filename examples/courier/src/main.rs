//! The reference vehicle: a delivery robot that looks for people, lines, signs and its own tilt, and listens for voices.
//!
//! The plan comes from `system.toml`; here are only the hooks that feed its models and understand their outputs.

mod hooks;

use aegis_host::Assets;
use hooks::{Face, Lines, Orientation, Signs, Voice};
use perception::{audio::Clip, scene::Scene};
use std::error::Error;
use std::process::ExitCode;
use std::sync::OnceLock;

aegis_host::plan!();

fn main() -> ExitCode {
    plan::vehicle()
        .hooks_from(plan::task::FACE, |assets| Ok(Face::new(camera(assets)?)))
        .hooks_from(plan::task::LINES, |assets| Ok(Lines::new(camera(assets)?)))
        .hooks_from(plan::task::ORIENTATION, |assets| Ok(Orientation::new(camera(assets)?)))
        .hooks_from(plan::task::SIGNS, |assets| Ok(Signs::new(camera(assets)?)))
        .hooks_from(plan::task::VOICE, |assets| Ok(Voice::new(Clip::read(&assets.path(plan::asset::SPEECH)?)?)))
        .run()
}

/// What stands in for the camera, read once.
fn camera(assets: &Assets) -> Result<&'static Scene, Box<dyn Error>> {
    static SCENE: OnceLock<Scene> = OnceLock::new();
    if let Some(scene) = SCENE.get() {
        return Ok(scene);
    }
    let (person, page) = (assets.path(plan::asset::PERSON)?, assets.path(plan::asset::PAGE)?);
    let (brick, grass) = (assets.path(plan::asset::BRICK)?, assets.path(plan::asset::GRASS)?);
    let scene = Scene::load(&person, &page, &brick, &grass)?;
    Ok(SCENE.get_or_init(|| scene))
}

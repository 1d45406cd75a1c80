//! The vehicle finds the face that a C program sends; that one is killed, and another one goes on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use aegis_tests::fetched::{Kind, reference_file, root};
use perception::scene::Picture;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The camera's program, or `None` with a printed reason where there is no compiler.
fn camera(folder: &Path) -> Option<std::path::PathBuf> {
    let program = folder.join("camera");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("camera.c");
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-Wall", "-Wextra", "-Werror", "-I"]).arg(root().join("targets/linux/include"));
    match cc.arg(source).arg("-o").arg(&program).output() {
        Ok(ran) => {
            assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
            Some(program)
        }
        Err(why) => {
            assert!(std::env::var_os("AEGIS_REQUIRE_TOOLS").is_none(), "AEGIS_REQUIRE_TOOLS is set, but: {why}");
            eprintln!("skipped: there is no C compiler: {why}");
            None
        }
    }
}

/// Ends with the test, also where that fails.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// More than any machine takes.
const LONG: Duration = Duration::from_secs(300);

/// The vehicle; what it says goes into files, which never make it wait.
fn feeder(folder: &Path, socket: &Path, arguments: &[&str]) -> Ends {
    let [out, err] = ["out", "err"].map(|name| File::create(folder.join(name)).unwrap());
    let mut vehicle = Command::new(env!("CARGO_BIN_EXE_feeder"));
    Ends(vehicle.args(arguments).env("FEEDER_CAMERA", socket).stdout(out).stderr(err).spawn().unwrap())
}

/// What it said.
fn words(folder: &Path) -> String {
    ["out", "err"].map(|name| std::fs::read_to_string(folder.join(name)).unwrap()).concat()
}

#[test]
fn a_signal_ends_a_vehicle_with_an_input_as_it_ends_any_other() {
    let Some(_) = reference_file(Kind::Asset, "person") else { return };
    let folder = tempfile::tempdir().unwrap();
    let [socket, summary] = ["socket", "summary.json"].map(|name| folder.path().join(name));
    let told = ["--for", "600s", "--allow-void", "--summary", summary.to_str().unwrap()];
    let mut vehicle = feeder(folder.path(), &socket, &told);
    let from = Instant::now();
    // The hook's thread is there with its socket, the earliest moment.
    while !socket.exists() && vehicle.0.try_wait().unwrap().is_none() {
        assert!(from.elapsed() < LONG, "{}", words(folder.path()));
        sleep(Duration::from_millis(1));
    }
    let sent = Command::new("kill").args(["-TERM", &vehicle.0.id().to_string()]).status().unwrap();
    assert!(sent.success());
    while vehicle.0.try_wait().unwrap().is_none() {
        assert!(from.elapsed() < LONG, "{}", words(folder.path()));
        sleep(Duration::from_millis(10));
    }
    let status = vehicle.0.wait().unwrap();
    let words = words(folder.path());
    if status.code() == Some(2) && words.contains("the model's memory requests are not the recorded ones") {
        println!("skipped: the committed profiles are of a processor with other vector units: {words}");
        return;
    }
    assert!(matches!(status.code(), Some(0 | 1)), "{status}: {words}");
    assert!(std::fs::read_to_string(&summary).unwrap().contains("aegis.summary/1"), "{words}");
    assert!(!socket.exists(), "{words}");
}

#[test]
fn a_face_that_another_process_sends_is_found_also_after_that_process_was_killed() {
    let Some(person) = reference_file(Kind::Asset, "person") else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = camera(folder.path()) else { return };
    let picture = folder.path().join("person.rgb");
    // The network's own numbers, -1 to 1, as the bytes that they were.
    let scene = Picture::load(&person).unwrap();
    let bytes: Vec<u8> = scene.face.iter().map(|value| ((value + 1.0) * 127.5).round() as u8).collect();
    std::fs::write(&picture, &bytes).unwrap();

    let socket = folder.path().join("socket");
    let mut vehicle = feeder(folder.path(), &socket, &["--for", "4s", "--allow-void"]);
    let start = || {
        let mut camera = Command::new(&program);
        camera.arg(&socket).arg(&picture).arg("30").stdout(Stdio::null()).stderr(Stdio::null());
        Ends(camera.spawn().unwrap())
    };
    // One after the other until the vehicle ends; each that is there is killed after a while, wherever it is.
    let mut killed = 0;
    let from = Instant::now();
    while vehicle.0.try_wait().unwrap().is_none() {
        assert!(from.elapsed() < LONG, "the vehicle does not end: {}", words(folder.path()));
        let camera = start();
        sleep(Duration::from_millis(700));
        drop(camera);
        killed += 1;
    }
    let status = vehicle.0.wait().unwrap();
    let words = words(folder.path());
    if status.code() == Some(2) && words.contains("the model's memory requests are not the recorded ones") {
        println!("skipped: the committed profiles are of a processor with other vector units: {words}");
        return;
    }
    // Status 1 where the machine was too busy for a deadline meanwhile.
    assert!(matches!(status.code(), Some(0 | 1)), "{status}: {words}");
    let line = words.lines().find(|line| line.starts_with("camera: ")).unwrap_or_else(|| panic!("{words}"));
    println!("{killed} camera processes; {line}");
    assert!(!line.starts_with("camera: 0 frames"), "{words}");
    assert!(words.contains("face from 0."), "{words}");
}

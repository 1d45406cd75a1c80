//! Inputs from another process, which is a C program with `aegis_input.h`: frames are whole whatever becomes of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use aegis_linux::input::{MAGIC, Shared, VERSION};
use std::io::{ErrorKind, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::Duration;

/// As many words as a small picture has.
const WORDS: usize = 4_096;
const BYTES: u32 = 4 * 4_096;

/// The C program, compiled once as C and once as C++; `None` with a printed reason where there is no compiler.
fn producer() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<(tempfile::TempDir, PathBuf)>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let compile = |compiler: &str, language: &[&str], output: &str| {
            let mut command = Command::new(compiler);
            command.args(["-O2", "-Wall", "-Wextra", "-Werror"]).args(language).arg("-I").arg(here.join("include"));
            command.arg(here.join("tests/input/producer.c")).arg("-o").arg(folder.path().join(output)).output()
        };
        for (compiler, language, output) in
            [("cc", &["-std=gnu11"][..], "producer"), ("c++", &["-x", "c++", "-std=gnu++17"], "producer-cpp")]
        {
            match compile(compiler, language, output) {
                Ok(ran) => assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr)),
                Err(why) => {
                    assert!(
                        std::env::var_os("AEGIS_REQUIRE_TOOLS").is_none(),
                        "AEGIS_REQUIRE_TOOLS is set, but: {why}"
                    );
                    eprintln!("skipped: there is no `{compiler}`: {why}");
                    return None;
                }
            }
        }
        let program = folder.path().join("producer");
        Some((folder, program))
    });
    built.as_ref().map(|(_, program)| program.as_path())
}

fn start(program: &Path, socket: &Path, what: &[&str]) -> Child {
    Command::new(program).arg(socket).args(what).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// The value that every word of a frame has, where it is whole.
fn value(frame: &aegis_linux::input::Frame<'_>) -> u32 {
    let mut words = vec![0_u32; WORDS];
    let mut bytes = vec![0_u8; 4 * WORDS];
    assert!(frame.decode(&mut bytes, |byte| byte));
    for (word, bytes) in words.iter_mut().zip(bytes.chunks(4)) {
        *word = u32::from_ne_bytes(bytes.try_into().unwrap());
    }
    assert!(words.iter().all(|word| *word == words[0]), "a frame that is not whole: {:?}…", &words[..8]);
    words[0]
}

/// Waits until the producer before has gone.
fn alone(shared: &Shared) {
    while shared.is_connected() {
        sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_headers_layout_is_the_librarys() {
    let Some(program) = producer() else { return };
    let told = Command::new(program).args(["none", "layout"]).output().unwrap();
    let numbers = String::from_utf8(told.stdout).unwrap();
    assert_eq!(numbers.trim(), format!("{MAGIC} {VERSION} 64 128 192 64"));
    let cpp = Command::new(program.with_file_name("producer-cpp")).args(["none", "layout"]).output().unwrap();
    assert_eq!(String::from_utf8(cpp.stdout).unwrap(), numbers);
}

#[test]
fn frames_of_a_process_that_sends_as_fast_as_it_can_are_whole_and_the_newest() {
    let Some(program) = producer() else { return };
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("camera");
    let mut shared = Shared::listen(&socket, BYTES).unwrap();
    assert!(shared.newest().is_none() && !shared.is_connected());
    let mut sender = start(program, &socket, &["count", "20000"]);
    let (mut last, mut seen) = (0, 0);
    while last < 20_000 {
        // Asked before the look: what an ended process has sent is there.
        let ended = sender.try_wait().unwrap();
        if let Some(frame) = shared.newest() {
            let number = value(&frame);
            assert_eq!(u64::from(number), frame.number());
            assert!(if frame.is_new() { number > last } else { number == last }, "{number} after {last}");
            assert!(frame.age().is_some(), "not from the future");
            seen += u32::from(frame.is_new());
            last = number;
        }
        assert!(ended.is_none_or(|status| status.success()), "{ended:?} after {last}");
        assert!(ended.is_none() || last == 20_000, "it has ended, and the last frame is {last}");
    }
    assert!(sender.wait().unwrap().success());
    println!("{seen} of 20000 frames seen");
    // It has ended: its last frame stays, and grows old.
    let before = shared.newest().unwrap().age().unwrap();
    sleep(Duration::from_millis(20));
    let frame = shared.newest().unwrap();
    assert!(!frame.is_new() && frame.number() == 20_000);
    assert!(frame.age().unwrap().as_ns() >= before.as_ns() + 20_000_000);
    assert_eq!(shared.malformed(), 0);
}

#[test]
fn a_process_that_is_killed_while_it_writes_leaves_whole_frames_and_the_next_one_goes_on() {
    let Some(program) = producer() else { return };
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("camera");
    let mut shared = Shared::listen(&socket, BYTES).unwrap();
    for round in 1..=20_u32 {
        alone(&shared);
        let frames = round % 4;
        let mut sender = start(program, &socket, &["die", &frames.to_string()]);
        let status = loop {
            if let Some(frame) = shared.newest() {
                value(&frame);
            }
            if let Some(status) = sender.try_wait().unwrap() {
                break status;
            }
        };
        assert_eq!(status.signal(), Some(9), "{status}");
        if frames > 0 {
            assert_eq!(value(&shared.newest().unwrap()), frames, "the last one that was published");
        }
    }
    assert_eq!(shared.malformed(), 0, "a process that dies leaves the words as they should be");
}

#[test]
fn a_process_that_writes_over_everything_is_survived_and_so_is_one_that_would_take_the_memory_away() {
    let Some(program) = producer() else { return };
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("camera");
    let mut shared = Shared::listen(&socket, BYTES).unwrap();
    let cut = start(program, &socket, &["cut"]).wait().unwrap();
    assert!(cut.success(), "the system forbids it: {cut}");
    alone(&shared);
    // Holes are not forbidden: they read as zeros, which is a frame with other content, or none.
    let mut punch = start(program, &socket, &["punch", "500"]);
    let mut bytes = vec![0_u8; 4 * WORDS];
    let mut looks = 0_u64;
    while punch.try_wait().unwrap().is_none() {
        if let Some(frame) = shared.newest() {
            assert!(frame.decode(&mut bytes, |byte| byte));
        }
        looks += 1;
    }
    assert_eq!(punch.wait().unwrap().code(), Some(0), "the system lets it punch holes");
    println!("{looks} looks while holes were punched");
    alone(&shared);
    let mut hostile = start(program, &socket, &["spoil", "500"]);
    looks = 0;
    while hostile.try_wait().unwrap().is_none() {
        for _ in 0..1_000 {
            // Whatever it is, it is a frame or none.
            if let Some(frame) = shared.newest() {
                assert!(frame.decode(&mut bytes, |byte| byte));
                let _ = (frame.age(), frame.number());
            }
            looks += 1;
        }
    }
    assert!(hostile.wait().unwrap().success());
    println!("{looks} looks, {} of them at malformed words", shared.malformed());
    alone(&shared);
    // Two looks put right whatever it left; the next process is heard as if nothing had been.
    let _ = (shared.newest().is_some(), shared.newest().is_some());
    let sender = start(program, &socket, &["count", "3"]).wait().unwrap();
    assert!(sender.success(), "{sender}");
    let frame = shared.newest().unwrap();
    assert_eq!((value(&frame), frame.number()), (3, 3));
}

#[test]
fn one_process_at_a_time_has_the_memory_and_one_vehicle_the_socket() {
    let Some(program) = producer() else { return };
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("camera");
    let shared = Shared::listen(&socket, BYTES).unwrap();
    let mut first = start(program, &socket, &["hold"]);
    let mut line = [0; 5];
    first.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    assert!(shared.is_connected());
    let second = Command::new(program).arg(&socket).args(["count", "1"]).output().unwrap();
    assert_eq!(second.status.code(), Some(2));
    assert!(String::from_utf8(second.stderr).unwrap().contains("busy"));
    let taken = Shared::listen(&socket, BYTES).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
    drop(shared);
    assert!(!socket.exists(), "the socket goes with the vehicle");
    drop(first.stdin.take());
    let told = first.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(told.stdout).unwrap(), "closed\n", "the process is told");

    // What a killed vehicle left is replaced; what is no socket is not.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    drop(Shared::listen(&socket, BYTES).unwrap());
    std::fs::write(&socket, "mine").unwrap();
    assert_eq!(Shared::listen(&socket, BYTES).unwrap_err().kind(), ErrorKind::AddrInUse);
    assert_eq!(std::fs::read_to_string(&socket).unwrap(), "mine");
    for bytes in [0, (1 << 28) + 1] {
        let other = folder.path().join("other");
        assert_eq!(Shared::listen(other, bytes).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

//! Outputs go where their name leads: a link stays a link, a stream stays a stream, and a file keeps its permissions.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use aegis_trace::{Output, Place, remove, write_whole};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

fn fifo(folder: &Path) -> PathBuf {
    let path = folder.join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

#[test]
fn a_links_target_is_written_and_keeps_its_permissions() {
    let folder = tempfile::tempdir().unwrap();
    let [target, link, second] = ["target", "link", "second"].map(|name| folder.path().join(name));
    symlink("target", &link).unwrap();
    symlink(&link, &second).unwrap();
    // Of a link that leads nowhere the target is made.
    write_whole(&second, b"one").unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"one");
    fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
    write_whole(&link, b"two").unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"two");
    assert_eq!(target.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(link.is_symlink() && second.is_symlink() && !target.is_symlink());
    remove(&link).unwrap();
    assert!(link.is_symlink() && !target.exists());
    remove(&link).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside");
}

#[test]
fn a_stream_is_written_into_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = fifo(folder.path());
    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    let read = std::thread::spawn({
        let path = path.clone();
        move || fs::read_to_string(path).unwrap()
    });
    write_whole(&link, b"text").unwrap();
    assert_eq!(read.join().unwrap(), "text");
    remove(&link).unwrap();
    assert!(path.symlink_metadata().unwrap().file_type().is_fifo() && link.is_symlink());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    assert!(matches!(Place::of(Path::new("/dev/null")), Ok(Place::Stream(_))));
    assert!(matches!(Place::of(Path::new("/dev/stdout")), Ok(Place::Stream(_))));
}

#[test]
fn what_is_neither_is_refused_and_what_is_not_finished_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let why = |path: &Path| write_whole(path, b"").unwrap_err().to_string();
    assert!(why(folder.path()).contains("is a directory"));
    assert!(why(Path::new("-")).contains("`./-`"));
    let circle = folder.path().join("circle");
    symlink("circle", &circle).unwrap();
    assert!(why(&circle).contains("in a circle"));
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert!(why(&socket).contains("neither a file nor a stream"));
    let path = folder.path().join("file");
    fs::write(&path, "before").unwrap();
    let mut output = Output::open(&path).unwrap();
    output.write_all(b"half").unwrap();
    drop(output);
    assert_eq!(fs::read(&path).unwrap(), b"before");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

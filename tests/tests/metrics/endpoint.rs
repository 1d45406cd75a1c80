//! The endpoint and the file, with clients that mean well and others.

use super::{common::fixture, running, text};
use aegis_core::Duration;
use aegis_linux::metrics::{Export, ExportError, Format, Last, Options};
use aegis_linux::summary::TraceSummary;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Instant;

/// What a test waits for at most; far more than it takes.
const LONG: std::time::Duration = std::time::Duration::from_secs(60);

fn started(options: &Options) -> Export {
    let snapshot = running();
    let export = Export::open(snapshot.observed.system(), options).unwrap().unwrap();
    export.board().put(snapshot);
    export.start().unwrap();
    export
}

fn listening() -> (Export, SocketAddr) {
    let export = started(&Options { listen: Some("127.0.0.1:0".parse().unwrap()), ..Options::default() });
    let address = export.address().unwrap();
    (export, address)
}

fn connected(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// All that comes back for some bytes.
fn asked(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = connected(address);
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_client_gets_the_format_that_it_asks_for() {
    let (_export, address) = listening();
    for (accept, format) in
        [("*/*", Format::Prometheus), ("application/openmetrics-text;version=1.0.0", Format::OpenMetrics)]
    {
        let answer = asked(address, format!("GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n").as_bytes());
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let expected = text(&running(), format);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nContent-Type: {}\r\n", format.media_type())), "{head}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", expected.len())), "{head}");
        assert_eq!(body, expected);
    }
    let answer = asked(address, b"HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn hostile_clients_are_refused_and_others_are_still_answered() {
    let (export, address) = listening();
    // One that says nothing, one that goes at once, one that never reads what it asked for.
    let silent = connected(address);
    drop(connected(address));
    let mut deaf = connected(address);
    deaf.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    deaf.shutdown(Shutdown::Read).unwrap();
    for (request, status) in [
        (&b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03"[..], "400"),
        (b"GET / HTTP/1.1\r\n\r\n", "404"),
        (b"DELETE /metrics HTTP/1.1\r\n\r\n", "405"),
        (&[b'a'; 40_000], "431"),
        (&[b"GET /metrics HTTP/1.1\r\nA: ", &[b'a'; 40_000][..]].concat(), "431"),
        (&[&b"GET /metrics HTTP/1.1\r\n"[..], &b"a: b\r\n".repeat(100)].concat(), "431"),
        // Its end does not come.
        (b"GET /metrics HTTP/1.1\r\n", "408"),
        (b"GET /metrics HTTP/1.1\r\n\r\n", "200"),
    ] {
        let from = Instant::now();
        let mut answer = asked(address, request);
        // A machine that stops this thread for a second between connection and request makes it a slow client.
        while status != "408" && answer.starts_with("HTTP/1.1 408 ") && from.elapsed() < LONG {
            answer = asked(address, request);
        }
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer:.200}");
    }
    let mut told = String::new();
    (&silent).read_to_string(&mut told).unwrap();
    assert!(told.starts_with("HTTP/1.1 408 "), "{told}");
    // One that holds its connection does not keep the thread from its end.
    let _held = connected(address);
    let from = Instant::now();
    drop(export);
    assert!(from.elapsed() < LONG);
    assert!(TcpStream::connect(address).is_err(), "the endpoint is gone");
}

#[test]
fn an_address_that_is_taken_is_refused_by_its_name() {
    let (_export, address) = listening();
    let again = Options { listen: Some(address), ..Options::default() };
    let refused = Export::open(fixture::system(&[(10, 2)]), &again).unwrap_err();
    assert!(matches!(refused, ExportError::Listen { .. }) && refused.to_string().contains(&address.to_string()));
    assert!(Export::open(fixture::system(&[(10, 2)]), &Options::default()).unwrap().is_none());
}

/// Waits until a file says something.
fn says(path: &Path, what: &str) {
    let from = Instant::now();
    while !std::fs::read_to_string(path).is_ok_and(|text| text.contains(what)) {
        assert!(from.elapsed() < LONG, "{} does not say {what}", path.display());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn the_file_is_written_again_and_again_and_whole_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("aegis.prom");
    let every = Some(Duration::from_ns(40_000_000));
    let export = started(&Options { file: Some(path.clone()), every, ..Options::default() });
    says(&path, "\naegis_trace_records_total 24\n");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text(&running(), Format::Prometheus));
    // Whoever removes it, or keeps it from being written for a while, does not end it.
    let from = Instant::now();
    while std::fs::create_dir(&path).is_err() {
        // It may have been written again meanwhile.
        let _ = std::fs::remove_file(&path);
        assert!(from.elapsed() < LONG, "it cannot be kept away");
    }
    std::thread::sleep(std::time::Duration::from_millis(200));
    std::fs::remove_dir(&path).unwrap();
    says(&path, "\naegis_vehicle_running 1\n");
    let last = Last { trace: TraceSummary { records: 30, lost: 6, unwritten: 0, error: None }, memory: Vec::new() };
    export.finish(running().counts, last).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        text.contains("\naegis_vehicle_running 0\n") && text.contains("\naegis_trace_records_total 30\n"),
        "{text}"
    );
    // Nothing of a file that was half written is left.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn an_export_that_ends_without_its_last_figures_says_that_nothing_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("aegis.prom");
    let options = Options { file: Some(path.clone()), ..Options::default() };
    let export = started(&options);
    says(&path, "\naegis_vehicle_running 1\n");
    drop(export);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("\naegis_vehicle_running 0\n"), "{text}");
    assert!(text.contains("\naegis_trace_records_total 24\n"), "what was seen stays: {text}");
    // One that never began leaves what is there.
    std::fs::write(&path, "older").unwrap();
    drop(Export::open(fixture::system(&[(10, 2)]), &options).unwrap());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "older");
}

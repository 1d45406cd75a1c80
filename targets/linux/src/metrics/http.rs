//! The least of HTTP that a reader of metrics needs: one request a connection, `GET` or `HEAD` of `/metrics`.
//!
//! An answer has [`LIMIT`] in all, a request's head [`HEAD_LIMIT`] and [`LONGEST_HEAD`]; no body is read. Whoever sends more, or
//! slower, is told so and let go.

use super::accept;
use super::encode::Format;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// How long a connection may take at most until it is answered.
pub(super) const LIMIT: Duration = Duration::from_secs(2);
/// How long a request's head may take of that.
const HEAD_LIMIT: Duration = Duration::from_secs(1);
/// The longest head of a request, in bytes.
pub(super) const LONGEST_HEAD: usize = 8_192;
/// The most header lines of a request.
const MOST_HEADERS: usize = 64;
/// How long, and how much of it, what a client still sends is read after its answer, so that the answer is not lost.
const LINGER: (Duration, usize) = (Duration::from_millis(500), 1 << 16);

/// What a request comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reply {
    /// The metrics, or only what would come before them.
    Metrics {
        /// As what.
        format: Format,
        /// Whether they follow.
        with_body: bool,
    },
    /// Something else, and why.
    Refusal {
        /// The status with its name.
        status: &'static str,
        /// What would be right.
        words: &'static str,
    },
}

const MALFORMED: Reply = refusal("400 Bad Request", "this is not an HTTP/1 request");
const TOO_LONG: Reply =
    refusal("431 Request Header Fields Too Large", "a request may have 64 header lines and 8192 bytes");
const TOO_SLOW: Reply = refusal("408 Request Timeout", "a request has to come within 1 s");
const NOT_FOUND: Reply = refusal("404 Not Found", "the metrics are at /metrics");
const NOT_ALLOWED: Reply =
    refusal("405 Method Not Allowed", "the metrics can be read with GET, and nothing else be done");

const fn refusal(status: &'static str, words: &'static str) -> Reply {
    Reply::Refusal { status, words }
}

/// The reply to a request whose first bytes these are; `None` where its head has not ended.
pub(super) fn reply(head: &[u8]) -> Option<Reply> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) if head.len() < LONGEST_HEAD => return None,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => return Some(TOO_LONG),
        Err(_) => return Some(MALFORMED),
    }
    let path = request.path.unwrap_or("").split('?').next();
    let accepts = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("accept"));
    let format = accept::format(accepts.filter_map(|header| std::str::from_utf8(header.value).ok()));
    Some(match (request.method, path) {
        (_, path) if path != Some("/metrics") => NOT_FOUND,
        (Some("GET"), _) => Reply::Metrics { format, with_body: true },
        (Some("HEAD"), _) => Reply::Metrics { format, with_body: false },
        _ => NOT_ALLOWED,
    })
}

/// The bytes of a reply; `text` makes the metrics.
fn bytes(reply: Reply, text: impl FnOnce(Format) -> String) -> String {
    let (status, media, body, with_body) = match reply {
        Reply::Metrics { format, with_body } => ("200 OK", format.media_type(), text(format), with_body),
        Reply::Refusal { status, words } => (status, "text/plain; charset=utf-8", format!("{words}\n"), true),
    };
    let allow = if reply == NOT_ALLOWED { "Allow: GET, HEAD\r\n" } else { "" };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {media}\r\nContent-Length: {length}\r\nVary: Accept\r\nCache-Control: no-store\r\n{allow}\
         Connection: close\r\n\r\n"
    );
    if with_body { head + &body } else { head }
}

/// Answers the one request of a connection.
///
/// # Errors
/// The client went away, or did not take its answer in time.
pub(super) fn serve(mut stream: TcpStream, text: impl FnOnce(Format) -> String) -> io::Result<()> {
    let after = |limit| Instant::now().checked_add(limit).ok_or(io::ErrorKind::TimedOut);
    let until = after(LIMIT)?;
    let reply = read(&mut stream, after(HEAD_LIMIT)?)?;
    let bytes = bytes(reply, text);
    let mut rest = bytes.as_bytes();
    while !rest.is_empty() {
        stream.set_write_timeout(Some(left(until)?))?;
        let written = match stream.write(rest) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            written => written?,
        };
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        rest = rest.get(written..).unwrap_or_default();
    }
    stream.shutdown(Shutdown::Write)?;
    linger(&mut stream)
}

/// What is left until a moment; never zero, which would be no limit.
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// Reads until the head has ended, or cannot become one.
fn read(stream: &mut TcpStream, until: Instant) -> io::Result<Reply> {
    let mut head = [0_u8; LONGEST_HEAD];
    let mut length = 0_usize;
    loop {
        let Some(room) = head.get_mut(length..).filter(|room| !room.is_empty()) else { return Ok(TOO_LONG) };
        let Ok(left) = left(until) else { return Ok(TOO_SLOW) };
        stream.set_read_timeout(Some(left))?;
        match stream.read(room) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => length = length.saturating_add(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Ok(TOO_SLOW);
            }
            Err(error) => return Err(error),
        }
        if let Some(reply) = reply(head.get(..length).unwrap_or_default()) {
            return Ok(reply);
        }
    }
}

/// Takes a little of what a client still sends: closing before would take the answer from it.
fn linger(stream: &mut TcpStream) -> io::Result<()> {
    let (time, most) = LINGER;
    let until = Instant::now().checked_add(time).ok_or(io::ErrorKind::TimedOut)?;
    let (mut ignored, mut count) = ([0_u8; 4_096], 0_usize);
    while count < most {
        let Ok(left) = left(until) else { break };
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut ignored) {
            Ok(0) | Err(_) => break,
            Ok(more) => count = count.saturating_add(more),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_HEAD, MALFORMED, NOT_ALLOWED, NOT_FOUND, Reply, TOO_LONG, bytes, reply};
    use crate::metrics::Format;
    use proptest::prelude::{any, proptest};

    fn metrics(format: Format) -> Option<Reply> {
        Some(Reply::Metrics { format, with_body: true })
    }

    #[test]
    fn the_metrics_are_at_one_place_and_can_only_be_read() {
        assert_eq!(reply(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"), metrics(Format::Prometheus));
        assert_eq!(reply(b"GET /metrics?a=b HTTP/1.0\r\n\r\n"), metrics(Format::Prometheus));
        let open = b"GET /metrics HTTP/1.1\r\naccept: application/openmetrics-text\r\n\r\n";
        assert_eq!(reply(open), metrics(Format::OpenMetrics));
        let head = Reply::Metrics { format: Format::Prometheus, with_body: false };
        assert_eq!(reply(b"HEAD /metrics HTTP/1.1\r\n\r\n"), Some(head));
        for elsewhere in ["/", "/metrics/", "//metrics", "/../metrics", "*", "http://a/metrics"] {
            assert_eq!(reply(format!("GET {elsewhere} HTTP/1.1\r\n\r\n").as_bytes()), Some(NOT_FOUND), "{elsewhere}");
        }
        assert_eq!(reply(b"POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"), Some(NOT_ALLOWED));
        let answer = bytes(NOT_ALLOWED, |_| String::new());
        assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("\r\nAllow: GET, HEAD\r\n"), "{answer}");
        let answer = bytes(head, |_| "body".to_owned());
        assert!(answer.contains("\r\nContent-Length: 4\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    }

    #[test]
    fn what_is_no_request_or_too_long_is_refused_as_soon_as_that_is_known() {
        assert_eq!(reply(b""), None);
        assert_eq!(reply(b"GET /metrics HTTP/1.1\r\nHost:"), None);
        for bad in [&b"\x16\x03\x01\x02\x00"[..], b"GET\0/metrics HTTP/1.1\r\n\r\n", b"GET /metrics HTTP/2.0\r\n\r\n"] {
            assert_eq!(reply(bad), Some(MALFORMED), "{bad:?}");
        }
        let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65));
        assert_eq!(reply(many.as_bytes()), Some(TOO_LONG));
        let mut long = b"GET /metrics HTTP/1.1\r\nA: ".to_vec();
        long.resize(LONGEST_HEAD, b'a');
        assert_eq!(reply(&long), Some(TOO_LONG));
        long.pop();
        assert_eq!(reply(&long), None);
    }

    proptest! {
        #[test]
        fn whatever_comes_has_a_reply_or_waits_for_more(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let replied = reply(&bytes);
            // What has no end of a line at all is no whole request, and so nothing that metrics are given for.
            if !bytes.contains(&b'\n') {
                assert!(!matches!(replied, Some(Reply::Metrics { .. })), "{bytes:?}");
            }
        }
    }
}

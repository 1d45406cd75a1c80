//! The service manager's notification socket: systemd's `sd_notify` protocol.
//!
//! One datagram a message, to the socket that `NOTIFY_SOCKET` names: a path, or after `@` a name in the abstract namespace.
//! `WATCHDOG_USEC` says how often the manager wants to hear `WATCHDOG=1`, `WATCHDOG_PID` of which process.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// A connection to the service manager.
#[derive(Debug)]
pub struct Service {
    socket: UnixDatagram,
    watchdog: Option<Duration>,
}

impl Service {
    /// The service manager that started this process; `None` where none did.
    ///
    /// # Errors
    /// `NOTIFY_SOCKET` names no socket that takes messages.
    pub fn from_environment() -> io::Result<Option<Self>> {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return Ok(None) };
        let text = |key| std::env::var(key).ok();
        let watchdog = expected(text("WATCHDOG_USEC").as_deref(), text("WATCHDOG_PID").as_deref());
        Self::connect(&name, watchdog).map(Some)
    }

    /// Connects to a socket, by its path or after `@` its abstract name.
    ///
    /// # Errors
    /// There is no such socket.
    pub fn connect(name: &OsStr, watchdog: Option<Duration>) -> io::Result<Self> {
        let address = match name.as_bytes().split_first() {
            Some((b'@', rest)) => SocketAddr::from_abstract_name(rest)?,
            Some((b'/', _)) => SocketAddr::from_pathname(name)?,
            _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is neither a path nor an abstract name")),
        };
        let socket = UnixDatagram::unbound()?;
        // A manager that does not read must not make the vehicle wait.
        socket.set_nonblocking(true)?;
        socket.connect_addr(&address)?;
        Ok(Self { socket, watchdog })
    }

    /// Within which time the manager wants to be told that the vehicle is healthy; `None` where it does not.
    #[must_use]
    pub const fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// The vehicle is about to release its first job.
    ///
    /// # Errors
    /// The system's, as for all messages.
    pub fn ready(&self) -> io::Result<()> {
        self.send("READY=1")
    }

    /// The vehicle is healthy; no message where nobody asked.
    ///
    /// # Errors
    /// The system's.
    pub fn pet(&self) -> io::Result<()> {
        if self.watchdog.is_some() { self.send("WATCHDOG=1") } else { Ok(()) }
    }

    /// The vehicle releases no further job.
    ///
    /// # Errors
    /// The system's.
    pub fn stopping(&self) -> io::Result<()> {
        self.send("STOPPING=1")
    }

    fn send(&self, message: &str) -> io::Result<()> {
        self.socket.send(message.as_bytes()).map(|_| ())
    }
}

/// What the environment says of the watchdog, if it means this process.
fn expected(microseconds: Option<&str>, process: Option<&str>) -> Option<Duration> {
    let own = process.is_none_or(|process| process.parse() == Ok(std::process::id()));
    let microseconds: u64 = microseconds.filter(|_| own)?.parse().ok()?;
    (microseconds > 0).then(|| Duration::from_micros(microseconds))
}

#[cfg(test)]
mod tests {
    use super::{Service, expected};
    use std::ffi::OsStr;
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use std::time::Duration;

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn messages_reach_a_socket_by_its_path_and_by_its_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("aegis-test-{}", std::process::id());
        let by_path = UnixDatagram::bind(&path).unwrap();
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let limit = Some(Duration::from_secs(1));
        for (socket, address) in [(by_path, path.into_os_string()), (by_name, format!("@{name}").into())] {
            let service = Service::connect(&address, limit).unwrap();
            service.ready().unwrap();
            service.pet().unwrap();
            service.stopping().unwrap();
            assert_eq!([(); 3].map(|()| heard(&socket)), ["READY=1", "WATCHDOG=1", "STOPPING=1"]);
            let unasked = Service::connect(&address, None).unwrap();
            unasked.pet().unwrap();
            unasked.ready().unwrap();
            assert_eq!(heard(&socket), "READY=1");
        }
        for nowhere in ["", "notify", "/nowhere/notify", "@aegis-test-nobody"] {
            assert!(Service::connect(OsStr::new(nowhere), None).is_err(), "{nowhere}");
        }
    }

    #[test]
    fn the_watchdog_of_another_process_is_not_ours() {
        let own = std::process::id().to_string();
        assert_eq!(expected(Some("500000"), None), Some(Duration::from_millis(500)));
        assert_eq!(expected(Some("500000"), Some(&own)), Some(Duration::from_millis(500)));
        for (microseconds, process) in [(Some("500000"), Some("1")), (None, None), (Some("0"), None), (Some("x"), None)]
        {
            assert_eq!(expected(microseconds, process), None);
        }
    }
}

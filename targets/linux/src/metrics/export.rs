//! The thread that writes the file and answers at the endpoint.

use super::encode::Format;
use super::{Board, Counts, Last, Snapshot, http, text};
use crate::bell::Bell;
use crate::realtime::{keep_off, taken_cores};
use crate::summary::{TraceSummary, write_file};
use aegis_core::Duration;
use aegis_core::desc::{SystemDesc, Waiting};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

/// The thread's stack in bytes, all of which is locked into memory with the process.
const STACK: usize = 256 * 1_024;

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// The file that is written again and again.
    pub file: Option<PathBuf>,
    /// How often; `None`: [`Options::EVERY`].
    pub every: Option<Duration>,
    /// The address of the endpoint.
    pub listen: Option<SocketAddr>,
}

impl Options {
    /// How often the file is written where nobody says.
    pub const EVERY: Duration = Duration::from_ns(1_000_000_000);
    /// How often it is written at most: as often as there is a new snapshot.
    pub const SHORTEST: Duration = Duration::from_ns(100_000_000);
}

/// Why nothing is exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The endpoint's address cannot be had.
    #[error("no metrics at {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// There is nothing to end the thread with.
    #[error("no metrics: {0}")]
    Bell(io::Error),
}

/// What exports the metrics of one run. Its thread ends when it is dropped.
#[derive(Debug)]
pub struct Export {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What it shares with its thread.
#[derive(Debug)]
struct Shared {
    system: &'static SystemDesc,
    board: Arc<Board>,
    file: Option<(PathBuf, Duration)>,
    listener: Option<TcpListener>,
    /// Ends the thread.
    over: Bell,
}

impl Export {
    /// What was asked for, with the endpoint's address taken and the file not written; `None` where nothing was.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn open(system: &'static SystemDesc, options: &Options) -> Result<Option<Self>, ExportError> {
        let Options { file, every, listen } = options.clone();
        if file.is_none() && listen.is_none() {
            return Ok(None);
        }
        let listener = listen.map(|address| {
            // A client that has gone again must not be waited for.
            let listener = TcpListener::bind(address).and_then(|own| own.set_nonblocking(true).map(|()| own));
            listener.map_err(|error| ExportError::Listen { address, error })
        });
        let over = Bell::new(Waiting::Blocking).map_err(ExportError::Bell)?;
        let file = file.map(|path| (path, every.unwrap_or(Options::EVERY).max(Options::SHORTEST)));
        let shared = Shared { system, board: Board::new(system), file, listener: listener.transpose()?, over };
        Ok(Some(Self { shared: Arc::new(shared), thread: Mutex::new(None) }))
    }

    /// Where snapshots are put.
    #[must_use]
    pub fn board(&self) -> Arc<Board> {
        Arc::clone(&self.shared.board)
    }

    /// Where the endpoint is, with the port that it got where the user left that to the system.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.shared.listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Starts to write and to answer, on an ordinary thread that keeps off the cores of the vehicle's own, unless the process may
    /// use no other.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(&self) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = Builder::new().name("metrics".to_owned()).stack_size(STACK).spawn(move || shared.run())?;
        // One that ran already ends with this one.
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    /// Ends the thread and writes the file a last time, with what the run came to.
    ///
    /// # Errors
    /// The file's path, and what the system said.
    pub fn finish(self, counts: Counts, last: Last) -> Result<(), (PathBuf, io::Error)> {
        self.stop();
        let Some((path, _)) = &self.shared.file else { return Ok(()) };
        let observed = self.shared.board.newest().observed.clone();
        let snapshot = Snapshot { observed, counts, last: Some(last) };
        write_file(path, &text(&snapshot, Format::Prometheus)).map_err(|error| (path.clone(), error))
    }

    /// Ends the thread; whether there was one.
    fn stop(&self) -> bool {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return false };
        self.shared.over.ring();
        if thread.join().is_err() {
            log::error!("the metrics thread panicked");
        }
        true
    }
}

impl Drop for Export {
    /// A run that ended otherwise runs no more either, and its file says so, with what was seen until then.
    fn drop(&mut self) {
        let was_running = self.stop();
        let Some((path, _)) = self.shared.file.as_ref().filter(|_| was_running) else { return };
        let newest = self.shared.board.newest();
        let (records, lost) = newest.observed.records();
        let trace = TraceSummary { records, lost, unwritten: 0, error: None };
        let snapshot = Snapshot { last: Some(Last { trace, memory: Vec::new() }), ..(*newest).clone() };
        if let Err(error) = write_file(path, &text(&snapshot, Format::Prometheus)) {
            log::error!("the metrics at {} cannot be written: {error}", path.display());
        }
    }
}

impl Shared {
    fn run(&self) {
        if let Err(error) = keep_off(taken_cores(self.system)) {
            log::warn!("the metrics thread runs on any core: {error}");
        }
        let mut due = Instant::now();
        let mut failed = false;
        loop {
            let now = Instant::now();
            if let Some((path, every)) = self.file.as_ref().filter(|_| now >= due) {
                let written = write_file(path, &text(&self.board.newest(), Format::Prometheus));
                if let Err(error) = &written
                    && !failed
                {
                    log::error!("the metrics at {} cannot be written, which is tried again: {error}", path.display());
                }
                failed = written.is_err();
                due = now.checked_add(std::time::Duration::from_nanos(every.as_ns())).unwrap_or(now);
            }
            match self.wait(due) {
                Ok(Woken::Over) => break,
                Ok(Woken::Client) => self.answer(),
                Ok(Woken::Due) => {}
                Err(error) => {
                    log::error!("the metrics end, since the system does not wait: {error}");
                    break;
                }
            }
        }
    }

    fn wait(&self, due: Instant) -> io::Result<Woken> {
        let left = due.saturating_duration_since(Instant::now());
        // Rounded up by the kernel, so that it is due then.
        let left = Timespec::try_from(left).ok().filter(|_| self.file.is_some());
        let mut events = vec![PollFd::new(&self.over, PollFlags::IN)];
        events.extend(self.listener.as_ref().map(|listener| PollFd::new(listener, PollFlags::IN)));
        match poll(&mut events, left.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut rung = events.iter().map(|event| !event.revents().is_empty());
        let (over, client) = (rung.next().unwrap_or(false), rung.next().unwrap_or(false));
        Ok(if over {
            Woken::Over
        } else if client {
            Woken::Client
        } else {
            Woken::Due
        })
    }

    fn answer(&self) {
        let Some(listener) = &self.listener else { return };
        let served = listener.accept().and_then(|(stream, _)| {
            stream.set_nonblocking(false)?;
            http::serve(stream, |format| text(&self.board.newest(), format))
        });
        match served {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // The client's own affair: nothing that it does may fill a log.
            Err(error) => {
                log::debug!("a reader of metrics: {error}");
                // Without a free descriptor the connection stays, and polling would not wait.
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            Ok(()) => {}
        }
    }
}

/// Why the thread woke.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Woken {
    /// The run is over.
    Over,
    /// A client has connected.
    Client,
    /// It is time to write, or nothing has happened.
    Due,
}

//! Hands the memory of an input to the process that asks for it at a socket, one at a time.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::{Errno, pwrite};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, sendmsg, shutdown};
use std::io::{self, IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Says that the memory comes with this byte.
const GIVEN: u8 = b'G';
/// Says that another process has it.
const BUSY: u8 = b'B';

/// The thread's stack in bytes, all of which is locked into memory with the process.
const STACK: usize = 256 * 1_024;
/// How long after a connection that could not be taken the next one is.
const PAUSE: Duration = Duration::from_millis(100);

/// The thread at the socket.
#[derive(Debug)]
pub(super) struct Serving {
    path: PathBuf,
    listener: Arc<UnixListener>,
    connected: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// Waits at a socket from now on, for processes that are given the memory, with this head.
    pub(super) fn start(path: &Path, memory: OwnedFd, head: [u32; 4]) -> io::Result<Self> {
        let listener = Arc::new(bound(path)?);
        let connected = Arc::new(AtomicBool::new(false));
        let (own, told) = (Arc::clone(&listener), Arc::clone(&connected));
        let thread = std::thread::Builder::new().name("aegis-input".to_owned()).stack_size(STACK).spawn(move || {
            // Without a socket nobody connects any more, and what was sent stays.
            if let Err(error) = serve(&own, (&memory, head), &told) {
                log::warn!("an input's socket is closed: {error}");
            }
            told.store(false, Ordering::Release);
        })?;
        Ok(Self { path: path.to_owned(), listener, connected, thread: Some(thread) })
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // The first of these ends the thread; the rest only tidies.
        if shutdown(&self.listener, Shutdown::Both).is_ok() {
            let _ = self.thread.take().map(JoinHandle::join);
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A socket at this path; what an ended vehicle left there is replaced.
fn bound(path: &Path) -> io::Result<UnixListener> {
    let is_left = path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket());
    if is_left && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
        std::fs::remove_file(path)?;
    }
    UnixListener::bind(path)
}

fn serve(listener: &UnixListener, memory: (&OwnedFd, [u32; 4]), connected: &AtomicBool) -> io::Result<()> {
    let mut current: Option<UnixStream> = None;
    let mut failed = false;
    loop {
        let (asks, ends) = wait(listener, current.as_ref())?;
        // Who has the memory says nothing more: whatever comes is its end, or is read and forgotten.
        if ends && current.as_mut().is_some_and(has_ended) {
            current = None;
            connected.store(false, Ordering::Release);
        }
        if !asks {
            continue;
        }
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // Shut down: the vehicle ends.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(()),
            // Its client may have gone again, or descriptors may be short, which does not last.
            Err(error) => {
                if !failed {
                    log::warn!("an input's socket does not answer, which is tried again: {error}");
                }
                failed = true;
                std::thread::sleep(PAUSE);
                continue;
            }
        };
        failed = false;
        if current.is_some() {
            // Who does not read the answer does not get one.
            let _ = stream.set_nonblocking(true).and_then(|()| stream.write_all(&[BUSY]));
        } else if stream.set_nonblocking(true).and_then(|()| give(&stream, memory)).is_ok() {
            current = Some(stream);
            connected.store(true, Ordering::Release);
        }
    }
}

/// Whether a process that has something to say, or ended, has ended.
fn has_ended(stream: &mut UnixStream) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(count) => count == 0,
        Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
    }
}

/// Whether somebody connects, and whether the present process has something to say or ended.
fn wait(listener: &UnixListener, current: Option<&UnixStream>) -> io::Result<(bool, bool)> {
    let mut all = vec![PollFd::new(listener, PollFlags::IN)];
    all.extend(current.map(|stream| PollFd::new(stream, PollFlags::IN)));
    match poll(&mut all, None) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut ready = all.iter().map(|one| !one.revents().is_empty());
    Ok((ready.next() == Some(true), ready.next() == Some(true)))
}

/// Hands over the memory; its head is written anew, since whoever had it before may have spoilt it.
fn give(stream: &UnixStream, (memory, head): (&OwnedFd, [u32; 4])) -> io::Result<()> {
    let head: Vec<u8> = head.into_iter().flat_map(u32::to_ne_bytes).collect();
    if pwrite(memory, &head, 0)? != head.len() {
        return Err(io::ErrorKind::WriteZero.into());
    }
    let handed = [memory.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !beside.push(SendAncillaryMessage::ScmRights(&handed)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    sendmsg(stream, &[IoSlice::new(&[GIVEN])], &mut beside, SendFlags::NOSIGNAL)?;
    Ok(())
}

//! Ctrl-C and `SIGTERM` as a readable event of the main thread instead of an interruption.
// `signalfd` and the signal mask have no safe wrapper in rustix.
#![allow(unsafe_code)]

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{FromRawFd, OwnedFd};
use std::io;
use std::time::Duration;

/// `SIGINT` and `SIGTERM`, blocked in every thread that is started after this and read here.
#[derive(Debug)]
pub struct Signals {
    descriptor: OwnedFd,
}

impl Signals {
    /// Blocks both signals in the calling thread, whose children inherit that, and opens the event.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub fn block() -> io::Result<Self> {
        // SAFETY: a `sigset_t` is plain data that `sigemptyset` fills before anything reads it; each pointer lives
        // through its call; `signalfd` returns a new descriptor or −1.
        let descriptor = unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, libc::SIGINT);
            libc::sigaddset(&raw mut set, libc::SIGTERM);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
            libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is open and nobody else owns it.
        Ok(Self { descriptor: unsafe { OwnedFd::from_raw_fd(descriptor) } })
    }

    /// Waits at most `timeout` and tells whether a signal came.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> bool {
        let limit = crate::clock::timespec(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
        let mut events = [PollFd::new(&self.descriptor, PollFlags::IN)];
        if !matches!(poll(&mut events, Some(&limit)), Ok(1..)) {
            return false;
        }
        let mut information = [0_u8; 128];
        rustix::io::read(&self.descriptor, &mut information).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Signals;
    use std::time::Duration;

    #[test]
    fn a_signal_is_read_once() {
        std::thread::spawn(|| {
            let signals = Signals::block().unwrap();
            assert!(!signals.wait(Duration::ZERO));
            // SAFETY: signals this thread, which blocks SIGTERM.
            unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGTERM) };
            assert!(signals.wait(Duration::from_secs(1)));
            assert!(!signals.wait(Duration::ZERO));
        })
        .join()
        .unwrap();
    }
}

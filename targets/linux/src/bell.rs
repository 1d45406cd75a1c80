//! A bell: any thread rings it, one thread waits for it beside other events (an `eventfd`).

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::io;

/// An `eventfd` used as a bell. Ringing it twice before it is heard counts once.
#[derive(Debug)]
pub struct Bell {
    descriptor: OwnedFd,
}

impl Bell {
    /// A silent bell.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        let descriptor = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { descriptor })
    }

    /// Wakes the waiting thread. No heap; one system call.
    pub fn ring(&self) {
        // The only possible refusal is a full counter, and a full counter wakes the waiter as well.
        let _ = rustix::io::write(&self.descriptor, &1_u64.to_ne_bytes());
    }

    /// Silences the bell and tells whether it had been rung.
    pub fn hear(&self) -> bool {
        let mut count = [0_u8; 8];
        rustix::io::read(&self.descriptor, &mut count).is_ok()
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::Bell;

    #[test]
    fn two_rings_are_heard_once() {
        let bell = Bell::new().unwrap();
        assert!(!bell.hear());
        bell.ring();
        bell.ring();
        assert!(bell.hear());
        assert!(!bell.hear());
    }
}

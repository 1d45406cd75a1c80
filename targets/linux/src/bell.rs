//! A bell: any thread rings it, one thread waits for it beside other events (an `eventfd`), or looks at it again and again (a flag).

use aegis_core::desc::Waiting;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// A bell. Ringing it twice before it is heard counts once.
#[derive(Debug)]
pub struct Bell {
    /// Of one that its thread blocks on.
    descriptor: OwnedFd,
    waiting: Waiting,
    /// Of one that its thread looks at.
    rung: AtomicBool,
}

impl Bell {
    /// A silent bell.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub fn new(waiting: Waiting) -> io::Result<Self> {
        let descriptor = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { descriptor, waiting, rung: AtomicBool::new(false) })
    }

    /// How its thread waits for it.
    #[must_use]
    pub const fn waiting(&self) -> Waiting {
        self.waiting
    }

    /// Wakes the waiting thread. No heap; one system call, or none where that thread looks.
    pub fn ring(&self) {
        match self.waiting {
            // With all that was done before, also by who rang before and was not heard yet: a swap goes on with what theirs published.
            Waiting::Polling => {
                self.rung.swap(true, Ordering::Release);
            }
            Waiting::Blocking => {
                // The only possible refusal is a full counter, and a full counter wakes the waiter as well.
                let _ = rustix::io::write(&self.descriptor, &1_u64.to_ne_bytes());
            }
        }
    }

    /// Whether it was rung and not heard yet; only of one that its thread looks at.
    #[must_use]
    pub(crate) fn is_rung(&self) -> bool {
        self.rung.load(Ordering::Acquire)
    }

    /// Silences the bell and tells whether it had been rung.
    pub fn hear(&self) -> bool {
        match self.waiting {
            Waiting::Polling => self.rung.swap(false, Ordering::Acquire),
            Waiting::Blocking => {
                let mut count = [0_u8; 8];
                rustix::io::read(&self.descriptor, &mut count).is_ok()
            }
        }
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
    use aegis_core::desc::Waiting;

    #[test]
    fn two_rings_are_heard_once() {
        for waiting in Waiting::ALL {
            let bell = Bell::new(waiting).unwrap();
            assert!(!bell.hear());
            bell.ring();
            bell.ring();
            assert!(bell.hear());
            assert!(!bell.hear());
        }
    }
}

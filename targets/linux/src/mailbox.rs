//! A one-slot mailbox between two threads; a full slot is refused, never waited for.
//!
//! `std`'s mutex and condition variable are futexes on Linux: neither allocates, and the lock is held only for
//! the copy of one small value.

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError, spin_loop};
use aegis_core::desc::Waiting;

#[derive(Debug)]
struct Slot<T> {
    value: Option<T>,
    closed: bool,
}

/// The one-slot mailbox.
#[derive(Debug)]
pub struct Mailbox<T> {
    slot: Mutex<Slot<T>>,
    filled: Condvar,
    waiting: Waiting,
    /// Whether there is something to see: a value, or that it is closed. So a receiver that looks again and again does not hold the lock.
    news: AtomicBool,
}

/// The slot still holds an earlier value, which is returned to nobody: the new one is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

impl<T: Copy> Mailbox<T> {
    /// An empty mailbox, and how its receiver waits.
    #[must_use]
    pub fn new(waiting: Waiting) -> Self {
        let slot = Mutex::new(Slot { value: None, closed: false });
        Self { slot, filled: Condvar::new(), waiting, news: AtomicBool::new(false) }
    }

    /// Puts a value in and wakes the receiver.
    ///
    /// # Errors
    /// [`Full`] where the slot is taken or the mailbox is closed.
    pub fn put(&self, value: T) -> Result<(), Full> {
        let mut slot = self.lock();
        if slot.value.is_some() || slot.closed {
            return Err(Full);
        }
        slot.value = Some(value);
        // Released before the wake-up, or the receiver would wake only to wait for the lock.
        drop(slot);
        self.tell();
        Ok(())
    }

    /// Waits for a value; `None` once the mailbox is closed and empty.
    pub fn take(&self) -> Option<T> {
        if self.waiting == Waiting::Polling {
            return self.take_polling();
        }
        let mut slot = self.lock();
        loop {
            if let Some(value) = slot.value.take() {
                return Some(value);
            }
            if slot.closed {
                return None;
            }
            slot = self.filled.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn take_polling(&self) -> Option<T> {
        loop {
            while !self.news.load(Ordering::Acquire) {
                spin_loop();
            }
            // Before the slot is looked at: who changes it after that look has had the lock after this thread, and so tells after this.
            self.news.store(false, Ordering::Relaxed);
            let mut slot = self.lock();
            let value = slot.value.take();
            if slot.closed {
                // It stays so.
                self.news.store(true, Ordering::Release);
                return value;
            }
            if value.is_some() {
                return value;
            }
        }
    }

    /// Tells the receiver that there is something to see.
    fn tell(&self) {
        match self.waiting {
            Waiting::Polling => self.news.store(true, Ordering::Release),
            Waiting::Blocking => self.filled.notify_all(),
        }
    }

    /// Takes the value if there is one.
    pub fn try_take(&self) -> Option<T> {
        self.lock().value.take()
    }

    /// Refuses further values; a waiting receiver gets what is left and then `None`.
    pub fn close(&self) {
        self.lock().closed = true;
        self.tell();
    }

    fn lock(&self) -> MutexGuard<'_, Slot<T>> {
        // No code that can panic runs under the lock, so a poisoned slot is still whole.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! A one-slot mailbox between two threads; a full slot is refused, never waited for.
//!
//! `std`'s mutex and condition variable are futexes on Linux: neither allocates, and the lock is held only for
//! the copy of one small value.

use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};

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
}

/// The slot still holds an earlier value, which is returned to nobody: the new one is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

impl<T: Copy> Mailbox<T> {
    /// An empty mailbox.
    #[must_use]
    pub fn new() -> Self {
        Self { slot: Mutex::new(Slot { value: None, closed: false }), filled: Condvar::new() }
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
        self.filled.notify_one();
        Ok(())
    }

    /// Waits for a value; `None` once the mailbox is closed and empty.
    pub fn take(&self) -> Option<T> {
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

    /// Takes the value if there is one.
    pub fn try_take(&self) -> Option<T> {
        self.lock().value.take()
    }

    /// Refuses further values; a waiting receiver gets what is left and then `None`.
    pub fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Slot<T>> {
        // No code that can panic runs under the lock, so a poisoned slot is still whole.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Copy> Default for Mailbox<T> {
    fn default() -> Self {
        Self::new()
    }
}

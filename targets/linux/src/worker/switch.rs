//! What a lane uses in one life of a fault domain, and what takes its place in the next one.
//!
//! ```text
//!  life           n                                             n + 1
//!  lane           uses place n mod 2 ─▶ its last job ends ─┐    uses place (n + 1) mod 2
//!  orchestration                        no job is on a lane ┴▶ life = n + 1 ─▶ hands a job over
//!  restarting     puts the next one into place (n + 1) mod 2 ─▶ offers it ┘  └▶ takes what lies in place n mod 2
//! ```
//!
//! While a lane has a job of the domain the life stays, so the lane uses one place, and who puts or takes another one. Each place
//! has a lock, which therefore nobody ever finds taken; it is tried and not waited for, so that even then no lane would wait for
//! a thread without real-time priority: it would find nothing. A lane makes no system call for it, and nothing is dropped on it.

use crate::sync::Mutex;
use std::sync::TryLockError;

/// Two places.
#[derive(Debug)]
pub struct Switch<T> {
    places: [Mutex<Option<T>>; 2],
}

impl<T> Switch<T> {
    /// With what is used in the life 0.
    #[must_use]
    pub fn new(first: T) -> Self {
        Self { places: [Mutex::new(Some(first)), Mutex::new(None)] }
    }

    /// Does something with what is used in a life; `None` where there is nothing, or another thread is at it.
    pub fn with<R>(&self, life: u32, act: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.at(life, |place| place.as_mut().map(act)).flatten()
    }

    /// Puts in what is used in a life that has not begun; gives back what lay there, or itself where another thread is at it.
    pub fn put(&self, life: u32, value: T) -> Option<T> {
        let mut value = Some(value);
        self.at(life, |place| std::mem::swap(place, &mut value));
        value
    }

    /// Takes out what was used in a life that is over.
    pub fn take(&self, life: u32) -> Option<T> {
        self.at(life, Option::take).flatten()
    }

    fn at<R>(&self, life: u32, act: impl FnOnce(&mut Option<T>) -> R) -> Option<R> {
        let [even, odd] = &self.places;
        let place = if life.is_multiple_of(2) { even } else { odd };
        match place.try_lock() {
            Ok(mut own) => Some(act(&mut own)),
            // A panic of whoever used it: what is guarded is used or not, as a whole.
            Err(TryLockError::Poisoned(own)) => Some(act(&mut own.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

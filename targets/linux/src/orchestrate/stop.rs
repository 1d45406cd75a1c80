//! How a run is told to end.

use crate::bell::Bell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A stop request that any thread can make.
#[derive(Debug)]
pub struct Stop {
    pub(super) asked: AtomicBool,
    bell: Arc<Bell>,
}

impl Stop {
    /// No stop is asked for yet; `bell` wakes the orchestration thread.
    #[must_use]
    pub fn new(bell: Arc<Bell>) -> Self {
        Self { asked: AtomicBool::new(false), bell }
    }

    /// Asks the loop to release no further job.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Release);
        self.bell.ring();
    }
}

//! What the orchestration thread waits with.

use crate::bell::Bell;
use crate::clock::Clock;
use aegis_core::Instant;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::io;

/// An absolute timer on the monotonic clock.
#[derive(Debug)]
pub struct Timer {
    pub(super) descriptor: OwnedFd,
    pub(super) armed: Option<Instant>,
}

impl Timer {
    /// A timer that is not armed.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Self { descriptor: timerfd_create(TimerfdClockId::Monotonic, flags)?, armed: None })
    }

    /// Sets the next expiry; an instant in the past expires at once, `None` never. Also forgets an earlier expiry.
    ///
    /// # Errors
    /// The system's, which happens only for times beyond its range.
    pub fn arm(&mut self, clock: &Clock, at: Option<Instant>) -> Result<(), rustix::io::Errno> {
        if self.armed == at {
            return Ok(());
        }
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let it_value = at.map_or(zero, |at| clock.absolute(at));
        let setting = Itimerspec { it_interval: zero, it_value };
        timerfd_settime(&self.descriptor, TimerfdTimerFlags::ABSTIME, &setting)?;
        self.armed = at;
        Ok(())
    }

    /// Waits for the expiry or for the bell, whichever is first.
    ///
    /// # Errors
    /// The system's; never an interruption by a signal.
    pub fn wait(&self, bell: &Bell) -> Result<(), rustix::io::Errno> {
        let mut events = [PollFd::new(&self.descriptor, PollFlags::IN), PollFd::new(bell, PollFlags::IN)];
        loop {
            match poll(&mut events, None) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

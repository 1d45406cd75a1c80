//! What the orchestration thread waits with.

use crate::bell::Bell;
use crate::clock::{Clock, monotonic_ns};
use aegis_core::Instant;
use aegis_core::desc::Waiting;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::io;

/// An absolute timer on the monotonic clock.
#[derive(Debug)]
pub struct Timer {
    /// Of one that its thread blocks on.
    pub(super) descriptor: OwnedFd,
    pub(super) armed: Option<Instant>,
    pub(super) waiting: Waiting,
    /// Of one whose thread looks at the clock: when it expires, on that clock.
    pub(super) due_ns: u64,
}

impl Timer {
    /// A timer that is not armed, and how its thread waits for it.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub fn new(waiting: Waiting) -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { descriptor, armed: None, waiting, due_ns: u64::MAX })
    }

    /// Sets the next expiry; an instant in the past expires at once, `None` never. Also forgets an earlier expiry.
    ///
    /// # Errors
    /// The system's, which happens only for times beyond its range.
    pub fn arm(&mut self, clock: &Clock, at: Option<Instant>) -> Result<(), rustix::io::Errno> {
        if self.waiting == Waiting::Polling {
            self.due_ns = at.map_or(u64::MAX, |at| clock.monotonic(at));
            return Ok(());
        }
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

    /// Waits for the expiry or for the bell, whichever is first; the bell is one that is waited for in the same way.
    ///
    /// # Errors
    /// The system's; never an interruption by a signal.
    pub fn wait(&self, bell: &Bell) -> Result<(), rustix::io::Errno> {
        if self.waiting == Waiting::Polling {
            while !bell.is_rung() && monotonic_ns() < self.due_ns {
                std::hint::spin_loop();
            }
            return Ok(());
        }
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

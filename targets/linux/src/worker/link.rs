//! A lane's way to the process of one domain: orders with a limit, and what is done about a process that does not keep to it.

use super::page::{Answer, Broken, Caller, Figures, Order, Page};
use super::process::Process;
use super::shared::{LOOKING, System};
use crate::clock::monotonic_ns;
use aegis_core::Duration;
use aegis_core::desc::Waiting;
use aegis_core::trace::Loss;
use std::sync::Arc;

/// The process is lost, and its domain with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gone {
    /// How.
    pub loss: Loss,
    /// What is known of it, in words.
    pub text: String,
}

/// A lane's way to a process.
#[derive(Debug)]
pub struct Link {
    process: Arc<Process>,
    lane: u16,
    /// How it waits for a segment; for all else it sleeps.
    waiting: Waiting,
    caller: Caller,
}

impl Link {
    /// Of a lane that the process was started for, once; the process serves it in the same way of waiting.
    #[must_use]
    pub const fn new(process: Arc<Process>, lane: u16, waiting: Waiting) -> Self {
        Self { process, lane, waiting, caller: Caller::new() }
    }

    /// The process.
    #[must_use]
    pub const fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// Waits until the process has loaded its models. What it tells of itself then is for the caller to check.
    ///
    /// # Errors
    /// [`Gone`]: it ended, or was killed because it could not, or took too long.
    pub fn loaded(&mut self, within: Duration) -> Result<Figures, Gone> {
        let wait = |_, caller: &mut Caller, page: &Page, until, process: &Process| {
            caller.wait(page, &System, until, process.is_lost())
        };
        self.answer(after(within), wait).and_then(|answer| self.done(answer))
    }

    /// Tells that all warm-up runs of this lane are over.
    ///
    /// # Errors
    /// As for [`Link::loaded`].
    pub fn fence(&mut self, within: Duration) -> Result<(), Gone> {
        self.call(Order::Fence, within).and_then(|answer| self.done(answer)).map(|_| ())
    }

    /// Has a segment run; [`Answer::Failed`] is [`Gone`] here. No heap, except for words about a failure; no system call where
    /// threads look.
    ///
    /// # Errors
    /// [`Gone`]; one that was not over in time is killed.
    pub fn run(&mut self, task: u32, segment: u32, within: Duration) -> Result<Answer, Gone> {
        self.run_until(task, segment, after(within))
    }

    /// Likewise, until an instant of `CLOCK_MONOTONIC` in nanoseconds: no look at the clock where the answer is there at once.
    ///
    /// # Errors
    /// As for [`Link::run`].
    pub fn run_until(&mut self, task: u32, segment: u32, until: u64) -> Result<Answer, Gone> {
        let order = Order::Run { task, segment };
        let answer = self.answer(until, |waiting, caller, page, until, process| match waiting {
            Waiting::Blocking => caller.call(page, &System, order, until, process.is_lost()),
            Waiting::Polling => caller.call(page, &LOOKING, order, until, process.is_lost()),
        })?;
        if let Answer::Failed(text) = answer { Err(self.gone(Loss::Backend, text)) } else { Ok(answer) }
    }

    /// What the process answered is none of what the caller expects of it.
    pub fn malformed(&self, text: &str) -> Gone {
        self.gone(Loss::Malformed, text.to_owned())
    }

    fn call(&mut self, order: Order, within: Duration) -> Result<Answer, Gone> {
        self.answer(after(within), |_, caller, page, until, process| {
            caller.call(page, &System, order, until, process.is_lost())
        })
    }

    fn answer(
        &mut self,
        until: u64,
        ask: impl FnOnce(Waiting, &mut Caller, &Page, Option<u64>, &Process) -> Result<Answer, Broken>,
    ) -> Result<Answer, Gone> {
        let Self { process, lane, waiting, caller } = self;
        let Some(page) = process.page(*lane) else {
            return Err(self.gone(Loss::Malformed, "it was not started for this lane".to_owned()));
        };
        ask(*waiting, caller, page, Some(until), process).map_err(|broken| match broken {
            Broken::Late => {
                // It may have ended by itself, and the thread that is told so may be late.
                self.process.look();
                self.gone(Loss::Hung, "a segment was not over in the time that was left for it".to_owned())
            }
            Broken::Malformed(text) => self.gone(Loss::Malformed, text.to_owned()),
            Broken::Lost => {
                let text = self.process.ending().unwrap_or("it is being killed").to_owned();
                Gone { loss: self.process.loss().unwrap_or(Loss::Exited), text }
            }
        })
    }

    fn done(&self, answer: Answer) -> Result<Figures, Gone> {
        match answer {
            Answer::Done(figures) => Ok(figures),
            Answer::Refused(_, text) | Answer::Failed(text) => Err(self.gone(Loss::Backend, text)),
        }
    }

    fn gone(&self, loss: Loss, text: String) -> Gone {
        Gone { loss: self.process.kill(loss), text }
    }
}

/// An instant so long from now.
fn after(within: Duration) -> u64 {
    monotonic_ns().saturating_add(within.as_ns())
}

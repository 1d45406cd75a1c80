//! Checks a table without knowing how it was made. It shares no code with the generator.

use super::{Table, Task};

/// The rule that a table breaks. Times in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Why {
    /// Rule 1: H is a positive multiple of every period.
    #[error("the hyperperiod is no multiple of the period of task {task}")]
    Hyperperiod {
        /// The position of the task.
        task: usize,
    },
    /// Rule 2: each slot starts within the lap and belongs to a task.
    #[error("slot {slot} starts outside the lap or belongs to no task")]
    Slot {
        /// The position of the slot.
        slot: usize,
    },
    /// Rule 3: a slot ends no later than the next one starts, the last no later than the first of the next lap.
    #[error("slot {slot} ends after the next one starts")]
    Overlap {
        /// The position of the slot.
        slot: usize,
    },
    /// Rule 4: a task has H/T slots.
    #[error("task {task} has {slots} slots, not one for each of its jobs")]
    Count {
        /// The position of the task.
        task: usize,
        /// How many slots it has.
        slots: u64,
    },
    /// Rule 5: a job ends at most min(D, H) after its arrival, though it is submitted J after it.
    #[error("job {job} of task {task} ends {response} ns after its arrival")]
    Late {
        /// The position of the task.
        task: usize,
        /// The number of its job, in its second lap.
        job: u64,
        /// From its arrival to the end of its slot, in ns.
        response: u64,
    },
    /// Rule 6: the table states the longest time from an arrival to a slot's end.
    #[error("task {task} responds within {response} ns, which is not what the table states")]
    Response {
        /// The position of the task.
        task: usize,
        /// From an arrival to the end of its slot, at most, in ns.
        response: u64,
    },
    /// A sum exceeds 2⁶⁴ − 1 ns.
    #[error("a time exceeds 2^64 - 1 ns")]
    Overflow,
}

/// Checks a table against the tasks; `latency` is the longest delay in ns until the dispatcher sees that a slot begins.
///
/// Cost: the slots of four laps for each task.
///
/// # Errors
/// The first rule that does not hold.
pub fn check(tasks: &[Task], latency: u64, table: &Table) -> Result<(), Why> {
    let lap = table.hyperperiod;
    let mut slot = 0;
    while let Some(this) = table.slots.get(slot) {
        let Some(owner) = tasks.get(this.task).filter(|_| this.at < lap) else { return Err(Why::Slot { slot }) };
        let next = match (table.slots.get(slot.saturating_add(1)), table.slots.first()) {
            (Some(next), _) => Some(next.at),
            (None, Some(first)) => first.at.checked_add(lap),
            (None, None) => None,
        };
        let end = this.at.checked_add(latency).and_then(|from| from.checked_add(owner.cost));
        match (end, next) {
            (Some(end), Some(next)) if end <= next && this.at < next => {}
            (Some(_), Some(_)) => return Err(Why::Overlap { slot }),
            _ => return Err(Why::Overflow),
        }
        slot = slot.saturating_add(1);
    }
    let mut task = 0;
    while let Some(own) = tasks.get(task) {
        let response = walk(task, own, latency, table)?;
        if table.responses.get(task) != Some(&response) {
            return Err(Why::Response { task, response });
        }
        task = task.saturating_add(1);
    }
    if table.responses.len() == tasks.len() { Ok(()) } else { Err(Why::Response { task, response: 0 }) }
}

/// Lets the slots serve the task's jobs of two laps in order of arrival, each submitted as late as it may be; the second
/// lap, which repeats for ever, gives the longest response.
fn walk(task: usize, own: &Task, latency: u64, table: &Table) -> Result<u64, Why> {
    let lap = table.hyperperiod;
    let jobs = match (lap.checked_rem(own.period), lap.checked_div(own.period)) {
        (Some(0), Some(jobs)) if jobs > 0 => jobs,
        _ => return Err(Why::Hyperperiod { task }),
    };
    let mut slots = 0u64;
    let mut slot = 0;
    while let Some(this) = table.slots.get(slot) {
        slots = slots.saturating_add(u64::from(this.task == task));
        slot = slot.saturating_add(1);
    }
    if slots != jobs {
        return Err(Why::Count { task, slots });
    }
    if own.jitter > lap {
        return Err(Why::Late { task, job: jobs, response: own.jitter });
    }
    let (mut worst, mut job, mut slot) = (0, 0, 0);
    let (mut arrival, mut begin) = (own.phase.checked_rem(own.period), Some(0u64));
    // Ends: every lap serves `jobs` jobs, or passes by while nothing has arrived, which it does in the first two only.
    while job < jobs.saturating_mul(2) {
        let (Some(arrived), Some(begun)) = (arrival, begin) else { return Err(Why::Overflow) };
        let Some(this) = table.slots.get(slot) else {
            (begin, slot) = (begun.checked_add(lap), 0);
            continue;
        };
        slot = slot.saturating_add(1);
        let (Some(at), Some(submitted)) = (begun.checked_add(this.at), arrived.checked_add(own.jitter)) else {
            return Err(Why::Overflow);
        };
        if this.task != task || at < submitted {
            continue;
        }
        let Some(end) = at.checked_add(latency).and_then(|from| from.checked_add(own.cost)) else {
            return Err(Why::Overflow);
        };
        let response = end.saturating_sub(arrived);
        if job >= jobs && (response > own.deadline || response > lap) {
            return Err(Why::Late { task, job, response });
        }
        worst = if job >= jobs && response > worst { response } else { worst };
        (job, arrival) = (job.saturating_add(1), arrived.checked_add(own.period));
    }
    Ok(worst)
}

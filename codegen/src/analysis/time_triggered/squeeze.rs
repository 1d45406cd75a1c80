//! Proves that a job has no place: wherever it starts, what must run before it or after it does not fit there.
//!
//! A job at [s, s + L) leaves each other job only the time until s or from s + L on. One that cannot end by s must run
//! after s + L, one that cannot start after s + L must run before s. Those after must fit before each deadline, those
//! before must fit after each release (non-preemption on one side, demand on the other).

use super::lap::Windows;

/// A job near the one in question: from its release to its deadline, and its length.
struct Near {
    release: u64,
    due: u64,
    length: u64,
}

/// The first task, the longest first, of which a job has no place; looks at no more than about `steps` jobs.
pub(super) fn without_place(windows: &[Windows], mut steps: u64) -> Option<usize> {
    let mut longest: Vec<(u64, usize)> = windows.iter().enumerate().map(|(task, own)| (own.length, task)).collect();
    longest.sort_unstable_by(|a, b| b.cmp(a));
    for (length, task) in longest {
        let own = windows.get(task)?;
        for job in own.jobs..own.jobs.saturating_mul(2) {
            let latest = own.due(job).saturating_sub(length);
            let near = near(windows, task, own.release(job), own.due(job));
            let count = near.after.len().saturating_add(windows.len());
            steps = steps.checked_sub(u64::try_from(count).ok()?)?;
            let mut start = own.release(job);
            // Ends: each step moves the start on by 1 ns or more, and uses up a step of the limit.
            while start <= latest {
                steps = steps.checked_sub(u64::try_from(near.after.len()).ok()?.saturating_add(1))?;
                match near.later(start, length) {
                    Some(later) => start = later,
                    None => break,
                }
            }
            if start > latest {
                return Some(task);
            }
        }
    }
    None
}

/// The jobs near one, in order of their deadlines and of their releases.
struct Neighbours {
    after: Vec<Near>,
    before: Vec<Near>,
}

/// The jobs of other tasks whose windows meet that from `release` to `due`.
fn near(windows: &[Windows], task: usize, release: u64, due: u64) -> Neighbours {
    let mut neighbours = Neighbours { after: Vec::new(), before: Vec::new() };
    for (_, own) in windows.iter().enumerate().filter(|(index, _)| *index != task) {
        let first = release.saturating_sub(own.due(0)).checked_div(own.period).unwrap_or(0);
        for job in (first..).take_while(|job| own.release(*job) < due) {
            let near = || Near { release: own.release(job), due: own.due(job), length: own.length };
            neighbours.after.push(near());
            neighbours.before.push(near());
        }
    }
    neighbours.after.sort_unstable_by_key(|near| near.due);
    neighbours.before.sort_unstable_by_key(|near| std::cmp::Reverse(near.release));
    neighbours
}

impl Neighbours {
    /// Where a job that cannot start at `start` may start next; `None` where nothing is against `start`.
    fn later(&self, start: u64, length: u64) -> Option<u64> {
        let end = start.saturating_add(length);
        let (mut until, mut first_to_end) = (end, u64::MAX);
        for near in &self.after {
            let soonest = near.release.saturating_add(near.length);
            if soonest > start {
                until = until.saturating_add(near.length);
                first_to_end = first_to_end.min(soonest);
                if until > near.due {
                    return Some(first_to_end);
                }
            }
        }
        let mut taken = 0u64;
        for near in &self.before {
            if end.saturating_add(near.length) > near.due {
                taken = taken.saturating_add(near.length);
                let soonest = near.release.saturating_add(taken);
                if soonest > start {
                    return Some(soonest);
                }
            }
        }
        None
    }
}

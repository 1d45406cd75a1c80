//! Many attempts in many orders, on all cores, with the same result whatever the number of cores and their speed.
//!
//! Attempts are numbered, in rounds. Round r tries the g-th group of orders for each g up to r, with 2^(r - g + 2) nodes a
//! buffer: each round doubles the limit of what was tried before and adds a group. An attempt shares nothing with
//! another, so its end depends on its number alone. Threads take numbers in order; the result is that of the
//! lowest number that decides, for which all lower ones are waited for. Only a wall-clock limit can break that, and it is
//! reported.

#![allow(clippy::arithmetic_side_effects, reason = "small counts")]

use super::orders::Orders;
use super::search::{Goal, Verdict, attempt};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The stack of a searching thread: one frame of a few hundred bytes a buffer.
const STACK_BYTES: usize = 256 << 20;

/// Up to this many buffers the calling thread searches alone: starting others would take longer.
const MOST_ALONE: usize = 48;

/// The most rounds, so that no limit leaves its range.
const MOST_ROUNDS: u32 = 40;

/// One numbered attempt.
#[derive(Clone, Copy)]
struct Ticket {
    order: usize,
    narrows: bool,
    nodes: u64,
}

/// All attempts that a number of nodes pays for, in order.
fn tickets(orders: &Orders, buffers: usize, mut nodes: u64) -> Vec<Ticket> {
    let mut tickets = Vec::new();
    let buffers = u64::try_from(buffers).unwrap_or(u64::MAX).max(1);
    for round in 0..MOST_ROUNDS {
        for (group, halvings) in (0..=round).enumerate() {
            let limit = buffers.saturating_mul(4 << (round - halvings));
            for member in 0..orders.first() {
                for narrows in [false, true] {
                    if nodes == 0 {
                        return tickets;
                    }
                    let limit = limit.min(nodes);
                    tickets.push(Ticket { order: group * orders.first() + member, narrows, nodes: limit });
                    nodes -= limit;
                }
            }
        }
    }
    tickets
}

/// What the attempts came to.
pub(super) struct Decision {
    pub(super) verdict: Verdict,
    /// The nodes of all attempts up to the one that decided.
    pub(super) nodes: u64,
}

/// What the attempts work with.
pub(super) struct Workshop<'a> {
    pub(super) threads: usize,
    /// Set when the wall-clock limit has struck.
    pub(super) stop: &'a AtomicBool,
    /// Counts nodes for whoever watches.
    pub(super) watched: &'a AtomicU64,
}

impl Workshop<'_> {
    /// Tries orders until one decides or the nodes are used up.
    pub(super) fn decide(&self, goal: Goal<'_>, orders: &Orders, nodes: u64) -> Decision {
        let tickets = tickets(orders, goal.members.len(), nodes);
        let ends: Vec<Mutex<Option<(Verdict, u64)>>> = tickets.iter().map(|_| Mutex::new(None)).collect();
        let next = AtomicU64::new(0);
        // The lowest number that decided so far.
        let decided = AtomicU64::new(u64::MAX);
        let work = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let place = usize::try_from(number).unwrap_or(usize::MAX);
                let (Some(ticket), Some(end)) = (tickets.get(place), ends.get(place)) else { return };
                if number > decided.load(Ordering::Acquire) || self.stop.load(Ordering::Relaxed) {
                    return;
                }
                let order = orders.get(ticket.order, goal.members);
                let goal = Goal { narrows: ticket.narrows, ..goal };
                let (verdict, used) = attempt(goal, &order, ticket.nodes, self.stop);
                self.watched.fetch_add(used, Ordering::Relaxed);
                if verdict != Verdict::GaveUp {
                    decided.fetch_min(number, Ordering::AcqRel);
                }
                *end.lock().unwrap_or_else(PoisonError::into_inner) = Some((verdict, used));
            }
        };
        let started = std::thread::scope(|scope| {
            let spawn =
                |_: &usize| std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work).is_ok();
            let wanted = if goal.members.len() <= MOST_ALONE { 0 } else { self.threads.max(1) };
            (0..wanted).filter(spawn).count()
        });
        if started == 0 {
            work();
        }
        let mut nodes = 0;
        for end in ends {
            let Some((verdict, used)) = end.into_inner().unwrap_or_else(PoisonError::into_inner) else { break };
            nodes += used;
            if verdict != Verdict::GaveUp {
                return Decision { verdict, nodes };
            }
        }
        Decision { verdict: Verdict::GaveUp, nodes }
    }
}

//! From a problem to the lowest plan that the limits allow, with what is proven of it.

#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "sums are at most 2^62, see `Problem`")]

use super::bounds::{self, Bound};
use super::conflicts::{Conflicts, index, number};
use super::greedy;
use super::orders::Orders;
use super::portfolio::{Decision, Workshop};
use super::problem::{Buffer, Problem};
use super::search::{Goal, Verdict};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How much is searched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Nodes of the search in all. The same number gives the same plan on every machine.
    pub nodes: u64,
    /// A height that must be reached. For it all nodes may be used, for going below it only some of them.
    pub capacity: Option<u64>,
    /// A wall-clock limit. Where it strikes, the plan is valid, but another run may find another one.
    pub time: Option<Duration>,
    /// Threads that search; the plan does not depend on them. Zero: as many as the machine has cores.
    pub threads: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { nodes: 2_000_000, capacity: None, time: None, threads: 0 }
    }
}

/// Why a plan's height is the lowest, if it is known to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proof {
    /// The buffers of the bound's witness need as much.
    Witness,
    /// The search has looked at everything lower.
    Search,
    /// Nothing: a lower plan may exist.
    None,
}

/// Offsets, and what is known of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// An offset for each buffer, in the problem's order.
    pub offsets: Vec<u64>,
    /// The end of the highest buffer.
    pub height: u64,
    /// The strongest bound with a witness.
    pub bound: Bound,
    /// No plan is lower than this: the bound's height, or more where the search proved it.
    pub lower_bound: u64,
    /// Why the height is the lowest.
    pub proof: Proof,
    /// The nodes that were searched.
    pub nodes: u64,
    /// Whether the wall-clock limit ended the search.
    pub out_of_time: bool,
}

impl Plan {
    /// Whether no plan is lower.
    #[must_use]
    pub fn is_optimal(&self) -> bool {
        self.proof != Proof::None
    }
}

/// Told of progress while a long search runs: nodes so far, the height of the best plan, and the lower bound.
pub type Watch<'a> = &'a (dyn Fn(u64, u64, u64) + Sync);

/// Components with more buffers than this are planned without a search.
const MOST_SEARCHED: usize = 5_000;
/// Greedy plans are made by all first orders up to this many buffers, beyond by one.
const MOST_GREEDY: usize = 20_000;
/// What part of the nodes goes into looking for a plan at the lower bound before anything else, and into going below the
/// capacity once it is reached.
const PART: u64 = 64;

/// Plans a problem.
#[must_use]
pub fn minimise(problem: &Problem, limits: Limits, watch: Option<Watch<'_>>) -> Plan {
    let stop = AtomicBool::new(false);
    let watched = AtomicU64::new(0);
    let threads = match limits.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        given => given,
    };
    let workshop = Workshop { threads, stop: &stop, watched: &watched };
    let finished = AtomicBool::new(false);
    let heights = (AtomicU64::new(u64::MAX), AtomicU64::new(0));
    std::thread::scope(|scope| {
        if limits.time.is_some() || watch.is_some() {
            scope.spawn(|| attend(&limits, watch, &stop, &finished, &watched, &heights));
        }
        let plan = Planner { problem, limits, workshop, heights: &heights }.plan();
        finished.store(true, Ordering::Release);
        plan
    })
}

/// Sets the stop flag when the time is over, and tells of progress meanwhile.
fn attend(
    limits: &Limits,
    watch: Option<Watch<'_>>,
    stop: &AtomicBool,
    finished: &AtomicBool,
    watched: &AtomicU64,
    (best, bound): &(AtomicU64, AtomicU64),
) {
    let begun = Instant::now();
    let mut told = begun;
    while !finished.load(Ordering::Acquire) {
        std::thread::sleep(Duration::from_millis(5));
        if limits.time.is_some_and(|limit| begun.elapsed() >= limit) {
            stop.store(true, Ordering::Relaxed);
        }
        if let Some(watch) = watch.filter(|_| told.elapsed() >= Duration::from_millis(200)) {
            told = Instant::now();
            let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
            watch(load(watched), load(best), load(bound));
        }
    }
}

struct Planner<'a> {
    problem: &'a Problem,
    limits: Limits,
    workshop: Workshop<'a>,
    heights: &'a (AtomicU64, AtomicU64),
}

/// What is known of a component.
struct Part {
    members: Vec<u32>,
    /// No plan of it is lower.
    lower: u64,
    /// The height of its present plan.
    height: u64,
}

impl Planner<'_> {
    fn plan(&self) -> Plan {
        let buffers = self.problem.buffers();
        let conflicts = Conflicts::of(buffers);
        let bound = bounds::strongest(self.problem, conflicts.as_ref());
        self.heights.1.store(bound.height, Ordering::Relaxed);
        let mut plan = Plan {
            offsets: Vec::new(),
            height: 0,
            lower_bound: bound.height,
            bound,
            proof: Proof::None,
            nodes: 0,
            out_of_time: false,
        };
        match &conflicts {
            Some(conflicts) => self.search(conflicts, &mut plan),
            None => plan.offsets = greedy::by_time(buffers),
        }
        plan.height = greedy::height(buffers, &plan.offsets);
        plan.lower_bound = plan.lower_bound.min(plan.height);
        plan.proof = if plan.height == plan.bound.height {
            Proof::Witness
        } else if plan.height == plan.lower_bound {
            Proof::Search
        } else {
            Proof::None
        };
        plan.out_of_time = self.workshop.stop.load(Ordering::Relaxed);
        plan
    }

    fn search(&self, conflicts: &Conflicts, plan: &mut Plan) {
        let buffers = self.problem.buffers();
        let orders = Orders::of(buffers, conflicts);
        plan.offsets = first_plan(buffers, conflicts, &orders);
        let mut parts: Vec<Part> = conflicts
            .components()
            .into_iter()
            .map(|members| {
                let lower = members.iter().flat_map(|at| conflicts.sections.get(*at)).map(|section| {
                    let members: Vec<usize> =
                        conflicts.members.get(index(*section)).iter().map(|at| index(*at)).collect();
                    bounds::of_clique(buffers, &members)
                });
                let lower = lower.max().unwrap_or(0);
                let members: Vec<u32> = members.into_iter().map(number).collect();
                let lower = if plan.bound.witness.first().is_some_and(|at| members.contains(&number(*at))) {
                    lower.max(plan.bound.height)
                } else {
                    lower
                };
                let height = height_of(buffers, &members, &plan.offsets);
                Part { members, lower, height }
            })
            .collect();
        // The one that must be highest first: the others need not be lower than it.
        parts.sort_by_key(|part| (std::cmp::Reverse(part.lower), part.members.first().copied()));
        let mut nodes = self.limits.nodes;
        let mut settled = 0;
        for position in 0..parts.len() {
            let rest = parts.iter().skip(position + 1).map(|part| part.height).max().unwrap_or(0);
            let Some(part) = parts.get_mut(position) else { break };
            let floor = settled.max(part.lower);
            if part.height > floor && part.members.len() <= MOST_SEARCHED {
                nodes = self.lower(conflicts, &orders, part, floor, nodes, plan);
            }
            settled = settled.max(part.height);
            self.heights.0.store(settled.max(rest), Ordering::Relaxed);
        }
        plan.nodes = self.limits.nodes - nodes;
        plan.lower_bound = parts.iter().map(|part| part.lower).max().unwrap_or(0).max(plan.lower_bound);
    }

    /// Lowers a component's plan towards `floor`, below which nothing is gained; returns the nodes that are left.
    fn lower(
        &self,
        conflicts: &Conflicts,
        orders: &Orders,
        part: &mut Part,
        floor: u64,
        mut nodes: u64,
        plan: &mut Plan,
    ) -> u64 {
        let buffers = self.problem.buffers();
        let members = std::mem::take(&mut part.members);
        // Nodes that are not for this component.
        let mut kept = 0;
        let mut decide = |part: &mut Part, height: u64, allowed: u64, nodes: &mut u64| {
            let goal = Goal { buffers, conflicts, members: &members, height, narrows: false };
            let Decision { verdict, nodes: used } = self.workshop.decide(goal, orders, allowed.min(*nodes));
            *nodes -= used;
            match verdict {
                Verdict::Placed(offsets) => {
                    for (at, offset) in members.iter().zip(offsets) {
                        plan.offsets[index(*at)] = offset;
                    }
                    part.height = height_of(buffers, &members, &plan.offsets);
                    self.heights.0.store(part.height, Ordering::Relaxed);
                    true
                }
                Verdict::Impossible(least) => {
                    part.lower = part.lower.max(least.min(part.height));
                    false
                }
                Verdict::GaveUp => false,
            }
        };
        // The bound itself, and where it is refuted the next height that could do.
        let only_bound = self.limits.capacity.is_some_and(|capacity| capacity <= floor.max(part.lower));
        let mut probe = if only_bound { nodes - nodes / 4 } else { self.limits.nodes / PART };
        loop {
            let goal = floor.max(part.lower);
            if part.height <= goal {
                part.members = members;
                return nodes;
            }
            let (before, lower) = (nodes, part.lower);
            let placed = decide(part, goal, probe, &mut nodes);
            probe = probe.saturating_sub(before - nodes);
            if placed || part.lower == lower {
                break;
            }
        }
        if let Some(capacity) = self.limits.capacity.map(|capacity| capacity.max(floor)) {
            if part.height > capacity {
                decide(part, capacity, u64::MAX, &mut nodes);
            }
            kept = nodes.saturating_sub(self.limits.nodes / PART);
            nodes -= kept;
        }
        // Somewhere between: the gap is halved with few nodes for each height, then again with more.
        let mut allowed = u64::try_from(members.len() * orders.first()).unwrap_or(u64::MAX).saturating_mul(8);
        while nodes > 0 && part.height > floor.max(part.lower) && !self.workshop.stop.load(Ordering::Relaxed) {
            let mut hopeless = floor.max(part.lower);
            let step = (part.height - hopeless) / 64;
            // A plan may be lower than what it was asked for, and so than a height that was given up.
            while nodes > 0 && part.height > hopeless && part.height - hopeless > step + 1 {
                let goal = hopeless + (part.height - hopeless) / 2;
                if !decide(part, goal, allowed, &mut nodes) {
                    hopeless = goal.max(part.lower);
                }
            }
            let goal = floor.max(part.lower);
            if part.height > goal {
                decide(part, goal, allowed, &mut nodes);
            }
            allowed = allowed.saturating_mul(2);
        }
        part.members = members;
        nodes + kept
    }
}

/// The best of the plans without a search.
fn first_plan(buffers: &[Buffer], conflicts: &Conflicts, orders: &Orders) -> Vec<u64> {
    let all: Vec<u32> = (0..buffers.len()).map(number).collect();
    let count = if buffers.len() > MOST_GREEDY { 1 } else { orders.first() };
    let ordered = (0..count).map(|order| greedy::by_order(buffers, conflicts, &orders.get(order, &all)));
    let mut best = greedy::by_time(buffers);
    let mut least = greedy::height(buffers, &best);
    for offsets in ordered {
        let height = greedy::height(buffers, &offsets);
        if height < least {
            (best, least) = (offsets, height);
        }
    }
    best
}

fn height_of(buffers: &[Buffer], members: &[u32], offsets: &[u64]) -> u64 {
    members.iter().map(|at| offsets[index(*at)] + buffers[index(*at)].size).max().unwrap_or(0)
}

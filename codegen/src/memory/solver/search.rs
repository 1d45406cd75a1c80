//! One attempt to place buffers below a height: canonical branch and bound in one order, with a limit of nodes.
//!
//! *Canonical.* Any plan can be let fall: each buffer sinks until it rests on the ground, on a buffer that it conflicts
//! with, or on a pinned one. Listed by offset (then by the attempt's order), each buffer then lies at its *head*: the
//! lowest offset above everything before it that it conflicts with. So it suffices to choose which buffer comes next,
//! and offsets follow. A choice is left out where it cannot be part of the lowest plan (by the sum of offsets):
//!
//! ```text
//!  (head, rank) before the last choice's  ─▶ it would have come earlier
//!  another buffer fits wholly below it    ─▶ that one would sink there
//!  a pinned buffer starts below it        ─▶ that one comes first
//!  head + what its fullest section still has to hold > height ─▶ too high
//! ```
//!
//! *Inference.* In a section the floor is the lowest head of what is still to be placed; floor and rest must fit.
//! *Decomposition.* Where no unplaced buffer spans two neighbouring sections, the parts are searched one after the other,
//! and none again because another fails. *Failed states* are remembered, see [`super::failed`].
//!
//! Whatever exceeds the height is noted with the height it would need: where the search ends without a plan, no plan is
//! lower than the least of these. Algorithm after M. D. Moffitt, "MiniMalloc: A lightweight memory allocator for
//! hardware-accelerated machine learning", ASPLOS 2023, with pinned offsets, general conflict sets, the exceeded
//! heights, and the memory of failed states added.

#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "sums are at most 2^62, see `Problem`")]

use super::conflicts::{Conflicts, index, number};
use super::failed::Failed;
use super::problem::Buffer;
use std::sync::atomic::{AtomicBool, Ordering};

/// The offset of a buffer that is not placed.
const UNPLACED: u64 = u64::MAX;
/// How many nodes pass between two looks at the stop flag.
const LOOK: u64 = 256;

/// How an attempt ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// The offsets of the members, in their order.
    Placed(Vec<u64>),
    /// There is no plan at this height, nor at any below this one.
    Impossible(u64),
    /// The nodes are used up, or it was told to stop.
    GaveUp,
}

/// What is searched for.
#[derive(Clone, Copy)]
pub(super) struct Goal<'a> {
    pub(super) buffers: &'a [Buffer],
    pub(super) conflicts: &'a Conflicts,
    /// The buffers to place, in ascending order: one component.
    pub(super) members: &'a [u32],
    /// The height that no end may exceed.
    pub(super) height: u64,
    /// Whether sections that must get one of the lowest choices are looked for.
    pub(super) narrows: bool,
}

/// Searches in an order of the members; the second result is the number of nodes.
pub(super) fn attempt(goal: Goal<'_>, order: &[u32], nodes: u64, stop: &AtomicBool) -> (Verdict, u64) {
    let mut search = Search::new(goal, order, nodes, stop);
    let outcome = search.start(order);
    let used = nodes - search.nodes;
    let verdict = match outcome {
        Outcome::Placed => Verdict::Placed(goal.members.iter().map(|at| search.offset[index(*at)]).collect()),
        Outcome::Impossible => Verdict::Impossible(search.exceeded),
        Outcome::GaveUp => Verdict::GaveUp,
    };
    (verdict, used)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Placed,
    Impossible,
    GaveUp,
}

/// What has to be taken back when a choice was wrong.
#[derive(Clone, Copy)]
enum Undo {
    Head(u32, u64),
    Floor(u32, u64),
    Placed(u32),
}

/// A choice: the offset, the rank that breaks ties, the buffer.
type Choice = (u64, u32, u32);

/// The part of the problem that a node places: a range of the list stack, and the sections it spans.
#[derive(Clone, Copy)]
struct Part {
    list: (usize, usize),
    sections: (usize, usize),
}

struct Search<'a> {
    goal: Goal<'a>,
    stop: &'a AtomicBool,
    nodes: u64,
    /// Each buffer's place in the attempt's order.
    rank: Vec<u32>,
    offset: Vec<u64>,
    head: Vec<u64>,
    /// Pinned buffers that each buffer conflicts with, by their offsets; empty where nothing is pinned.
    pinned: Vec<Vec<u32>>,
    /// The first section of each buffer and the one after its last.
    span: Vec<(usize, usize)>,
    floor: Vec<u64>,
    /// The bytes that each section still has to hold.
    rest: Vec<u64>,
    /// How many unplaced buffers span each section and the one before it.
    across: Vec<u32>,
    undo: Vec<Undo>,
    lists: Vec<u32>,
    choices: Vec<Choice>,
    /// For each section the last choice that touched it.
    touched_by: Vec<u64>,
    touches: u64,
    /// The least height that something needed which the goal's does not give.
    exceeded: u64,
    failed: Failed,
}

impl<'a> Search<'a> {
    fn new(goal: Goal<'a>, order: &[u32], nodes: u64, stop: &'a AtomicBool) -> Self {
        let Goal { buffers, conflicts, members, .. } = goal;
        let sections = conflicts.members.len();
        let mut search = Self {
            goal,
            stop,
            nodes,
            rank: vec![0; buffers.len()],
            offset: vec![UNPLACED; buffers.len()],
            head: vec![0; buffers.len()],
            pinned: Vec::new(),
            span: vec![(0, 0); buffers.len()],
            floor: vec![0; sections],
            rest: vec![0; sections],
            across: vec![0; sections + 1],
            undo: Vec::new(),
            lists: Vec::new(),
            choices: Vec::new(),
            touched_by: vec![0; sections],
            touches: 0,
            exceeded: u64::MAX,
            failed: Failed::new(),
        };
        for (rank, at) in order.iter().enumerate() {
            search.rank[index(*at)] = number(rank);
        }
        for at in members {
            let own = conflicts.sections.get(index(*at));
            if let (Some(first), Some(last)) = (own.first(), own.last()) {
                search.span[index(*at)] = (index(*first), index(*last) + 1);
            }
            search.add(*at);
        }
        if members.iter().any(|at| buffers[index(*at)].pinned.is_some()) {
            search.pin();
        }
        search
    }

    /// Counts an unplaced buffer in its sections.
    fn add(&mut self, at: u32) {
        for section in self.goal.conflicts.sections.get(index(at)) {
            self.rest[index(*section)] += self.goal.buffers[index(at)].size;
        }
        let (first, end) = self.span[index(at)];
        for boundary in first + 1..end {
            self.across[boundary] += 1;
        }
    }

    /// Heads above the pinned buffers that leave no room below.
    fn pin(&mut self) {
        let Goal { buffers, conflicts, members, .. } = self.goal;
        self.pinned = vec![Vec::new(); buffers.len()];
        for at in members {
            let neighbours = conflicts.neighbours.get(index(*at)).iter().copied();
            let mut own: Vec<u32> = neighbours.filter(|other| buffers[index(*other)].pinned.is_some()).collect();
            own.sort_by_key(|other| buffers[index(*other)].pinned);
            self.pinned[index(*at)] = own;
            self.head[index(*at)] = self.settled(index(*at), 0);
        }
    }

    /// The lowest offset from `from` on that a buffer's alignment and the pinned buffers permit.
    fn settled(&self, at: usize, from: u64) -> u64 {
        let buffers = self.goal.buffers;
        let Buffer { size, alignment, .. } = buffers[at];
        let mut head = from.next_multiple_of(alignment);
        if let Some(pinned) = self.pinned.get(at).filter(|_| buffers[at].pinned.is_none()) {
            for other in pinned {
                let other = &buffers[index(*other)];
                let start = other.pinned.unwrap_or(0);
                if head < start + other.size && start < head + size {
                    head = (start + other.size).next_multiple_of(alignment);
                }
            }
        }
        head
    }

    fn start(&mut self, order: &[u32]) -> Outcome {
        let tallest = self.rest.iter().copied().max().unwrap_or(0);
        if self.exceeds(tallest) {
            return Outcome::Impossible;
        }
        for at in order {
            let end = self.place_of(index(*at)) + self.goal.buffers[index(*at)].size;
            if self.exceeds(end) {
                return Outcome::Impossible;
            }
        }
        self.lists.extend(order);
        let spans = || order.iter().map(|at| self.span[index(*at)]).filter(|(first, end)| first < end);
        let first = spans().map(|(first, _)| first).min().unwrap_or(0);
        let end = spans().map(|(_, end)| end).max().unwrap_or(0);
        self.node(Part { list: (0, order.len()), sections: (first, end) }, (0, 0))
    }

    /// Notes a height that is needed; whether the goal's does not give it.
    fn exceeds(&mut self, height: u64) -> bool {
        if height > self.goal.height {
            self.exceeded = self.exceeded.min(height);
            true
        } else {
            false
        }
    }

    /// Where an unplaced buffer would lie now.
    fn place_of(&self, at: usize) -> u64 {
        self.goal.buffers[at].pinned.unwrap_or(self.head[at])
    }

    /// Places all of a part; `last` is the choice before, which later ones must not precede.
    fn node(&mut self, part: Part, last: (u64, u32)) -> Outcome {
        if part.list.0 == part.list.1 {
            return Outcome::Placed;
        }
        if self.nodes == 0 || (self.nodes.is_multiple_of(LOOK) && self.stop.load(Ordering::Relaxed)) {
            return Outcome::GaveUp;
        }
        self.nodes -= 1;
        let members = &self.lists[part.list.0..part.list.1];
        if self.failed.covers(members, &self.head, last.0) {
            return Outcome::Impossible;
        }
        let from = self.choices.len();
        let in_order = self.list_choices(part, last);
        let is_forced = self.goal.narrows && self.narrow(part, from, last);
        let end = self.choices.len();
        for position in from..end {
            let choice = self.choices[position];
            let mark = self.undo.len();
            let next = if is_forced { last.max((choice.0, 0)) } else { (choice.0, choice.1) };
            let outcome = if self.place(choice) { self.descend(part, choice.2, next) } else { Outcome::Impossible };
            if outcome != Outcome::Impossible {
                return outcome;
            }
            self.unwind(mark);
            self.choices.truncate(end);
        }
        self.choices.truncate(from);
        // A failure proves that nothing fits only where no choice was left out for the sake of order.
        if in_order {
            let members = &self.lists[part.list.0..part.list.1];
            self.failed.add(members, &self.head);
        }
        Outcome::Impossible
    }

    /// Pushes the choices of a part, in the order in which they are tried; whether none is left out because it would
    /// have come before the last one.
    fn list_choices(&mut self, part: Part, last: (u64, u32)) -> bool {
        let fullest = (part.sections.0..part.sections.1).map(|section| self.rest[section]).max().unwrap_or(0);
        let (mut lowest_end, mut in_order) = (u64::MAX, true);
        let mut first_pinned = (u64::MAX, u32::MAX);
        let from = self.choices.len();
        for position in part.list.0..part.list.1 {
            let at = self.lists[position];
            let (offset, rank) = (self.place_of(index(at)), self.rank[index(at)]);
            let end = offset.max(last.0) + self.goal.buffers[index(at)].size;
            lowest_end = lowest_end.min(end);
            if self.goal.buffers[index(at)].pinned.is_some() {
                first_pinned = first_pinned.min((offset, rank));
            }
            if (offset, rank) >= last {
                self.choices.push((offset, rank, at));
            } else {
                in_order = false;
            }
        }
        let mut kept = from;
        for position in from..self.choices.len() {
            let choice = self.choices[position];
            let (offset, rank, at) = choice;
            // A buffer without bytes lies anywhere.
            let is_dominated = offset >= lowest_end && self.goal.buffers[index(at)].size > 0;
            if is_dominated || (offset, rank) > first_pinned || self.exceeds(offset + fullest) {
                continue;
            }
            self.choices[kept] = choice;
            kept += 1;
        }
        self.choices.truncate(kept);
        self.choices[from..].sort_unstable();
        in_order
    }

    /// Where some section must get one of the lowest choices, because waiting would waste more of it than it has left:
    /// keeps only those of the section that has fewest. Whether there is one.
    ///
    /// Choices at one offset can come in any order then, so the next ones need not have a higher rank.
    fn narrow(&mut self, part: Part, from: usize, last: (u64, u32)) -> bool {
        let Some((lowest, ..)) = self.choices.get(from).copied() else { return false };
        let members = &self.lists[part.list.0..part.list.1];
        // Whatever waits at the lowest offset is pushed up by something that is placed there.
        let push = members.iter().map(|at| self.goal.buffers[index(*at)].size).min().unwrap_or(0);
        let (mut fewest, mut chosen, mut needed) = (usize::MAX, 0, u64::MAX);
        for section in part.sections.0..part.sections.1 {
            let rest = self.rest[section];
            if rest == 0 || lowest + push + rest <= self.goal.height {
                continue;
            }
            let (mut count, mut raised) = (0, lowest + push);
            for at in self.goal.conflicts.members.get(section) {
                let at = index(*at);
                if self.offset[at] != UNPLACED {
                    continue;
                }
                let place = self.place_of(at);
                if place > lowest {
                    raised = raised.min(place);
                } else if (place, self.rank[at]) >= last {
                    count += 1;
                }
            }
            if count > 0 && count < fewest && raised + rest > self.goal.height {
                (fewest, chosen, needed) = (count, section, raised + rest);
            }
        }
        if fewest == usize::MAX {
            return false;
        }
        self.exceeded = self.exceeded.min(needed);
        let inside = self.goal.conflicts.members.get(chosen);
        let mut kept = from;
        for position in from..self.choices.len() {
            let choice = self.choices[position];
            if choice.0 == lowest && inside.binary_search(&choice.2).is_ok() {
                self.choices[kept] = choice;
                kept += 1;
            }
        }
        self.choices.truncate(kept);
        true
    }

    /// Places a buffer; false where something then cannot lie below the height. All changes are on the undo stack.
    fn place(&mut self, (offset, _, at): Choice) -> bool {
        let Goal { buffers, conflicts, .. } = self.goal;
        let at = index(at);
        let end = offset + buffers[at].size;
        self.offset[at] = offset;
        self.undo.push(Undo::Placed(number(at)));
        for section in conflicts.sections.get(at) {
            let section = index(*section);
            self.undo.push(Undo::Floor(number(section), self.floor[section]));
            self.floor[section] = end;
            self.rest[section] -= buffers[at].size;
        }
        let (first, last) = self.span[at];
        for boundary in first + 1..last {
            self.across[boundary] -= 1;
        }
        self.touches += 1;
        let from = self.lists.len();
        let mut fits = true;
        for other in conflicts.neighbours.get(at) {
            let other = index(*other);
            if self.offset[other] != UNPLACED || self.head[other] >= end {
                continue;
            }
            let old = self.head[other];
            self.undo.push(Undo::Head(number(other), old));
            self.head[other] = self.settled(other, end);
            let pushed_off = buffers[other].pinned.is_some_and(|pinned| self.head[other] > pinned);
            if pushed_off || self.exceeds(self.head[other] + buffers[other].size) {
                fits = false;
                break;
            }
            for section in conflicts.sections.get(other) {
                // Where its head was above the floor, it is not what holds the floor down.
                let at = index(*section);
                if old <= self.floor[at] && self.touched_by[at] != self.touches {
                    self.touched_by[at] = self.touches;
                    self.lists.push(*section);
                }
            }
        }
        let fits = fits && (from..self.lists.len()).all(|position| self.raise_floor(index(self.lists[position])));
        self.lists.truncate(from);
        fits
    }

    /// Raises a section's floor to the lowest head in it; whether what is left fits above.
    fn raise_floor(&mut self, section: usize) -> bool {
        let unplaced = self.goal.conflicts.members.get(section).iter();
        let unplaced = unplaced.filter(|at| self.offset[index(**at)] == UNPLACED);
        let Some(lowest) = unplaced.map(|at| self.place_of(index(*at))).min() else { return true };
        if self.floor[section] >= lowest {
            return true;
        }
        self.undo.push(Undo::Floor(number(section), self.floor[section]));
        self.floor[section] = lowest;
        !self.exceeds(lowest + self.rest[section])
    }

    /// Searches what is left of a part after a choice, in pieces where it falls apart.
    fn descend(&mut self, part: Part, placed: u32, last: (u64, u32)) -> Outcome {
        let (first, end) = self.span[index(placed)];
        let from = self.lists.len();
        let mut pieces: Vec<Part> = Vec::new();
        let mut start = part.sections.0;
        let boundaries = (first + 1..end).filter(|boundary| self.across[*boundary] == 0);
        for boundary in boundaries.chain([part.sections.1]).collect::<Vec<_>>() {
            let list = self.lists.len();
            for position in part.list.0..part.list.1 {
                let at = self.lists[position];
                let begins = self.span[index(at)].0;
                if at != placed && (start..boundary).contains(&begins) {
                    self.lists.push(at);
                }
            }
            if self.lists.len() > list {
                pieces.push(Part { list: (list, self.lists.len()), sections: (start, boundary) });
            }
            start = boundary;
        }
        // The smallest first: if one fails, little work was in vain.
        pieces.sort_by_key(|piece| piece.list.1 - piece.list.0);
        let mut outcome = Outcome::Placed;
        for piece in pieces {
            outcome = self.node(piece, last);
            if outcome != Outcome::Placed {
                break;
            }
        }
        if outcome == Outcome::Impossible {
            self.lists.truncate(from);
        }
        outcome
    }

    fn unwind(&mut self, mark: usize) {
        while self.undo.len() > mark {
            match self.undo.pop() {
                Some(Undo::Head(at, head)) => self.head[index(at)] = head,
                Some(Undo::Floor(section, floor)) => self.floor[index(section)] = floor,
                Some(Undo::Placed(at)) => {
                    self.offset[index(at)] = UNPLACED;
                    self.add(at);
                }
                None => return,
            }
        }
    }
}

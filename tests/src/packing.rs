//! Memory plans, seen by code that knows nothing of the solver: a validator, a search through all plans, and problems
//! whose lowest height is known because they were cut out of a full rectangle.

use aegis_codegen::memory::solver::Buffer;
use std::collections::BTreeMap;

/// What is wrong with a plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// There are not as many offsets as buffers.
    Count,
    /// A buffer ends above the height.
    TooHigh(usize),
    /// An offset is no multiple of the buffer's alignment.
    Misaligned(usize),
    /// A pinned buffer lies elsewhere.
    Moved(usize),
    /// Two buffers share a byte while both are live.
    Overlap(usize, usize),
    /// No buffer ends at the height.
    Slack,
}

/// Checks a plan: a sweep over time that keeps what lies where.
///
/// # Errors
/// The first thing that is wrong.
pub fn validate(buffers: &[Buffer], offsets: &[u64], height: u64) -> Result<(), Wrong> {
    if buffers.len() != offsets.len() {
        return Err(Wrong::Count);
    }
    let mut highest = 0;
    for (at, (buffer, offset)) in buffers.iter().zip(offsets).enumerate() {
        let end = offset.checked_add(buffer.size).filter(|end| *end <= height).ok_or(Wrong::TooHigh(at))?;
        highest = highest.max(end);
        if offset % buffer.alignment != 0 {
            return Err(Wrong::Misaligned(at));
        }
        if buffer.pinned.is_some_and(|pinned| pinned != *offset) {
            return Err(Wrong::Moved(at));
        }
    }
    if highest != height {
        return Err(Wrong::Slack);
    }
    let mut events: Vec<(i64, bool, usize)> = Vec::new();
    for (at, buffer) in buffers.iter().enumerate().filter(|(_, buffer)| buffer.size > 0) {
        for range in &buffer.live {
            events.push((range.start, true, at));
            events.push((range.end, false, at));
        }
    }
    // At one instant the ends come first: lifespans are half-open.
    events.sort_unstable();
    let mut taken: BTreeMap<u64, (u64, usize)> = BTreeMap::new();
    for (_, begins, at) in events {
        let offset = offsets[at];
        if !begins {
            taken.remove(&offset);
            continue;
        }
        let end = offset + buffers[at].size;
        if let Some((_, (_, other))) = taken.range(..end).next_back().filter(|(_, (below, _))| *below > offset) {
            return Err(Wrong::Overlap(*other.min(&at), *other.max(&at)));
        }
        taken.insert(offset, (end, at));
    }
    Ok(())
}

/// The lowest height, by trying every sequence of the buffers, each as low as it can lie beside those before it.
///
/// That finds a lowest plan: take one, and place its buffers by rising offset. Each may lie where it lies in that plan,
/// for what comes before it in the sequence ends, by induction, no higher than there.
#[must_use]
pub fn lowest_height(buffers: &[Buffer]) -> u64 {
    let mut placed: Vec<(usize, u64)> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    for (at, buffer) in buffers.iter().enumerate() {
        match buffer.pinned {
            Some(offset) => placed.push((at, offset)),
            None => open.push(at),
        }
    }
    let height = placed.iter().map(|(at, offset)| offset + buffers[*at].size).max().unwrap_or(0);
    let mut best = u64::MAX;
    try_all(buffers, &mut placed, &mut open, height, &mut best);
    best
}

fn try_all(buffers: &[Buffer], placed: &mut Vec<(usize, u64)>, open: &mut Vec<usize>, height: u64, best: &mut u64) {
    if height >= *best {
        return;
    }
    if open.is_empty() {
        *best = height;
        return;
    }
    for position in 0..open.len() {
        let at = open.swap_remove(position);
        let offset = lowest_offset(buffers, placed, at);
        placed.push((at, offset));
        try_all(buffers, placed, open, height.max(offset + buffers[at].size), best);
        placed.pop();
        open.push(at);
        let last = open.len() - 1;
        open.swap(position, last);
    }
}

fn lowest_offset(buffers: &[Buffer], placed: &[(usize, u64)], at: usize) -> u64 {
    let buffer = &buffers[at];
    let live_together = |other: &Buffer| {
        let common =
            |one: &std::ops::Range<i64>, two: &std::ops::Range<i64>| one.start.max(two.start) < one.end.min(two.end);
        buffer.live.iter().any(|one| other.live.iter().any(|two| common(one, two)))
    };
    let collides = |offset: u64| {
        placed.iter().any(|(other, start)| {
            let end = start + buffers[*other].size;
            let meet = offset < end && *start < offset + buffer.size;
            meet && end > *start && buffer.size > 0 && live_together(&buffers[*other])
        })
    };
    // The lowest place is at the bottom or directly on something.
    let ends = placed.iter().map(|(other, start)| (start + buffers[*other].size).next_multiple_of(buffer.alignment));
    let mut candidates: Vec<u64> = ends.chain([0]).collect();
    candidates.sort_unstable();
    candidates.into_iter().find(|offset| !collides(*offset)).unwrap()
}

/// A rectangle of `length` instants and `height` bytes, cut into `count` buffers without a remainder: the height is its
/// lowest, and whoever finds it has put the rectangle together again. Cuts are straight, or whirls of five, which no
/// sequence of straight cuts makes.
#[must_use]
pub fn cut_rectangle(seed: u64, count: usize, length: i64, height: u64) -> Vec<Buffer> {
    let mut random = fastrand::Rng::with_seed(seed);
    // Left, right, bottom, top.
    let mut pieces: Vec<(i64, i64, u64, u64)> = vec![(0, length, 0, height)];
    let mut tries = 0;
    while pieces.len() < count && tries < 100 * count {
        tries += 1;
        // Large pieces are cut more often.
        let at = (0..3).map(|_| random.usize(..pieces.len())).max_by_key(|at| area(pieces[*at])).unwrap();
        let (left, right, bottom, top) = pieces[at];
        let (wide, tall) = (right - left, top - bottom);
        if wide >= 3 && tall >= 3 && random.u8(..4) == 0 {
            let (x, y) = (random.i64(1..wide - 1), random.u64(1..tall - 1));
            let (u, v) = (random.i64(x + 1..wide), random.u64(y + 1..tall));
            let (x, u, y, v) = (left + x, left + u, bottom + y, bottom + v);
            pieces.swap_remove(at);
            pieces.extend([
                (left, u, bottom, y),
                (u, right, bottom, v),
                (x, right, v, top),
                (left, x, y, top),
                (x, u, y, v),
            ]);
        } else if random.bool() && wide >= 2 {
            let x = random.i64(left + 1..right);
            pieces[at] = (left, x, bottom, top);
            pieces.push((x, right, bottom, top));
        } else if tall >= 2 {
            let y = random.u64(bottom + 1..top);
            pieces[at] = (left, right, bottom, y);
            pieces.push((left, right, y, top));
        }
    }
    let mut buffers: Vec<Buffer> =
        pieces.into_iter().map(|(left, right, bottom, top)| Buffer::new(top - bottom, left..right)).collect();
    random.shuffle(&mut buffers);
    buffers
}

fn area((left, right, bottom, top): (i64, i64, u64, u64)) -> u128 {
    u128::from(left.abs_diff(right)) * u128::from(bottom.abs_diff(top))
}

//! Lays out what the models of one lane need while their jobs run: scratch, and tensors that are not kept.
//!
//! Instants are those of one job of each model, one model after the other, segment by segment and recording by recording.
//! Where a job can wait while segments of another run, the other's instants exist once more for each group of tensors that it
//! keeps, which are live in all of them. The tensors of a group meet anyway, and so do those of groups of different jobs that
//! wait; so two buffers have a common instant exactly if both can be live at once.
//!
//! ```text
//!  important   [seg 1][seg 2]              [seg 1'][seg 2']    ◀ again, for what waits below
//!  other                     [seg 1|seg 2]
//!  carried                   [───────────] [──────────────]
//! ```

use super::solver::{Buffer, Limits, Problem, minimise};
use super::{Home, Placement, aligned, goes_before, sequence, undivided};
use crate::system::{Model, System};
use aegis_core::units::{ByteOffset, Bytes};
use std::ops::Range;

/// Up to this many ranges of buffers the solver has all its nodes.
const FULL_SEARCH: u64 = 2_000;

/// A model that is laid out here.
#[derive(Clone, Copy)]
pub(super) struct Member {
    pub(super) model: usize,
    pub(super) home: Home,
}

/// What a buffer of the problem is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Thing {
    /// A tensor of a member.
    Tensor { member: usize, tensor: usize },
    /// A block of a recorded run.
    Block { member: usize, segment: usize, run: usize, block: usize },
    /// The whole scratch of a segment that its runtime divides.
    Undivided { member: usize, segment: usize },
}

impl Thing {
    const fn member(self) -> usize {
        match self {
            Self::Tensor { member, .. } | Self::Block { member, .. } | Self::Undivided { member, .. } => member,
        }
    }
}

/// The problem of a lane, with what each of its buffers is.
struct Sketch {
    buffers: Vec<Buffer>,
    things: Vec<Thing>,
    /// The next instant that nothing uses yet.
    next: i64,
}

/// Where the things of a lane lie from the start of its region, and the region's length.
#[derive(Clone)]
pub(super) struct Region {
    places: Vec<(Thing, u64, u64)>,
    pub(super) height: u64,
}

/// Lays out members together, given each as if it were alone. `None` where sizes leave the solver's range.
pub(super) fn lay_out(system: &System, members: &[Member], private: &[Region]) -> Option<Region> {
    if let [only] = private {
        return Some(only.clone());
    }
    let waiting = members.iter().map(|waiting| {
        let model = system.models.get(waiting.model)?;
        let others = members.iter().filter(|other| other.model != waiting.model);
        let gives_way = others.filter(|other| goes_before(system, other.home, waiting.home)).count() > 0;
        Some(if gives_way { kept_waiting(model) } else { Vec::new() })
    });
    let waiting = waiting.collect::<Option<Vec<Vec<Vec<usize>>>>>()?;
    if waiting.iter().all(Vec::is_empty) {
        // They never need their bytes at once, so each may start at the region's first.
        return Region::of(private, |_| Some(0));
    }
    let together = draw(system, members, &waiting)?.solve()?;
    // A plan that is worse than private regions is never used.
    let end_of =
        |number: usize| private.get(..number)?.iter().try_fold(0_u64, |sum, region| sum.checked_add(region.height));
    if together.height <= end_of(private.len())? { Some(together) } else { Region::of(private, end_of) }
}

/// Lays out one member as if it were alone.
pub(super) fn lay_out_private(system: &System, member: Member) -> Option<Region> {
    let model = system.models.get(member.model)?;
    if model.segments.len() > 1 {
        return draw(system, &[member], &[Vec::new()])?.solve();
    }
    one_segment(model, member.home.alignment)
}

/// A model of one segment: all its tensors are live while it runs, so they lie below, and each recorded run lies above them as
/// if it were alone.
fn one_segment(model: &Model, alignment: Bytes) -> Option<Region> {
    let mut region = Region { places: Vec::new(), height: 0 };
    for (tensor, (desc, life)) in model.all_tensors().zip(model.lives()).enumerate() {
        if life.is_some() {
            let size = aligned(desc.size, alignment)?;
            region.places.push((Thing::Tensor { member: 0, tensor }, region.height, size));
            region.height = region.height.checked_add(size)?;
        }
    }
    let base = region.height;
    let segment = model.segments.first()?;
    for (run, recording) in segment.runs.iter().enumerate() {
        let plan = sequence::divide(recording, alignment)?;
        for (block, (at, of)) in plan.offsets.iter().zip(recording.blocks()).enumerate() {
            let size = aegis_core::desc::occupied(Bytes(of.size), alignment)?;
            let thing = Thing::Block { member: 0, segment: 0, run, block };
            region.places.push((thing, at.0.checked_add(base)?, size));
        }
        region.height = region.height.max(base.checked_add(plan.height.0)?);
    }
    let size = undivided(segment, alignment)?;
    if size > 0 {
        region.places.push((Thing::Undivided { member: 0, segment: 0 }, base, size));
        region.height = region.height.max(base.checked_add(size)?);
    }
    Some(region)
}

impl Thing {
    /// The same thing of another member.
    const fn of(self, member: usize) -> Self {
        match self {
            Self::Tensor { tensor, .. } => Self::Tensor { member, tensor },
            Self::Block { segment, run, block, .. } => Self::Block { member, segment, run, block },
            Self::Undivided { segment, .. } => Self::Undivided { member, segment },
        }
    }
}

/// What a job keeps while it waits, in groups of tensors that are live at once in some segment: each two of a group meet there.
/// Every tensor that is live at some boundary is in one, and the groups are as few as there can be (an interval is stabbed at the
/// end of the first that is not stabbed yet).
fn kept_waiting(model: &Model) -> Vec<Vec<usize>> {
    let lives = model.lives();
    let carried = lives.iter().enumerate().filter_map(|(tensor, life)| {
        let (from, last) = life.filter(|(from, last)| from < last)?;
        Some((last, from, tensor))
    });
    let mut carried: Vec<(usize, usize, usize)> = carried.collect();
    carried.sort_unstable();
    let mut groups: Vec<(usize, Vec<usize>)> = Vec::new();
    for (last, from, _) in &carried {
        if groups.last().is_none_or(|(at, _)| at < from) {
            let live = carried.iter().filter(|(end, begin, _)| begin <= last && last <= end);
            groups.push((*last, live.map(|(.., tensor)| *tensor).collect()));
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

/// Draws up the problem. `waiting` are for each member the groups of what its jobs keep while they wait.
fn draw(system: &System, members: &[Member], waiting: &[Vec<Vec<usize>>]) -> Option<Sketch> {
    let mut sketch = Sketch { buffers: Vec::new(), things: Vec::new(), next: 0 };
    let mut spans: Vec<Range<i64>> = Vec::with_capacity(members.len());
    for (number, member) in members.iter().enumerate() {
        spans.push(sketch.member(number, system.models.get(member.model)?, member.home.alignment)?);
    }
    for (number, (member, span)) in members.iter().zip(&spans).enumerate() {
        let passes = |other: usize| {
            other != number && members.get(other).is_some_and(|waits| goes_before(system, member.home, waits.home))
        };
        let below: Vec<(usize, &Vec<Vec<usize>>)> =
            waiting.iter().enumerate().filter(|(other, _)| passes(*other)).collect();
        // Groups of different members may stand in one repetition: what two jobs keep while both wait meets, too.
        for turn in 0..below.iter().map(|(_, groups)| groups.len()).max().unwrap_or(0) {
            let kept: Vec<(usize, &[usize])> =
                below.iter().filter_map(|(other, groups)| Some((*other, groups.get(turn)?.as_slice()))).collect();
            sketch.repeat(number, span, &kept)?;
        }
    }
    Some(sketch)
}

impl Sketch {
    fn solve(self) -> Option<Region> {
        let sizes: Vec<u64> = self.buffers.iter().map(|buffer| buffer.size).collect();
        // A node costs about as much as the buffers have ranges: the more of them, the fewer nodes.
        let ranges = self.buffers.iter().map(|buffer| buffer.live.len()).fold(0, usize::saturating_add);
        let ranges = u64::try_from(ranges).unwrap_or(u64::MAX).max(FULL_SEARCH);
        let limits = Limits::default();
        let nodes = limits.nodes.saturating_mul(FULL_SEARCH).checked_div(ranges).unwrap_or(0);
        let plan = minimise(&Problem::new(self.buffers).ok()?, Limits { nodes, ..limits }, None);
        let places = self.things.into_iter().zip(plan.offsets).zip(sizes);
        Some(Region { places: places.map(|((thing, at), size)| (thing, at, size)).collect(), height: plan.height })
    }

    /// Adds what one job of a model needs; returns its instants.
    fn member(&mut self, member: usize, model: &Model, alignment: Bytes) -> Option<Range<i64>> {
        let begin = self.next;
        let mut starts = Vec::with_capacity(model.segments.len());
        for (segment, desc) in model.segments.iter().enumerate() {
            starts.push(self.next);
            let size = undivided(desc, alignment)?;
            if size > 0 {
                let buffer = Buffer::new(size, self.next..self.next.checked_add(1)?);
                self.add(Thing::Undivided { member, segment }, buffer);
            }
            for (run, recording) in desc.runs.iter().enumerate() {
                for (block, buffer) in sequence::buffers(recording, self.next, alignment)?.into_iter().enumerate() {
                    self.add(Thing::Block { member, segment, run, block }, buffer);
                }
                self.next = self.next.checked_add(i64::try_from(recording.events()).ok()?)?;
            }
            // An instant of its own, also for a segment that requests nothing: its tensors are live.
            self.next = self.next.checked_add(1)?;
        }
        starts.push(self.next);
        for (tensor, (desc, life)) in model.all_tensors().zip(model.lives()).enumerate() {
            let Some((from, last)) = life else { continue };
            let live = *starts.get(from)?..*starts.get(last.checked_add(1)?)?;
            self.add(Thing::Tensor { member, tensor }, Buffer::new(aligned(desc.size, alignment)?, live));
        }
        Some(begin..self.next)
    }

    fn add(&mut self, thing: Thing, buffer: Buffer) {
        self.things.push(thing);
        self.buffers.push(buffer);
    }

    /// Lets the instants of a member exist once more, with tensors of waiting ones live in all of them.
    fn repeat(&mut self, member: usize, span: &Range<i64>, kept: &[(usize, &[usize])]) -> Option<()> {
        let shift = self.next.checked_sub(span.start)?;
        let again = self.next..span.end.checked_add(shift)?;
        for (thing, buffer) in self.things.iter().zip(&mut self.buffers) {
            if thing.member() == member {
                let own: Vec<Range<i64>> =
                    buffer.live.iter().filter(|live| span.contains(&live.start)).cloned().collect();
                for live in own {
                    buffer.live.push(live.start.checked_add(shift)?..live.end.checked_add(shift)?);
                }
            } else if let Thing::Tensor { member, tensor } = thing
                && kept.iter().any(|(waiting, group)| waiting == member && group.contains(tensor))
            {
                buffer.live.push(again.clone());
            }
        }
        self.next = again.end;
        Some(())
    }
}

impl Region {
    /// The regions of all members in one, each from where `base` says.
    fn of(private: &[Self], base: impl Fn(usize) -> Option<u64>) -> Option<Self> {
        let mut all = Self { places: Vec::new(), height: 0 };
        for (number, region) in private.iter().enumerate() {
            let base = base(number)?;
            for (thing, at, size) in &region.places {
                all.places.push((thing.of(number), at.checked_add(base)?, *size));
            }
            all.height = all.height.max(region.height.checked_add(base)?);
        }
        Some(all)
    }

    /// Writes where the things of a lane's members lie, for a region that begins at `base`.
    pub(super) fn place(&self, system: &System, members: &[Member], base: u64, placed: &mut [Placement]) -> Option<()> {
        for (number, member) in members.iter().enumerate() {
            let model = system.models.get(member.model)?;
            let placement = placed.get_mut(member.model)?;
            let own = self.places.iter().filter(|(thing, ..)| thing.member() == number);
            for (thing, at, _) in own.clone() {
                if let Thing::Tensor { tensor, .. } = thing {
                    *placement.tensors.get_mut(*tensor)? = ByteOffset(at.checked_add(base)?);
                }
            }
            for (segment, (desc, place)) in model.segments.iter().zip(&mut placement.segments).enumerate() {
                let of = |thing: &Thing| match *thing {
                    Thing::Tensor { .. } => false,
                    Thing::Block { segment: of, .. } | Thing::Undivided { segment: of, .. } => of == segment,
                };
                let parts = own.clone().filter(|(thing, ..)| of(thing));
                // Where nothing is requested, the place does not matter but must be one.
                let least = parts.clone().map(|(_, at, _)| *at).min().unwrap_or(0);
                let most = parts.clone().map(|(_, at, size)| at.saturating_add(*size)).max().unwrap_or(least);
                place.scratch = ByteOffset(least.checked_add(base)?);
                place.scratch_bytes = Bytes(most.checked_sub(least)?);
                place.runs = Vec::with_capacity(desc.runs.len());
                for (run, recording) in desc.runs.iter().enumerate() {
                    let blocks =
                        parts.clone().filter(|(thing, ..)| matches!(thing, Thing::Block { run: of, .. } if *of == run));
                    // Blocks are in their order: they were added in it.
                    let offsets: Vec<u64> = blocks.clone().map(|(_, at, _)| at.saturating_sub(least)).collect();
                    let height = blocks.map(|(_, at, size)| at.saturating_add(*size)).max().unwrap_or(least);
                    let height = Bytes(height.checked_sub(least)?);
                    place.runs.push(sequence::placed(recording, offsets, height, member.home.alignment)?);
                }
            }
        }
        Some(())
    }
}

//! The regions of what models need while their jobs run, and with modes where they lie.
//!
//! Without modes a region is a lane's, and each two can be in use at once. With modes a lane's models are first
//! taken apart by the modes that have their tasks: two of its regions are never in use at once, as two of its jobs never run at
//! once; but models of which one keeps something while the other runs stay together. Two regions of different lanes
//! conflict if a mode has a task of each. That is a problem for the solver, whose instants are the pairs that conflict.
//!
//! Regions are not taken apart further, so with modes the plan need not be the lowest: a region of several modes lies apart from
//! all that any of them has, and a part of it may have left room.

use super::lane::{Member, Region, lay_out, lay_out_private};
use super::pool::Planner;
use super::solver::{Buffer, Limits, Problem, minimise};
use super::{Group, bound, goes_before};
use std::collections::BTreeMap;

/// The models of a group with the region of all of them.
pub(super) struct Shared {
    pub(super) members: Vec<Member>,
    /// The height of each, if it were alone.
    pub(super) private: Vec<u64>,
    pub(super) region: Region,
    group: Group,
    /// The modes that have one of their tasks, or an empty list where there are no modes.
    modes: Vec<usize>,
}

impl Shared {
    /// Whether both can be in use at once.
    pub(super) fn conflicts_with(&self, other: &Self) -> bool {
        if matches!((self.group, other.group), (Group::Lane(lane), Group::Lane(same)) if lane == same) {
            return false;
        }
        self.modes.is_empty() || self.modes.iter().any(|mode| other.modes.contains(mode))
    }
}

/// Where regions lie from the first byte of them all, and how long all are together.
pub(super) struct Together {
    pub(super) offsets: Vec<u64>,
    pub(super) height: u64,
}

/// More regions than these are put above each other, since each pair is an instant of the problem.
const MOST_REGIONS: usize = 128;

impl Planner<'_> {
    /// The regions of what shares them, in the order of groups.
    pub(super) fn regions(&self, members: &[Member]) -> Option<Vec<Shared>> {
        let mut groups: BTreeMap<Group, Vec<Member>> = BTreeMap::new();
        for member in members {
            groups.entry(member.home.group).or_default().push(*member);
        }
        let mut regions = Vec::with_capacity(groups.len());
        for (group, members) in groups {
            for members in self.apart(members)? {
                let alone = members.iter().map(|member| lay_out_private(self.system, *member));
                let alone = alone.collect::<Option<Vec<_>>>()?;
                let region = lay_out(self.system, &members, &alone)?;
                let private = alone.iter().map(|region| region.height).collect();
                let modes = self.modes_of(&members);
                regions.push(Shared { members, private, region, group, modes });
            }
        }
        Some(regions)
    }

    /// The modes that have a task of these.
    fn modes_of(&self, members: &[Member]) -> Vec<usize> {
        let modes = self.system.modes.iter().enumerate();
        let has_one = modes.filter(|(_, mode)| members.iter().any(|member| mode.tasks.contains(&member.home.task)));
        has_one.map(|(position, _)| position).collect()
    }

    /// Takes a group apart: together stay those of the same modes, and those of which one keeps something while the other runs.
    fn apart(&self, members: Vec<Member>) -> Option<Vec<Vec<Member>>> {
        let mut parts: Vec<Vec<Member>> = Vec::new();
        for member in members {
            let mut whole = vec![member];
            let mut others = Vec::with_capacity(parts.len());
            for part in parts {
                let mut joined = self.modes_of(&part) == self.modes_of(&[member]);
                for other in &part {
                    joined |= self.waits_for(*other, member)? || self.waits_for(member, *other)?;
                }
                if joined { whole.splice(0..0, part).for_each(drop) } else { others.push(part) }
            }
            others.push(whole);
            parts = others;
        }
        Some(parts)
    }

    /// Whether a job of the first model may keep something while one of the second runs.
    fn waits_for(&self, waits: Member, runs: Member) -> Option<bool> {
        let kept = bound::kept_waiting(self.system.models.get(waits.model)?, waits.home.alignment)?;
        Some(kept > 0 && goes_before(self.system, runs.home, waits.home))
    }

    /// Where regions lie of which some never are in use at once; `None` where there are no modes, and all lie above each other.
    pub(super) fn together(&self, regions: &[Shared]) -> Option<Option<Together>> {
        if self.system.modes.is_empty() {
            return Some(None);
        }
        let mut above = Together { offsets: Vec::with_capacity(regions.len()), height: 0 };
        for shared in regions {
            above.offsets.push(above.height);
            above.height = above.height.checked_add(shared.region.height)?;
        }
        if regions.len() > MOST_REGIONS {
            return Some(Some(above));
        }
        let mut next: i64 = 0;
        let mut instant = || {
            let begin = next;
            next = next.checked_add(1)?;
            Some(begin..next)
        };
        let alone = regions.iter().map(|shared| Some(Buffer::new(shared.region.height, instant()?)));
        let mut buffers = alone.collect::<Option<Vec<Buffer>>>()?;
        for (position, shared) in regions.iter().enumerate() {
            for (other, with) in regions.iter().enumerate().take(position) {
                if shared.conflicts_with(with) {
                    let both = instant()?;
                    buffers.get_mut(position)?.live.push(both.clone());
                    buffers.get_mut(other)?.live.push(both);
                }
            }
        }
        let plan = minimise(&Problem::new(buffers).ok()?, Limits::default(), None);
        let found = Together { offsets: plan.offsets, height: plan.height };
        Some(Some(if found.height <= above.height { found } else { above }))
    }
}

//! Puts together one device's arena.

use super::lane::Member;
use super::regions::{Shared, Together};
use super::{Home, Placement, Pool, aligned, bound, goes_before, levels};
use crate::system::System;
use aegis_core::units::{ByteOffset, Bytes};

/// One device with the homes of all models.
pub(super) struct Planner<'a> {
    pub(super) system: &'a System,
    pub(super) homes: &'a [Option<Home>],
    pub(super) device: usize,
}

impl Planner<'_> {
    /// The models that lie here and that `stays` lets.
    pub(super) fn members(&self, stays: impl Fn(usize) -> bool) -> Vec<Member> {
        let here = self.homes.iter().enumerate().filter_map(|(model, home)| {
            let home = home.filter(|home| home.device == self.device)?;
            stays(home.task).then_some(Member { model, home })
        });
        here.collect()
    }

    /// Lays out the device's arena.
    pub(super) fn plan(&self, placed: &mut [Placement]) -> Option<Pool> {
        let members = self.members(|_| true);
        let regions = self.regions(&members)?;
        let forbids_most = forbids_most(self.system, &regions)?;
        // What goes at more levels of pressure lies higher, so that what it leaves is the arena's upper end; but a region shrinks
        // too, and then had better lie above what is kept. Which of the two leaves less, the levels say.
        let mut beside = placed.to_vec();
        let together = self.together(&regions)?;
        let (end, weights, persistent) = self.stack(&members, &regions, together.as_ref(), true, placed)?;
        self.stack(&members, &regions, together.as_ref(), false, &mut beside)?;
        if levels::heights(self, &beside)? < levels::heights(self, placed)? {
            placed.clone_from_slice(&beside);
        }
        let heights = regions.iter().flat_map(|shared| &shared.private);
        let apart = heights.into_iter().try_fold(0_u64, |sum, height| sum.checked_add(*height))?;
        let shared = match together {
            Some(together) => together.height,
            None => regions.iter().try_fold(0_u64, |sum, shared| sum.checked_add(shared.region.height))?,
        };
        let here = |model: usize| members.iter().any(|member| member.model == model);
        Some(Pool {
            height: Bytes(end),
            lower_bound: Bytes(bound::of(self.system, self.homes, placed, here)?),
            private: Bytes(end.checked_sub(shared)?.checked_add(apart)?),
            persistent: Bytes(persistent),
            weights: Bytes(weights),
            pinned: Bytes(self.pinned(&members)?),
            forbids_most,
        })
    }

    /// What the models have of the CPU's memory besides, where the device is a GPU.
    fn pinned(&self, members: &[Member]) -> Option<u64> {
        if self.system.devices.get(self.device)?.gpu.is_none() {
            return Some(0);
        }
        let each = members.iter().map(|member| self.system.models.get(member.model)?.pinned());
        each.collect::<Option<Vec<Bytes>>>()?.into_iter().try_fold(0_u64, |sum, bytes| sum.checked_add(bytes.0))
    }

    /// Puts everything above each other. Returns the arena's length, what backends hold outside, and what loading takes.
    fn stack(
        &self,
        members: &[Member],
        regions: &[Shared],
        together: Option<&Together>,
        regions_last: bool,
        placed: &mut [Placement],
    ) -> Option<(u64, u64, u64)> {
        let rank = |task: usize| self.system.levels.iter().filter(|level| level.shed.contains(&task)).count();
        let survives = |shared: &Shared| shared.members.iter().map(|member| rank(member.home.task)).min().unwrap_or(0);
        let mut order: Vec<(usize, bool, usize)> = Vec::with_capacity(members.len().saturating_add(regions.len()));
        order.extend(members.iter().enumerate().map(|(position, member)| (rank(member.home.task), false, position)));
        order.extend(regions.iter().enumerate().map(|(position, shared)| (survives(shared), true, position)));
        order.sort_by_key(|(rank, is_region, position)| (regions_last && *is_region, *rank, *is_region, *position));
        // With modes there are no levels: all that is kept lies below all regions.
        let mut first_region = None;
        let (mut end, mut weights, mut persistent) = (0_u64, 0_u64, 0_u64);
        for (_, is_region, position) in order {
            if is_region {
                let shared = regions.get(position)?;
                let at = match together {
                    Some(together) => together.offsets.get(position)?.checked_add(*first_region.get_or_insert(end))?,
                    None => end,
                };
                shared.region.place(self.system, &shared.members, at, placed)?;
                end = end.max(at.checked_add(shared.region.height)?);
            } else {
                let member = members.get(position)?;
                weights = weights.checked_add(self.system.models.get(member.model)?.weights()?.0)?;
                persistent = persistent.checked_add(self.keep(*member, &mut end, placed)?)?;
            }
        }
        Some((end, weights, persistent))
    }

    /// Places what a model keeps always: what loading takes, then tensors. Returns the length of the former.
    fn keep(&self, member: Member, end: &mut u64, placed: &mut [Placement]) -> Option<u64> {
        let model = self.system.models.get(member.model)?;
        let placement = placed.get_mut(member.model)?;
        let begin = *end;
        for segment in &mut placement.segments {
            segment.persistent = ByteOffset(*end);
            *end = end.checked_add(segment.load.height.0)?;
        }
        let loaded = end.checked_sub(begin)?;
        for ((tensor, life), at) in model.all_tensors().zip(model.lives()).zip(&mut placement.tensors) {
            if life.is_none() {
                *at = ByteOffset(*end);
                *end = end.checked_add(aligned(tensor.size, member.home.alignment)?)?;
            }
        }
        Some(loaded)
    }
}

/// What stands most in the way of sharing more, with what would at most be saved without it. Of two groups, whose regions could
/// start at one byte if they never ran at once: the smaller region, with the highest model of each. Inside a group, where a job
/// of the second model keeps something while one of the first runs: what the region is higher than its highest model.
fn forbids_most(system: &System, regions: &[Shared]) -> Option<Option<(usize, usize, Bytes)>> {
    let highest = |shared: &Shared| {
        let models = shared.members.iter().zip(&shared.private).map(|(member, height)| (*height, member.model));
        let (_, model) = models.max_by_key(|(height, model)| (*height, std::cmp::Reverse(*model)))?;
        Some((shared.region.height, model))
    };
    let tops = regions.iter().map(highest).collect::<Option<Vec<(u64, usize)>>>()?;
    let mut order: Vec<(&Shared, u64, usize)> =
        regions.iter().zip(tops).map(|(shared, (height, model))| (shared, height, model)).collect();
    order.sort_by_key(|(_, height, model)| (std::cmp::Reverse(*height), *model));
    // The smaller of two that conflict, the higher first.
    let mut found: Option<(usize, usize, u64)> = None;
    for (number, (one, _, first)) in order.iter().enumerate() {
        let below = order.iter().skip(number.saturating_add(1)).find(|(two, ..)| one.conflicts_with(two));
        if let Some((_, height, second)) = below
            && found.is_none_or(|(.., most)| most < *height)
        {
            found = Some((*first, *second, *height));
        }
    }
    for shared in regions {
        let alone = shared.private.iter().copied().max().unwrap_or(0);
        let over = shared.region.height.saturating_sub(alone);
        if found.is_some_and(|(.., most)| over <= most) {
            continue;
        }
        let mut most = 0;
        for runs in &shared.members {
            let waiting = shared.members.iter().filter(|waits| waits.model != runs.model);
            for waits in waiting.filter(|waits| goes_before(system, runs.home, waits.home)) {
                let kept = bound::kept_waiting(system.models.get(waits.model)?, waits.home.alignment)?;
                if kept > most {
                    most = kept;
                    found = Some((runs.model, waits.model, over));
                }
            }
        }
    }
    let found = found.filter(|(.., bytes)| *bytes > 0);
    Some(found.map(|(first, second, bytes)| (first, second, Bytes(bytes))))
}

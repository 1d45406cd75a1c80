//! Gives back to the system, page by page, what a settled level of memory pressure leaves unused of the arenas.
//!
//! Nothing moves: where the hardware maps pages, those between two pieces that stay can be given back as well as those above the last.
//! What a shed task's runs use is empty between them, so it comes back as zeros. What loading its model took stays, because the
//! backend holds addresses of it, and so do its kept tensors.
// Giving back pages that the dispatcher's state says nobody uses.
#![allow(unsafe_code)]

use crate::arena::Arena;
use aegis_core::LevelId;
use aegis_core::desc::{LevelDesc, ModelDesc, SystemDesc, TensorLife};
use aegis_core::units::Bytes;
use aegis_linux::reclaim::{Order, Reclaim};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often it looks whether something is to be done. The orchestration thread looks once a second.
const LOOK: Duration = Duration::from_millis(20);

/// For each pool a mark for each page of its arena.
type Pages = Vec<Vec<bool>>;

/// The unused pages of each level.
#[derive(Debug)]
pub(crate) struct Unused {
    /// Bytes of a page.
    page: u64,
    levels: Vec<Pages>,
}

impl Unused {
    /// What each level leaves unused on this machine.
    pub(crate) fn of(system: &SystemDesc) -> Self {
        Self::with_pages(system, u64::try_from(rustix::param::page_size()).unwrap_or(u64::MAX))
    }

    /// The same on a machine with pages of this size.
    fn with_pages(system: &SystemDesc, page: u64) -> Self {
        Self { page, levels: system.levels.iter().map(|level| unused(system, level, page.max(1))).collect() }
    }

    /// Bits for [`Reclaim::new`].
    pub(crate) fn within(&self) -> Box<[u32]> {
        let is_within = |one: &Pages, other: &Pages| {
            one.iter().flatten().any(|unused| *unused)
                && one.iter().flatten().zip(other.iter().flatten()).all(|(a, b)| !a || *b)
        };
        let within = |one| {
            let others = self.levels.iter().zip(0_u32..);
            others
                .filter(|(other, _)| is_within(one, other))
                .fold(0, |bits, (_, at)| bits | 1_u32.checked_shl(at).unwrap_or(0))
        };
        self.levels.iter().map(within).collect()
    }

    /// How much a level leaves unused, in whole pages.
    pub(crate) fn bytes(&self, level: usize) -> Bytes {
        self.levels.get(level).map_or(Bytes(0), |pages| sum(pages, self.page))
    }
}

fn sum(pages: &Pages, page: u64) -> Bytes {
    let marked = pages.iter().flatten().filter(|marked| **marked).count();
    Bytes(u64::try_from(marked).unwrap_or(u64::MAX).saturating_mul(page))
}

/// The pages of which nothing is used by what stays at a level, or kept by what does not.
fn unused(system: &SystemDesc, level: &LevelDesc, page: u64) -> Pages {
    let pages = |bytes: u64| usize::try_from(bytes.div_ceil(page)).unwrap_or(0);
    let mut unused: Pages = system.pools.iter().map(|pool| vec![true; pages(pool.height.0)]).collect();
    let is_shed = |model: usize| {
        level.shed.iter().any(|task| {
            system.tasks.get(task.index()).and_then(|task| task.model).is_some_and(|own| own.index() == model)
        })
    };
    for (number, model) in system.models.iter().enumerate() {
        let Some(pool) = unused.get_mut(model.pool.index()) else { continue };
        for (at, size) in in_use(model, !is_shed(number)).filter(|(_, size)| *size > 0) {
            let (first, end) = (usize::try_from(at / page).unwrap_or(usize::MAX), pages(at.saturating_add(size)));
            pool.iter_mut().take(end).skip(first).for_each(|page| *page = false);
        }
    }
    unused
}

/// What of a model's memory is in use, each place with its size: all while its jobs run, or what it keeps between them.
fn in_use(model: &'static ModelDesc, runs: bool) -> impl Iterator<Item = (u64, u64)> {
    let loaded = model.segments.iter().map(|segment| (segment.persistent_at.0, segment.persistent.0));
    let scratch = model.segments.iter().map(|segment| (segment.scratch_at.0, segment.scratch.0));
    let keeps = runs || model.tensors == TensorLife::Kept;
    let ends = model.inputs.iter().chain(model.outputs).filter(move |_| keeps);
    let carried = model.carried.iter().filter(move |_| runs);
    let tensors = ends.chain(carried).map(|tensor| (tensor.at.0, tensor.size.0));
    loaded.chain(scratch.filter(move |_| runs)).chain(tensors)
}

/// What the reclaiming thread has.
#[derive(Debug)]
pub(crate) struct Reclaimer {
    unused: Unused,
    arenas: Vec<Arc<Arena>>,
    /// Whether the arenas are locked into memory.
    locked: bool,
    /// What is given back now.
    given: Pages,
    /// Whether it was told that memory could not be had.
    told: bool,
}

impl Reclaimer {
    pub(crate) fn new(unused: Unused, arenas: Vec<Arc<Arena>>, locked: bool) -> Self {
        let given = unused.levels.first().map(|pages| pages.iter().map(|pool| vec![false; pool.len()]).collect());
        Self { unused, arenas, locked, given: given.unwrap_or_default(), told: false }
    }

    /// Carries out what is ordered until `over`, which [`std::thread::Thread::unpark`] makes it see at once.
    pub(crate) fn run(mut self, reclaim: &Reclaim, over: &AtomicBool) {
        while !over.load(Ordering::Acquire) {
            if let Some(next) = reclaim.next()
                && self.carry_out(next.order)
            {
                reclaim.has_done(next, sum(&self.given, self.unused.page));
            }
            std::thread::park_timeout(LOOK);
        }
    }

    /// Whether it is done. Memory that cannot be had now is asked for again at the next look; what was had stays.
    fn carry_out(&mut self, order: Order) -> bool {
        let Self { unused: Unused { page: page_bytes, levels }, arenas, locked, given, told } = self;
        let pages = |level: LevelId| levels.get(level.index());
        let (gives, pages) = match order {
            Order::Give(level) => (true, pages(level)),
            Order::Keep(level) => (false, level.and_then(pages)),
        };
        for (pool, (arena, given)) in arenas.iter().zip(given.iter_mut()).enumerate() {
            let unused = |page: usize| pages.and_then(|pages| pages.get(pool)?.get(page)).is_some_and(|unused| *unused);
            // Gives what is unused and there, or takes what is given back and used.
            let changes = |page: usize, is_given: bool| is_given != gives && is_given != unused(page);
            for run in runs(given, changes) {
                let byte = |page: usize| u64::try_from(page).unwrap_or(u64::MAX).saturating_mul(*page_bytes);
                let bytes = byte(run.start)..byte(run.end);
                let result = if gives {
                    // SAFETY: at this level no job of a shed task is left, none comes before this thread was ordered to take back what it
                    // uses and said that it did, and nothing else uses these pages: `in_use` has all that others do.
                    unsafe { arena.give_back(bytes, *locked) }
                } else {
                    arena.take_back(bytes, *locked)
                };
                match result {
                    Ok(()) => given.iter_mut().take(run.end).skip(run.start).for_each(|page| *page = gives),
                    // Perhaps it is not locked any more: as if it were given back, so that it will be.
                    Err(_) if gives => given.iter_mut().take(run.end).skip(run.start).for_each(|page| *page = true),
                    Err(error) => {
                        if !std::mem::replace(told, true) {
                            log::error!(
                                "MEMORY: the system does not give back what the level left unused, so it holds on: {error}"
                            );
                        }
                        return false;
                    }
                }
            }
        }
        *told = false;
        true
    }
}

/// The longest runs of pages that are to change.
fn runs(given: &[bool], changes: impl Fn(usize, bool) -> bool) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (page, _) in given.iter().enumerate().filter(|(page, is_given)| changes(*page, **is_given)) {
        let after = page.saturating_add(1);
        match runs.last_mut() {
            Some(run) if run.end == page => run.end = after,
            _ => runs.push(page..after),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::{Reclaimer, Unused};
    use crate::arena::Arena;
    use aegis_core::desc::{
        Backend, ElementType, FileDesc, LevelDesc, MemoryControl, ModelDesc, PoolDesc, SegmentDesc, SystemDesc,
        TaskDesc, TensorDesc, TensorLife,
    };
    use aegis_core::units::{ByteOffset, Bytes};
    use aegis_core::{Duration, LevelId, ModelId, PoolId, TaskId};
    use aegis_linux::reclaim::Order;

    fn leaked<T>(values: Vec<T>) -> &'static [T] {
        Box::leak(values.into_boxed_slice())
    }

    const POOLS: u16 = 2;
    const HEIGHT: u64 = 4_000;
    const PAGE: u64 = 64;

    /// Models that lie anywhere, each run by one task, and levels that shed some.
    fn system(rng: &mut fastrand::Rng) -> SystemDesc {
        let place = |rng: &mut fastrand::Rng| {
            let size = rng.u64(..600);
            (ByteOffset(rng.u64(..HEIGHT - size)), Bytes(size))
        };
        let tensors = |rng: &mut fastrand::Rng| {
            let tensor = |rng: &mut fastrand::Rng| {
                let (at, size) = place(rng);
                TensorDesc { name: "", element: ElementType::U8, shape: &[], at, size }
            };
            leaked((0..rng.usize(..3)).map(|_| tensor(rng)).collect())
        };
        let segment = |rng: &mut fastrand::Rng| {
            let ((persistent_at, persistent), (scratch_at, scratch)) = (place(rng), place(rng));
            let file = FileDesc { name: "", sha256: "", version: "" };
            let memory = MemoryControl::Planned;
            let (load, runs, reads, writes) = (&[], &[], &[], &[]);
            SegmentDesc { file, memory, persistent_at, persistent, load, scratch_at, scratch, runs, reads, writes }
        };
        let model = |rng: &mut fastrand::Rng| ModelDesc {
            name: "",
            backend: Backend::OnnxRuntime,
            pool: PoolId(rng.u16(..POOLS)),
            weights: Bytes(0),
            tensors: if rng.bool() { TensorLife::Kept } else { TensorLife::Job },
            inputs: tensors(rng),
            outputs: tensors(rng),
            carried: tensors(rng),
            segments: leaked((0..rng.usize(1..3)).map(|_| segment(rng)).collect()),
        };
        let models: Vec<ModelDesc> = (0..4).map(|_| model(rng)).collect();
        let tasks = (0..4).map(|number| TaskDesc { model: Some(ModelId(number)), ..TaskDesc::EMPTY }).collect();
        let mut levels = Vec::new();
        for shed in [0_u16, 0b1, 0b11, 0b1010, 0b111] {
            let shed = (0..4).filter(|task| shed >> task & 1 != 0).map(TaskId).collect();
            let (pools, models, moves) = (&[], &[], &[]);
            levels.push(LevelDesc {
                name: "",
                shed: leaked(shed),
                reject: &[],
                pools,
                models,
                moves,
                settles: Duration::ZERO,
            });
        }
        let (height, none) = (Bytes(HEIGHT), Bytes(0));
        let pool = PoolDesc {
            name: "",
            capacity: height,
            shares: None,
            weights: none,
            height,
            lower_bound: none,
            private: none,
            copy_per_mib: Duration::ZERO,
        };
        let pools = leaked(vec![pool; usize::from(POOLS)]);
        SystemDesc { tasks: leaked(tasks), models: leaked(models), levels: leaked(levels), pools, ..SystemDesc::EMPTY }
    }

    /// What of a byte is needed at a level, from the plan's words alone.
    fn is_needed(system: &SystemDesc, level: &LevelDesc, pool: u16, byte: u64) -> bool {
        let lies = |at: ByteOffset, size: Bytes| (at.0..at.0 + size.0).contains(&byte);
        let models = system.models.iter().zip(0_u16..).filter(|(model, _)| model.pool == PoolId(pool));
        models.into_iter().any(|(model, number)| {
            let is_shed = level.shed.contains(&TaskId(number));
            let keeps = !is_shed || model.tensors == TensorLife::Kept;
            model.segments.iter().any(|segment| {
                lies(segment.persistent_at, segment.persistent) || !is_shed && lies(segment.scratch_at, segment.scratch)
            }) || model.inputs.iter().chain(model.outputs).any(|tensor| keeps && lies(tensor.at, tensor.size))
                || model.carried.iter().any(|tensor| !is_shed && lies(tensor.at, tensor.size))
        })
    }

    #[test]
    fn a_page_is_given_back_exactly_where_no_byte_of_it_is_needed() {
        let mut rng = fastrand::Rng::with_seed(3);
        let (mut pages, mut given) = (0, 0);
        for _ in 0..60 {
            let system = system(&mut rng);
            let unused = Unused::with_pages(&system, PAGE);
            for (level, found) in system.levels.iter().zip(&unused.levels) {
                for (pool, found) in (0_u16..).zip(found) {
                    assert_eq!(u64::try_from(found.len()), Ok(HEIGHT.div_ceil(PAGE)));
                    for (page, found) in (0_u64..).zip(found) {
                        let mut bytes = page * PAGE..HEIGHT.min((page + 1) * PAGE);
                        assert_eq!(*found, !bytes.any(|byte| is_needed(&system, level, pool, byte)), "page {page}");
                        (pages, given) = (pages + 1, given + u32::from(*found));
                    }
                }
            }
            for (one, within) in unused.levels.iter().zip(unused.within()) {
                for (at, other) in unused.levels.iter().enumerate() {
                    let pairs = || one.iter().flatten().zip(other.iter().flatten());
                    let expected = pairs().any(|(one, _)| *one) && pairs().all(|(one, other)| *other || !*one);
                    assert_eq!(within >> at & 1 != 0, expected);
                }
            }
        }
        assert!(given * 10 > pages && given * 2 < pages, "{given} of {pages}");
        assert_eq!(Unused::of(&SystemDesc::EMPTY).within().len(), 0);
    }

    #[test]
    fn orders_are_carried_out_on_the_arenas_and_what_is_in_use_stays() {
        let mut rng = fastrand::Rng::with_seed(4);
        // The same on real pages: what is 64 bytes long above is a page here.
        let scale = u64::try_from(rustix::param::page_size()).unwrap() / PAGE;
        for _ in 0..20 {
            let system = system(&mut rng);
            let small = Unused::with_pages(&system, PAGE);
            let unused = Unused { page: PAGE * scale, levels: small.levels.clone() };
            let arenas: Vec<_> = (0..POOLS).map(|_| Arena::map(HEIGHT * scale, true).unwrap()).collect();
            let pages = |arena: &std::sync::Arc<Arena>| {
                let pages = (0..HEIGHT.div_ceil(PAGE)).map(|page| arena.span(page * PAGE * scale, 1).unwrap());
                pages.collect::<Vec<_>>()
            };
            let mut reclaimer = Reclaimer::new(unused, arenas.clone(), false);
            let mut expected: Vec<Vec<bool>> = small.levels[0].iter().map(|pool| vec![false; pool.len()]).collect();
            for _ in 0..12 {
                // SAFETY: nobody else uses these arenas; a page that was given back is one of zeros.
                arenas.iter().flat_map(pages).for_each(|page| unsafe { *page.base() = 1 });
                let level = rng.usize(..system.levels.len());
                let id = LevelId(u16::try_from(level).unwrap());
                let order = match rng.u8(..3) {
                    0 => Order::Give(id),
                    1 => Order::Keep(Some(id)),
                    _ => Order::Keep(None),
                };
                // Everything was written, so what was given back before is there again, for the system, too.
                let before = expected.clone();
                assert!(reclaimer.carry_out(order));
                for ((pool, arena), (marks, before)) in arenas.iter().enumerate().zip(expected.iter_mut().zip(&before))
                {
                    for (number, page) in pages(arena).iter().enumerate() {
                        let unused = small.levels[level][pool][number];
                        marks[number] = match order {
                            Order::Give(_) => before[number] || unused,
                            Order::Keep(Some(_)) => before[number] && unused,
                            Order::Keep(None) => false,
                        };
                        let was_given_now = marks[number] && !before[number];
                        // SAFETY: as above.
                        assert_eq!(unsafe { *page.base() }, u8::from(!was_given_now), "{order:?}");
                    }
                }
                assert_eq!(reclaimer.given, expected);
            }
        }
    }
}

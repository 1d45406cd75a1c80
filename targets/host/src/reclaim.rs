//! Gives back to the system, page by page, what a settled level of memory pressure leaves unused of the arenas.
//!
//! Nothing moves: pages between two pieces that stay are given back as well as those above the last. Which ones is planned, and
//! proven again at the start: what a shed task's runs use is empty between them, so it comes back as zeros. What loading its
//! model took stays, because the backend holds addresses of it, and so do its kept tensors.
// Giving back pages that the dispatcher's state says nobody uses.
#![allow(unsafe_code)]

use crate::arena::{Arena, NotGiven};
use aegis_core::LevelId;
use aegis_core::desc::{LevelDesc, LevelPoolDesc, PoolDesc, SystemDesc};
use aegis_core::units::Bytes;
use aegis_linux::reclaim::{Order, Reclaim};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often it looks whether something is to be done. The orchestration thread looks once a second.
const LOOK: Duration = Duration::from_millis(100);
/// How long it waits where memory could not be had.
const AGAIN: Duration = Duration::from_secs(1);
/// How much is given or taken with one call, during which the system holds a lock of the whole process.
const AT_ONCE: u64 = 256 << 10;

/// For each pool a mark for each page of its arena.
type Pages = Vec<Vec<bool>>;

/// The unused pages of each level, as planned.
#[derive(Debug)]
pub(crate) struct Unused {
    /// For each pool the bytes of a page.
    page: Vec<u64>,
    levels: Vec<Pages>,
}

impl Unused {
    /// What the plan says.
    pub(crate) fn of(system: &SystemDesc) -> Self {
        let page: Vec<u64> = system.pools.iter().map(|pool| pool.page.0).collect();
        let marks = |(pool, left): (&PoolDesc, &LevelPoolDesc)| {
            let number = |bytes: u64| usize::try_from(bytes.checked_div(pool.page.0).unwrap_or(0)).unwrap_or(0);
            let mut marks = vec![false; number(pool.height.0.saturating_add(pool.page.0.saturating_sub(1)))];
            for pages in left.unused {
                let (first, count) = (number(pages.at.0), number(pages.size.0));
                marks.iter_mut().skip(first).take(count).for_each(|mark| *mark = true);
            }
            marks
        };
        let pages = |level: &LevelDesc| system.pools.iter().zip(level.pools).map(marks).collect();
        Self { page, levels: system.levels.iter().map(pages).collect() }
    }

    /// Bits for [`Reclaim::new`].
    pub(crate) fn within(&self) -> Box<[u32]> {
        let is_within = |one: &Pages, other: &Pages| {
            let mut pairs = one.iter().flatten().zip(other.iter().flatten());
            one.iter().flatten().any(|unused| *unused) && pairs.all(|(one, other)| *other || !one)
        };
        let within = |one| {
            let others = self.levels.iter().zip(0_u32..).filter(|(other, _)| is_within(one, other));
            others.fold(0, |bits, (_, at)| bits | 1_u32.checked_shl(at).unwrap_or(0))
        };
        self.levels.iter().map(within).collect()
    }
}

/// The pool whose planned pages this machine cannot give back, and the size of its own.
pub(crate) fn other_pages(system: &SystemDesc) -> Option<(&'static str, u64)> {
    let own = u64::try_from(rustix::param::page_size()).unwrap_or(u64::MAX);
    let has_level = |pool: usize| {
        system.levels.iter().any(|level| level.pools.get(pool).is_some_and(|pool| !pool.unused.is_empty()))
    };
    let mut pools = system.pools.iter().enumerate();
    let other = pools.find(|(position, pool)| has_level(*position) && !pool.page.0.is_multiple_of(own));
    other.map(|(_, pool)| (pool.name, own))
}

/// How many bytes of the arenas these pages are: the last one may reach beyond its arena's end.
fn sum(pages: &Pages, sizes: &[u64], arenas: &[Arc<Arena>]) -> Bytes {
    let of = |((marks, page), arena): ((&Vec<bool>, &u64), &Arc<Arena>)| {
        let starts = (0_u64..).map(|number| number.saturating_mul(*page));
        let own = |start: u64| arena.length().saturating_sub(start).min(*page);
        marks
            .iter()
            .zip(starts)
            .filter(|(marked, _)| **marked)
            .map(|(_, start)| own(start))
            .fold(0, u64::saturating_add)
    };
    Bytes(pages.iter().zip(sizes).zip(arenas).map(of).fold(0, u64::saturating_add))
}

/// What the reclaiming thread has.
#[derive(Debug)]
pub(crate) struct Reclaimer {
    unused: Unused,
    arenas: Vec<Arc<Arena>>,
    /// What is given back now.
    given: Pages,
}

impl Reclaimer {
    pub(crate) fn new(unused: Unused, arenas: Vec<Arc<Arena>>) -> Self {
        let given = unused.levels.first().map(|pages| pages.iter().map(|pool| vec![false; pool.len()]).collect());
        Self { unused, arenas, given: given.unwrap_or_default() }
    }

    /// Carries out what is ordered until `over`, which [`std::thread::Thread::unpark`] makes it see at once.
    ///
    /// # Safety
    /// The arenas hold what the plan says of which `unused` was made, orders come from the orchestration loop alone, and nobody
    /// uses what an order gives back until one to keep it was answered.
    pub(crate) unsafe fn run(mut self, reclaim: &Reclaim, over: &AtomicBool) {
        // The order that failed last.
        let mut failed = None;
        while !over.load(Ordering::Acquire) {
            let mut pause = LOOK;
            if let Some(next) = reclaim.next() {
                // SAFETY: the caller's.
                let result = unsafe { self.carry_out(next.order) };
                let given_back = sum(&self.given, &self.unused.page, &self.arenas);
                match result {
                    Ok(()) => reclaim.has_done(next, given_back),
                    Err(error) => {
                        if failed != Some(next) {
                            log::error!(
                                "MEMORY: the system does not give back what the level left unused, so it holds on: {error}"
                            );
                            reclaim.has_failed(given_back);
                        }
                        failed = Some(next);
                        pause = AGAIN;
                    }
                }
            }
            std::thread::park_timeout(pause);
        }
    }

    /// Carries out an order. What cannot be given back stays; what cannot be had is an error, and all before it is there.
    ///
    /// # Safety
    /// Nobody uses what the order gives back, see [`Reclaimer::run`].
    unsafe fn carry_out(&mut self, order: Order) -> io::Result<()> {
        let Self { unused: Unused { page, levels }, arenas, given } = self;
        let pages = |level: LevelId| levels.get(level.index());
        let (gives, pages) = match order {
            Order::Give(level) => (true, pages(level)),
            Order::Keep(level) => (false, level.and_then(pages)),
        };
        for (pool, ((arena, given), page)) in arenas.iter().zip(given.iter_mut()).zip(page).enumerate() {
            let size = *page;
            let unused = |page: usize| pages.and_then(|pages| pages.get(pool)?.get(page)).is_some_and(|unused| *unused);
            // Gives what is unused and there, or takes what is given back and used.
            let changes = |page: usize, is_given: bool| is_given != gives && is_given != unused(page);
            for run in runs(given, changes, AT_ONCE.checked_div(size).unwrap_or(0).max(1)) {
                let byte = |page: usize| u64::try_from(page).unwrap_or(u64::MAX).saturating_mul(size);
                let bytes = byte(run.start)..byte(run.end);
                let marks = given.iter_mut().take(run.end).skip(run.start);
                if !gives {
                    arena.take_back(bytes)?;
                    marks.for_each(|page| *page = false);
                    continue;
                }
                // SAFETY: the caller's; which pages these are was proven at the start.
                match unsafe { arena.give_back(bytes) } {
                    Ok(()) => marks.for_each(|page| *page = true),
                    Err(NotGiven { error, is_there }) => {
                        log::warn!("MEMORY: pages that a level leaves unused stay: {error}");
                        // As if given: so they are locked again before they are used.
                        marks.for_each(|page| *page = !is_there);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Runs of pages that are to change, of at most so many.
fn runs(given: &[bool], changes: impl Fn(usize, bool) -> bool, most: u64) -> Vec<Range<usize>> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (page, _) in given.iter().enumerate().filter(|(page, is_given)| changes(*page, **is_given)) {
        let after = page.saturating_add(1);
        match runs.last_mut() {
            Some(run) if run.end == page && run.len() < most => run.end = after,
            _ => runs.push(page..after),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::{Reclaimer, Unused, other_pages};
    use crate::arena::Arena;
    use aegis_core::desc::{LevelDesc, LevelPoolDesc, PagesDesc, PoolDesc, SystemDesc};
    use aegis_core::units::{ByteOffset, Bytes};
    use aegis_core::{Duration, LevelId};
    use aegis_linux::reclaim::Order;
    use std::sync::Arc;

    fn leaked<T>(values: Vec<T>) -> &'static [T] {
        Box::leak(values.into_boxed_slice())
    }

    const PAGES: usize = 40;

    /// Two pools, the second without its last page's end, and levels with any pages of them; some the subset of others.
    fn system(rng: &mut fastrand::Rng, page: u64) -> (SystemDesc, Vec<[Vec<bool>; 2]>) {
        let mut levels = Vec::new();
        for number in 0..5 {
            let mut marks = [(); 2].map(|()| (0..PAGES).map(|_| number > 0 && rng.bool()).collect::<Vec<bool>>());
            if number == 4 {
                let before: &[Vec<bool>; 2] = &levels[1];
                for (pool, before) in marks.iter_mut().zip(before) {
                    pool.iter_mut().zip(before).for_each(|(mark, before)| *mark |= before);
                }
            }
            levels.push(marks);
        }
        let left = |marks: &Vec<bool>| {
            let marked = marks.iter().zip(0_u64..).filter(|(marked, _)| **marked);
            let pages = marked.map(|(_, number)| PagesDesc { at: ByteOffset(number * page), size: Bytes(page) });
            let none = Bytes(0);
            let unused = leaked(pages.collect());
            LevelPoolDesc { weights: none, height: none, lower_bound: none, copied: none, unused }
        };
        let level = |marks: &[Vec<bool>; 2]| LevelDesc {
            name: "",
            shed: &[],
            reject: &[],
            pools: leaked(marks.iter().map(left).collect()),
            models: &[],
            moves: &[],
            settles: Duration::ZERO,
        };
        let pool = |less: u64| {
            let height = Bytes(u64::try_from(PAGES).unwrap() * page - less);
            let (name, capacity, shares, weights) = ("ram", height, None, Bytes(0));
            let (lower_bound, private, copy_per_mib, page) = (Bytes(0), Bytes(0), Duration::ZERO, Bytes(page));
            PoolDesc {
                name,
                domain: None,
                gpu: None,
                capacity,
                shares,
                weights,
                height,
                lower_bound,
                private,
                copy_per_mib,
                page,
            }
        };
        let descs = leaked(levels.iter().map(level).collect());
        (SystemDesc { levels: descs, pools: leaked(vec![pool(0), pool(page / 2)]), ..SystemDesc::EMPTY }, levels)
    }

    #[test]
    fn a_level_is_within_those_that_leave_all_that_unused_and_machines_with_larger_pages_are_told() {
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..20 {
            let (system, levels) = system(&mut rng, 64);
            let unused = Unused::of(&system);
            for (one, within) in levels.iter().zip(unused.within()) {
                for (at, other) in levels.iter().enumerate() {
                    let pairs = || one.iter().flatten().zip(other.iter().flatten());
                    let expected = pairs().any(|(one, _)| *one) && pairs().all(|(one, other)| *other || !*one);
                    assert_eq!(within >> at & 1 != 0, expected);
                }
            }
            assert_eq!(unused.within()[1], 0b1_0010, "within itself and the last one");
        }
        let own = u64::try_from(rustix::param::page_size()).unwrap();
        assert_eq!(other_pages(&system(&mut rng, 64).0), Some(("ram", own)));
        assert_eq!(other_pages(&system(&mut rng, 2 * own).0), None);
        assert_eq!(Unused::of(&SystemDesc::EMPTY).within().len(), 0);
    }

    #[test]
    fn orders_are_carried_out_on_the_arenas_and_what_is_in_use_stays() {
        let mut rng = fastrand::Rng::with_seed(4);
        let page = u64::try_from(rustix::param::page_size()).unwrap();
        for _ in 0..20 {
            let (system, levels) = system(&mut rng, page);
            let arenas: Vec<_> = system.pools.iter().map(|pool| Arena::map(pool.height.0, true).unwrap()).collect();
            let first_bytes = |arena: &Arc<Arena>| {
                let bytes = (0_u64..).take(PAGES).map(|number| arena.span(number * page, 1).unwrap());
                bytes.collect::<Vec<_>>()
            };
            let mut reclaimer = Reclaimer::new(Unused::of(&system), arenas.clone());
            let mut expected = vec![vec![false; PAGES]; 2];
            for _ in 0..12 {
                // SAFETY: nobody else uses these arenas; a page that was given back is one of zeros.
                arenas.iter().flat_map(first_bytes).for_each(|byte| unsafe { *byte.base() = 1 });
                let level = rng.usize(..levels.len());
                let id = LevelId(u16::try_from(level).unwrap());
                let order = match rng.u8(..3) {
                    0 => Order::Give(id),
                    1 => Order::Keep(Some(id)),
                    _ => Order::Keep(None),
                };
                // SAFETY: as above.
                unsafe { reclaimer.carry_out(order) }.unwrap();
                for ((pool, arena), marks) in arenas.iter().enumerate().zip(&mut expected) {
                    for (number, byte) in first_bytes(arena).iter().enumerate() {
                        let (before, unused) = (marks[number], levels[level][pool][number]);
                        marks[number] = match order {
                            Order::Give(_) => before || unused,
                            Order::Keep(Some(_)) => before && unused,
                            Order::Keep(None) => false,
                        };
                        let is_given_now = marks[number] && !before;
                        // SAFETY: as above.
                        assert_eq!(unsafe { *byte.base() }, u8::from(!is_given_now), "{order:?}");
                    }
                }
                assert_eq!(reclaimer.given, expected);
            }
        }
    }

    #[test]
    fn what_cannot_be_had_is_an_error_and_asked_for_again() {
        let mut rng = fastrand::Rng::with_seed(5);
        let page = u64::try_from(rustix::param::page_size()).unwrap();
        let (system, levels) = system(&mut rng, page);
        // The first arena has half of its pages: the system refuses what lies beyond.
        let half = u64::try_from(PAGES / 2).unwrap() * page;
        let arenas = vec![Arena::map(half, true).unwrap(), Arena::map(system.pools[1].height.0, true).unwrap()];
        let mut reclaimer = Reclaimer::new(Unused::of(&system), arenas);
        // SAFETY: nobody uses these arenas.
        unsafe { reclaimer.carry_out(Order::Give(LevelId(1))) }.unwrap();
        let mut expected = levels[1].clone();
        assert_eq!(reclaimer.given, expected.to_vec(), "what is perhaps not there has to be had before it is used");
        for _ in 0..2 {
            // SAFETY: as above.
            unsafe { reclaimer.carry_out(Order::Keep(None)) }.unwrap_err();
            assert!(!reclaimer.given[0][..PAGES / 2].contains(&true));
            assert_eq!(reclaimer.given[0][PAGES / 2..], expected[0][PAGES / 2..]);
        }
        // SAFETY: as above.
        unsafe { reclaimer.carry_out(Order::Give(LevelId(1))) }.unwrap();
        expected[0][PAGES / 2..].fill(false);
        reclaimer.given[0][PAGES / 2..].fill(false);
        let given = |reclaimer: &Reclaimer| super::sum(&reclaimer.given, &reclaimer.unused.page, &reclaimer.arenas).0;
        let whole = expected.iter().flatten().filter(|given| **given).count();
        let beyond = if expected[1][PAGES - 1] { page / 2 } else { 0 };
        assert_eq!(given(&reclaimer), u64::try_from(whole).unwrap() * page - beyond);
        // SAFETY: as above.
        unsafe { reclaimer.carry_out(Order::Keep(None)) }.unwrap();
        assert_eq!(given(&reclaimer), 0);
    }
}

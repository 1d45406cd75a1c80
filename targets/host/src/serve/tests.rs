//! What serves requests, on memory of the CPU.

use super::{Refusal, Server};
use crate::arena::Arena;
use crate::backend::Sequence;
use aegis_core::desc::{MemoryControl, Recording, Step};

const STEPS: &[Step] = &[
    Step::lowest(100, 0, 0),
    Step::above(8, 128, 1, 0),
    Step::give(0),
    Step::lowest(64, 0, 0),
    Step::give(1),
    Step::give(0),
];
const RUNS: &[Recording] = &[Recording { steps: STEPS, peak: 1 }];

const fn planned(runs: &'static [Recording]) -> Sequence {
    Sequence::Planned { runs, owns_region: true }
}

fn server(sequence: Sequence) -> Server {
    Server::new(Arena::map(4_096, true).unwrap().span(1_024, 192).unwrap(), sequence)
}

#[test]
fn the_recorded_sequence_gets_its_offsets_as_often_as_it_comes() {
    let mut server = server(planned(RUNS));
    for _ in 0..3 {
        let first = server.take(100).unwrap();
        let second = server.take(8).unwrap();
        assert_eq!(second.addr() - first.addr(), 128);
        assert!(server.give(first));
        assert_eq!(server.take(64).unwrap(), first);
        assert!(server.give(second) && server.give(first));
        server.end();
        assert_eq!((server.take_refusal(), server.live(), server.usage().height), (None, 0, 192));
    }
}

#[test]
fn another_request_is_refused_with_both_sizes_and_the_next_run_starts_over() {
    let mut server = server(planned(RUNS));
    let first = server.take(100).unwrap();
    assert!(server.take(9).is_none() && server.take(8).is_none(), "nothing is served after a refusal");
    assert!(server.give(first));
    server.end();
    let refusal = server.take_refusal().unwrap();
    assert_eq!(refusal.to_string(), "event 2 requests 9 bytes, recorded is a request of 8 bytes");
    assert_eq!((server.live(), server.usage().refused, server.usage().refused_bytes), (0, 2, 17));
    assert!(server.take(100).is_some(), "the record starts from its beginning");
}

#[test]
fn too_few_events_and_another_order_of_returns_are_no_replay() {
    let mut server = server(planned(RUNS));
    let first = server.take(100).unwrap();
    let second = server.take(8).unwrap();
    assert!(server.give(second));
    server.end();
    assert!(matches!(server.take_refusal(), Some(Refusal::Given { event: 3, .. })));
    assert!(server.give(first));
    assert_eq!(server.live(), 0);
    server.end();
    // That return came first in a sequence of its own.
    assert!(matches!(server.take_refusal(), Some(Refusal::Given { event: 1, .. })));
    let first = server.take(100).unwrap();
    server.end();
    assert_eq!(server.take_refusal(), Some(Refusal::Short { events: 1, recorded: 6 }));
    assert!(server.give(first));
}

#[test]
fn blocks_that_all_stay_come_in_any_order_each_once() {
    const BLOCKS: &[Step] = &[Step::lowest(64, 0, 0), Step::lowest(60, 64, 1), Step::lowest(64, 128, 2)];
    let mut server = server(Sequence::LoadInAnyOrder(BLOCKS));
    let base = server.take(60).unwrap().addr() - 64;
    let offsets = [server.take(64).unwrap().addr() - base, server.take(64).unwrap().addr() - base];
    assert_eq!((offsets, server.live()), ([0, 128], 3));
    server.end();
    assert_eq!((server.take_refusal(), server.control()), (None, MemoryControl::Planned));
    assert!(server.take(64).is_none(), "there are two of this size");
    assert_eq!(
        server.take_refusal().unwrap().to_string(),
        "event 4 requests 64 bytes, and no planned block of that size is free"
    );
    // One that comes back is none that stays; one that does not come is missing.
    let mut server = self::server(Sequence::LoadInAnyOrder(BLOCKS));
    let block = server.take(60).unwrap();
    assert!(server.give(block));
    server.end();
    assert!(matches!(server.take_refusal(), Some(Refusal::Given { event: 2, .. })));
    server.end();
    assert_eq!(server.take_refusal(), Some(Refusal::Short { events: 0, recorded: 3 }));
}

/// One block and back, of this size; `true` where it was served and kept to the record.
fn run(server: &mut Server, size: usize) -> bool {
    let block = server.take(size);
    if let Some(block) = block {
        server.give(block);
    }
    server.end();
    server.take_refusal().is_none()
}

#[test]
fn recordings_are_tried_until_a_run_keeps_to_one_and_then_never_again() {
    const TWO: &[Recording] = &[
        Recording { steps: &[Step::lowest(5, 0, 0), Step::give(0)], peak: 0 },
        Recording { steps: &[Step::lowest(6, 0, 0), Step::give(0)], peak: 0 },
    ];
    let mut server = server(planned(TWO));
    assert!(!run(&mut server, 6) && server.try_another() && run(&mut server, 6));
    server.settle();
    assert!(!run(&mut server, 5) && !server.try_another() && run(&mut server, 6));
    assert_eq!(server.control(), MemoryControl::Planned);
    // No recording fits: the region is still kept to, and the grade says so.
    let mut server = self::server(planned(TWO));
    assert!(!run(&mut server, 7) && server.try_another() && !run(&mut server, 7) && server.try_another());
    assert!(run(&mut server, 7) && !server.try_another() && !run(&mut server, 193));
    assert_eq!(server.control(), MemoryControl::Capped);
}

#[test]
fn where_live_tensors_lie_inside_the_region_first_fit_is_never_tried() {
    const TWO: &[Recording] = &[
        Recording { steps: &[Step::lowest(5, 0, 0), Step::give(0)], peak: 0 },
        Recording { steps: &[Step::lowest(6, 128, 0), Step::give(0)], peak: 0 },
    ];
    let shared = |runs| server(Sequence::Planned { runs, owns_region: false });
    let mut server = shared(TWO);
    assert!(!run(&mut server, 7) && server.try_another());
    assert!(server.take(7).is_none() && !server.try_another());
    server.end();
    let refusal = server.take_refusal().unwrap();
    assert_eq!(
        server.tell(refusal),
        "event 1 requests 7 bytes, recorded is a request of 6 bytes; no recording fits, and first fit is not tried, \
         because live tensors lie inside the region"
    );
    assert_eq!((server.control(), server.usage().refused), (MemoryControl::Planned, 1));
    // A recording that fits is kept to as anywhere else.
    assert!(run(&mut server, 6));
    server.settle();
    assert!(server.take(7).is_none());
    server.end();
    let refusal = server.take_refusal().unwrap();
    assert_eq!(server.tell(refusal), "event 1 requests 7 bytes, recorded is a request of 6 bytes");
    // Without a recording nothing is served.
    let mut server = shared(&[]);
    assert!(server.take(1).is_none() && !server.try_another());
}

#[test]
fn a_recorder_notes_sizes_and_blocks_and_a_region_refuses_what_does_not_fit() {
    let mut recorder = server(Sequence::Recorded);
    let (one, two) = (recorder.take(100).unwrap(), recorder.take(0).unwrap());
    assert!(recorder.give(one) && recorder.give(two));
    assert_eq!(recorder.take_events(), [100, 0, -1, -2]);
    assert!(recorder.take(5).is_some());
    assert_eq!(recorder.take_events(), [5]);
    let mut region = server(Sequence::Free);
    assert!(region.take(128).is_some() && region.take(65).is_none() && region.take(64).is_some());
    assert_eq!(region.take_refusal(), Some(Refusal::Full { requested: 65, region: 192 }));
    assert!(!region.give(std::ptr::null_mut()), "not in this region");
}

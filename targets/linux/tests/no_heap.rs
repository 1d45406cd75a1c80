//! The orchestration loop uses no heap after start-up, even while bounds are exceeded and explained.

mod common;

use common::{Act, drive, fixture};

#[global_allocator]
static HEAP: aegis_linux::heap::Counting = aegis_linux::heap::Counting;

#[test]
fn a_run_with_and_without_exceeded_bounds_performs_zero_heap_operations() {
    let before = aegis_linux::heap::operations_of_this_thread();
    drop(std::hint::black_box(Box::new(1)));
    assert!(aegis_linux::heap::operations_of_this_thread() >= before + 2, "the counter counts");

    let system = fixture::system(&[(5, 1), (10, 1)]);
    let ran = drive::<2>(system, Act::Spin(500), Some(400), None);
    assert!(ran.stats[0].jobs >= 40, "{:?}", ran.stats);
    assert_eq!(ran.heap_operations, 0);

    let in_pieces = fixture::in_segments(&[(5, &[1]), (10, &[1, 1])]);
    let ran = drive::<2>(in_pieces, Act::Spin(500), Some(400), None);
    assert!(ran.stats[1].jobs >= 20, "{:?}", ran.stats);
    assert_eq!(ran.heap_operations, 0);

    // Every job is late by far, so the path that reads the steal counter runs as well.
    let ran = drive::<2>(system, Act::Spin(12_000), Some(200), None);
    assert!(ran.stats[0].exceeded > 0 && ran.stats[0].misses > 0, "{:?}", ran.stats);
    assert_eq!(ran.heap_operations, 0);
}

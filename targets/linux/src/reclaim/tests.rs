//! Orders and answers, one thread after the other; `tests/loom` has them at once.

use crate::reclaim::{Order, Reclaim};
use aegis_core::{Bytes, LevelId};

const HIGH: LevelId = LevelId(0);
const CRITICAL: LevelId = LevelId(1);

/// Carries out what is ordered; what that was.
fn carry_out(reclaim: &Reclaim, bytes: u64) -> Order {
    let next = reclaim.next().unwrap();
    reclaim.has_done(next, Bytes(bytes));
    next.order
}

#[test]
fn a_level_is_left_once_what_the_next_one_uses_is_there() {
    let reclaim = Reclaim::new(Box::new([0b01, 0b10]));
    assert!(reclaim.is_needed() && reclaim.provide(Some(HIGH)), "nothing was given back");
    reclaim.has_settled(HIGH);
    assert!(!reclaim.provide(None), "perhaps it is being given back at this moment");
    assert_eq!(carry_out(&reclaim, 0), Order::Keep(None));
    assert!(reclaim.provide(None) && reclaim.next().is_none());
    reclaim.has_settled(HIGH);
    assert_eq!((carry_out(&reclaim, 8192), reclaim.given_back()), (Order::Give(HIGH), Bytes(8192)));
    assert!(!reclaim.provide(None), "the answer to an older order of the same kind is none to this one");
    assert!(reclaim.provide(Some(HIGH)), "all that may be missing it leaves unused");
    assert!(!reclaim.provide(None));
    assert_eq!(carry_out(&reclaim, 0), Order::Keep(None));
    assert!(reclaim.provide(None) && reclaim.next().is_none());
}

#[test]
fn a_level_that_leaves_the_same_unused_is_gone_to_at_once_and_one_that_does_not_takes_it_back() {
    // What the first leaves unused, the second does, too; the third leaves something else unused, the fourth nothing.
    let reclaim = Reclaim::new(Box::new([0b0011, 0b0010, 0b0100, 0]));
    let (other, idle) = (LevelId(2), LevelId(3));
    reclaim.has_settled(HIGH);
    assert!(reclaim.provide(Some(CRITICAL)));
    assert_eq!(carry_out(&reclaim, 1), Order::Give(HIGH));
    assert!(reclaim.provide(Some(CRITICAL)));
    reclaim.has_settled(CRITICAL);
    assert_eq!(carry_out(&reclaim, 2), Order::Give(CRITICAL));
    assert!(!reclaim.provide(Some(HIGH)));
    assert_eq!(carry_out(&reclaim, 1), Order::Keep(Some(HIGH)));
    assert!(reclaim.provide(Some(HIGH)) && reclaim.provide(Some(CRITICAL)));
    assert!(!reclaim.provide(Some(other)));
    assert_eq!(carry_out(&reclaim, 0), Order::Keep(Some(other)));
    assert!(reclaim.provide(Some(other)) && !reclaim.provide(Some(idle)));
    assert_eq!(carry_out(&reclaim, 0), Order::Keep(None));
    assert!(reclaim.provide(Some(idle)));
    reclaim.has_settled(idle);
    assert!(reclaim.next().is_none() && !Reclaim::new(Box::new([0])).is_needed());
}

//! What is told, and to whom; not in the file itself, which `tests/loom` compiles with another bell.

use super::guarantee::Guarantee;
use crate::bell::Bell;
use aegis_core::desc::Waiting;
use aegis_core::trace::VoidReason;
use std::sync::Arc;

#[test]
fn a_reason_is_told_once_and_never_taken_back() {
    let guarantee = Guarantee::new();
    assert!(guarantee.is_valid() && guarantee.take().is_none());
    assert!(guarantee.void(VoidReason::NotPinned), "at the start, before anybody could be woken");
    let bell = Arc::new(Bell::new(Waiting::Blocking).unwrap());
    guarantee.open(Arc::clone(&bell));
    assert_eq!((guarantee.take(), guarantee.take()), (Some(VoidReason::NotPinned), None));
    assert!(!bell.hear());
    assert!(guarantee.void(VoidReason::TooHot) && guarantee.void(VoidReason::OtherClocks));
    assert!(bell.hear());
    assert!(!guarantee.void(VoidReason::TooHot) && !guarantee.void(VoidReason::NotPinned));
    assert!(!bell.hear(), "nobody wakes for what was said");
    assert_eq!([(); 3].map(|()| guarantee.take()), [Some(VoidReason::OtherClocks), Some(VoidReason::TooHot), None]);
    assert!(!guarantee.is_valid());
    let all: Vec<_> = guarantee.reasons().collect();
    assert_eq!(all, [VoidReason::NotPinned, VoidReason::OtherClocks, VoidReason::TooHot]);
}

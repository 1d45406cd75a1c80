//! The page between a lane and a process that may be hostile.
#![allow(unsafe_code)]

use super::page::{Answer, Broken, Caller, Figures, Futex, MOST_TEXT, MOST_WAKE_UPS, Order, Page, Server, WORDS};
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The words of a page, as another process sees them.
fn words(page: &Page) -> &[AtomicU32] {
    const { assert!(WORDS * 4 <= size_of::<Page>()) };
    // SAFETY: a page consists of so many atomic words, one after the other.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(page).cast::<AtomicU32>(), WORDS) }
}

/// A process that does something each time the vehicle's thread waits; a wait takes a millisecond.
struct Process<'a, F: FnMut(&Page) -> bool> {
    page: &'a Page,
    act: RefCell<F>,
    waits: Cell<usize>,
    now: Cell<u64>,
}

impl<F: FnMut(&Page) -> bool> Futex for Process<'_, F> {
    fn wait(&self, word: &AtomicU32, expected: u32, until: Option<u64>) {
        self.waits.set(self.waits.get() + 1);
        let wakes = (self.act.borrow_mut())(self.page);
        if word.load(Ordering::Relaxed) == expected && !wakes {
            // Nobody wakes it.
            self.now.set(until.unwrap());
        } else {
            self.now.set(self.now.get() + 1_000_000);
        }
    }

    fn wake(&self, _word: &AtomicU32) {}

    fn now(&self) -> u64 {
        self.now.get()
    }
}

const UNTIL: Option<u64> = Some(20_000_000_000);

fn ask(act: impl FnMut(&Page) -> bool) -> (Result<Answer, Broken>, usize) {
    let page = Page::new();
    let process = Process { page: &page, act: RefCell::new(act), waits: Cell::new(0), now: Cell::new(0) };
    let mut caller = Caller::new();
    words(&page)[4].store(1, Ordering::Release);
    let order = Order::Run { task: 3, segment: 2 };
    let answer = caller.call(&page, &process, order, UNTIL, &AtomicBool::new(false));
    (answer, process.waits.get())
}

/// A futex that never waits: the other side has acted before.
struct Ready;

impl Futex for Ready {
    fn wait(&self, _word: &AtomicU32, _expected: u32, _until: Option<u64>) {}
    fn wake(&self, _word: &AtomicU32) {}
    fn now(&self) -> u64 {
        0
    }
}

fn answered(with: &Answer) -> Result<Answer, Broken> {
    let mut server = Server::default();
    ask(|page| {
        assert_eq!(server.next(page, &Ready), Some(Order::Run { task: 3, segment: 2 }));
        server.answer(page, &Ready, with);
        false
    })
    .0
}

#[test]
fn an_honest_answer_arrives_as_it_was_given() {
    let figures = Figures { numbers: [1, u64::MAX, 1 << 32, 77, 0, 5], control: 2 };
    let long = "x".repeat(MOST_TEXT + 9);
    for answer in [
        Answer::Done(figures),
        Answer::Refused(figures, "event 2 requests 9 bytes".to_owned()),
        Answer::Failed("no such thing".to_owned()),
        Answer::Failed(String::new()),
    ] {
        assert_eq!(answered(&answer), Ok(answer));
    }
    assert_eq!(answered(&Answer::Failed(long.clone())), Ok(Answer::Failed(long[..MOST_TEXT].to_owned())));
}

#[test]
fn the_first_order_is_there_from_the_beginning_and_answered_once() {
    let (page, mut server, caller) = (Page::new(), Server::default(), Caller::new());
    assert_eq!(server.next(&page, &Ready), Some(Order::Load));
    server.answer(&page, &Ready, &Answer::Done(Figures::default()));
    assert_eq!(caller.wait(&page, &Ready, None, &AtomicBool::new(false)), Ok(Answer::Done(Figures::default())));
    page.end(&Ready);
    assert_eq!(server.next(&page, &Ready), Some(Order::End));
}

#[test]
fn no_answer_and_waking_again_and_again_have_an_end() {
    assert_eq!(ask(|_| false), (Err(Broken::Late), 1));
    let (answer, waits) = ask(|_| true);
    assert!(matches!(answer, Err(Broken::Malformed(_))), "{answer:?}");
    assert_eq!(waits, MOST_WAKE_UPS);
}

#[test]
fn each_value_that_is_not_permitted_is_malformed() {
    let with = |changes: &'static [(usize, u32)]| {
        ask(move |page| {
            changes.iter().for_each(|(at, value)| words(page)[*at].store(*value, Ordering::Release));
            false
        })
        .0
    };
    const ANSWERED: usize = 4;
    for wrong in [&[(ANSWERED, 7)][..], &[(5, 3), (ANSWERED, 2)], &[(5, 1), (7, 193), (ANSWERED, 2)]] {
        assert!(matches!(with(wrong), Err(Broken::Malformed(_))), "{wrong:?}");
    }
    // Bytes that are no text become one.
    let text = with(&[(5, 2), (7, 4), (21, u32::MAX), (ANSWERED, 2)]);
    assert_eq!(text, Ok(Answer::Failed("\u{fffd}".repeat(4))));
}

#[test]
fn a_lost_process_is_seen_however_the_counter_stands() {
    let is_lost = AtomicBool::new(false);
    let (page, caller) = (Page::new(), Caller::new());
    let act = |page: &Page| {
        is_lost.store(true, Ordering::Release);
        page.poke(&Ready);
        false
    };
    let process = Process { page: &page, act: RefCell::new(act), waits: Cell::new(0), now: Cell::new(0) };
    assert_eq!(caller.wait(&page, &process, UNTIL, &is_lost), Err(Broken::Lost));
    assert_eq!(caller.wait(&page, &process, UNTIL, &is_lost), Err(Broken::Lost));
}

/// A quick sequence of numbers that look random.
fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

#[test]
fn a_million_hostile_processes_neither_hold_up_nor_mislead_the_vehicle() {
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    let (mut late, mut malformed, mut answers) = (0_u32, 0_u32, 0_u32);
    for _ in 0..1_000_000 {
        let (answer, waits) = ask(|page| {
            for _ in 0..next(&mut seed) % 5 {
                let drawn = next(&mut seed);
                let at = usize::try_from(drawn % 10).unwrap();
                let at = if at == 9 { usize::try_from(drawn >> 8).unwrap() % WORDS } else { at };
                let value = match drawn >> 60 {
                    0..12 => u32::try_from(drawn >> 32 & 3).unwrap(),
                    12 => 192 + u32::try_from(drawn >> 32 & 1).unwrap(),
                    13 => u32::MAX,
                    _ => u32::try_from(drawn >> 16 & 0xffff_ffff).unwrap(),
                };
                words(page)[at].store(value, Ordering::Release);
            }
            !next(&mut seed).is_multiple_of(8)
        });
        assert!(waits <= MOST_WAKE_UPS);
        match answer {
            Err(Broken::Late) => late += 1,
            Err(Broken::Malformed(_)) => malformed += 1,
            Err(Broken::Lost) => panic!("nobody said so"),
            // Three bytes for each that is no text.
            Ok(Answer::Refused(_, text) | Answer::Failed(text)) => {
                assert!(text.len() <= 3 * MOST_TEXT);
                answers += 1;
            }
            Ok(Answer::Done(_)) => answers += 1,
        }
    }
    assert!(late > 1_000 && malformed > 1_000 && answers > 1_000, "{late} {malformed} {answers}");
}

proptest! {
    #[test]
    fn whatever_a_page_holds_is_an_answer_or_malformed(contents in prop::collection::vec(any::<u32>(), WORDS)) {
        let (answer, waits) = ask(|page| {
            words(page).iter().zip(&contents).for_each(|(word, value)| word.store(*value, Ordering::Release));
            words(page)[4].store(2, Ordering::Release);
            words(page)[5].store(contents[5] % 4, Ordering::Release);
            false
        });
        prop_assert_eq!(waits, 1);
        match answer {
            Ok(Answer::Done(figures)) => {
                prop_assert_eq!(contents[5] % 4, 0);
                prop_assert_eq!(figures.numbers[0], u64::from(contents[10]) << 32 | u64::from(contents[9]));
            }
            Ok(Answer::Refused(..) | Answer::Failed(_)) => prop_assert!(contents[7] <= 192),
            Err(broken) => prop_assert!(matches!(broken, Broken::Malformed(_))),
        }
    }
}

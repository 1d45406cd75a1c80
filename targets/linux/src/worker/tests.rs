//! The page between a lane and a process that may be hostile.
#![allow(unsafe_code)]

use super::page::{
    Answer, Broken, Caller, Figures, Futex, Looking, MOST_TEXT, MOST_WAKE_UPS, Order, Page, Server, WORDS,
};
use super::switch::Switch;
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The places of words: the vehicle's are the first four.
const ANSWERED: usize = 16;
const STATUS: usize = 17;
const CONTROL: usize = 18;
const TEXT_BYTES: usize = 19;
const FIGURES: usize = 20;
const BEAT: usize = 32;
const TEXT: usize = 48;

/// The words of a page, as another process sees them.
fn words(page: &Page) -> &[AtomicU32] {
    const { assert!(WORDS * 4 == size_of::<Page>()) };
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
    words(&page)[ANSWERED].store(1, Ordering::Release);
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
fn each_life_finds_its_own() {
    let switch = Switch::new("first");
    assert_eq!((switch.with(0, |own| *own), switch.with(1, |own| *own)), (Some("first"), None));
    assert_eq!((switch.put(1, "second"), switch.with(0, |own| *own)), (None, Some("first")));
    assert_eq!((switch.take(0), switch.with(1, |own| *own)), (Some("first"), Some("second")));
    assert_eq!((switch.put(2, "third"), switch.put(2, "fourth")), (None, Some("third")), "one that failed to load");
    let busy = switch.with(2, |_| (switch.with(2, |own| *own), switch.put(2, "fifth"), switch.take(2)));
    assert_eq!(busy, Some((None, Some("fifth"), None)), "tried and not waited for");
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
    for wrong in [&[(ANSWERED, 7)][..], &[(STATUS, 3), (ANSWERED, 2)], &[(STATUS, 1), (TEXT_BYTES, 193), (ANSWERED, 2)]]
    {
        assert!(matches!(with(wrong), Err(Broken::Malformed(_))), "{wrong:?}");
    }
    // Bytes that are no text become one.
    let text = with(&[(STATUS, 2), (TEXT_BYTES, 4), (TEXT, u32::MAX), (ANSWERED, 2)]);
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

/// Somebody's clock that moves on by a millisecond at each look, and does something then.
struct Ticking<'a, F: FnMut()> {
    act: RefCell<F>,
    now: &'a Cell<u64>,
}

impl<F: FnMut()> Futex for Ticking<'_, F> {
    fn wait(&self, _word: &AtomicU32, _expected: u32, _until: Option<u64>) {
        panic!("who looks does not wait");
    }

    fn wake(&self, _word: &AtomicU32) {
        panic!("nor does anybody wake");
    }

    fn now(&self) -> u64 {
        (self.act.borrow_mut())();
        self.now.set(self.now.get() + 1_000_000);
        self.now.get()
    }
}

#[test]
fn who_looks_sees_that_time_is_up_that_the_process_is_lost_and_what_is_malformed() {
    let (page, is_lost, now) = (Page::new(), AtomicBool::new(false), Cell::new(0));
    let looking = |act| Looking { clock: Ticking { act: RefCell::new(act), now: &now }, looks: 3 };
    let nothing: Box<dyn FnMut()> = Box::new(|| {});
    let mut caller = Caller::new();
    words(&page)[ANSWERED].store(1, Ordering::Release);
    let order = Order::Run { task: 3, segment: 2 };
    assert_eq!(caller.call(&page, &looking(nothing), order, UNTIL, &is_lost), Err(Broken::Late));
    assert_eq!(now.get(), UNTIL.unwrap(), "at the first look at the clock after it");
    // Lost, whatever the page says, also where the vehicle has not turned its bit over.
    now.set(0);
    let lost: Box<dyn FnMut()> = Box::new(|| is_lost.store(true, Ordering::Release));
    assert_eq!(caller.wait(&page, &looking(lost), UNTIL, &is_lost), Err(Broken::Lost));
    is_lost.store(false, Ordering::Release);
    // The bit that the vehicle turns over, by the process.
    let turned: Box<dyn FnMut()> = Box::new(|| page.poke(&Ready));
    assert!(matches!(caller.wait(&page, &looking(turned), UNTIL, &is_lost), Err(Broken::Malformed(_))));
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
                let used = [0, 1, 2, 3, ANSWERED, STATUS, CONTROL, TEXT_BYTES, BEAT].get(at);
                let at = used.copied().unwrap_or(usize::try_from(drawn >> 8).unwrap() % WORDS);
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
            words(page)[ANSWERED].store(2, Ordering::Release);
            words(page)[STATUS].store(contents[STATUS] % 4, Ordering::Release);
            false
        });
        prop_assert_eq!(waits, 1);
        match answer {
            Ok(Answer::Done(figures)) => {
                prop_assert_eq!(contents[STATUS] % 4, 0);
                prop_assert_eq!(figures.numbers[0], u64::from(contents[FIGURES + 1]) << 32 | u64::from(contents[FIGURES]));
            }
            Ok(Answer::Refused(..) | Answer::Failed(_)) => prop_assert!(contents[TEXT_BYTES] <= 192),
            Err(broken) => prop_assert!(matches!(broken, Broken::Malformed(_))),
        }
    }
}

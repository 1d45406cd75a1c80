//! The page through which a lane of the vehicle and the process of a fault domain talk.
//!
//! ```text
//!  vehicle   order, numbers, asked = n ─wake─▶              ┌─ answered = n ─▶ status and figures are checked
//!  process                        waits for asked ─▶ runs ─▶ status, figures, text, answered = n ─wake─▶
//! ```
//!
//! Each side writes its own words, and then its counter with release; the other one reads the counter with acquire. One order is
//! under way at a time. The vehicle keeps its own count: it never believes what the page says of that.
//!
//! The process may be hostile. It can write anything into any word at any time, so the vehicle reads each word it uses once, and
//! a value that is none of the permitted ones is [`Broken::Malformed`]. It can wake the vehicle's thread as often as it likes:
//! after [`MOST_WAKE_UPS`] that is malformed, too. It can answer never: then the time is up.
//!
//! How either side waits is a matter of [`Futex`]: it sleeps until it is woken, or looks again and again ([`Looking`]), and then
//! neither side makes a system call.

use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::sync::spin_loop;

/// The longest text of an answer in bytes.
pub const MOST_TEXT: usize = TEXT_WORDS * 4;

const TEXT_WORDS: usize = 48;

/// How many numbers of its memory's use a process tells.
pub const FIGURES: usize = 6;

/// How many words a page consists of, with those that nobody uses.
pub const WORDS: usize = 48 + TEXT_WORDS;

/// How often the vehicle's thread is woken for one answer at most.
pub const MOST_WAKE_UPS: usize = 1_000;

/// How threads wait for a word to change: as the system's futexes do, or without the system.
pub trait Futex {
    /// How often a wait for one answer may end without it, at most: of one whose end is somebody's wake-up.
    const MOST_WAITS: usize = MOST_WAKE_UPS;

    /// Waits as long as the word has this value and nobody wakes it, or until an instant of `CLOCK_MONOTONIC` in nanoseconds. It
    /// may return earlier.
    fn wait(&self, word: &AtomicU32, expected: u32, until: Option<u64>);

    /// Wakes who waits for the word.
    fn wake(&self, word: &AtomicU32);

    /// `CLOCK_MONOTONIC` in nanoseconds.
    fn now(&self) -> u64;
}

/// Waiting without the system: who waits looks at the word again and again, and nobody is woken. Each side needs a core that the
/// other one has not.
#[derive(Clone, Copy, Debug)]
pub struct Looking<F> {
    /// Whose clock it goes by.
    pub clock: F,
    /// How often it looks before it looks at the clock, and whether the process is lost, once more.
    pub looks: u32,
}

impl<F: Futex> Futex for Looking<F> {
    /// Nobody wakes it, so each end is of its own making: the time alone limits it.
    const MOST_WAITS: usize = usize::MAX;

    fn wait(&self, word: &AtomicU32, expected: u32, _until: Option<u64>) {
        for _ in 0..self.looks {
            if word.load(Ordering::Relaxed) != expected {
                return;
            }
            spin_loop();
        }
    }

    fn wake(&self, _word: &AtomicU32) {}

    fn now(&self) -> u64 {
        self.clock.now()
    }
}

/// What a process is told to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Load its models: the first order, which is there from the beginning.
    Load,
    /// Run a segment of a task's model; both are counted from 0, the task among those of its lane in its domain.
    Run {
        /// The task.
        task: u32,
        /// The segment.
        segment: u32,
    },
    /// All warm-up runs are over: give up what is not needed any more.
    Fence,
    /// End.
    End,
}

/// How the process did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// As it was told.
    Done(Figures),
    /// The runtime's request for memory was refused: only this run failed. Why, in words.
    Refused(Figures, String),
    /// It failed for good. Why, in words.
    Failed(String),
}

/// What a segment took of its memory, as its process says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    /// Of the persistent memory, then of the scratch: the height in bytes, the requests that were refused, and their bytes.
    pub numbers: [u64; FIGURES],
    /// How far it is planned, as a number that both sides agree on.
    pub control: u32,
}

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    /// The time is up.
    Late,
    /// The page holds something that is not permitted.
    Malformed(&'static str),
    /// The process is lost.
    Lost,
}

const LOAD: u32 = 1;
const RUN: u32 = 2;
const FENCE: u32 = 3;
const END: u32 = 4;

const DONE: u32 = 0;
const REFUSED: u32 = 1;
const FAILED: u32 = 2;

/// The bit that the vehicle turns over in the answer's counter to make a waiting thread look up.
const POKE: u32 = 0x8000_0000;

/// One page: words that both processes see.
///
/// What one side writes and the other one waits for lies in a line of the processors' caches of its own: an order is one line that
/// goes from core to core, and an answer without words is another. Where a line is longer they share one.
#[derive(Debug)]
#[repr(C)]
pub struct Page {
    ordered: Ordered,
    answered: Answered,
    beat: Beat,
    text: Text,
}

/// The vehicle's words.
#[derive(Debug)]
#[repr(C, align(64))]
struct Ordered {
    asked: AtomicU32,
    order: AtomicU32,
    task: AtomicU32,
    segment: AtomicU32,
    _unused: [AtomicU32; 12],
}

/// The process' words.
#[derive(Debug)]
#[repr(C, align(64))]
struct Answered {
    answered: AtomicU32,
    status: AtomicU32,
    control: AtomicU32,
    text_bytes: AtomicU32,
    figures: [AtomicU32; FIGURES * 2],
}

/// What another thread of the process writes.
#[derive(Debug)]
#[repr(C, align(64))]
struct Beat(AtomicU32, [AtomicU32; 15]);

#[derive(Debug)]
#[repr(C, align(64))]
struct Text([AtomicU32; TEXT_WORDS]);

impl Page {
    /// A page of the heap, with the first order in it: what zeroed shared memory becomes by [`Page::begin`].
    #[must_use]
    pub fn new() -> Self {
        let word = |_| AtomicU32::new(0);
        let [asked, order, task, segment, answered, status, control, text_bytes, beat] = std::array::from_fn(word);
        let figures = std::array::from_fn(word);
        let page = Self {
            ordered: Ordered { asked, order, task, segment, _unused: std::array::from_fn(word) },
            answered: Answered { answered, status, control, text_bytes, figures },
            beat: Beat(beat, std::array::from_fn(word)),
            text: Text(std::array::from_fn(word)),
        };
        page.begin();
        page
    }

    /// Puts the first order in: before the process is started.
    pub fn begin(&self) {
        self.ordered.order.store(LOAD, Ordering::Relaxed);
        self.ordered.asked.store(1, Ordering::Release);
    }

    /// Tells the process to end, after the lane's last call: nobody waits for an answer.
    pub fn end(&self, futex: &impl Futex) {
        self.ordered.order.store(END, Ordering::Relaxed);
        self.ordered.asked.fetch_add(1, Ordering::Release);
        futex.wake(&self.ordered.asked);
    }

    /// Makes the lane's thread look whether the process is lost, if it waits.
    pub fn poke(&self, futex: &impl Futex) {
        self.answered.answered.fetch_xor(POKE, Ordering::Release);
        futex.wake(&self.answered.answered);
    }

    /// How often the process has shown that it lives, modulo 2³².
    #[must_use]
    pub fn beats(&self) -> u32 {
        self.beat.0.load(Ordering::Relaxed)
    }

    /// The process shows that it lives.
    pub fn beat(&self) {
        self.beat.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Default for Page {
    fn default() -> Self {
        Self::new()
    }
}

/// The vehicle's end of a page: one for each page, used by one thread at a time.
#[derive(Debug)]
pub struct Caller {
    /// The number of the latest order.
    asked: u32,
    /// What the counter of answers holds until that is answered.
    before: u32,
}

impl Caller {
    /// Of a page whose first order is under way.
    #[must_use]
    pub const fn new() -> Self {
        Self { asked: 1, before: 0 }
    }

    /// Gives an order and waits for its answer: until an instant, or until the process is lost.
    ///
    /// # Errors
    /// [`Broken`]: the page is not to be used again.
    pub fn call<F: Futex>(
        &mut self,
        page: &Page,
        futex: &F,
        order: Order,
        until: Option<u64>,
        is_lost: &AtomicBool,
    ) -> Result<Answer, Broken> {
        let (kind, task, segment) = match order {
            Order::Load => (LOAD, 0, 0),
            Order::Run { task, segment } => (RUN, task, segment),
            Order::Fence => (FENCE, 0, 0),
            Order::End => (END, 0, 0),
        };
        self.before = self.asked;
        self.asked = self.asked.wrapping_add(1);
        page.ordered.order.store(kind, Ordering::Relaxed);
        page.ordered.task.store(task, Ordering::Relaxed);
        page.ordered.segment.store(segment, Ordering::Relaxed);
        page.ordered.asked.store(self.asked, Ordering::Release);
        futex.wake(&page.ordered.asked);
        self.wait(page, futex, until, is_lost)
    }

    /// Waits for the answer to the order that is under way: to the first one, which nobody gives.
    ///
    /// # Errors
    /// [`Broken`]: the page is not to be used again.
    pub fn wait<F: Futex>(
        &self,
        page: &Page,
        futex: &F,
        until: Option<u64>,
        is_lost: &AtomicBool,
    ) -> Result<Answer, Broken> {
        for _ in 0..F::MOST_WAITS {
            let answered = page.answered.answered.load(Ordering::Acquire);
            // After the counter: who turns its bit over has said before that the process is lost.
            if is_lost.load(Ordering::Acquire) {
                return Err(Broken::Lost);
            }
            if answered == self.asked {
                return read(page);
            }
            if answered != self.before {
                return Err(Broken::Malformed("it answered what nobody asked"));
            }
            if until.is_some_and(|until| futex.now() >= until) {
                return Err(Broken::Late);
            }
            futex.wait(&page.answered.answered, answered, until);
        }
        Err(Broken::Malformed("it woke the lane again and again without an answer"))
    }
}

impl Default for Caller {
    fn default() -> Self {
        Self::new()
    }
}

/// Reads an answer: every word at most once.
fn read(page: &Page) -> Result<Answer, Broken> {
    let mut figures = Figures { control: page.answered.control.load(Ordering::Relaxed), ..Figures::default() };
    for (number, [low, high]) in figures.numbers.iter_mut().zip(page.answered.figures.as_chunks::<2>().0) {
        let [low, high] = [low, high].map(|word| u64::from(word.load(Ordering::Relaxed)));
        *number = high << 32 | low;
    }
    let status = page.answered.status.load(Ordering::Relaxed);
    if status == DONE {
        return Ok(Answer::Done(figures));
    }
    let length = usize::try_from(page.answered.text_bytes.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
    if length > MOST_TEXT {
        return Err(Broken::Malformed("its text is longer than a page has room for"));
    }
    let bytes = page.text.0.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes());
    let bytes: Vec<u8> = bytes.take(length).collect();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    match status {
        REFUSED => Ok(Answer::Refused(figures, text)),
        FAILED => Ok(Answer::Failed(text)),
        _ => Err(Broken::Malformed("its status is none of the answers")),
    }
}

/// The process' end of a page.
#[derive(Debug, Default)]
pub struct Server {
    taken: u32,
}

impl Server {
    /// Waits for the next order; `None` for one that is none, which nobody answers.
    pub fn next(&mut self, page: &Page, futex: &impl Futex) -> Option<Order> {
        loop {
            let asked = page.ordered.asked.load(Ordering::Acquire);
            if asked == self.taken {
                futex.wait(&page.ordered.asked, asked, None);
                continue;
            }
            self.taken = asked;
            return match page.ordered.order.load(Ordering::Relaxed) {
                LOAD => Some(Order::Load),
                RUN => Some(Order::Run {
                    task: page.ordered.task.load(Ordering::Relaxed),
                    segment: page.ordered.segment.load(Ordering::Relaxed),
                }),
                FENCE => Some(Order::Fence),
                END => Some(Order::End),
                _ => None,
            };
        }
    }

    /// Answers the order that was taken last. Text beyond [`MOST_TEXT`] bytes is left out.
    pub fn answer(&self, page: &Page, futex: &impl Futex, answer: &Answer) {
        let (status, figures, text) = match answer {
            Answer::Done(figures) => (DONE, *figures, ""),
            Answer::Refused(figures, text) => (REFUSED, *figures, text.as_str()),
            Answer::Failed(text) => (FAILED, Figures::default(), text.as_str()),
        };
        for (number, [low, high]) in figures.numbers.iter().zip(page.answered.figures.as_chunks::<2>().0) {
            let bytes = number.to_le_bytes();
            let [a, b, c, d, e, f, g, h] = bytes;
            low.store(u32::from_le_bytes([a, b, c, d]), Ordering::Relaxed);
            high.store(u32::from_le_bytes([e, f, g, h]), Ordering::Relaxed);
        }
        if status != DONE {
            let text = text.as_bytes().get(..MOST_TEXT).unwrap_or(text.as_bytes());
            for (word, bytes) in page.text.0.iter().zip(text.chunks(4)) {
                let mut four = [0; 4];
                four.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
                word.store(u32::from_le_bytes(four), Ordering::Relaxed);
            }
            page.answered.text_bytes.store(u32::try_from(text.len()).unwrap_or(0), Ordering::Relaxed);
        }
        page.answered.control.store(figures.control, Ordering::Relaxed);
        page.answered.status.store(status, Ordering::Relaxed);
        page.answered.answered.store(self.taken, Ordering::Release);
        futex.wake(&page.answered.answered);
    }
}

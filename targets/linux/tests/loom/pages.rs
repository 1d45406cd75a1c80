//! The page between a lane and the process of a fault domain: nobody waits for what has happened.

use crate::page::{Answer, Broken, Caller, Figures, Futex, Looking, Order, Page, Server};
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use loom::sync::{Condvar, Mutex};
use loom::thread;
use std::sync::Arc;

/// What the system's futexes do: the look at the word and the wait are one step for who wakes. Time stands still.
#[derive(Default)]
struct Kernel {
    waiting: Mutex<()>,
    woken: Condvar,
}

impl Futex for &Kernel {
    fn wait(&self, word: &AtomicU32, expected: u32, until: Option<u64>) {
        (**self).wait(word, expected, until);
    }

    fn wake(&self, word: &AtomicU32) {
        (**self).wake(word);
    }

    fn now(&self) -> u64 {
        (**self).now()
    }
}

impl Futex for Kernel {
    fn wait(&self, word: &AtomicU32, expected: u32, _until: Option<u64>) {
        let waiting = self.waiting.lock().unwrap();
        if word.load(Ordering::SeqCst) == expected {
            drop(self.woken.wait(waiting).unwrap());
        }
    }

    fn wake(&self, _word: &AtomicU32) {
        drop(self.waiting.lock().unwrap());
        self.woken.notify_all();
    }

    fn now(&self) -> u64 {
        0
    }
}

fn figures(number: u64) -> Figures {
    Figures { numbers: [number; 6], control: 1 }
}

/// A process that answers so many orders.
fn serving(shared: &Arc<(Page, Kernel, AtomicBool)>, orders: u64) -> thread::JoinHandle<Option<Order>> {
    let own = Arc::clone(shared);
    thread::spawn(move || {
        let mut server = Server::default();
        let mut last = None;
        for number in 0..orders {
            last = server.next(&own.0, &own.1);
            server.answer(&own.0, &own.1, &Answer::Done(figures(number)));
        }
        last
    })
}

fn shared() -> Arc<(Page, Kernel, AtomicBool)> {
    Arc::new((Page::new(), Kernel::default(), AtomicBool::new(false)))
}

/// Two orders, each with its own answer, whole.
pub(crate) fn answered() {
    let shared = shared();
    let process = serving(&shared, 2);
    let (page, kernel, is_lost) = &*shared;
    let mut caller = Caller::new();
    assert_eq!(caller.wait(page, kernel, None, is_lost), Ok(Answer::Done(figures(0))));
    let order = Order::Run { task: 1, segment: 2 };
    assert_eq!(caller.call(page, kernel, order, None, is_lost), Ok(Answer::Done(figures(1))));
    assert_eq!(process.join().unwrap(), Some(order));
}

/// The process answers while it is lost: the lane is woken, whichever comes first.
pub(crate) fn lost() {
    let shared = shared();
    let process = serving(&shared, 1);
    let own = Arc::clone(&shared);
    let supervisor = thread::spawn(move || {
        own.2.store(true, Ordering::Release);
        own.0.poke(&own.1);
    });
    let (page, kernel, is_lost) = &*shared;
    let answer = Caller::new().wait(page, kernel, None, is_lost);
    assert!(matches!(answer, Ok(Answer::Done(_)) | Err(Broken::Lost)), "{answer:?}");
    supervisor.join().unwrap();
    process.join().unwrap();
    assert_eq!(Caller::new().wait(page, kernel, None, is_lost), Err(Broken::Lost));
}

/// It never answers, and is lost.
pub(crate) fn lost_without_an_answer() {
    let shared = shared();
    let own = Arc::clone(&shared);
    let supervisor = thread::spawn(move || {
        own.2.store(true, Ordering::Release);
        own.0.poke(&own.1);
    });
    let (page, kernel, is_lost) = &*shared;
    assert_eq!(Caller::new().wait(page, kernel, None, is_lost), Err(Broken::Lost));
    supervisor.join().unwrap();
}

/// It is told to end while its thread waits, or before.
pub(crate) fn told_to_end() {
    let shared = shared();
    let own = Arc::clone(&shared);
    let process = thread::spawn(move || {
        let mut server = Server::default();
        while server.next(&own.0, &own.1) != Some(Order::End) {}
    });
    shared.0.end(&shared.1);
    process.join().unwrap();
}

/// Threads that look: one look before each at the clock.
fn looking(kernel: &Kernel) -> Looking<&Kernel> {
    Looking { clock: kernel, looks: 1 }
}

/// As a vehicle whose threads look does it: for the answer to the first order somebody sleeps, for a segment nobody does.
pub(crate) fn looked_for() {
    let shared = shared();
    let own = Arc::clone(&shared);
    let process = thread::spawn(move || {
        let mut server = Server::default();
        assert_eq!(server.next(&own.0, &looking(&own.1)), Some(Order::Load));
        server.answer(&own.0, &own.1, &Answer::Done(figures(0)));
        let order = server.next(&own.0, &looking(&own.1));
        server.answer(&own.0, &looking(&own.1), &Answer::Done(figures(1)));
        order
    });
    let (page, kernel, is_lost) = &*shared;
    let mut caller = Caller::new();
    assert_eq!(caller.wait(page, kernel, None, is_lost), Ok(Answer::Done(figures(0))));
    let order = Order::Run { task: 1, segment: 2 };
    assert_eq!(caller.call(page, &looking(kernel), order, None, is_lost), Ok(Answer::Done(figures(1))));
    assert_eq!(process.join().unwrap(), Some(order));
}

/// It never answers, and is lost while a lane looks.
pub(crate) fn lost_while_looked_at() {
    let shared = shared();
    let own = Arc::clone(&shared);
    let supervisor = thread::spawn(move || {
        own.2.store(true, Ordering::Release);
        own.0.poke(&own.1);
    });
    let (page, kernel, is_lost) = &*shared;
    assert_eq!(Caller::new().wait(page, &looking(kernel), None, is_lost), Err(Broken::Lost));
    supervisor.join().unwrap();
}

/// It is told to end while its thread looks, or before.
pub(crate) fn told_to_end_while_looking() {
    let shared = shared();
    let own = Arc::clone(&shared);
    let process = thread::spawn(move || {
        let mut server = Server::default();
        while server.next(&own.0, &looking(&own.1)) != Some(Order::End) {}
    });
    shared.0.end(&shared.1);
    process.join().unwrap();
}

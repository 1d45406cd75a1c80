//! Submissions: who puts arrivals, who takes them, and the bell between them.

use crate::bell::Bell;
use crate::clock::Clock;
use crate::submissions::{Submissions, SubmitError};
use crate::{TASK, fixture};
use aegis_core::desc::{Release, SystemDesc, TaskDesc};
use aegis_core::{Duration, Instant};
use loom::thread;
use std::sync::Arc;

const PERIOD: u64 = 3;

/// Submissions of one task that are open.
fn open() -> (Arc<Submissions>, Arc<Bell>) {
    open_for(false, PERIOD)
}

/// Likewise, of a task that takes what comes too early or not.
fn open_for(defers: bool, period: u64) -> (Arc<Submissions>, Arc<Bell>) {
    let base = fixture::system(&[(1, 1)]);
    let period = Duration::from_ns(period);
    let tasks = [TaskDesc { release: Release::Submitted, defers, queue: 2, period, ..base.tasks[0] }];
    let submissions = Submissions::new(&SystemDesc { tasks: Box::leak(Box::new(tasks)), ..*base });
    let bell = Arc::new(Bell::new());
    submissions.open(Clock::starting(), Arc::clone(&bell));
    (submissions, bell)
}

/// A thread that takes what is there at so many looks.
///
/// Of an atomic number loom remembers the last access alone. A look that ran before a submitter's own one would be forgotten by
/// the time that submitter writes, and never be tried after it: so who takes is spawned last, and runs last at first.
fn taking(submissions: &Arc<Submissions>, looks: usize) -> thread::JoinHandle<Vec<Instant>> {
    let own = Arc::clone(submissions);
    thread::spawn(move || (0..looks).filter_map(|_| own.take(0)).map(|(_, arrival)| arrival).collect())
}

/// A thread that submits so often; when what was accepted arrives.
fn submitting(submissions: &Arc<Submissions>, times: usize) -> thread::JoinHandle<Vec<Instant>> {
    let own = Arc::clone(submissions);
    thread::spawn(move || (0..times).filter_map(|_| own.submit(TASK).ok()).collect())
}

/// What is left.
fn rest(submissions: &Submissions) -> Vec<Instant> {
    std::iter::from_fn(|| submissions.take(0)).map(|(_, arrival)| arrival).collect()
}

/// Whatever was told is taken once, in its order, a period apart.
fn taken_as_told(submissions: &Submissions, mut told: Vec<Instant>, mut taken: Vec<Instant>, period: u64) {
    taken.extend(rest(submissions));
    told.sort();
    assert_eq!(taken, told, "in the order in which they arrive");
    assert!(told.windows(2).all(|pair| pair[1].as_ns() >= pair[0].as_ns() + period), "{told:?}");
    assert!(!told.is_empty());
}

pub(crate) fn submitted() {
    let (submissions, _bell) = open();
    let (first, second) = (submitting(&submissions, 2), submitting(&submissions, 1));
    let taken = taking(&submissions, 1).join().unwrap();
    let mut told = first.join().unwrap();
    told.extend(second.join().unwrap());
    taken_as_told(&submissions, told, taken, PERIOD);
}

pub(crate) fn deferred() {
    let (submissions, _bell) = open_for(true, PERIOD);
    let (first, second) = (submitting(&submissions, 2), submitting(&submissions, 1));
    let mut told = first.join().unwrap();
    told.extend(second.join().unwrap());
    taken_as_told(&submissions, told, Vec::new(), PERIOD);
}

/// Time goes on by more than a period between two submissions.
pub(crate) fn deferred_with_gaps() {
    let (submissions, _bell) = open_for(true, 1);
    let submitter = submitting(&submissions, 3);
    let taken = taking(&submissions, 2).join().unwrap();
    taken_as_told(&submissions, submitter.join().unwrap(), taken, 1);
}

pub(crate) fn accepted_before() {
    let (submissions, _bell) = open_for(true, PERIOD);
    let first = submissions.submit(TASK).unwrap();
    let meanwhile = submitting(&submissions, 1);
    let taken = taking(&submissions, 1).join().unwrap();
    let second = meanwhile.join().unwrap();
    assert_eq!(taken, [first], "whoever submits meanwhile");
    assert_eq!(rest(&submissions), second);
}

pub(crate) fn deferred_and_rung() {
    let (submissions, bell) = open_for(true, PERIOD);
    let own = Arc::clone(&submissions);
    let submitter = thread::spawn(move || u64::from(own.submit(TASK).is_ok()) + u64::from(own.submit(TASK).is_ok()));
    let mut taken = 0;
    bell.wait();
    bell.hear();
    taken += u64::from(submissions.take(0).is_some());
    let accepted = submitter.join().unwrap();
    // As the loop: one a turn, and no turn unless somebody rang.
    while bell.hear() {
        taken += u64::from(submissions.take(0).is_some());
    }
    assert_eq!((taken, submissions.take(0)), (accepted, None));
}

pub(crate) fn rung() {
    let (submissions, bell) = open();
    let own = Arc::clone(&submissions);
    let submitter = thread::spawn(move || own.submit(TASK));
    bell.wait();
    assert!(bell.hear());
    assert!(submissions.take(0).is_some());
    assert!(submitter.join().unwrap().is_ok());
}

pub(crate) fn told_the_end() {
    let (submissions, _bell) = open();
    let own = Arc::clone(&submissions);
    let submitter = thread::spawn(move || (own.submit(TASK), own.submit(TASK)));
    // As the loop does at a stop that is asked for.
    let end = Clock.now();
    submissions.close(end);
    assert_eq!(submissions.submit(TASK), Err(SubmitError::Ended));
    let (first, second) = submitter.join().unwrap();
    // What was stamped before the end, or while it was told, at most once: nobody takes it here.
    assert!(first.is_ok() || second.is_err(), "{first:?} {second:?}");
    let accepted = usize::from(first.is_ok()) + usize::from(second.is_ok());
    assert_eq!(submissions.take(0).into_iter().count(), accepted);
    assert_eq!(submissions.submit(TASK), Err(SubmitError::Ended));
}

//! What applications and sources ask for while a change is under way, and tasks that two admit: nothing is forgotten or done twice.

use crate::TASK;
use crate::admissions::{AdmissionError, Admissions};
use crate::bell::Bell;
use crate::changes::{Change, Changes};
use crate::fixture;
use crate::modes::Modes;
use crate::pressure::Pressure;
use crate::reclaim::Reclaim;
use aegis_core::desc::{Asks, BETWEEN_LEVELS, ModeDesc, SystemDesc, TaskDesc, WatchedSource};
use aegis_core::trace::Kind;
use aegis_core::{Duration, Instant, LevelId, ModeId, TaskId};
use loom::thread;
use std::sync::Arc;

/// Two modes and a level of pressure that are open.
fn open_changes() -> (Arc<Pressure>, Arc<Modes>, Arc<Admissions>, Arc<Bell>) {
    let base = fixture::system(&[(1, 1)]);
    let (lanes, proven, leaves) = (base.lanes, base.tasks, Duration::from_ns(1));
    let mode = |name| ModeDesc { name, tasks: &[TaskId(0)], lanes, proven, leaves };
    let modes = vec![mode("first"), mode("second")];
    let system = SystemDesc { levels: &[fixture::LEVEL], modes: modes.leak(), ..*base };
    let (pressure, modes, bell) = (Pressure::new(&system), Modes::new(&system), Arc::new(Bell::new()));
    pressure.open(Arc::clone(&bell));
    modes.open(Arc::clone(&bell));
    (pressure, modes, Admissions::new(&system), bell)
}

/// As the loop does once it has changed something.
fn tell(changes: &Changes<'_>, change: Change) {
    match change {
        Change::Level(level) => changes.is_at(level),
        Change::Mode(mode) => changes.is_in(Some(mode)),
        Change::Admission(task, admits) => changes.has_admitted(task, admits),
    }
}

pub(crate) fn pressed() {
    let (pressure, modes, admissions, bell) = open_changes();
    let own = Arc::clone(&pressure);
    let application = thread::spawn(move || {
        own.request(Some(LevelId(0))).unwrap();
        own.request(None).unwrap();
        own.request(Some(LevelId(0))).unwrap();
    });
    // As the loop does: it looks where it was rung for, or where it is to look by itself, and then at the last request.
    let reclaim = Reclaim::new(Box::new([]));
    let mut changes = Changes::new(&pressure, &modes, &admissions, &reclaim);
    let mut now = Instant::START;
    while pressure.level().is_none() {
        if changes.wake_at(false, Instant::START).is_none() {
            bell.wait();
            bell.hear();
        }
        now = now.checked_add(BETWEEN_LEVELS).unwrap();
        if let Some(change) = changes.due(now, false) {
            tell(&changes, change);
        }
    }
    application.join().unwrap();
    // What was asked for last holds after one more look at the latest, and nobody has to ring for it.
    while changes.wake_at(false, Instant::START).is_some() {
        now = now.checked_add(BETWEEN_LEVELS).unwrap();
        if let Some(change) = changes.due(now, false) {
            tell(&changes, change);
        }
    }
    assert_eq!(pressure.level(), Some(LevelId(0)));
}

pub(crate) fn changed() {
    let (pressure, modes, admissions, bell) = open_changes();
    let (of_level, of_mode) = (Arc::clone(&pressure), Arc::clone(&modes));
    let application = thread::spawn(move || {
        of_level.request(Some(LevelId(0))).unwrap();
        of_mode.request(ModeId(1)).unwrap();
    });
    let reclaim = Reclaim::new(Box::new([]));
    let mut changes = Changes::new(&pressure, &modes, &admissions, &reclaim);
    let (mut now, mut seen) = (Instant::START, Vec::new());
    while seen.len() < 2 {
        match changes.wake_at(false, Instant::START) {
            Some(at) => now = now.max(at),
            None => {
                bell.wait();
                bell.hear();
            }
        }
        if let Some(change) = changes.due(now, false) {
            tell(&changes, change);
            seen.push((now, change));
        }
        now = now.checked_add(Duration::from_ns(1)).unwrap();
    }
    application.join().unwrap();
    assert!(seen[1].0.saturating_since(seen[0].0) >= BETWEEN_LEVELS, "{seen:?}");
    assert_eq!(
        (pressure.level(), modes.mode(), changes.wake_at(false, Instant::START)),
        (Some(LevelId(0)), Some(ModeId(1)), None)
    );
}

pub(crate) fn watched() {
    let (pressure, modes, admissions, bell) = open_changes();
    let (of_source, of_application) = (Arc::clone(&modes), Arc::clone(&modes));
    let source = thread::spawn(move || of_source.watched(Some(ModeId(1)), WatchedSource::IoSome, 77).unwrap());
    let application = thread::spawn(move || of_application.request(ModeId(0)).unwrap());
    let reclaim = Reclaim::new(Box::new([]));
    let mut changes = Changes::new(&pressure, &modes, &admissions, &reclaim);
    let (mut now, mut news) = (Instant::START, Vec::new());
    // The source's request is rung for whatever the application does; what it says is seen whole.
    while modes.mode() != Some(ModeId(1)) {
        if changes.wake_at(false, Instant::START).is_none() {
            bell.wait();
            bell.hear();
        }
        now = now.checked_add(BETWEEN_LEVELS).unwrap();
        let change = changes.due(now, false);
        news.extend(changes.news());
        if let Some(change) = change {
            tell(&changes, change);
        }
    }
    source.join().unwrap();
    application.join().unwrap();
    let asks = Some(Asks::Mode(ModeId(1)));
    assert_eq!(news, [Kind::Watched { source: WatchedSource::IoSome, reading: 77, asks }]);
    // The end of what the source asked for leaves what the application did.
    modes.watched(None, WatchedSource::IoSome, 3).unwrap();
    let due = (0..2).find_map(|_| {
        now = now.checked_add(BETWEEN_LEVELS).unwrap();
        changes.due(now, false)
    });
    assert_eq!((due, changes.news().is_some()), (Some(Change::Mode(ModeId(0))), true));
}

pub(crate) fn changing() {
    let (pressure, modes, admissions, bell) = open_changes();
    let own = Arc::clone(&modes);
    let application = thread::spawn(move || {
        own.request(ModeId(1)).unwrap();
        own.request(ModeId(0)).unwrap();
    });
    let reclaim = Reclaim::new(Box::new([]));
    let mut changes = Changes::new(&pressure, &modes, &admissions, &reclaim);
    let mut now = Instant::START;
    bell.wait();
    bell.hear();
    let begun = changes.due(now, false);
    // While the change is under way nothing is due, and nothing is woken for.
    now = now.checked_add(BETWEEN_LEVELS).unwrap();
    if begun.is_some() {
        assert_eq!((changes.due(now, true), changes.wake_at(true, Instant::START)), (None, None));
        changes.is_in(Some(ModeId(1)));
    }
    application.join().unwrap();
    while changes.wake_at(false, Instant::START).is_some() {
        if let Some(change) = changes.due(now, false) {
            tell(&changes, change);
        }
        now = now.checked_add(BETWEEN_LEVELS).unwrap();
    }
    assert_eq!(modes.mode(), Some(ModeId(0)));
}

pub(crate) fn admitted() {
    let base = fixture::system(&[(1, 1)]);
    let tasks = [TaskDesc { optional: true, ..base.tasks[0] }];
    let system = SystemDesc { tasks: Box::leak(Box::new(tasks)), ..*base };
    let (pressure, modes, admissions) = (Pressure::new(&system), Modes::new(&system), Admissions::new(&system));
    let bell = Arc::new(Bell::new());
    admissions.open(Arc::clone(&bell));
    let ask = || {
        let own = Arc::clone(&admissions);
        thread::spawn(move || own.admit(TASK))
    };
    let (first, second) = (ask(), ask());
    let reclaim = Reclaim::new(Box::new([]));
    let mut changes = Changes::new(&pressure, &modes, &admissions, &reclaim);
    bell.wait();
    bell.hear();
    let change = changes.due(Instant::START, false);
    assert_eq!(change, Some(Change::Admission(TASK, true)), "whoever rang had asked");
    changes.has_admitted(TASK, true);
    assert!(admissions.is_admitted(TASK));
    let answers = [first.join().unwrap(), second.join().unwrap()];
    let refused = [Err(AdmissionError::Pending), Err(AdmissionError::AlreadyAdmitted(TASK))];
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
    assert!(answers.iter().all(|answer| answer.is_ok() || refused.contains(answer)), "{answers:?}");
    assert_eq!(changes.wake_at(false, Instant::START), None);
}

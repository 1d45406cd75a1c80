//! Traces of a dispatcher that is told anything at any time are replayed without a difference, and what is changed in one is found
//! at its line.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

use aegis_codegen::analysis::Load;
use aegis_codegen::replay::{LaneState, Why};
use aegis_core::desc::{Policy, SystemDesc};
use aegis_core::dispatch::{Event, State, count_unfinished, step};
use aegis_core::time::Instant;
use aegis_core::trace::{Kind, Sink};
use aegis_core::units::{LaneId, TaskId};
use aegis_tests::anything::{Log, anything};
use aegis_tests::planned::unproven;
use aegis_tests::replay::{assert_same, named, replayed, text};
use fastrand::Rng;
use serde_json::{Map, Value};

#[test]
fn whatever_the_dispatcher_is_told_is_replayed_without_a_difference() {
    let (mut records, mut decisions, mut silent, mut refused) = (0, 0, 0, 0);
    let mut seen = std::collections::BTreeMap::new();
    for seed in 0..2_000 {
        let ran = anything(&mut Rng::with_seed(seed), 300);
        let trace = text(ran.system, ran.records);
        let same = assert_same(ran.system, &trace);
        (records, decisions) = (records + same.records, decisions + same.decisions);
        (silent, refused) = (silent + ran.silent, refused + ran.refused);
        for line in trace.lines() {
            let fields: Map<String, Value> = serde_json::from_str(line).unwrap();
            let event = fields["event"].as_str().unwrap().to_owned();
            *seen.entry(event).or_insert(0) += 1;
        }
    }
    println!("{records} records, {decisions} decisions: the same; {silent} silent steps, {refused} refused: {seen:?}");
    let of_jobs =
        ["skipped", "overrun", "rejected", "pause", "aborted", "miss", "bound_exceeded", "failure", "lane_stall"];
    let of_changes = ["pressure", "withheld", "settled", "mode_changed", "domain_failed", "deferred", "task_admitted"];
    for (event, least) in [("forgone", 20), ("task_dismissed", 300), ("domain_restored", 200)] {
        assert!(seen.get(event).is_some_and(|count| *count > least), "{event}: {seen:?}");
    }
    for event in of_jobs.iter().chain(&of_changes).chain(&["end"]) {
        assert!(seen.get(*event).is_some_and(|count| *count > 1_000), "{event}: {seen:?}");
    }
    assert!(seen.get("dropped").is_some_and(|count| *count > 300), "{seen:?}");
    assert!(silent > 10_000 && refused > 10_000, "{silent} {refused}");
}

/// The line that is found first: of a difference, or that cannot be read.
fn found(system: &'static SystemDesc, lines: &[String]) -> Option<usize> {
    let text = lines.join("\n") + "\n";
    let line = match replayed(system, &text) {
        Ok(replayed) => replayed.difference.map(|difference| difference.line),
        Err(unreadable) => Some(unreadable.line),
    };
    line.map(|line| usize::try_from(line).unwrap() - 1)
}

fn fields(line: &str) -> Map<String, Value> {
    serde_json::from_str(line).unwrap()
}

/// The lines with numbers without gaps, as one who hides a change would write them.
fn renumbered(lines: Vec<String>) -> Vec<String> {
    let number = |(number, line): (usize, String)| {
        let mut fields = fields(&line);
        fields.insert("sequence".to_owned(), number.into());
        Value::Object(fields).to_string()
    };
    lines.into_iter().enumerate().map(number).collect()
}

fn changed(value: &Value) -> Value {
    match value {
        Value::Number(number) => (number.as_u64().unwrap() + 1).into(),
        Value::String(text) => format!("{text}1").into(),
        Value::Null => "req-1".into(),
        other => panic!("{other}"),
    }
}

#[test]
fn every_change_of_a_trace_is_found_at_its_line() {
    let (mut exact, mut later, mut never) = (0, 0, 0);
    for seed in 0..16 {
        let ran = anything(&mut Rng::with_seed(seed), 120);
        let system = ran.system;
        let trace = text(system, ran.records);
        let lines: Vec<String> = trace.lines().map(str::to_owned).collect();
        assert_eq!(found(system, &lines), None);
        let is =
            |position: usize, events: &[&str]| events.iter().any(|event| *event == fields(&lines[position])["event"]);
        for position in 0..lines.len() {
            let is_outside = is(position, &["run", "lane_stall"]);
            for (key, value) in fields(&lines[position]) {
                let mut one = fields(&lines[position]);
                one.insert(key.clone(), changed(&value));
                let mut mutated = lines.clone();
                mutated[position] = Value::Object(one).to_string();
                let found = found(system, &mutated);
                let is_input = is(position, &["step", "end"]) && value.is_number() && key != "sequence";
                if is_outside && !["event", "sequence", "schema", "config_hash", "releases"].contains(&key.as_str()) {
                    assert_eq!(found, None, "{key} of {}", lines[position]);
                } else if is_input {
                    // What the dispatcher is told is believed, and what it does then differs from the next line on.
                    assert!(found.is_none_or(|line| line >= position), "{key} of {}", lines[position]);
                    later += u64::from(found.is_some());
                    never += u64::from(found.is_none());
                } else {
                    assert_eq!(found, Some(position), "{key} of {}", lines[position]);
                    exact += 1;
                }
            }
            // A missing line.
            let mut without = lines.clone();
            without.remove(position);
            assert_eq!(found(system, &without), Some(position), "without {}", lines[position]);
            let silent =
                is(position, &["step"]) && is((position + 1).min(lines.len() - 1), &["step", "end", "lane_stall"]);
            if !is_outside && !silent {
                // What comes from around the dispatcher is passed over.
                let next = (position..without.len()).find(|line| !without[*line].contains("\"lane_stall\""));
                let next = next.unwrap_or(without.len());
                let found = found(system, &renumbered(without));
                assert_eq!(found, Some(next), "hidden: {}", lines[position]);
                exact += 2;
            }
            // Two lines in each other's place.
            if position + 1 < lines.len() {
                let mut swapped = lines.clone();
                swapped.swap(position, position + 1);
                assert_eq!(found(system, &swapped), Some(position), "swapped {}", lines[position]);
                // What two steps did, or a step that left no record and the end, may be the same in either order.
                let are_steps = is(position, &["step"]) && is(position + 1, &["step", "end"]);
                if !is_outside && !is(position + 1, &["lane_stall"]) && !are_steps {
                    assert_eq!(found(system, &renumbered(swapped)), Some(position), "hidden: {}", lines[position]);
                    exact += 2;
                }
            }
        }
    }
    println!(
        "{exact} changes found at their line; {later} changed inputs found by what follows, {never} change nothing"
    );
    assert!(exact > 10_000 && later > 400 && never * 4 < later, "{exact} {later} {never}");
}

/// Two jobs wait while a third one runs, by hand.
fn by_hand() -> (&'static SystemDesc, Vec<String>) {
    let system = named(unproven(Policy::RateMonotonic, &[Load::whole(2, 10, 10, 0); 3]));
    let mut state: State<3, 1, 64> = State::new(system).unwrap();
    let mut log = Log::default();
    log.record(Instant::START, Kind::Began { config_hash: system.config_hash });
    let submit = |task| Event::Submit { task: TaskId(task), arrival: Instant::from_ns(1) };
    let at = Instant::from_ns;
    for (event, now) in [
        (submit(2), 1),
        (submit(1), 2),
        (submit(0), 3),
        (Event::Completed { lane: LaneId(0), began: at(1), ended: at(4) }, 4),
    ] {
        step(system, &mut state, event, at(now), &mut log).unwrap();
    }
    count_unfinished(system, &mut state, at(9), &mut log);
    (system, text(system, log.0).lines().map(str::to_owned).collect())
}

#[test]
fn a_difference_names_its_record_its_fields_and_the_state_before_its_step() {
    let (system, lines) = by_hand();
    let position = lines.iter().rposition(|line| line.contains("schedule_decision")).unwrap();
    let chosen = lines[position].replace("\"req-3\"", "\"req-2\"").replace("task-0", "task-1");
    assert_ne!(chosen, lines[position]);
    let mut mutated = lines.clone();
    mutated[position] = chosen.clone();
    let replayed = replayed(system, &mutated.join("\n")).unwrap();
    let difference = replayed.difference.unwrap();
    assert_eq!(difference.line, u64::try_from(position + 1).unwrap());
    assert_eq!(difference.fields, ["request_id", "task"]);
    assert_eq!((difference.recorded, difference.replayed), (Some(chosen), Some(lines[position].clone())));
    let step = lines.iter().rposition(|line| line.contains("\"step\"")).unwrap();
    assert_eq!(difference.step, u64::try_from(step + 1).unwrap());
    let (running, waiting) =
        (Some("task-2 req-1".to_owned()), vec!["task-0 req-3".to_owned(), "task-1 req-2".to_owned()]);
    assert_eq!(difference.state, [LaneState { lane: "lane-0".to_owned(), running, waiting }]);
    assert_eq!(replayed.same.records, u64::try_from(position).unwrap());
}

#[test]
fn what_cannot_be_replayed_says_why_and_how_far_it_came() {
    let (system, lines) = by_hand();
    let why = |lines: &[String]| {
        let unreadable = replayed(system, &lines.join("\n")).unwrap_err();
        (unreadable.line, unreadable.why, unreadable.until.records)
    };
    let without = |from: usize, to: usize| [&lines[..from], &lines[to..]].concat();
    assert_eq!(why(&without(3, 6)), (4, Why::Lost { first: 3, last: 5 }, 3));
    let count = u64::try_from(lines.len()).unwrap();
    assert_eq!(why(&without(lines.len() - 1, lines.len())), (count, Why::NoEnd, count - 1));
    assert_eq!(why(&without(0, 1)), (1, Why::NoRun("step".to_owned()), 0));
    let other: Vec<String> =
        lines.iter().map(|line| line.replace("config_hash\":\"00", "config_hash\":\"01")).collect();
    assert!(matches!(why(&other), (1, Why::OtherPlan { .. }, 0)));
    let text: Vec<String> = [lines.as_slice(), &["  ".to_owned()]].concat();
    assert!(matches!(why(&text), (_, Why::NotAnObject(_), found) if found == count));
}

#[test]
fn fields_in_another_order_and_spaces_are_no_difference() {
    let (system, lines) = by_hand();
    let spaced: Vec<String> = lines.iter().map(|line| line.replace(":", " : ")).collect();
    assert_same(system, &(spaced.join("\n") + "\n"));
    assert_same(system, &renumbered(lines).join("\r\n"));
}

#[test]
fn a_long_trace_is_replayed() {
    let mut rng = Rng::with_seed(3);
    let ran = loop {
        let ran = anything(&mut rng, 100_000);
        if ran.records.len() >= 100_000 {
            break ran;
        }
    };
    let trace = text(ran.system, ran.records);
    let from = std::time::Instant::now();
    let same = assert_same(ran.system, &trace);
    println!("{} records of {} bytes replayed in {:?}", same.records, trace.len(), from.elapsed());
}

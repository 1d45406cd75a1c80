//! A vehicle at a level of memory pressure: what it leaves unused goes back to the system.
//!
//! It needs the library and two models in the cache; without them it says so and passes.
#![allow(clippy::unwrap_used, reason = "clippy knows test functions only, not their helpers")]

mod common;

use aegis_core::desc::{LevelDesc, LevelPoolDesc, PagesDesc};
use aegis_core::{ByteOffset, Bytes, LevelId, TaskId};
use aegis_host::{Runtime, Vehicle};
use aegis_linux::args::Args;
use common::two_models::{MS, model, ns, plan, probed, scratch};
use common::{FACE, ORIENTATION};
use serde_json::{Value, json};

static LEVELS_RUNTIME: Runtime<2, 1, 2> = Runtime::new();

#[test]
fn a_level_gives_memory_back_and_has_it_again_before_it_is_left() {
    let Some(answer) = probed() else { return };
    let page = u64::try_from(rustix::param::page_size()).unwrap();
    let models = &answer["models"];
    let (own, other) = (scratch(&models[0]), scratch(&models[2]));
    assert!(other > own + 3 * page, "what is shed needs more: {own} and {other}");
    let mut at = other;
    let face = model(&models[0], "face", FACE, &mut at);
    let (first, end) = (own.next_multiple_of(page), other / page * page);
    let pages = PagesDesc { at: ByteOffset(first), size: Bytes(end - first) };
    let left = LevelPoolDesc {
        weights: face.weights,
        height: Bytes(at),
        lower_bound: Bytes(at - other + own),
        copied: Bytes(0),
        // Between what the one's runs use and what lies above the other's.
        unused: vec![pages].leak(),
    };
    let turn = model(&models[2], "turn", ORIENTATION, &mut at);
    let level = LevelDesc {
        name: "high",
        shed: &[TaskId(1)],
        reject: &[],
        pools: vec![left].leak(),
        models: &[],
        moves: &[],
        settles: ns(19_500_000),
    };
    let system = plan([face, turn], at, Some(level));
    assert_eq!(aegis_core::verify::verify(system), Ok(()));

    let folder = tempfile::tempdir().unwrap();
    let (trace, summary) = (folder.path().join("trace.jsonl"), folder.path().join("summary.json"));
    let (run_for, allow_void) = (Some(ns(5_000 * MS)), true);
    let args =
        Args { run_for, allow_void, trace: Some(trace.clone()), summary: Some(summary.clone()), ..Args::default() };
    let vehicle = Vehicle::new(system, &LEVELS_RUNTIME);
    let pressure = vehicle.pressure();
    let application = std::thread::spawn(move || {
        let pause = |ms| std::thread::sleep(std::time::Duration::from_millis(ms));
        // Until it runs nothing is taken.
        while pressure.request(None).is_err() {
            pause(1);
        }
        pause(500);
        pressure.request(Some(LevelId(0))).unwrap();
        pause(1_500);
        pressure.request(None).unwrap();
    });
    vehicle.run_with(&args).unwrap();
    application.join().unwrap();

    let summary: Value = serde_json::from_str(&std::fs::read_to_string(summary).unwrap()).unwrap();
    let given = summary["pressure"]["given_back_bytes"].as_u64().unwrap();
    assert_eq!(given, end - first, "{summary}");
    let trace = std::fs::read_to_string(trace).unwrap();
    let lines: Vec<Value> = trace.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<(&str, &Value)> = lines
        .iter()
        .filter_map(|line| match line["event"].as_str()? {
            "pressure" => Some(("to", &line["to"])),
            "settled" => Some(("settled", &line["level"])),
            "given_back" => Some(("given back", &line["bytes"])),
            _ => None,
        })
        .collect();
    let (high, none) = (json!("high"), Value::Null);
    let (bytes, nothing) = (json!(given), json!(0));
    let expected = [("to", &high), ("settled", &high), ("given back", &bytes), ("given back", &nothing), ("to", &none)];
    assert_eq!(told, expected);
    let at = |event: &str, from: usize| from + lines[from..].iter().position(|line| line["event"] == event).unwrap();
    let entered = at("pressure", 0);
    let left = at("pressure", entered + 1);
    let jobs =
        |lines: &[Value]| lines.iter().filter(|line| line["event"] == "completion" && line["task"] == "turn").count();
    assert!(jobs(&lines[..entered]) > 2 && jobs(&lines[left..]) > 2, "{summary}");
    assert_eq!((&summary["tasks"][1]["failed"], &summary["drained"]), (&json!(0), &json!(true)), "{summary}");
    aegis_tests::replay::assert_same(system, &trace);
}

//! `aegis plan`: what it prints, and that the map shows the plan and nothing else.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use aegis_codegen::check::{Checked, Options, check};
use aegis_codegen::finding::Code;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn aegis(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aegis")).arg("plan").args(arguments).current_dir(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The lab vehicle, two planned models on one lane; the third, on another lane, is capped.
fn lab() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let from = root().join("tests/fixtures/profiles/valid");
    std::fs::create_dir(folder.path().join("profiles")).unwrap();
    for name in ["system.toml", "profiles/face.toml", "profiles/lane-main.toml", "profiles/sign.toml"] {
        std::fs::copy(from.join(name), folder.path().join(name)).unwrap();
    }
    let voice = std::fs::read_to_string(from.join("profiles/voice.toml")).unwrap();
    let capped = voice.replace("memory = \"planned\"\nruns = [[60000, -1]]", "memory = \"capped\"");
    assert_ne!(voice, capped);
    std::fs::write(folder.path().join("profiles/voice.toml"), capped).unwrap();
    folder
}

/// The lab vehicle with one of its models cut into three segments on a lane that preempts between them, and two levels of
/// pressure.
fn cut() -> tempfile::TempDir {
    let folder = lab();
    let manifest = folder.path().join("system.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let (before, after) = text.split_once("[model.sign]").unwrap();
    let (_, after) = after.split_once("[model.voice]").unwrap();
    let text = format!(
        "{before}[model.sign]\nbackend = \"onnxruntime\"\nfiles = [\"1.onnx\", \"2.onnx\", \"3.onnx\"]\ntensors = \
         \"job\"\n\n[model.voice]{after}\n[pressure.high]\nshed = [\"listen\"]\nreject = [\"log\"]\n\n\
         [pressure.critical]\nshed = [\"see\", \"listen\"]\ncompact = true\n"
    );
    let text = text.replace("[lane.main]", "[lane.main]\npreemption = \"segments\"");
    let text = text.replace("memory = \"1MiB\"", "memory = \"1MiB\"\ncopy-per-mib = \"300us\"");
    std::fs::write(&manifest, text).unwrap();
    let path = folder.path().join("profiles/sign.toml");
    let profile = std::fs::read_to_string(&path).unwrap();
    let (head, segment) = profile.split_once("[[segment]]").unwrap();
    let (_, execution) = segment.split_once("[segment.execution]").unwrap();
    let mut profile = head.to_owned();
    for (name, bytes) in [("early", 24_000), ("late", 5_000)] {
        profile.push_str(&format!(
            "[[model.carried]]\nname = \"{name}\"\ndtype = \"u8\"\nshape = [{bytes}]\nbytes = {bytes}\n\n"
        ));
    }
    let wires = [("\"image\"", "\"early\""), ("\"early\"", "\"late\""), ("\"late\", \"early\"", "\"class\"")];
    for (number, (reads, writes)) in (1..).zip(wires) {
        let file = format!("{number}.onnx");
        std::fs::write(folder.path().join(&file), &file).unwrap();
        let sha256 = aegis_codegen::lock::sha256(file.as_bytes());
        profile.push_str(&format!(
            "[[segment]]\nsha256 = \"{sha256}\"\nweights-bytes = 9000\nscratch-bytes = 0\nmemory = \"planned\"\n\
             load = [100]\nruns = [[{number}0000, 20000, -1, 30000, -2, -3]]\nreads = [{reads}]\nwrites = [{writes}]\n\n\
             [segment.execution]{execution}\n"
        ));
    }
    std::fs::write(&path, profile).unwrap();
    folder
}

/// The same with the other lane on a device that shares the memory, and a level that has nothing to move.
fn shared() -> tempfile::TempDir {
    let folder = cut();
    let manifest = folder.path().join("system.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let own = "[lane.side]\ndevice = \"cpu0\"";
    assert!(text.contains(own), "{text}");
    let device = "[device.cpu1]\nkind = \"cpu\"\nshares = \"cpu0\"\ncopy-per-mib = \"300us\"\n\n";
    let text = text.replace(own, &format!("{device}[lane.side]\ndevice = \"cpu1\""));
    let idle = "\n[pressure.idle]\nreject = [\"listen\"]\ncompact = true\n";
    std::fs::write(&manifest, text + idle).unwrap();
    folder
}

/// The findings of the vehicle whose cut model's task may take so many bytes.
fn with_budget(bytes: u64) -> Vec<String> {
    let folder = cut();
    let manifest = folder.path().join("system.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let own = "budget = { time = \"8ms\" }";
    assert!(text.contains(own), "{text}");
    std::fs::write(&manifest, text.replace(own, &format!("budget = {{ memory = \"{bytes}B\" }}"))).unwrap();
    let findings = checked(folder.path()).findings.into_iter().filter(|finding| finding.code == Code::MemoryBudget);
    findings.map(|finding| finding.message).collect()
}

#[test]
fn a_budget_of_memory_counts_what_segments_carry_and_the_largest_scratch_once() {
    // Weights; what loading keeps and the third segment's first two requests, in blocks of 64 bytes; input, output, carried.
    let takes = 3 * 9000 + 3 * 128 + (30_016 + 20_032) + (9216 + 8 + 24_000 + 5000);
    assert_eq!(with_budget(takes), [""; 0]);
    let refused = format!("the model of task `read` takes {takes} bytes, and the task may take {} bytes", takes - 1);
    assert_eq!(with_budget(takes - 1), [refused]);
}

/// The cut one with memory that has pages.
fn paged() -> tempfile::TempDir {
    let folder = cut();
    let manifest = folder.path().join("system.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("copy-per-mib = \"300us\"", "page-size = \"4KiB\"")).unwrap();
    folder
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_plan_says_what_is_saved_and_what_forbids_more() {
    for (name, vehicle) in [("lab", lab()), ("cut", cut()), ("shared", shared()), ("paged", paged())] {
        let before = names(vehicle.path());
        let output = aegis(vehicle.path(), &[]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/plan").join(format!("{name}.txt"));
        if std::env::var_os("AEGIS_BLESS").is_some() {
            std::fs::write(&path, &output.stdout).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(expected, text(&output.stdout), "AEGIS_BLESS=1 rewrites it");
        assert_eq!(names(vehicle.path()), before, "no lock is written");
    }
    let output = aegis(&root(), &[]);
    assert!(text(&output.stdout).contains("  forbids more nothing that runs at once"), "{}", text(&output.stdout));
}

#[test]
fn a_level_that_leaves_no_whole_page_unused_is_told_so() {
    let folder = lab();
    let manifest = folder.path().join("system.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let found = |shed: &str, page: &str| {
        let paged = text.replace("memory = \"1MiB\"", &format!("memory = \"1MiB\"\npage-size = \"{page}\""));
        assert_ne!(paged, text);
        std::fs::write(&manifest, format!("{paged}\n[pressure.high]\nshed = [\"{shed}\"]\n")).unwrap();
        let findings = checked(folder.path()).findings.into_iter();
        findings
            .filter(|finding| finding.code == Code::LevelWithoutEffect)
            .map(|finding| finding.message)
            .collect::<Vec<_>>()
    };
    // The other model of the lane uses all that this one's runs do, and its tensors are kept.
    let [message] = &found("read", "64B")[..] else { panic!("one finding") };
    assert!(message.starts_with("pressure level `high` gives no memory back: "), "{message}");
    let arena = checked(folder.path()).layout.unwrap().pools[0].height.0;
    assert!(message.ends_with(&format!("{arena} of {arena} bytes of the arena of `cpu0` stay in use")), "{message}");
    // This one's are larger, but not by a page of that size.
    assert_eq!(found("see", "64B"), [""; 0]);
    assert_eq!(found("see", "1MiB").len(), 1);
}

#[test]
fn json_has_its_keys_and_adds_up() {
    let lab = lab();
    let output = aegis(lab.path(), &["--format", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let keys = |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    let sorted = |words: &str| {
        let mut words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        words.sort();
        words
    };
    assert_eq!((&report["schema"], &report["verdict"]), (&"aegis.plan/2".into(), &"pass".into()));
    assert_eq!(keys(&report), sorted("schema system verdict pools models levels findings"));
    let pool = &report["pools"][0];
    let expected = "name capacity_bytes shares taken_bytes height_bytes lower_bound_bytes optimal weights_bytes context_bytes pinned_bytes \
                    pinned_with private_bytes saved_bytes \
                    saved_percent kept_bytes forbids_most";
    assert_eq!(keys(pool), sorted(expected));
    assert_eq!(keys(&pool["forbids_most"]), sorted("models lanes reason bytes"));
    assert_eq!(pool["forbids_most"]["lanes"], serde_json::json!(["main", "side"]));
    let number = |value: &Value| value.as_u64().unwrap();
    assert_eq!(number(&pool["private_bytes"]) - number(&pool["saved_bytes"]), number(&pool["height_bytes"]));
    for model in report["models"].as_array().unwrap() {
        assert_eq!(keys(model), sorted("name pool lane weights_bytes tensors segments"), "{model}");
        for tensor in model["tensors"].as_array().unwrap() {
            assert_eq!(keys(tensor), sorted("name role region bytes segments"));
            assert!(number(&tensor["region"]["end"]) <= number(&pool["height_bytes"]));
        }
        for segment in model["segments"].as_array().unwrap() {
            assert_eq!(keys(segment), sorted("name control persistent scratch runs"));
            assert!(number(&segment["scratch"]["end"]) <= number(&pool["height_bytes"]));
            for run in segment["runs"].as_array().unwrap() {
                assert_eq!(keys(run), sorted("events blocks height_bytes peak_bytes peak_event"));
            }
        }
    }
    assert_eq!(report["levels"], serde_json::json!([]));
    let output = aegis(cut().path(), &["--format", "json"]);
    let cut: Value = serde_json::from_slice(&output.stdout).unwrap();
    let level = &cut["levels"][1];
    assert_eq!(keys(level), sorted("name shed reject compact copied_bytes moves settles_ns pools"));
    let expected =
        "name height_bytes lower_bound_bytes weights_bytes given_back_bytes copied_bytes unused_bytes taken_bytes";
    assert_eq!(keys(&level["pools"][0]), sorted(expected));
    assert!(number(&level["pools"][0]["height_bytes"]) < number(&cut["pools"][0]["height_bytes"]));
    let output = aegis(shared().path(), &["--format", "json"]);
    let shared: Value = serde_json::from_slice(&output.stdout).unwrap();
    let [own, other] = [0, 1].map(|pool| &shared["pools"][pool]);
    assert_eq!((&own["shares"], &other["shares"]), (&Value::Null, &"cpu0".into()));
    let takes = |pool: &Value| number(&pool["height_bytes"]) + number(&pool["weights_bytes"]);
    assert_eq!((&own["taken_bytes"], &own["capacity_bytes"]), (&other["taken_bytes"], &other["capacity_bytes"]));
    assert_eq!(number(&own["taken_bytes"]), takes(own) + takes(other));
    let forbids = &own["forbids_most"];
    let expected = serde_json::json!({"models": ["face", "sign"], "lanes": ["main", "main"], "reason": "waiting"});
    for key in ["models", "lanes", "reason"] {
        assert_eq!(forbids[key], expected[key], "{forbids}");
    }
    let codes: Vec<&Value> = shared["findings"].as_array().unwrap().iter().map(|finding| &finding["code"]).collect();
    assert_eq!(codes, ["AEG308", "AEG309", "AEG309"], "of a capped model, and of two levels that move nothing");
    let sign = &cut["models"][1];
    let lives: Vec<&Value> = sign["tensors"].as_array().unwrap().iter().map(|tensor| &tensor["segments"]).collect();
    assert_eq!(serde_json::json!(lives), serde_json::json!([[0, 0], [2, 2], [0, 2], [1, 2]]));
    let grades: Vec<&Value> =
        report["models"].as_array().unwrap().iter().map(|model| &model["segments"][0]["control"]).collect();
    assert_eq!(grades, ["planned", "planned", "capped"]);
    assert!(!text(&output.stdout).contains('.') || !contains_float(&report));
}

fn contains_float(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(contains_float),
        Value::Object(fields) => fields.values().any(contains_float),
        _ => false,
    }
}

#[test]
fn what_cannot_be_planned_read_or_written_has_its_status_and_leaves_nothing() {
    let lab = lab();
    let manifest = lab.path().join("system.toml");
    let sound = std::fs::read_to_string(&manifest).unwrap();
    std::fs::create_dir(lab.path().join("taken")).unwrap();
    for unwritable in ["taken", "no-such-folder/map.svg"] {
        let output = aegis(lab.path(), &["--svg", unwritable]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(&format!("--svg: cannot write `{unwritable}`")));
        assert_eq!(names(lab.path()), ["profiles", "system.toml", "taken"]);
    }
    // Too little memory: a finding, and the plan that does not fit is shown.
    std::fs::write(&manifest, sound.replace("memory = \"1MiB\"", "memory = \"100KiB\"")).unwrap();
    let output = aegis(lab.path(), &["--svg", "map.svg"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("error[AEG") && text(&output.stdout).contains("  arena "));
    assert!(lab.path().join("map.svg").exists());
    std::fs::write(&manifest, "nonsense").unwrap();
    let output = aegis(lab.path(), &["--svg", "other.svg"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
    assert!(!lab.path().join("other.svg").exists());
    assert_eq!(aegis(lab.path(), &["missing.toml"]).status.code(), Some(2));
}

/// An element's name, attributes and text.
type Element = (String, BTreeMap<String, String>, String);

/// Splits XML into its tags and texts; panics where elements do not nest, attributes are not quoted or text is not escaped.
fn elements(xml: &str) -> Vec<Element> {
    let (mut open, mut found): (Vec<usize>, Vec<Element>) = (Vec::new(), Vec::new());
    let mut rest = xml.trim();
    while let Some(at) = rest.find('<') {
        let (words, tag) = rest.split_at(at);
        assert!(!words.contains('>'), "{words}");
        if let Some(inside) = open.last() {
            found[*inside].2.push_str(words);
        }
        let (tag, after) = tag[1..].split_once('>').unwrap();
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(found[open.pop().unwrap()].0, name);
            continue;
        }
        assert!(found.is_empty() || !open.is_empty(), "one root");
        let (name, mut pairs) = tag.trim_end_matches('/').split_once(' ').unwrap_or((tag.trim_end_matches('/'), ""));
        let mut attributes = BTreeMap::new();
        while let Some((key, value)) = pairs.trim_start().split_once("=\"") {
            let (value, more) = value.split_once('"').unwrap();
            assert!(attributes.insert(key.to_owned(), value.to_owned()).is_none(), "{key} stands twice in {tag}");
            pairs = more;
        }
        assert_eq!(pairs.trim(), "", "{tag}");
        found.push((name.to_owned(), attributes, String::new()));
        if !tag.ends_with('/') {
            open.push(found.len() - 1);
        }
    }
    assert!(open.is_empty() && rest.is_empty());
    let entity = |part: &str| ["amp;", "lt;", "gt;", "quot;"].iter().any(|entity| part.starts_with(entity));
    assert!(xml.split('&').skip(1).all(entity));
    found
}

fn checked(folder: &Path) -> Checked {
    let file = folder.join("system.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    check(file.to_str().unwrap(), text, Options::default()).unwrap()
}

/// What each block's rectangle must say, the position of its pool, and its lower and upper offset.
fn expected_blocks(checked: &Checked) -> BTreeMap<String, (usize, u64, u64)> {
    let (system, layout) = (&checked.resolved.as_ref().unwrap().system, checked.layout.as_ref().unwrap());
    let mut blocks = BTreeMap::new();
    let segments = system.models.iter().zip(&layout.models);
    let segments = segments.flat_map(|(model, placement)| {
        model.segments.iter().zip(&placement.segments).map(|(segment, place)| (segment, placement.pool, place))
    });
    for (segment, pool, place) in segments {
        for (run, (sequence, plan)) in segment.runs.iter().zip(&place.runs).enumerate() {
            assert_eq!(sequence.blocks().len(), plan.offsets.len());
            for (index, (block, offset)) in sequence.blocks().iter().zip(&plan.offsets).enumerate() {
                let offset = place.scratch.0 + offset.0;
                let until =
                    if block.to == sequence.events() { "the end".into() } else { format!("event {}", block.to + 1) };
                let title = format!(
                    "{}, run {}, block {}: {} bytes at offset {offset}, from event {} until {until}",
                    segment.file.name,
                    run + 1,
                    index + 1,
                    block.size,
                    block.from + 1
                );
                assert!(blocks.insert(title, (pool, offset, offset + block.size)).is_none());
            }
        }
    }
    blocks
}

#[test]
fn the_map_has_one_rectangle_for_each_block_where_the_plan_puts_it() {
    let (lab, cut) = (lab(), cut());
    let outside = tempfile::tempdir().unwrap();
    for (folder, least) in [(lab.path().to_owned(), 9), (cut.path().to_owned(), 12), (root(), 500)] {
        let path = outside.path().join("map.svg");
        let draw = || {
            let output = aegis(&folder, &["--svg", path.to_str().unwrap()]);
            assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
            std::fs::read_to_string(&path).unwrap()
        };
        let map = draw();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(map, draw(), "the same plan gives the same bytes");
        let elements = elements(&map);
        let checked = checked(&folder);
        let mut expected = expected_blocks(&checked);
        assert!(expected.len() >= least, "{}", expected.len());
        let height = |pool: usize| checked.layout.as_ref().unwrap().pools[pool].height.0;
        let of = |attributes: &BTreeMap<String, String>, key: &str| attributes[key].parse::<f64>().unwrap();
        // Of the pool whose blocks follow.
        let (mut top, mut length) = (0.0, 0.0);
        for pair in elements.windows(2) {
            let [(name, rectangle, _), (_, _, title)] = pair else { continue };
            if rectangle.get("class").is_some_and(|class| class == "column") {
                (top, length) = (of(rectangle, "y"), of(rectangle, "height"));
            }
            let is_block = rectangle.get("class").is_some_and(|class| class.starts_with("block"));
            // The legend's have no title.
            if name != "rect" || !is_block || pair[1].0 != "title" {
                continue;
            }
            let (pool, low, high) =
                expected.remove(title).unwrap_or_else(|| panic!("`{title}` is not of the plan, or twice"));
            let y = |offset: u64| top + length - offset as f64 * length / height(pool) as f64;
            let (upper, tall) = (of(rectangle, "y"), of(rectangle, "height"));
            assert!((upper - y(high)).abs() < 0.01, "{title}: {upper} instead of {}", y(high));
            assert!((tall - (y(low) - y(high))).abs() < 0.1, "{title}: {tall} tall");
        }
        assert!(expected.is_empty(), "not drawn: {expected:?}");
    }
}

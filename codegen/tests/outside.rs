//! A user's crate outside this workspace: it builds, its binary needs no manifest, a wrong lock is refused by name, and on
//! another machine the guarantee is void.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use aegis_codegen::lock::Lock;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy(&source, &target);
        } else {
            std::fs::copy(&source, &target).unwrap();
        }
    }
}

/// Copies an example out of the repository; its path dependencies become absolute, as if they came from elsewhere.
fn take_out(example: &str, into: &Path) -> PathBuf {
    for name in [example, "perception"] {
        copy(&root().join("examples").join(name), &into.join(name));
    }
    let folder = into.join(example);
    let manifest = folder.join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("../../", &format!("{}/", root().display()))).unwrap();
    // The same versions as in the repository, so that nothing new is downloaded.
    std::fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    folder
}

/// Builds share the repository's target folder, so that only the user's crate is compiled anew.
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env("CARGO_TARGET_DIR", root().join("target")).env_remove("AEGIS_LOCK");
    command
}

fn aegis(arguments: &[&str]) -> Output {
    command(env!("CARGO_BIN_EXE_aegis")).args(arguments).output().unwrap()
}

/// What a build script says when Cargo builds the crate; it must fail.
fn refused_build(folder: &Path) -> String {
    let output = command(env!("CARGO")).arg("check").current_dir(folder).output().unwrap();
    assert!(!output.status.success(), "the build must be refused");
    String::from_utf8(output.stderr).unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Whether the vehicle did not start because this processor has not the vector units of the one that the committed profiles are
/// of, although it may have its name: the runtime asks for other memory then while it loads a model. `aegis run` measures anew;
/// what these tests see needs the profiles. They are of a processor with AVX-512.
fn has_other_units(ran: &Output) -> bool {
    let words = text(&ran.stderr);
    #[cfg(target_arch = "x86_64")]
    let is_as_profiled = std::arch::is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    let is_as_profiled = false;
    let refusal = "the model's memory requests are not the recorded ones: loading ";
    let has = !is_as_profiled && ran.status.code() == Some(2) && words.contains(refusal);
    if has {
        println!("skipped: the committed profiles are of a processor with other vector units: {words}");
    }
    has
}

#[test]
fn a_users_crate_builds_outside_and_its_binary_needs_nothing_else() {
    if aegis_tests::fetched::reference_files().is_none() {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let folder = take_out("inspector", outside.path());
    let manifest = folder.join("system.toml");
    let manifest = manifest.to_str().unwrap();
    let built = aegis(&["build", manifest]);
    assert!(built.status.success(), "{}", text(&built.stderr));
    let binary = PathBuf::from(text(&built.stdout).trim());
    assert_eq!(binary.file_name().unwrap(), "inspector");
    assert!(binary.with_file_name("plan.rs").is_file(), "a readable copy of the tables");

    let described = command(&binary).arg("--describe").output().unwrap();
    let lock = std::fs::read_to_string(folder.join("system.lock")).unwrap();
    let hash = lock.lines().find_map(|line| line.strip_prefix("plan-sha256 = ")).unwrap().trim_matches('"');
    assert!(text(&described.stdout).contains(hash), "{}", text(&described.stdout));

    // A wrong lock is refused by name, whatever is wrong with it.
    std::fs::write(folder.join("system.lock"), lock.replace("deadline-ns = 64000000", "deadline-ns = 64000001"))
        .unwrap();
    assert!(refused_build(&folder).contains("edited lock"), "an edited lock");
    std::fs::write(folder.join("system.lock"), &lock).unwrap();
    let original = std::fs::read_to_string(manifest).unwrap();
    std::fs::write(manifest, format!("{original}\n# changed\n")).unwrap();
    assert!(refused_build(&folder).contains("stale lock"), "a changed manifest");
    std::fs::write(manifest, original.replace("name = \"inspector\"", "name = \"other\"")).unwrap();
    assert!(refused_build(&folder).contains("foreign lock"), "another vehicle's lock");

    // Without the crate's folder, in another place, the binary is what it was.
    let alone = tempfile::tempdir().unwrap();
    let moved = alone.path().join("inspector");
    std::fs::copy(&binary, &moved).unwrap();
    drop(outside);
    assert_eq!(command(&moved).arg("--describe").output().unwrap().stdout, described.stdout);
    let summary = alone.path().join("summary.json");
    let ran = command(&moved).args(["--for", "1s", "--allow-void", "--summary"]).arg(&summary).output().unwrap();
    if has_other_units(&ran) {
        return;
    }
    // Other tests run beside this one, so a miss is possible; that it ran is what counts here.
    assert!(matches!(ran.status.code(), Some(0 | 1)), "{:?}: {}", ran.status, text(&ran.stderr));
    let summary: Value = serde_json::from_str(&std::fs::read_to_string(&summary).unwrap()).unwrap();
    assert_eq!((&summary["vehicle"], &summary["config_hash"]), (&"inspector".into(), &hash.into()));
    assert!(summary["tasks"].as_array().unwrap().iter().all(|task| task["jobs"].as_u64().unwrap() > 0), "{summary}");
    assert!(text(&ran.stdout).contains("lines of text on the page"), "{}", text(&ran.stdout));
}

#[test]
fn on_another_machine_than_the_plans_the_guarantee_is_void_by_name() {
    if aegis_tests::fetched::reference_files().is_none() {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let folder = take_out("inspector", outside.path());
    edit_profiles(&folder, |line| {
        line.starts_with("cpu-model").then(|| "cpu-model = \"Another Processor\"".to_owned())
    });
    let manifest = rename(&folder, "stranger");
    let built = aegis(&["build", &manifest]);
    assert!(built.status.success(), "{}", text(&built.stderr));
    let binary = text(&built.stdout).trim();
    let ran = command(binary).args(["--for", "300ms"]).output().unwrap();
    if has_other_units(&ran) {
        return;
    }
    let words = text(&ran.stderr);
    assert!(words.contains("Another Processor") && words.to_lowercase().contains("void"), "{words}");
    // Status 1 where the machine was too busy for a deadline meanwhile.
    assert!(matches!(ran.status.code(), Some(4 | 1)), "{:?}: {words}", ran.status);
}

/// Rewrites lines of every profile of a copied example.
fn edit_profiles(folder: &Path, edit: impl Fn(&str) -> Option<String>) {
    for profile in std::fs::read_dir(folder.join("profiles/dev-vm")).unwrap() {
        let profile = profile.unwrap().path();
        let text = std::fs::read_to_string(&profile).unwrap();
        let lines: Vec<String> = text.lines().map(|line| edit(line).unwrap_or_else(|| line.to_owned())).collect();
        std::fs::write(profile, lines.join("\n")).unwrap();
    }
}

/// Gives a copied example a name of its own, because tests build at the same time in one target folder.
fn rename(folder: &Path, name: &str) -> String {
    for file in ["system.toml", "Cargo.toml"] {
        let path = folder.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, text.replace("name = \"inspector\"", &format!("name = \"{name}\""))).unwrap();
    }
    folder.join("system.toml").to_str().unwrap().to_owned()
}

#[test]
fn a_bound_that_the_models_exceed_makes_the_vehicle_fail() {
    if aegis_tests::fetched::reference_files().is_none() {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let folder = take_out("inspector", outside.path());
    // Every measurement pretends to have taken 20 us: a proof from wrong assumptions.
    edit_profiles(&folder, |line| {
        let (key, _) = line.split_once("-ns = ")?;
        Some(format!("{key}-ns = 20000"))
    });
    let manifest = rename(&folder, "liar");
    let text_of = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text_of.replace("\"edf\"", "\"deadline-monotonic\"")).unwrap();
    let built = aegis(&["build", &manifest]);
    assert!(built.status.success(), "{}", text(&built.stderr));
    let summary = outside.path().join("summary.json");
    let arguments = ["--for", "1s", "--allow-void", "--summary", summary.to_str().unwrap()];
    let ran = command(text(&built.stdout).trim()).args(arguments).output().unwrap();
    if has_other_units(&ran) {
        return;
    }
    assert_eq!(ran.status.code(), Some(1), "{}", text(&ran.stderr));
    let summary: Value = serde_json::from_str(&std::fs::read_to_string(&summary).unwrap()).unwrap();
    let signs = summary["tasks"].as_array().unwrap().iter().find(|task| task["name"] == "signs").unwrap();
    assert!(signs["exceeded"].as_u64() > signs["explained"].as_u64(), "{summary}");
    assert!(signs["overruns"].as_u64() > Some(0) && summary["exit"]["status"] == 1, "{summary}");
}

#[test]
fn a_vehicle_changes_its_mode_as_its_application_asks_and_its_trace_is_the_same_again() {
    if aegis_tests::fetched::reference_files().is_none() {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let folder = take_out("inspector", outside.path());
    let manifest = rename(&folder, "changing");
    let modes =
        "[mode.moving]\ntasks = [\"voice\", \"orientation\"]\n\n[mode.reading]\ntasks = [\"voice\", \"signs\"]\n";
    let text_of = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, format!("{text_of}\n{modes}")).unwrap();
    let main = folder.join("src/main.rs");
    let asks = "    let vehicle = plan::vehicle();\n    let modes = vehicle.modes();\n    std::thread::spawn(move || {\n        \
                while modes.request(plan::mode::READING).is_err() {\n            std::thread::yield_now();\n        }\n    \
                });\n    vehicle\n        .hooks_from";
    let text_of = std::fs::read_to_string(&main).unwrap();
    let changed = text_of.replacen("    plan::vehicle()\n        .hooks_from", asks, 1);
    assert_ne!(changed, text_of);
    std::fs::write(&main, changed).unwrap();
    let checked = aegis(&["check", &manifest]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    let built = aegis(&["build", &manifest]);
    assert!(built.status.success(), "{}", text(&built.stderr));
    let (summary, trace) = (outside.path().join("summary.json"), outside.path().join("trace.jsonl"));
    let arguments = ["--for", "2s", "--allow-void", "--summary", summary.to_str().unwrap(), "--trace"];
    let ran = command(text(&built.stdout).trim()).args(arguments).arg(&trace).output().unwrap();
    if has_other_units(&ran) {
        return;
    }
    // Status 1 where the machine was too busy meanwhile.
    assert!(matches!(ran.status.code(), Some(0 | 1)), "{:?}: {}", ran.status, text(&ran.stderr));
    let summary: Value = serde_json::from_str(&std::fs::read_to_string(&summary).unwrap()).unwrap();
    let seen = &summary["modes"];
    assert_eq!((&seen["requested"], &seen["changed"]), (&1.into(), &1.into()), "{summary}");
    assert!(seen["late"] == 1 || seen["longest_ns"].as_u64() <= seen["bound_ns"].as_u64(), "{seen}");
    let jobs = |name: &str| {
        let task = summary["tasks"].as_array().unwrap().iter().find(|task| task["name"] == name);
        task.unwrap()["jobs"].as_u64().unwrap()
    };
    assert!(jobs("orientation") <= 2 && jobs("signs") > 5 && jobs("voice") > 40, "{summary}");
    println!("{seen}");
    let (trace, lock) = (trace.to_str().unwrap(), folder.join("system.lock"));
    let replayed = aegis(&["trace", "replay", trace, "--lock", lock.to_str().unwrap()]);
    assert!(replayed.status.success(), "{}", text(&replayed.stdout));
}

/// What a run with a fault left: its status, what was printed, and the summary.
struct Injected {
    status: Option<i32>,
    words: String,
    summary: Value,
}

#[cfg(target_os = "linux")]
fn inject(manifest: &str, fault: &str, summary: &Path) -> Injected {
    let _ = std::fs::remove_file(summary);
    let options =
        ["--domain", "reading", "--fault", fault, "--at", "300ms", "--for", "2s", "--fit", "--allow-void", "--summary"];
    let ran =
        command(env!("CARGO_BIN_EXE_aegis")).arg("inject").arg(manifest).args(options).arg(summary).output().unwrap();
    let words = format!("{}{}", text(&ran.stdout), text(&ran.stderr));
    let summary = std::fs::read_to_string(summary).unwrap_or_else(|error| panic!("{error}: {words}"));
    Injected { status: ran.status.code(), words, summary: serde_json::from_str(&summary).unwrap() }
}

#[cfg(target_os = "linux")]
#[test]
fn each_fault_that_is_injected_ends_its_domain_as_declared_and_no_other_task() {
    if aegis_tests::fetched::reference_files().is_none() {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let folder = take_out("inspector", outside.path());
    let manifest = rename(&folder, "injected");
    let alone = "[domain.reading]\nhand-over = \"300us\"\nfault-blackout = \"5ms\"\nkill-after = \"600ms\"\nmemory = \"512MiB\"\n\n[model.signs]\ndomain = \"reading\"\n";
    let text_of = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text_of.replace("[model.signs]\n", alone)).unwrap();
    let summary = outside.path().join("summary.json");
    // What a slower process does to a run depends on what else the machine does: `slow` has a test of its own.
    // A machine that is busy may see the end of a process only after its segment should have been over: then it hung.
    for (fault, causes) in [
        ("kill", &["signalled", "hung"][..]),
        ("segv", &["signalled", "hung"]),
        ("hang", &["hung"]),
        ("corrupt-mailbox", &["malformed"]),
        // It has all that it needs since it was warm.
        ("oom", &[]),
    ] {
        let Injected { status, words, summary } = inject(&manifest, fault, &summary);
        assert!(words.contains(&format!("aegis inject: {fault} of domain \"reading\", process ")), "{words}");
        assert!(words.contains(": injected\n"), "{words}");
        let domain = &summary["domains"][0];
        println!("{fault}: {domain}");
        for task in summary["tasks"].as_array().unwrap() {
            let (name, jobs, failed) = (&task["name"], task["jobs"].as_u64(), task["failed"].as_u64());
            assert!(jobs > Some(0), "{name}: {words}");
            assert!(failed == Some(0) || *name == "signs" && !causes.is_empty(), "{name}: {words}");
        }
        assert_eq!(domain["failed"], !causes.is_empty(), "{words}");
        if causes.is_empty() {
            // Status 1 where the machine was too busy meanwhile.
            assert!(matches!(status, Some(0 | 1)), "{words}");
            continue;
        }
        assert!(
            causes.iter().any(|cause| domain["cause"].as_str().is_some_and(|told| told.contains(cause))),
            "{words}"
        );
        assert!(words.contains("DOMAIN FAILED: \"reading\" after "), "{words}");
        assert_eq!(status, Some(1), "{words}");
    }
}

#[test]
fn a_refused_vehicle_has_no_lock_and_does_not_build() {
    let outside = tempfile::tempdir().unwrap();
    let folder = take_out("overloaded", outside.path());
    let words = refused_build(&folder);
    assert!(words.contains("there is no lock at") && words.contains("aegis check"), "{words}");
}

#[test]
fn a_vehicle_too_fast_for_the_machine_is_refused_and_fitted_where_that_is_asked_for() {
    if aegis_tests::fetched::reference_files().is_none() {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let folder = take_out("inspector", outside.path());
    let manifest = rename(&folder, "hurried");
    let mut hurried = std::fs::read_to_string(&manifest).unwrap();
    for (from, to) in
        [("\"32ms\"", "\"3ms\""), ("\"64ms\"", "\"6ms\""), ("\"100ms\"", "\"10ms\""), ("\"125ms\"", "\"12ms\"")]
    {
        hurried = hurried.replace(from, to);
    }
    std::fs::write(&manifest, hurried).unwrap();
    std::fs::remove_dir_all(folder.join("profiles")).unwrap();
    let output = root().join("target/aegis/hurried");
    let _ = std::fs::remove_dir_all(&output);
    let refused = aegis(&["run", &manifest]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stdout));
    assert!(text(&refused.stdout).contains("`--fit` runs the vehicle as much slower"), "{}", text(&refused.stdout));
    assert!(!output.join("system.lock").exists() && !output.join("hurried").exists(), "nothing is built");
    let fitted = aegis(&["run", &manifest, "--fit", "--for", "1s", "--allow-void"]);
    let words = text(&fitted.stdout);
    // Status 1 where the machine was too busy for a deadline meanwhile.
    assert!(matches!(fitted.status.code(), Some(0 | 1)), "{words}");
    let times = words
        .split_once("time of a fault domain is ")
        .and_then(|(_, rest)| rest.split_once(" times as long"))
        .unwrap()
        .0;
    let times: u64 = times.parse().unwrap();
    let lock = Lock::read(&output.join("system.lock")).unwrap();
    let of = |name: &str| {
        let task = lock.plan.tasks.iter().find(|task| task.name == name).unwrap();
        (task.period_ns / times, task.deadline_ns / times)
    };
    assert_eq!((of("voice"), of("signs")), ((3_000_000, 6_000_000), (12_000_000, 12_000_000)));
    assert_eq!(lock.lock.slowed, Some(times));
    assert_ne!(lock.manifest_hash(), lock.clone().slowed(1).manifest_hash());
    let report = std::fs::read_to_string(output.join("report.md")).unwrap();
    assert!(report.starts_with("NOT THE VEHICLE OF "), "{report}");
    // Beside the manifest it is no lock of it: not for a build, even with the profiles that it was made from.
    std::fs::create_dir_all(folder.join("profiles/dev-vm")).unwrap();
    copy(&output.join("profiles"), &folder.join("profiles/dev-vm"));
    std::fs::copy(output.join("system.lock"), folder.join("system.lock")).unwrap();
    let words = refused_build(&folder);
    assert!(words.contains(&format!("{times} times the periods of its manifest")), "{words}");
}

#[test]
fn a_truncated_model_is_a_finding_that_names_it() {
    let (Some(library), Some(model)) = (
        aegis_tests::fetched::reference_file(aegis_codegen::fetch::Kind::Library, "onnxruntime"),
        aegis_tests::fetched::reference_file(aegis_codegen::fetch::Kind::Model, "face"),
    ) else {
        return;
    };
    let outside = tempfile::tempdir().unwrap();
    let folder = take_out("inspector", outside.path());
    let whole = std::fs::read(model).unwrap();
    std::fs::write(folder.join("cut.onnx"), &whole[..whole.len() / 2]).unwrap();
    let manifest = folder.join("system.toml");
    let text_of = format!(
        "system = {{ name = \"cut\", policy = \"edf\" }}\n\
         runtime.onnxruntime = {{ version = \"1.32.0\", file = \"{}\" }}\n\
         device.cpu0 = {{ kind = \"cpu\", memory = \"64MiB\" }}\n\
         lane.main = {{ device = \"cpu0\", core = 1, dispatch-overhead = \"1ms\", wakeup-latency = \"1ms\" }}\n\
         model.face = {{ backend = \"onnxruntime\", file = \"cut.onnx\" }}\n\
         task.face = {{ model = \"face\", lane = \"main\", period = \"1s\", profile = \"profiles/cut.toml\" }}\n",
        library.display()
    );
    std::fs::write(&manifest, text_of).unwrap();
    let output = aegis(&["profile", manifest.to_str().unwrap()]);
    let words = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("error[AEG503]: the runtime cannot run model `face`"), "{words}");
    assert!(!folder.join("profiles/cut.toml").exists(), "no profile of a model that never ran");
}

//! `aegis trace convert` makes of a trace what viewers show.

use super::Format;
use aegis_tests::fetched::root;
use aegis_tests::perfetto::{SOUND, ask, assert_sound, engine, number};
use std::path::Path;
use std::process::{Command, Output};

fn aegis(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aegis")).args(arguments).current_dir(root()).output().unwrap()
}

/// What a conversion of the shuttle's trace writes.
fn converted(folder: &Path, to: &str, more: &[&str]) -> Vec<u8> {
    let [trace, out] = ["a.aegistrace", "out"].map(|name| folder.join(name).to_str().unwrap().to_owned());
    let convert = ["trace", "convert", &trace, "--lock", "examples/shuttle/system.lock", "--to", to, "-o", &out];
    let output = aegis(&[&convert[..], more].concat());
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    std::fs::read(out).unwrap()
}

#[test]
fn a_trace_is_converted_with_and_without_the_manifests_chains() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("a.aegistrace");
    let trace = trace.to_str().unwrap();
    let simulate = ["simulate", "examples/shuttle/system.toml", "--pattern", "random", "--for", "2s", "--trace", trace];
    let simulated = aegis(&simulate);
    assert!(simulated.status.success(), "{simulated:?}");
    let chains = ["--manifest", "examples/shuttle/system.toml"];
    let perfetto = converted(folder.path(), "perfetto", &[]);
    assert_eq!(perfetto, converted(folder.path(), "perfetto", &[]), "the same again");
    let traces = [
        (Format::Perfetto, perfetto),
        (Format::Perfetto, converted(folder.path(), "perfetto", &chains)),
        (Format::Chrome, converted(folder.path(), "chrome", &chains)),
    ];
    let other = aegis(&[
        "trace",
        "convert",
        trace,
        "--lock",
        "examples/shuttle/system.lock",
        "--to",
        "chrome",
        "--manifest",
        "examples/reader/system.toml",
    ]);
    assert_eq!(other.status.code(), Some(2), "{other:?}");
    assert!(String::from_utf8_lossy(&other.stderr).contains("`shuttle`, the manifest describes `reader`"), "{other:?}");
    let Some(engine) = engine() else { return };
    let queries = [&SOUND[..], &["select count(*) as count from flow"]].concat();
    let answers = ask(engine, &traces, &queries);
    for answers in &answers {
        assert_sound(answers, "the shuttle");
    }
    let [without, with, chrome] = [0, 1, 2].map(|trace: usize| number(&answers[trace][SOUND.len()][0], "count"));
    assert!(without > 100 && with > without && with == chrome, "{without} {with} {chrome}");
}

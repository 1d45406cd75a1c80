//! Commands: the page of all of them, and those that stand in the manual.

use crate::{aegis, blocks, compare, pages, root, text};
use std::path::Path;

const BEGINNING: &str = "\
# Every command

What `aegis COMMAND --help` says. The exit status of all is 0 where it holds, 1 with findings, 2 where the usage is wrong or an input cannot be read, 3 for an error inside
AegisRT (`aegis-ICE`); `aegis run` and `aegis inject` end with the vehicle's own [status](guarantee.md#exit-status) once it runs. Inside this
repository `cargo run -- COMMAND` starts the same.
";

fn help(words: &[&str]) -> String {
    let output = aegis(&root(), &[words, &["--help"]].concat());
    assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The commands that a help lists.
fn listed(help: &str) -> Vec<&str> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let own = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    own.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect()
}

fn page(words: &[&str], out: &mut String) {
    let told = help(words);
    out.push_str(&format!(
        "\n## {}\n\n```text\n{}```\n",
        ["aegis"].iter().chain(words).copied().collect::<Vec<_>>().join(" "),
        told
    ));
    for name in listed(&told) {
        page(&[words, &[name]].concat(), out);
    }
}

#[test]
fn the_page_of_commands_is_what_help_says_and_each_has_an_example() {
    let mut out = BEGINNING.to_owned();
    page(&[], &mut out);
    compare("docs/commands.md", &out);
    let whole = help(&[]);
    let names = listed(&whole);
    assert!(names.len() >= 18, "{names:?}");
    for name in names {
        assert!(help(&[name]).contains("Example"), "{name} shows no example");
    }
}

/// A line of a shell without its comment, as words.
fn words(line: &str) -> Vec<String> {
    line.split(" #").next().unwrap().split_whitespace().map(|word| word.trim_matches('"').to_owned()).collect()
}

/// The arguments where a line starts the command.
fn started(line: &str) -> Option<Vec<String>> {
    let line = line.trim().trim_start_matches("$ ");
    let arguments = line.strip_prefix("cargo run -- ").or_else(|| line.strip_prefix("aegis "))?;
    // `aegis inject: …` is what a command says.
    let is_said = arguments.split_whitespace().next().is_none_or(|first| first.ends_with(':'));
    (!is_said).then(|| words(arguments))
}

/// All command lines of the manual, those in blocks and those in a sentence, with their places.
fn command_lines() -> Vec<(String, Vec<String>, bool)> {
    let mut found = Vec::new();
    for (name, page) in pages().into_iter().filter(|(name, _)| name != "docs/commands.md") {
        for (_, begins, block) in blocks(&page) {
            let lines = block.lines().enumerate().filter_map(|(number, line)| Some((number, started(line)?)));
            found.extend(lines.map(|(number, words)| (format!("{name}:{}", begins + number + 1), words, true)));
        }
        let mut outside = page.clone();
        blocks(&page).iter().for_each(|(.., block)| outside = outside.replace(block.as_str(), ""));
        let spans = outside.split('`').skip(1).step_by(2).filter(|span| !span.contains('\n'));
        found.extend(spans.filter_map(started).map(|words| (name.clone(), words, false)));
    }
    found
}

#[test]
fn each_command_line_of_the_manual_is_understood() {
    let lines = command_lines();
    assert!(lines.len() >= 80, "{}", lines.len());
    for (place, words, _) in lines {
        // A word in capitals stands for one that a reader chooses.
        let chosen = |word: &String| match word.as_str() {
            "FORMAT" => "json".to_owned(),
            "FORMAT=PATH" => "json=report.json".to_owned(),
            "FAULT" => "kill".to_owned(),
            "BYTES" | "SIZE" => "1MiB".to_owned(),
            "DURATION" => "1s".to_owned(),
            "SHELL" => "bash".to_owned(),
            "POLICY" => "edf".to_owned(),
            other => other.trim_matches(['[', ']']).to_owned(),
        };
        let mut words: Vec<String> = words.iter().map(chosen).collect();
        // An option that stands alone in a sentence has a value where it needs one.
        if words.last().is_some_and(|last| last == "--seconds" || last == "--task") {
            words.push("1".to_owned());
        }
        words.push("--help".to_owned());
        let output = aegis(&root(), &words.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(output.status.success(), "{place}: `aegis {}`: {}", words.join(" "), text(&output.stderr));
    }
}

/// Commands that need no model, no network, no device and no minute.
const LIGHT: [&str; 9] =
    ["check", "explain", "simulate", "verify", "plan", "schema", "completions", "diff", "generate"];

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            if !path.ends_with("target") && !path.ends_with("src") {
                copy(&path, &target);
            }
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
fn each_light_command_line_in_a_block_runs() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["examples", "profiles"] {
        copy(&root().join(name), &folder.path().join(name));
    }
    for name in ["system.toml", "system.lock"] {
        std::fs::copy(root().join(name), folder.path().join(name)).unwrap();
    }
    let mut count = 0;
    for (place, words, is_block) in command_lines() {
        let is_placeholder = |word: &&String| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase());
        let is_of_a_run = |word: &&String| word.starts_with("target/");
        let needs_more = |word: &String| is_placeholder(&word) || is_of_a_run(&word);
        if !is_block || !LIGHT.contains(&words[0].as_str()) || words.iter().any(needs_more) {
            continue;
        }
        let output = aegis(folder.path(), &words.iter().map(String::as_str).collect::<Vec<_>>());
        let status = output.status.code();
        let holds = status == Some(0) || status == Some(1) && words.iter().any(|word| word.contains("overloaded"));
        assert!(holds, "{place}: `aegis {}`: {status:?} {}", words.join(" "), text(&output.stderr));
        count += 1;
    }
    assert!(count >= 7, "{count}");
}

//! Heights and times of the memory solver on published instances and on cut rectangles; every plan is validated by code
//! that shares nothing with the solver. Prints Markdown tables.
//!
//! `cargo bench -p aegis-codegen --bench memory -- FOLDER`: the folder holds `minimalloc/*.CAPACITY.csv` and, below
//! `models/`, other tables. Without a folder: rectangles that the project cuts itself. `--nodes N` searches more.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a wrong plan ends the measurement")]

use aegis_codegen::memory::solver::{Buffer, Limits, Problem, Proof, minimise};
use aegis_codegen::pack::Sheet;
use aegis_tests::packing::{cut_rectangle, validate};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Times are medians of this many runs, where one run is short.
const RUNS: usize = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let mut limits = Limits::default();
    let mut folder = None;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--nodes" => limits.nodes = rest.next().unwrap().parse().unwrap(),
            other => folder = Some(PathBuf::from(other)),
        }
    }
    match folder {
        Some(folder) => published(&folder, limits),
        None => rectangles(limits),
    }
}

fn published(folder: &Path, limits: Limits) {
    let with_capacity: Vec<(PathBuf, Option<u64>)> = tables(&folder.join("minimalloc"))
        .into_iter()
        .filter_map(|file| {
            let capacity = file.file_stem()?.to_str()?.rsplit_once('.')?.1.parse().ok()?;
            Some((file, Some(capacity)))
        })
        .collect();
    section("MiniMalloc's instances within their capacity", &with_capacity, limits);
    for name in ["fused", "raw", "cross"] {
        let files: Vec<_> = tables(&folder.join("models").join(name)).into_iter().map(|file| (file, None)).collect();
        section(name, &files, limits);
    }
}

fn rectangles(limits: Limits) {
    header("cut rectangles, lowest height 1 MiB by construction");
    let mut total = Duration::ZERO;
    for seed in 1..=30 {
        let count = 60 + 8 * usize::try_from(seed).unwrap();
        let buffers = cut_rectangle(seed, count, 4 * i64::try_from(count).unwrap(), 1 << 20);
        total += row(&format!("seed {seed}"), buffers, Some(1 << 20), limits);
    }
    println!("\ntotal {:.2} s", total.as_secs_f64());
}

fn tables(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "csv"));
    files.sort();
    files
}

fn section(name: &str, files: &[(PathBuf, Option<u64>)], limits: Limits) {
    if files.is_empty() {
        return;
    }
    header(name);
    let mut total = Duration::ZERO;
    for (file, capacity) in files {
        let text = std::fs::read_to_string(file).unwrap();
        let sheet = Sheet::read(&file.to_string_lossy(), &text).unwrap();
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        total += row(&name, sheet.problem().buffers().to_vec(), *capacity, limits);
    }
    println!("\ntotal {:.2} s", total.as_secs_f64());
}

fn header(name: &str) {
    println!("\n### {name}\n");
    println!("| table | buffers | lower bound | height | proof | first plan / height | nodes | ms |");
    println!("|---|--:|--:|--:|---|--:|--:|--:|");
}

fn row(name: &str, buffers: Vec<Buffer>, capacity: Option<u64>, limits: Limits) -> Duration {
    let problem = Problem::new(buffers).unwrap();
    let limits = Limits { capacity, ..limits };
    let mut times = Vec::new();
    let mut plan = None;
    while times.len() < RUNS && times.iter().sum::<Duration>() < Duration::from_secs(5) {
        let started = Instant::now();
        plan = Some(minimise(&problem, limits, None));
        times.push(started.elapsed());
    }
    let plan = plan.unwrap();
    times.sort();
    let time = times[times.len() / 2];
    validate(problem.buffers(), &plan.offsets, plan.height).unwrap_or_else(|wrong| panic!("{name}: {wrong:?}"));
    let first = minimise(&problem, Limits { nodes: 0, ..limits }, None);
    let proof = match plan.proof {
        Proof::Witness => "witness",
        Proof::Search => "search",
        Proof::None if capacity.is_some_and(|capacity| plan.height <= capacity) => "fits",
        Proof::None => "none",
    };
    #[allow(clippy::cast_precision_loss, reason = "only printed")]
    let ratio = first.height as f64 / plan.height as f64;
    println!(
        "| {name} | {} | {} | {} | {proof} | {ratio:.2} | {} | {:.1} |",
        problem.buffers().len(),
        plan.lower_bound,
        plan.height,
        plan.nodes,
        time.as_secs_f64() * 1e3
    );
    time
}

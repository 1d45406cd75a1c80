//! Pieces of manifests in the manual, the page of their keys, and the limits.

use crate::{aegis, blocks, compare, pages, root, text};
use aegis_codegen::finding::Code;
use aegis_codegen::manifest::{Manifest, parse};

#[test]
fn the_page_of_keys_is_what_the_parser_asks_for() {
    let written = aegis(&root(), &["schema", "--format", "markdown"]);
    assert!(written.status.success(), "{}", text(&written.stderr));
    compare("docs/manifest.md", text(&written.stdout));
}

/// What is wrong with a piece because it is one: what it needs besides, or speaks of, is elsewhere.
const OF_A_PIECE: [Code; 4] = [Code::MissingKey, Code::KeyConflict, Code::UnknownReference, Code::NoTask];

#[test]
fn each_piece_of_a_manifest_is_read() {
    let mut count = 0;
    for (name, page) in pages() {
        for (language, begins, block) in blocks(&page) {
            // What a crate depends on is no piece of a manifest.
            if language != "toml" || block.starts_with("[dependencies]") {
                continue;
            }
            count += 1;
            let (manifest, findings) = parse(&name, &block);
            let wrong: Vec<_> = findings.iter().filter(|found| !OF_A_PIECE.contains(&found.code)).collect();
            assert!(wrong.is_empty(), "{name}:{begins}: {wrong:?}");
            assert!(manifest.is_some() || !findings.is_empty(), "{name}:{begins}");
        }
    }
    assert!(count >= 12, "{count}");
}

#[test]
fn the_limits_of_the_manual_are_the_codes() {
    let page = std::fs::read_to_string(root().join("docs/limits.md")).unwrap();
    let stated = |of: &str| -> u64 {
        let row = page.lines().find(|line| line.starts_with(&format!("| {of}"))).unwrap_or_else(|| panic!("{of}"));
        row.split('|').nth(2).unwrap().trim().parse().unwrap()
    };
    let limits = [
        ("tasks of a vehicle", Manifest::MAX_TASKS),
        ("lanes", Manifest::MAX_LANES),
        ("fault domains", Manifest::MAX_DOMAINS),
        ("modes", Manifest::MAX_MODES),
        ("levels of memory pressure", Manifest::MAX_LEVELS),
        ("segments of a task", Manifest::MAX_SEGMENTS),
        ("stages of a task", Manifest::MAX_STAGES),
        ("jobs of a task that can wait", usize::try_from(Manifest::MAX_QUEUE).unwrap()),
        ("restarts of a domain", usize::from(aegis_core::desc::MOST_RESTARTS)),
        ("blocks of a model", aegis_core::desc::MOST_LIVE),
        ("launches of a model", aegis_core::desc::LaunchDesc::MOST),
        ("arguments of a launch", aegis_core::desc::LaunchDesc::MOST_ARGUMENTS),
    ];
    for (of, limit) in limits {
        assert_eq!(stated(of), u64::try_from(limit).unwrap(), "{of}");
    }
    // Each code that the page names exists.
    for (at, _) in page.match_indices("AEG") {
        let code = &page[at..at + 6];
        assert!(Code::from_id(code).is_some(), "{code}");
    }
}

//! What a finding's changes do: each fixes its finding and brings no other.

use super::{fixtures, parse_checked};
use aegis_codegen::finding::{Code, Finding, fixed};

fn of(finding: &Finding) -> (&'static str, &str) {
    (finding.code.id(), &finding.message)
}

#[test]
fn each_change_fixes_its_finding_and_brings_no_other() {
    let mut fixes = 0;
    for (name, text) in fixtures() {
        let file = format!("{name}.toml");
        let (_, findings) = parse_checked(&file, &text);
        for finding in findings.iter().filter(|finding| !finding.patches.is_empty()) {
            let (changed, count) = fixed(std::slice::from_ref(finding), &file, &text);
            assert_eq!(count, 1, "{file}: {finding:?}");
            let (_, then) = parse_checked(&file, &changed);
            let is_new = |other: &&Finding| !findings.iter().any(|before| of(before) == of(other));
            assert!(!then.iter().any(|other| of(other) == of(finding)), "{file} still has {finding:?}:\n{changed}");
            assert_eq!(then.iter().filter(is_new).map(of).collect::<Vec<_>>(), [], "{file}:\n{changed}");
            fixes += 1;
        }
    }
    assert!(fixes >= 40, "{fixes}");
}

#[test]
fn changes_of_all_findings_are_made_until_none_is_left() {
    for (name, mut text) in fixtures() {
        let file = format!("{name}.toml");
        // Each round makes at least one.
        for round in 0.. {
            let (_, findings) = parse_checked(&file, &text);
            let (changed, count) = fixed(&findings, &file, &text);
            if count == 0 {
                assert!(findings.iter().all(|finding| finding.patches.is_empty()), "{file}: {findings:?}");
                break;
            }
            assert!(round < 10, "{file}: {findings:?}");
            let (_, then) = parse_checked(&file, &changed);
            let unreadable = then.iter().find(|one| matches!(one.code, Code::Syntax | Code::Duplicate));
            assert!(unreadable.is_none(), "{file}: {unreadable:?}:\n{changed}");
            text = changed;
        }
    }
}

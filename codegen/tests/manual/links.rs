//! Links: each leads to a file of the repository, and where it names a heading to one of its.

use crate::{blocks, pages, root};
use std::collections::BTreeSet;

/// A heading's anchor, as code hosts make it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The page without what stands between fences.
fn prose(page: &str) -> String {
    let mut prose = page.to_owned();
    blocks(page)
        .iter()
        .filter(|(.., block)| !block.is_empty())
        .for_each(|(.., block)| prose = prose.replace(block.as_str(), ""));
    prose
}

fn anchors(page: &str) -> BTreeSet<String> {
    let prose = prose(page);
    let headings = prose.lines().filter_map(|line| line.strip_prefix('#'));
    let headings = headings.map(|heading| anchor(heading.trim_start_matches('#').trim()));
    let named = prose.split("<a id=\"").skip(1).filter_map(|rest| rest.split('"').next().map(str::to_owned));
    headings.chain(named).collect()
}

#[test]
fn each_link_leads_to_a_file_and_a_heading() {
    let mut count = 0;
    let mut broken = Vec::new();
    for (name, page) in pages() {
        let folder = root().join(&name).parent().unwrap().to_owned();
        for link in prose(&page).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            count += 1;
            let (file, heading) = link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
            let path = if file.is_empty() { root().join(&name) } else { folder.join(file) };
            if !path.exists() {
                broken.push(format!("{name}: there is no `{link}`"));
            } else if let Some(heading) = heading
                && path.extension().is_some_and(|extension| extension == "md")
                && !anchors(&std::fs::read_to_string(&path).unwrap()).contains(heading)
            {
                broken.push(format!("{name}: `{link}` has no such heading"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(count >= 150, "{count}");
}

#[test]
fn each_page_can_be_reached_from_the_readme() {
    let pages = pages();
    let mut reached = BTreeSet::from(["README.md".to_owned(), "CONTRIBUTING.md".to_owned()]);
    loop {
        let before = reached.len();
        let known = reached.clone();
        for (name, page) in pages.iter().filter(|(name, _)| known.contains(name)) {
            let folder = root().join(name).parent().unwrap().to_owned();
            for link in prose(page).split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
                let Ok(path) = folder.join(link).canonicalize() else { continue };
                let Ok(found) = path.strip_prefix(root().canonicalize().unwrap()) else { continue };
                // A link to a folder shows all of it.
                let found = found.to_str().unwrap();
                let within = |page: &&(String, String)| page.0 == found || page.0.starts_with(&format!("{found}/"));
                reached.extend(pages.iter().filter(within).map(|(name, _)| name.clone()));
            }
        }
        if reached.len() == before {
            break;
        }
    }
    let alone: Vec<_> = pages.iter().map(|(name, _)| name).filter(|name| !reached.contains(*name)).collect();
    assert!(alone.iter().all(|name| name.starts_with("examples/")), "no link leads to {alone:?}");
}

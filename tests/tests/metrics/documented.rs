//! The table of `docs/metrics.md` has every metric and no other, with its type, unit, labels and meaning; and the example's
//! dashboard and rules ask only for metrics that there are.

use super::{ended, text};
use aegis_linux::metrics::Format;
use aegis_tests::fetched::root;
use std::collections::{BTreeMap, BTreeSet};

/// What is known of a metric: type, unit, labels, meaning.
type Row = (String, String, BTreeSet<String>, String);

/// The metrics of a text in OpenMetrics, by the names that Prometheus has for them.
fn written(text: &str) -> BTreeMap<String, Row> {
    let mut families: BTreeMap<String, Row> = BTreeMap::new();
    let mut family = String::new();
    for line in text.lines().filter(|line| *line != "# EOF") {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "TYPE", name, kind] => {
                name.clone_into(&mut family);
                assert!(
                    families
                        .insert(family.clone(), (kind.to_owned(), String::new(), BTreeSet::new(), String::new()))
                        .is_none()
                );
            }
            ["#", "UNIT", name, unit] if name == family => unit.clone_into(&mut families.get_mut(name).unwrap().1),
            ["#", "HELP", name, help] if name == family => help.clone_into(&mut families.get_mut(name).unwrap().3),
            _ => {
                assert!(line.starts_with(&family), "{line} within {family}");
                let Some((_, labels)) = line.split_once('{') else { continue };
                // No value of a label here has these characters.
                let names = labels.split("=\"").map(|part| part.rsplit([',', '{']).next().unwrap().to_owned());
                let names: Vec<String> = names.collect();
                let (_, names) = names.split_last().unwrap();
                families.get_mut(&family).unwrap().2.extend(names.iter().filter(|name| *name != "le").cloned());
            }
        }
    }
    let named = |(name, row): (String, Row)| {
        let suffix = match row.0.as_str() {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        (format!("{name}{suffix}"), row)
    };
    families.into_iter().map(named).collect()
}

fn documented() -> BTreeMap<String, Row> {
    let docs = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let mut rows = BTreeMap::new();
    for line in docs.lines().filter(|line| line.starts_with("| `aegis_")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, unit, labels, meaning] = cells[..] else { panic!("{line}") };
        let labels =
            labels.split(", ").filter(|label| !label.is_empty()).map(|label| label.trim_matches('`').to_owned());
        let row = (kind.to_owned(), unit.to_owned(), labels.collect(), meaning.to_owned());
        assert!(rows.insert(name.trim_matches('`').to_owned(), row).is_none(), "{name} twice");
    }
    rows
}

#[test]
fn the_docs_have_every_metric_and_no_other() {
    let (written, documented) = (written(&text(&ended(), Format::OpenMetrics)), documented());
    for (name, row) in &written {
        assert_eq!(documented.get(name), Some(row), "{name} in docs/metrics.md");
    }
    for name in documented.keys() {
        assert!(written.contains_key(name), "{name} of docs/metrics.md is no metric");
    }
    assert!(written.len() > 60, "{}", written.len());
}

/// The names of a query that are metrics: they begin with the prefix of all, and no label does.
fn asked(query: &str) -> impl Iterator<Item = &str> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("aegis_"))
}

#[test]
fn the_examples_ask_only_for_metrics_that_there_are() {
    let text = text(&ended(), Format::Prometheus);
    let there: BTreeSet<&str> =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['{', ' ']).next()).collect();
    let folder = root().join("examples/metrics");
    let dashboard = std::fs::read_to_string(folder.join("grafana-dashboard.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    let (mut queries, mut titles) = (Vec::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(titles.insert(panel["title"].as_str().unwrap()), "{panel} twice");
        if panel["type"] != "row" {
            let targets = panel["targets"].as_array().unwrap();
            assert!(!targets.is_empty(), "{panel}");
            queries.extend(targets.iter().map(|target| target["expr"].as_str().unwrap().to_owned()));
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        queries.extend(variable["definition"].as_str().map(str::to_owned));
    }
    assert!(queries.len() > 15, "{queries:?}");
    let rules = std::fs::read_to_string(folder.join("rules.yml")).unwrap();
    queries.extend(rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(str::to_owned));
    for query in &queries {
        assert!(asked(query).count() > 0, "{query}");
        for name in asked(query) {
            assert!(there.contains(name), "{name} of {query} is no metric");
        }
    }
}

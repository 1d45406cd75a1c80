//! The queries of `docs/traces.md` are asked, and each has an answer.

use super::runs::{overloaded, reference, two_stages};
use super::{Format, exported};
use aegis_core::desc::{Policy, Preemption};
use aegis_tests::perfetto::{ask, engine};
use std::path::Path;

#[test]
fn every_query_of_the_page_has_an_answer() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs/traces.md");
    let page = std::fs::read_to_string(page).unwrap();
    let queries: Vec<&str> =
        page.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap().trim()).collect();
    assert!(queries.len() > 5, "{queries:?}");
    let Some(engine) = engine() else { return };
    let runs = [
        overloaded(Policy::RateMonotonic),
        reference(),
        two_stages(Policy::EarliestDeadlineFirst, Preemption::Segments),
    ];
    let traces = runs.map(|run| (Format::Perfetto, exported(Format::Perfetto, &run, &[]).0));
    let answers = ask(engine, &traces, &queries);
    for (number, query) in queries.iter().enumerate() {
        assert!(answers.iter().any(|of_run| !of_run[number].is_empty()), "no run answers:\n{query}");
    }
}

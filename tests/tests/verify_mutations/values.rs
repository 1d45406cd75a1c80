//! A plan as data: every number and every list of it, with its place.

use aegis_codegen::plan::Plan;
use serde_json::Value;
use std::fmt;

/// A step into a value.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    Key(String),
    /// A place in a list.
    Index(usize),
    /// A place in an entry of a list that is itself a list: which number of a pair.
    Part(usize),
}

/// A place in a plan.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Path(Vec<Step>);

impl Path {
    /// Without the places in lists.
    pub(crate) fn name(&self) -> String {
        let words = self.0.iter().filter_map(|step| match step {
            Step::Key(key) => Some(key.clone()),
            Step::Index(_) => None,
            Step::Part(part) => Some(part.to_string()),
        });
        words.collect::<Vec<_>>().join(".")
    }

    fn then(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.0 {
            match step {
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) | Step::Part(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// A plan with what its text leaves out.
pub(crate) fn of(plan: &Plan) -> Value {
    let mut plan = serde_json::to_value(plan).unwrap();
    let absent = [
        ("lane", "hyperperiod-ns", Value::from(0)),
        ("lane", "points-ns", Value::Array(Vec::new())),
        ("lane", "slots", Value::Array(Vec::new())),
        ("task", "region-ns", Value::from(0)),
        ("task", "segments-ns", Value::Array(Vec::new())),
    ];
    for (table, key, value) in absent {
        for entry in plan[table].as_array_mut().unwrap() {
            entry.as_object_mut().unwrap().entry(key).or_insert_with(|| value.clone());
        }
    }
    plan
}

/// All numbers.
pub(crate) fn numbers(plan: &Value) -> Vec<(Path, u64)> {
    let mut found = Vec::new();
    walk(plan, &Path::default(), &mut |path, value| {
        if let Some(number) = value.as_u64() {
            found.push((path.clone(), number));
        }
    });
    found
}

/// All lists that have entries, pairs excepted.
pub(crate) fn lists(plan: &Value) -> Vec<(Path, usize)> {
    let mut found = Vec::new();
    walk(plan, &Path::default(), &mut |path, value| {
        let is_entry = matches!(path.0.last(), Some(Step::Index(_) | Step::Part(_)));
        if let Some(list) = value.as_array().filter(|list| !is_entry && !list.is_empty()) {
            found.push((path.clone(), list.len()));
        }
    });
    found
}

fn walk(value: &Value, path: &Path, visit: &mut dyn FnMut(&Path, &Value)) {
    visit(path, value);
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                walk(value, &path.then(Step::Key(key.clone())), visit);
            }
        }
        Value::Array(entries) => {
            let in_list = matches!(path.0.last(), Some(Step::Index(_)));
            for (index, value) in entries.iter().enumerate() {
                let step = if in_list { Step::Part(index) } else { Step::Index(index) };
                walk(value, &path.then(step), visit);
            }
        }
        _ => {}
    }
}

/// What is at a place.
pub(crate) fn at<'v>(value: &'v mut Value, path: &Path) -> &'v mut Value {
    path.0.iter().fold(value, |value, step| match step {
        Step::Key(key) => &mut value[key.as_str()],
        Step::Index(index) | Step::Part(index) => &mut value[*index],
    })
}

//! What one plan means that another does not: tasks, bounds, slack, load and memory, not lines of text.
//!
//! Both plans are told as facts of the same names, whether they come out of a lock or of a manifest that was just checked, and
//! then compared name by name.

mod facts;
mod show;

use crate::plan::Plan;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

pub use facts::Verdict;
pub use show::{json, text};

/// The schema's name.
pub const SCHEMA: &str = "aegis.diff/1";

/// One of the two.
#[derive(Clone, Debug)]
pub struct Side<'a> {
    /// The file, as the user named it.
    pub file: String,
    /// Its plan: of what does not hold, a draft.
    pub plan: &'a Plan,
    /// Whether it holds.
    pub verdict: Verdict,
    /// Of a draft: the longest blocking of each task, in nanoseconds.
    pub blocking: BTreeMap<String, u64>,
    /// The chains; `None` of a lock, which does not have them.
    pub chains: Option<Vec<ChainBounds>>,
}

/// What is shown of a chain, in nanoseconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChainBounds {
    /// Its name.
    pub name: String,
    /// The limit of its reaction.
    pub max_reaction_ns: Option<u64>,
    /// The limit of its age.
    pub max_age_ns: Option<u64>,
    /// The bound of its reaction.
    pub reaction_ns: Option<u64>,
    /// The bound of its age.
    pub age_ns: Option<u64>,
}

/// What a fact is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum About {
    /// The vehicle as a whole.
    System,
    /// A task, or a stage of one.
    Task,
    /// A chain of tasks.
    Chain,
    /// A lane.
    Lane,
    /// A device's memory.
    Memory,
    /// A model.
    Model,
    /// A fault domain.
    Domain,
    /// A level of memory pressure.
    Level,
    /// A mode.
    Mode,
}

impl About {
    /// The word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Task => "task",
            Self::Chain => "chain",
            Self::Lane => "lane",
            Self::Memory => "memory",
            Self::Model => "model",
            Self::Domain => "domain",
            Self::Level => "level",
            Self::Mode => "mode",
        }
    }
}

/// A value with its unit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A word.
    Word(String),
    /// A number: nanoseconds, bytes, millionths or a count, as the fact's key says.
    Number(i128),
}

/// Which change of a number is a change for the worse.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Worse {
    /// More of it.
    More,
    /// Less of it.
    Less,
    /// Neither: it is what was asked for, not what follows.
    Neither,
}

/// One thing that a plan says.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Fact {
    /// With its unit at its end: `_ns`, `_bytes` or `_ppm`.
    key: String,
    value: Value,
    worse: Worse,
}

/// All that a plan says of one thing.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Facts {
    about: About,
    name: String,
    facts: Vec<Fact>,
}

/// What became of something.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Only the second plan has it.
    Added,
    /// Only the first plan has it.
    Removed,
    /// Both have it, with other values.
    Changed,
}

/// What a change means for who relies on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// A bound grew, a slack shrank, or something does not hold any more.
    Worse,
    /// The reverse.
    Better,
}

/// One fact that differs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Difference {
    /// What it is about.
    pub about: About,
    /// Its name.
    pub name: String,
    /// What became of that.
    pub change: Change,
    /// The fact, with its unit at its end.
    pub key: String,
    /// In the first plan; absent where it does not say it.
    pub old: Option<Value>,
    /// In the second plan; absent where it does not say it.
    pub new: Option<Value>,
    /// By how much a number grew.
    pub by: Option<i128>,
    /// What that means, where it means something by itself.
    pub effect: Option<Effect>,
}

/// What differs between two plans.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diff {
    /// All facts that differ: of each thing in the order of the plans.
    pub differences: Vec<Difference>,
    /// Whether no fact differs, and the plans still do: in certificates, where each byte lies, or what else is no fact here.
    pub differs_within: bool,
}

impl Diff {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.differences.is_empty() && !self.differs_within
    }
}

/// Compares two plans.
#[must_use]
pub fn diff(old: &Side<'_>, new: &Side<'_>) -> Diff {
    let (mut before, mut after) = (facts::of(old), facts::of(new));
    if let (Some(old), Some(new)) = (&old.chains, &new.chains) {
        before.extend(facts::chains(old));
        after.extend(facts::chains(new));
    }
    let mut differences = Vec::new();
    let mut seen = BTreeSet::new();
    for one in before.iter().chain(&after) {
        if !seen.insert((one.about, one.name.as_str())) {
            continue;
        }
        let find = |all: &'_ [Facts]| all.iter().position(|other| (other.about, &other.name) == (one.about, &one.name));
        let was = find(&before).and_then(|place| before.get(place));
        let is = find(&after).and_then(|place| after.get(place));
        differences.extend(compare(was, is));
    }
    // Stable: within one kind the order of the plans remains.
    differences.sort_by_key(|difference| difference.about);
    let differs_within = differences.is_empty() && old.plan != new.plan;
    Diff { differences, differs_within }
}

/// What differs of one thing.
fn compare(was: Option<&Facts>, is: Option<&Facts>) -> Vec<Difference> {
    let (change, one) = match (was, is) {
        (Some(_), Some(is)) => (Change::Changed, is),
        (Some(was), None) => (Change::Removed, was),
        (None, Some(is)) => (Change::Added, is),
        (None, None) => return Vec::new(),
    };
    let facts = |facts: Option<&Facts>| facts.map_or_else(Vec::new, |facts| facts.facts.clone());
    let (before, after) = (facts(was), facts(is));
    let mut found = Vec::new();
    let gone = before.iter().filter(|old| !after.iter().any(|new| new.key == old.key));
    for fact in after.iter().chain(gone) {
        let value = |facts: &[Fact]| facts.iter().find(|other| other.key == fact.key).map(|fact| fact.value.clone());
        let (old, new) = (value(&before), value(&after));
        // Not every certificate tells the blocking, so that a plan may not know it.
        let is_unknown = fact.key == "blocking_ns" && (old.is_none() || new.is_none()) && change == Change::Changed;
        if old == new || is_unknown {
            continue;
        }
        let by = match (&old, &new) {
            (Some(Value::Number(old)), Some(Value::Number(new))) => new.checked_sub(*old),
            _ => None,
        };
        let effect = (change == Change::Changed).then(|| effect(fact.worse, old.as_ref(), new.as_ref(), by)).flatten();
        let (about, name, key) = (one.about, one.name.clone(), fact.key.clone());
        found.push(Difference { about, name, change, key, old, new, by, effect });
    }
    found
}

fn effect(worse: Worse, old: Option<&Value>, new: Option<&Value>, by: Option<i128>) -> Option<Effect> {
    // What only one of them says is not more or less: a mode has another task, a domain a process.
    if worse == Worse::More && (old.is_none() || new.is_none()) {
        return None;
    }
    let grows = match (old, new) {
        (Some(Value::Word(old)), Some(Value::Word(new))) => Verdict::rank(new)? > Verdict::rank(old)?,
        // A bound that is gone is worse than any, and so is a slack.
        (Some(Value::Number(_)), Some(Value::Word(_)) | None) => worse == Worse::More,
        (Some(Value::Word(_)) | None, Some(Value::Number(_))) => worse != Worse::More,
        _ => by? > 0,
    };
    match worse {
        Worse::Neither => None,
        Worse::More => Some(if grows { Effect::Worse } else { Effect::Better }),
        Worse::Less => Some(if grows { Effect::Better } else { Effect::Worse }),
    }
}

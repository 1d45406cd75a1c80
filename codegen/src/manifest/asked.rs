//! What the reader asks of each table: its keys, and what their values have to be.
//!
//! The reader tells it while it reads, so [`crate::schema`] cannot know another manifest than the reader does. What it asks
//! depends on what a table has; [`of`] tells what it asked of one text.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::DeTable;

use super::raw;
use super::reader::{Section, Sink};

/// What a value has to be.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// A string that is not empty.
    Text,
    /// 64 hexadecimal digits.
    Sha256,
    /// A power of ten.
    Exceedance,
    /// One of these words.
    Words(Vec<String>),
    /// True or false.
    Boolean,
    /// A time, zero if this is true.
    Time(bool),
    /// A size in bytes.
    Size,
    /// A share, zero if this is true.
    Share(bool),
    /// An integer within these bounds.
    Integer(u64, u64),
    /// A margin.
    Margin,
    /// An array of names.
    Names,
    /// An array of at least two paths and at most so many.
    Paths(usize),
    /// An array of at most so many times.
    Times(usize),
    /// An array of dimensions.
    Dimensions,
    /// An array of at most so many arguments of a kernel.
    Arguments(usize),
    /// A table.
    Table,
    /// An array of as many tables.
    Tables(usize, usize),
}

/// What was asked of all tables of one place.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Table {
    /// What the value of each key has to be: one of these. A key that is a name is `*`.
    pub keys: BTreeMap<String, BTreeSet<Kind>>,
    /// All keys that the reader knows, but for those that are names.
    pub known: BTreeSet<&'static str>,
    /// Those of them that this version refuses.
    pub planned: BTreeSet<&'static str>,
    /// The keys that each of the tables has to have.
    pub required: BTreeSet<&'static str>,
    /// The keys of which each of the tables has to have exactly one.
    pub one_of: BTreeSet<Vec<&'static str>>,
    /// The only names that keys may be; empty where they may be any.
    pub names: BTreeSet<String>,
    /// How many tables were read.
    read: usize,
}

/// What was asked, by the place of the table: the keys that lead to it, `*` for names and for positions in arrays.
pub type Asked = BTreeMap<String, Table>;

/// What the reader asks of the manifest `text`, be it sound or not.
#[must_use]
pub fn of(text: &str) -> Asked {
    let (tree, _) = DeTable::parse_recoverable(text);
    let sink = Sink::new("", text);
    raw::read(Section::root(tree.get_ref(), &sink));
    sink.into_asked()
}

impl Table {
    /// What a table that was read has told besides its values.
    pub(super) fn add(
        &mut self,
        known: Vec<&'static str>,
        planned: Vec<&'static str>,
        required: BTreeSet<&'static str>,
        one_of: BTreeSet<Vec<&'static str>>,
    ) {
        self.known.extend(known);
        self.planned.extend(planned);
        if self.read == 0 {
            (self.required, self.one_of) = (required, one_of);
        } else {
            self.required.retain(|key| required.contains(key));
            self.one_of.retain(|keys| one_of.contains(keys));
        }
        self.read = self.read.saturating_add(1);
    }

    /// What was asked of this table and of `other`.
    pub fn join(&mut self, other: Self) {
        for (key, kinds) in other.keys {
            self.keys.entry(key).or_default().extend(kinds);
        }
        self.names.extend(other.names);
        if other.read > 0 {
            let known = other.known.into_iter().collect();
            self.add(known, other.planned.into_iter().collect(), other.required, other.one_of);
        }
    }
}

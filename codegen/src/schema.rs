//! The JSON Schema of `system.toml`, for editors: what [`asked`](mod@asked) of the reader says, with words.
//!
//! Tables, keys, types, ranges and words are those that the reader asks for while it reads a manifest that has every table, so
//! a manifest that the reader takes fits the schema. What depends on other tables is only said by `aegis check`.

mod page;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::manifest::asked::{self, Asked, Kind, Table};

/// A manifest that has every table, in every form that the reader asks different questions about; and what cannot stand twice in
/// one.
const SAMPLES: [&str; 2] = [include_str!("schema/sample.toml"), "watchdog = { on-stall = \"exit\" }"];
/// What keys mean.
const WORDS: &str = include_str!("schema/words.toml");

/// What is said of all tables.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    table: Vec<TableWords>,
}

/// What is said of the tables at some places.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableWords {
    places: Vec<String>,
    about: String,
    keys: BTreeMap<String, KeyWords>,
}

/// What is said of a key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyWords {
    /// What it means.
    means: String,
    /// What holds where it is not given.
    absent: Option<String>,
}

/// What the reader asks of manifests.
#[must_use]
pub fn asked() -> Asked {
    let mut all = Asked::new();
    for (place, table) in SAMPLES.into_iter().flat_map(asked::of) {
        all.entry(place).or_default().join(table);
    }
    all
}

/// The schema, as a text that ends with a line break.
///
/// # Errors
/// Where words and keys are not each other's: an error of this program.
pub fn schema() -> Result<String, String> {
    let words: Words = toml::from_str(WORDS).map_err(|error| error.to_string())?;
    let asked = asked();
    let told = words.table.iter().flat_map(|table| table.places.iter().map(move |place| (place.as_str(), table)));
    let writer = Writer { asked: &asked, words: told.collect() };
    writer.compare()?;
    let mut root = writer.table("")?;
    root.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    root.insert("title".to_owned(), json!("The manifest of a vehicle of AegisRT (system.toml)"));
    let text = serde_json::to_string_pretty(&root).map_err(|error| error.to_string())?;
    Ok(format!("{text}\n"))
}

struct Writer<'a> {
    asked: &'a Asked,
    words: BTreeMap<&'a str, &'a TableWords>,
}

impl Writer<'_> {
    /// Whether each table and key has words, and the reverse.
    fn compare(&self) -> Result<(), String> {
        let asked: BTreeSet<&str> = self.asked.keys().map(String::as_str).collect();
        let told: BTreeSet<&str> = self.words.keys().copied().collect();
        differ("tables", &asked, &told)?;
        for (place, table) in self.asked {
            let told = self.words.get(place.as_str()).map(|words| words.keys.keys().map(String::as_str).collect());
            differ(place, &table.keys.keys().map(String::as_str).collect(), &told.unwrap_or_default())?;
        }
        Ok(())
    }

    /// The tables at a place.
    fn table(&self, place: &str) -> Result<Map<String, Value>, String> {
        let table = self.asked.get(place).ok_or_else(|| format!("no table at `{place}` was asked for"))?;
        let words = self.words.get(place).ok_or_else(|| format!("nothing is said of `{place}`"))?;
        let mut properties = Map::new();
        let mut others = Value::Bool(false);
        for (key, kinds) in &table.keys {
            let below = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
            let words = words.keys.get(key).ok_or_else(|| format!("nothing is said of `{below}`"))?;
            let described = match self.words.get(below.as_str()) {
                // Of a table by name more is to be said than that it has one.
                Some(table) if key == "*" => table.about.clone(),
                _ => described(words, table, key, kinds),
            };
            let value = self.value(&below, kinds, &described)?;
            if key == "*" {
                others = value;
            } else {
                properties.insert(key.clone(), value);
            }
        }
        let mut all = Map::new();
        all.insert("type".to_owned(), json!("object"));
        all.insert("description".to_owned(), json!(words.about));
        all.insert("additionalProperties".to_owned(), others);
        let mut add = |key: &str, value: Value, is_said: bool| {
            if is_said {
                all.insert(key.to_owned(), value);
            }
        };
        add("properties", Value::Object(properties.clone()), !properties.is_empty());
        add("required", json!(table.required), !table.required.is_empty());
        add("propertyNames", json!({ "enum": table.names }), !table.names.is_empty());
        let choices: Vec<Value> = table.one_of.iter().map(|keys| one_of(keys)).collect();
        add("allOf", Value::Array(choices), !table.one_of.is_empty());
        Ok(all)
    }

    /// What the value of a key has to be.
    fn value(&self, place: &str, kinds: &BTreeSet<Kind>, description: &str) -> Result<Value, String> {
        let mut each = Vec::new();
        for kind in kinds {
            each.push(match kind {
                Kind::Table => Value::Object(self.table(place)?),
                Kind::Tables(least, most) => {
                    let table = self.table(&format!("{place}.*"))?;
                    json!({ "type": "array", "items": table, "minItems": least, "maxItems": most })
                }
                plain => self::plain(plain),
            });
        }
        let mut value = match <[Value; 1]>::try_from(each) {
            Ok([one]) => one,
            Err(several) => json!({ "anyOf": several }),
        };
        if let Some(object) = value.as_object_mut() {
            object.insert("description".to_owned(), json!(description));
        }
        Ok(value)
    }
}

/// What is in one of the two and not in the other.
fn differ(what: &str, asked: &BTreeSet<&str>, told: &BTreeSet<&str>) -> Result<(), String> {
    let (silent, unasked): (Vec<_>, Vec<_>) = (asked.difference(told).collect(), told.difference(asked).collect());
    if silent.is_empty() && unasked.is_empty() {
        return Ok(());
    }
    Err(format!("{what}: without words {silent:?}, words without a reader {unasked:?}"))
}

/// Exactly one of the keys is given.
fn one_of(keys: &[&str]) -> Value {
    let each: Vec<Value> = keys.iter().map(|key| json!({ "required": [key] })).collect();
    json!({ "oneOf": each })
}

/// The manual's page of all tables and keys, in Markdown.
///
/// # Errors
/// Where words and keys are not each other's: an error of this program.
pub fn page() -> Result<String, String> {
    let words: Words = toml::from_str(WORDS).map_err(|error| error.to_string())?;
    page::page(&words, &asked())
}

/// What an editor shows: the meaning, the form with its range, and what holds without the key.
fn described(words: &KeyWords, table: &Table, key: &str, kinds: &BTreeSet<Kind>) -> String {
    let is_told = |kind: &&Kind| **kind != Kind::Table || kinds.len() > 1;
    let forms: Vec<String> = kinds.iter().filter(is_told).map(form).collect();
    let absent = match absent(words, table, key) {
        Absent::Default(absent) => format!("Default: {absent}."),
        Absent::Required => "Required.".to_owned(),
        Absent::OneOf(keys) => format!("Exactly one of `{}` is given.", keys.join("`, `")),
        Absent::Elsewhere => "Required where it applies.".to_owned(),
    };
    [words.means.clone(), forms.join(" Or: "), absent]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("\n\n")
}

/// What holds where a key is not given.
enum Absent<'a> {
    /// This.
    Default(&'a str),
    /// It has to be.
    Required,
    /// Another one of these has to be.
    OneOf(&'a [&'static str]),
    /// That depends on other keys.
    Elsewhere,
}

fn absent<'a>(words: &'a KeyWords, table: &'a Table, key: &str) -> Absent<'a> {
    match &words.absent {
        Some(absent) => Absent::Default(absent),
        None if table.required.contains(key) => Absent::Required,
        None => match table.one_of.iter().find(|keys| keys.contains(&key)) {
            Some(keys) => Absent::OneOf(keys),
            None => Absent::Elsewhere,
        },
    }
}

/// The form of a value in words.
fn form(kind: &Kind) -> String {
    let zero = |zero: bool| if zero { "0 or more" } else { "more than 0" };
    match kind {
        Kind::Text => "A text.".to_owned(),
        Kind::Sha256 => "64 lower-case hexadecimal digits.".to_owned(),
        Kind::Exceedance => "A power of ten from \"1e-3\" to \"1e-12\".".to_owned(),
        Kind::Words(words) => format!("\"{}\".", words.join("\", \"")),
        Kind::Boolean => "true or false.".to_owned(),
        Kind::Time(least) => format!("A time such as \"33ms\", in ns, us, ms or s; {}.", zero(*least)),
        Kind::Size => "A size such as \"256MiB\", in B, KiB, MiB, GiB, kB, MB or GB; more than 0.".to_owned(),
        Kind::Share(least) => format!("A share such as \"20%\"; {}, at most \"100%\".", zero(*least)),
        Kind::Integer(least, most) => format!("An integer from {least} to {most}."),
        Kind::Margin => "A number from 1 to 10 with at most six decimals.".to_owned(),
        Kind::Names => "An array of names.".to_owned(),
        Kind::Paths(most) => format!("An array of 2 to {most} paths, relative to this file."),
        Kind::Times(most) => format!("An array of 1 to {most} times such as \"2ms\"."),
        Kind::Dimensions => "An array of integers from 1 on.".to_owned(),
        Kind::Arguments(most) => {
            format!("An array of at most {most}: a name, or a number with its type such as {{ u32 = 224 }}.")
        }
        Kind::Table => "A table.".to_owned(),
        Kind::Tables(least, most) => format!("An array of {least} to {most} tables."),
    }
}

/// The form of a value that has no table.
fn plain(kind: &Kind) -> Value {
    let pattern = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    let time = r"^[0-9]+(\.[0-9]+)?(ns|µs|μs|us|ms|s)$";
    match kind {
        Kind::Text => json!({ "type": "string", "minLength": 1 }),
        Kind::Sha256 => pattern("^[0-9a-f]{64}$"),
        Kind::Exceedance => pattern("^1e-([3-9]|1[0-2])$"),
        Kind::Words(words) => json!({ "enum": words }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Time(_) => pattern(time),
        Kind::Size => pattern(r"^[0-9]+(\.[0-9]+)?(B|KiB|MiB|GiB|kB|MB|GB)$"),
        Kind::Share(_) => pattern(r"^[0-9]+(\.[0-9]+)?%$"),
        Kind::Integer(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Margin => json!({ "type": "number", "minimum": 1, "maximum": 10 }),
        Kind::Names => json!({ "type": "array", "minItems": 1, "items": { "type": "string" } }),
        Kind::Paths(most) => {
            json!({ "type": "array", "minItems": 2, "maxItems": most, "items": { "type": "string", "minLength": 1 } })
        }
        Kind::Times(most) => {
            json!({ "type": "array", "minItems": 1, "maxItems": most, "items": { "type": "string", "pattern": time } })
        }
        Kind::Dimensions => {
            json!({ "type": "array", "items": { "type": "integer", "minimum": 1, "maximum": u32::MAX } })
        }
        Kind::Arguments(most) => {
            let number = json!({ "type": "object", "minProperties": 1, "maxProperties": 1,
                "propertyNames": { "enum": ["u32", "i32", "u64", "i64", "f32", "f64"] }, "additionalProperties": { "type": "number" } });
            json!({ "type": "array", "maxItems": most, "items": { "anyOf": [{ "type": "string" }, number] } })
        }
        Kind::Table => json!({ "type": "object" }),
        Kind::Tables(..) => json!({ "type": "array" }),
    }
}

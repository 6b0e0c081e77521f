//! What a file held beyond this version's schema, so that a rewrite keeps it. Pure.

use super::schema::Profile;
use serde::Serialize;
use toml::{Table, Value};
use toml_edit::ser::ValueSerializer;
use toml_edit::{InlineTable, TableLike};

/// Keys of a raw document that its typed value does not have, at the same places.
///
/// Entries are matched by name, conditions by number, points of a curve by count and placement, and regions by count,
/// so that reordering loses nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Extras(Table);

impl Extras {
    /// The raw document minus what the profile read from it writes again.
    pub fn of(raw: &Table, profile: &Profile) -> Self {
        let raw = upgraded(raw);
        Table::try_from(profile).map_or_else(
            |_| Self::default(),
            |known| Self(surplus_of_table(&raw, &known)),
        )
    }

    /// Adds the extras to a document, where it still has the place for them; what it holds itself is never replaced.
    pub fn overlay(&self, document: &mut dyn TableLike) {
        overlay_table(&self.0, document);
    }
}

/// The one table `[conditions]` of schema 1 as the first of the several that this version writes.
fn upgraded(raw: &Table) -> Table {
    let mut raw = raw.clone();
    if let Some(value @ Value::Table(_)) = raw.get_mut("conditions") {
        if let Value::Table(conditions) = value {
            conditions.insert("id".to_owned(), Value::Integer(1));
        }
        *value = Value::Array(vec![value.clone()]);
    }
    raw
}

fn surplus_of_table(raw: &Table, known: &Table) -> Table {
    raw.iter()
        .filter_map(|(key, value)| {
            let surplus = match known.get(key) {
                None => Some(value.clone()),
                Some(known) => surplus(value, known),
            };
            surplus.map(|surplus| (key.clone(), surplus))
        })
        .collect()
}

/// What a value holds beyond the known one; nothing where they are no tables.
fn surplus(raw: &Value, known: &Value) -> Option<Value> {
    match (raw, known) {
        (Value::Table(raw), Value::Table(known)) => {
            let surplus = surplus_of_table(raw, known);
            (!surplus.is_empty()).then_some(Value::Table(surplus))
        }
        (Value::Array(raw), Value::Array(known)) => {
            let surplus: Vec<Value> = raw
                .iter()
                .filter_map(|element| surplus_of_element(element.as_table()?, known))
                .collect();
            (!surplus.is_empty()).then_some(Value::Array(surplus))
        }
        _ => None,
    }
}

/// The surplus of one table of an array, with the keys that tell which one it is.
fn surplus_of_element(raw: &Table, known: &[Value]) -> Option<Value> {
    let identity = identity(raw)?;
    let twin = known
        .iter()
        .filter_map(Value::as_table)
        .find(|known| identity.iter().all(|(k, v)| known.get(k) == Some(v)))?;
    let mut surplus = surplus_of_table(raw, twin);
    if surplus.is_empty() {
        return None;
    }
    surplus.extend(identity);
    Some(Value::Table(surplus))
}

/// The keys that tell one table of an array from the others.
fn identity(table: &Table) -> Option<Table> {
    let pick = |keys: &[&str]| -> Option<Table> {
        keys.iter()
            .map(|key| table.get(*key).map(|v| ((*key).to_owned(), v.clone())))
            .collect()
    };
    pick(&["name"])
        .or_else(|| pick(&["id"]))
        .or_else(|| pick(&["threads", "placement"]))
        .or_else(|| pick(&["threads"]))
}

fn overlay_table(extras: &Table, document: &mut dyn TableLike) {
    for (key, extra) in extras {
        let Some(item) = document.get_mut(key) else {
            if let Ok(value) = extra.serialize(ValueSerializer::new()) {
                document.insert(key, toml_edit::Item::Value(value));
            }
            continue;
        };
        match extra {
            Value::Table(extra) => {
                if let Some(table) = item.as_table_like_mut() {
                    overlay_table(extra, table);
                }
            }
            Value::Array(extra) => {
                for extra in extra.iter().filter_map(Value::as_table) {
                    let twin = item
                        .as_array_mut()
                        .into_iter()
                        .flat_map(|array| array.iter_mut())
                        .filter_map(toml_edit::Value::as_inline_table_mut)
                        .find(|table| is_same(extra, table));
                    if let Some(twin) = twin {
                        overlay_table(extra, twin);
                    }
                }
            }
            _ => {}
        }
    }
}

fn is_same(extra: &Table, table: &InlineTable) -> bool {
    identity(extra).is_some_and(|identity| {
        identity.iter().all(|(key, value)| {
            let own = table.get(key);
            match value {
                Value::String(text) => own.and_then(toml_edit::Value::as_str) == Some(text),
                Value::Integer(number) => {
                    own.and_then(toml_edit::Value::as_integer) == Some(*number)
                }
                _ => false,
            }
        })
    })
}

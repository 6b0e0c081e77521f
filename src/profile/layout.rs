//! How a profile's text looks: tables for machine, conditions, regions and workloads, one line a value, one line a curve
//! point.
//!
//! Order matters: `curve` is the last key of an entry and the entries are the last of the file, so that a file that
//! was cut off anywhere lacks something that is required.

use super::extras::Extras;
use super::schema::Profile;
use toml_edit::ser::Error;
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, Value};

/// The text of a profile, with what an earlier file held beyond this version's schema.
pub(super) fn to_text(profile: &Profile, extras: &Extras) -> Result<String, Error> {
    let mut flat = toml_edit::ser::to_document(profile)?;
    extras.overlay(flat.as_table_mut());
    let mut document = DocumentMut::new();
    let mut workloads = None;
    for (key, item) in std::mem::take(flat.as_table_mut()) {
        match item {
            Item::Value(Value::InlineTable(table)) => {
                document.insert(&key, Item::Table(plain(table.into_table())));
            }
            Item::Value(Value::Array(array)) if key == "workload" => {
                workloads = Some(tables(array, entry_table));
            }
            Item::Value(Value::Array(array)) if key == "region" || key == "conditions" => {
                document.insert(&key, tables(array, |table| plain(table.into_table())));
            }
            other => {
                document.insert(&key, other);
            }
        }
    }
    if let Some(workloads) = workloads {
        document.insert("workload", workloads);
    }
    Ok(document.to_string())
}

/// The tables of an array, each under a header of its own.
fn tables(array: Array, table: impl Fn(InlineTable) -> Table) -> Item {
    let mut tables = ArrayOfTables::new();
    tables.extend(array.into_iter().filter_map(|value| match value {
        Value::InlineTable(inline) => Some(table(inline)),
        _ => None,
    }));
    Item::ArrayOfTables(tables)
}

/// A table whose values have the usual spacing.
fn plain(mut table: Table) -> Table {
    table.decor_mut().clear();
    table
}

fn entry_table(entry: InlineTable) -> Table {
    let mut table = plain(entry.into_table());
    if let Some(mut curve) = table.remove("curve") {
        if let Some(points) = curve.as_array_mut() {
            one_a_line(points);
        }
        table.insert("curve", curve);
    }
    table
}

fn one_a_line(points: &mut Array) {
    if points.is_empty() {
        return;
    }
    for point in points.iter_mut() {
        point.decor_mut().set_prefix("\n    ");
    }
    points.set_trailing("\n");
    points.set_trailing_comma(true);
}

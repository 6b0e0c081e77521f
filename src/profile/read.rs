//! Reading a profile as untrusted input: never hangs, never panics, and errors name file, line and key.

use super::check::check;
use super::error::StoreError;
use super::excerpt::excerpt;
use super::schema::{Profile, SCHEMA};
use crate::document::Fault;
use crate::document::locate::{Step, dotted, key_at, last_line, line_of, line_of_path};
use crate::document::read;
use serde::Deserialize;
use std::path::Path;
use toml::de::{DeArray, DeTable, DeValue};

/// The largest file that is read as a profile.
pub const MAX_BYTES: u64 = 4 << 20;

/// Reads and checks a profile.
pub fn load(path: &Path) -> Result<Profile, StoreError> {
    parse(path, &read_text(path)?)
}

/// Reads and checks the head of a profile and those of these entries that it has, and no more than the number of the
/// others; the whole profile where no names are given, or another program wrote it.
pub fn load_entries(path: &Path, names: &[String]) -> Result<Profile, StoreError> {
    let text = read_text(path)?;
    if !names.is_empty()
        && let Some(excerpt) = excerpt(&text, names)
        && let Ok(profile) = parse_part(path, &excerpt.text, excerpt.left_out)
    {
        return Ok(profile);
    }
    // Read whole, an error names the line in the file.
    parse(path, &text)
}

/// The text of a profile's file.
pub(super) fn read_text(path: &Path) -> Result<String, StoreError> {
    Ok(read::read_text(path, MAX_BYTES)?)
}

/// Parses and checks the text of a profile; `path` is for the errors only.
pub fn parse(path: &Path, text: &str) -> Result<Profile, StoreError> {
    parse_part(path, text, 0)
}

fn parse_part(path: &Path, text: &str, left_out: usize) -> Result<Profile, StoreError> {
    let fail = |error: &toml::de::Error| {
        let message = error.message().replace('\n', " ");
        // Limits of the parser itself have no place in the text.
        let (line, key) = error.span().map_or((1, None), |span| {
            (line_of(text, span.start), key_at(text, &span))
        });
        malformed(path, line, key, message)
    };
    let mut root = DeTable::parse(text).map_err(|error| fail(&error))?;
    // Before the types: a later schema may have changed them.
    if let Some(DeValue::Integer(schema)) = root.get_ref().get("schema").map(toml::Spanned::get_ref)
        && let Ok(found) = i64::from_str_radix(schema.as_str(), schema.radix())
    {
        let key = Some("schema".to_owned());
        match u32::try_from(found) {
            Ok(0) | Err(_) if found <= 0 => {
                let line = line_of_path(text, &[Step::Key("schema")]);
                let message = format!("{found} is not a schema: they count from 1");
                return Err(malformed(path, line, key, message));
            }
            Ok(known) if known <= SCHEMA => {}
            _ => {
                return Err(StoreError::NewerSchema {
                    path: path.to_owned(),
                    found,
                    known: SCHEMA,
                });
            }
        }
    }
    upgrade(root.get_mut());
    let mut profile =
        Profile::deserialize(toml::de::Deserializer::from(root)).map_err(|error| fail(&error))?;
    carry_over(&mut profile);
    count_entries(path, text, &profile, left_out)?;
    check(&profile).map_err(|violation| {
        let line = line_of_path(text, &violation.path);
        let key = Some(dotted(&violation.path));
        malformed(path, line, key, violation.message)
    })?;
    Ok(profile)
}

/// The one table `[conditions]` of schema 1 becomes the first of the several that later ones have.
fn upgrade(root: &mut DeTable<'_>) {
    if let Some(conditions) = root.get_mut("conditions")
        && matches!(conditions.get_ref(), DeValue::Table(_))
    {
        let table = conditions.clone();
        let mut tables = DeArray::new();
        tables.push(table);
        *conditions.get_mut() = DeValue::Array(tables);
    }
}

/// A profile of schema 1 says in its head what each entry says of itself in later ones.
fn carry_over(profile: &mut Profile) {
    if profile.schema == 1 {
        for conditions in &mut profile.conditions {
            conditions.id = 1;
        }
        for entry in &mut profile.workloads {
            entry.conditions = 1;
        }
        if let Some(conditions) = profile.conditions.first() {
            for entry in &mut profile.workloads {
                entry.backend.clone_from(&conditions.backend);
            }
        }
    }
    profile.schema = SCHEMA;
}

fn count_entries(
    path: &Path,
    text: &str,
    profile: &Profile,
    left_out: usize,
) -> Result<(), StoreError> {
    let found = profile.workloads.len() + left_out;
    if found < profile.entries {
        return Err(StoreError::MissingEntries {
            path: path.to_owned(),
            line: last_line(text),
            found,
            promised: profile.entries,
        });
    }
    if found > profile.entries {
        let line = line_of_path(text, &[Step::Key("entries")]);
        let message = format!("{} are announced and {found} follow", profile.entries);
        return Err(malformed(path, line, Some("entries".to_owned()), message));
    }
    Ok(())
}

fn malformed(path: &Path, line: usize, key: Option<String>, message: String) -> StoreError {
    StoreError::File(Fault::Malformed {
        path: path.to_owned(),
        line,
        key,
        message,
    })
}

//! The folder of recorded machines: archives of trees, and `truth.toml` with what each of them is.
//!
//! It lies beside the repository and is no part of it; without it, the tests that need it say so and check nothing.

use flate2::read::GzDecoder;
use std::fs::{self, File};
use std::path::Path;
use tempfile::TempDir;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/topologies");

/// The record, or nothing (said on stderr) where the folder is absent.
pub fn truth(test: &str) -> Option<toml::Table> {
    let path = Path::new(FOLDER).join("truth.toml");
    match fs::read_to_string(&path) {
        Ok(text) => Some(text.parse().expect("truth.toml is TOML")),
        Err(error) => {
            eprintln!("skipped {test}: {}: {error}", path.display());
            None
        }
    }
}

pub fn unpack(archive: &str) -> TempDir {
    // Thousands of small files: in memory where there is such a file system.
    let directory = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    let file = File::open(Path::new(FOLDER).join(archive)).unwrap();
    tar::Archive::new(GzDecoder::new(file))
        .unpack(directory.path())
        .unwrap();
    directory
}

pub fn text<'a>(table: &'a toml::Table, key: &str) -> Option<&'a str> {
    table.get(key)?.as_str()
}

pub fn tables<'a>(table: &'a toml::Table, key: &str) -> Vec<&'a toml::Table> {
    table
        .get(key)
        .and_then(toml::Value::as_array)
        .map(|array| array.iter().filter_map(toml::Value::as_table).collect())
        .unwrap_or_default()
}

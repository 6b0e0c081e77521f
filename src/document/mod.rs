//! TOML files that somebody else may have written: read without hanging, and told by line and key.

pub(crate) mod locate;
pub(crate) mod read;

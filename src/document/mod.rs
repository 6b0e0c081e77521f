//! Files that somebody else may have written: read without hanging and told by line and key; and files of our own,
//! replaced whole.

mod fault;
pub(crate) mod locate;
pub(crate) mod read;
pub(crate) mod write;

pub use fault::Fault;

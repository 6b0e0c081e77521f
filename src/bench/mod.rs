//! Where samples come from: implementations of [`crate::tune::Bench`].

pub mod simulated;

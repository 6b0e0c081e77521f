//! Which variables each threading runtime obeys, and what a count makes of them and of arguments.
//!
//! Pure: the environment comes in as a function, and what to set goes out as values.

mod assign;
mod family;
mod placeholder;

pub use assign::{Assignment, Kept, Plan, assignments};
pub use family::{BINDERS, Binder, FAMILIES, Family, Variable};
pub use placeholder::{Placeholder, expand};

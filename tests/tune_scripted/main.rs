//! The decision procedure on a bench that follows a script.

mod choices;
mod resume;
mod script;

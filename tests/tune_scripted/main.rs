//! The decision procedure on a bench that follows a script.

mod choices;
mod disturbances;
mod long_calls;
mod placements;
mod recorded;
mod resume;
mod script;
mod sustained;
mod visits;

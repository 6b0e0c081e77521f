//! Starting a program with the right number of threads: what to set (pure), and the replacement of this process.

mod exec;
mod pin;
mod plan;

pub use exec::{ExecError, exec};
pub use pin::{Orders, Pin};
pub use plan::{Cpus, Plan, Request, is_answered, plan};

//! The service: measures by itself when nobody needs the machine, and keeps the profile true.
//!
//! `schedule` decides (pure); what it waits for, and what it says, stands around it. It blocks in one `poll` and
//! nowhere else; whatever takes time happens in the measuring thread.

pub mod calendar;
pub mod events;
pub mod metrics;
pub mod notify;
mod schedule;
mod settings;
pub mod status;

pub use schedule::{Action, Before, Event, Load, Now, Phase, Reason, Schedule, Task};
pub use settings::{Scope, Settings};

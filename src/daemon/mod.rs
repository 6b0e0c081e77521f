//! The service: measures by itself when nobody needs the machine, and keeps the profile true.
//!
//! `schedule` decides (pure); what it waits for, and what it says, stands around it. It blocks in one `poll` and
//! nowhere else; whatever takes time happens in the measuring thread.

pub mod calendar;
mod complaint;
pub mod events;
mod kept;
mod measuring;
pub mod metrics;
pub mod notify;
mod published;
mod run;
mod schedule;
mod settings;
mod state;
pub mod status;
mod watch;
mod work;

pub use run::{Places, run};
pub use schedule::{Action, Before, Event, Load, Now, Phase, Reason, Schedule, Task};
pub use settings::{Scope, Settings};

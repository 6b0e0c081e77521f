//! Machines as trees of sysfs and procfs files: small ones made up here, and real ones where they are at hand.

mod budgets;
mod candidates;
mod damaged;
mod facts;
mod hosts;
mod identity;
mod launchers;
mod made_up;
mod online;
mod picture;
mod placements;
mod recorded;
mod tasks;
mod thread_stacks;

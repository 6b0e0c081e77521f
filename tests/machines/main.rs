//! Machines as trees of sysfs and procfs files: small ones made up here, and real ones where they are at hand.

mod captured;
mod damaged;
mod recorded;

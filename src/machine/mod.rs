//! What this machine is: topology, CPU budget, fingerprint, load. Every reader takes a root path.

pub mod affinity;
mod fingerprint;
mod layout;
mod placement;

pub use fingerprint::Fingerprint;
pub use layout::Layout;
pub use placement::Placement;

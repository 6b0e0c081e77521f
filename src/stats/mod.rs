//! Robust statistics of short series: order statistics, trimmed means, autocorrelation, Student's t,
//! chi-squared, components of variance. Pure functions.

mod chi_squared;
mod components;
mod order;
mod series;
mod student;
mod trimmed;

pub use chi_squared::chi_squared_upper_tail;
pub use components::{Components, variance_components};
pub use order::{geometric_mean, median, quantile};
pub use series::{average_pairs, clipped_lag1};
pub use student::{upper_quantile, upper_tail};
pub use trimmed::{Trimmed, trimmed_mean};

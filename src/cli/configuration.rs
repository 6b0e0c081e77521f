//! The configuration files of this process, and what becomes of a broken one.

use crate::configuration::{Configuration, ConfigurationError, Files};

/// What is configured, and what is wrong with files that were passed over: for what must go on whatever they hold.
pub fn read() -> (Configuration, Vec<ConfigurationError>) {
    Files::from_environment(|name| std::env::var_os(name)).read()
}

/// What is configured; nothing, each problem named on stderr, where a file is broken: for what should rather not run.
pub fn sound() -> Option<Configuration> {
    let (configuration, problems) = read();
    for problem in &problems {
        log::error!("{problem}");
    }
    problems.is_empty().then_some(configuration)
}

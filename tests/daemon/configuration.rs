//! A configuration that is broken, or another one than before.

use super::daemon_home::*;
use rustix::process::Signal;
use std::fs;

#[test]
fn a_broken_configuration_is_named_by_line_and_key_and_changes_nothing() {
    let mut home = Home::new(TINY);
    home.start();
    home.is_idle();
    home.configure("[daemon]\nquite = \"1s\"\n");
    home.signal(Signal::HUP);
    home.says("the configuration stays what it was", 1);
    let log = home.log();
    assert!(
        log.contains("threadtune.toml, line 3, key `daemon.quite`"),
        "{log}"
    );
    assert!(log.contains("did you mean `daemon.quiet`"), "{log}");
    // It still measures by the old one: another catalogue is read, and no quiet minute passes.
    fs::write(
        home.path("catalogue.toml"),
        format!("{TINY}{}", TINY.replace("name = \"", "name = \"c")),
    )
    .unwrap();
    home.signal(Signal::USR1);
    home.says("measures cb", 1);
    home.is_idle();
    home.stop();
    // To start with it would be to ignore what somebody wants.
    home.start();
    assert_eq!(home.end().code(), Some(1));
    assert!(home.log().matches("key `daemon.quite`").count() == 2);
}

#[test]
fn a_reload_takes_over_what_is_configured_and_checks_the_profile() {
    let mut home = Home::new(TINY);
    home.start();
    home.is_idle();
    fs::write(
        home.path("catalogue.toml"),
        TINY.replace("\"b\"", "\"other\""),
    )
    .unwrap();
    let metrics = home.path("threadtune.prom");
    home.configure(&format!(
        "{EAGER}[metrics]\ntextfile = \"{}\"\n",
        metrics.display()
    ));
    home.signal(Signal::HUP);
    home.says("measures other", 1);
    home.is_idle();
    assert_eq!(home.names(), ["a", "other", "b"]);
    assert!(metrics.exists());
    home.stop();
}

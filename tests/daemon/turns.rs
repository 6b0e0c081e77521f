//! Whoever measures by hand goes before the service.

use super::daemon_home::*;
use threadtune::daemon::status::{Reason, State};
use threadtune::machine::Turn;

#[test]
fn it_stands_back_for_whoever_has_the_turn_and_goes_on_after() {
    let mut home = Home::new(MANY);
    home.configure(&patient());
    home.start();
    home.has_begun("many");
    let turn = Turn::take(home.directory.path()).unwrap();
    let turn = turn.expect("the service takes no turn");
    let status = home.is("a daemon that waits for its turn", |status| {
        status.state == State::Waiting && matches!(status.reason, Some(Reason::Measured { .. }))
    });
    assert!(status.summary().ends_with("` measures"), "{status:?}");
    assert_eq!(children(home.pid()), [0; 0], "the worker has ended");
    drop(turn);
    home.says("measures many, from where it was put aside", 1);
    home.stop();
    let log = home.log();
    assert!(log.contains("standing back: `"), "{log}");
}

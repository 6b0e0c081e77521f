//! The file: written whole, and read back as it was or not at all.

use crate::{expected, measuring, waiting};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use threadtune::daemon::status::{Reason, State, Status, StatusError, read, write};
use threadtune::document::Fault;

#[test]
fn the_file_is_json_that_everyone_may_read_and_nothing_lies_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    // The directory is made, and a link is replaced, not followed.
    let path = directory.path().join("run/status.json");
    let elsewhere = directory.path().join("elsewhere");
    write(&path, &measuring()).unwrap();
    fs::write(&elsewhere, "untouched").unwrap();
    fs::remove_file(&path).unwrap();
    symlink(&elsewhere, &path).unwrap();
    write(&path, &waiting()).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), expected());
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "untouched");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o644);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn every_state_and_reason_is_read_back_as_it_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("status.json");
    let reasons = [
        Reason::Quiet,
        Reason::Busy {
            cpus: 0.5,
            busiest: None,
        },
        Reason::Measured {
            by: "threadtune tune".to_owned(),
        },
        Reason::Pressure { percent: 12.5 },
        Reason::Battery,
        Reason::Hours,
        Reason::DailyLimit,
        Reason::Changed,
        Reason::Stopping,
        Reason::Stuck {
            why: "the disk is full".to_owned(),
        },
    ];
    for state in State::ALL {
        for reason in reasons.clone() {
            let status = Status {
                state,
                reason: Some(reason.clone()),
                ..measuring()
            };
            write(&path, &status).unwrap();
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.contains(&format!("\"state\": \"{}\"", state.name())));
            assert!(text.contains(&format!("\"{}\"", reason.name())), "{text}");
            assert_eq!(read(&path).unwrap(), status);
        }
    }
}

#[test]
fn a_value_that_could_not_be_read_again_is_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("status.json");
    let busy = |cpus| Status {
        reason: Some(Reason::Busy {
            cpus,
            busiest: None,
        }),
        ..waiting()
    };
    let broken = [
        (busy(f64::NAN), "cpus"),
        (busy(-1.0), "cpus"),
        (
            Status {
                reason: None,
                ..waiting()
            },
            "reason",
        ),
        (
            Status {
                task: None,
                ..measuring()
            },
            "task",
        ),
    ];
    for (status, wrong) in broken {
        let error = write(&path, &status).unwrap_err();
        assert!(
            matches!(error, StatusError::Impossible { key, .. } if key == wrong),
            "{error}"
        );
        assert!(!path.exists());
    }
}

#[test]
fn any_cut_of_the_file_is_an_error_and_never_a_panic() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("status.json");
    let whole = expected();
    let end = whole.trim_end().len();
    for length in 0..end {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(
            matches!(read(&path), Err(StatusError::File(Fault::Malformed { .. }))),
            "{length}"
        );
    }
    fs::write(&path, &whole[..end]).unwrap();
    assert_eq!(read(&path).unwrap(), waiting());
}

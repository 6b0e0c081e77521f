//! Whether this machine is fed from the mains.

use super::tree::Tree;
use std::path::Path;

const SUPPLIES: &str = "sys/class/power_supply";

/// Is it fed from the mains? After the rules of systemd's `ac-power`: it is where a power supply that is no battery is
/// online; it is not where none is and a battery discharges that is not one of a device (of a mouse, say). What has
/// neither, or shows nothing, is fed from the mains.
pub fn on_mains(root: &Path) -> bool {
    let tree = Tree::new(root);
    let Ok(supplies) = std::fs::read_dir(root.join(SUPPLIES)) else {
        return true;
    };
    let mut discharges = false;
    for name in supplies.flatten().map(|supply| supply.file_name()) {
        // The kernel's names are plain text.
        let Some(name) = name.to_str() else { continue };
        let read = |file: &str| tree.text(&format!("{SUPPLIES}/{name}/{file}"));
        match read("type").as_deref() {
            Some("Battery") => {
                let of_device = read("scope").as_deref() == Some("Device");
                let absent = read("present").as_deref() == Some("0");
                discharges |=
                    !of_device && !absent && read("status").as_deref() == Some("Discharging");
            }
            Some(_) if read("online").is_some_and(|online| online != "0") => return true,
            _ => {}
        }
    }
    !discharges
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Mains or not with these power supplies: name, then `file=text` for each of its files.
    fn with(supplies: &[(&str, &[&str])]) -> bool {
        let root = tempfile::tempdir().unwrap();
        for (name, files) in supplies {
            let directory = root.path().join(SUPPLIES).join(name);
            fs::create_dir_all(&directory).unwrap();
            for file in *files {
                let (file, text) = file.split_once('=').unwrap();
                fs::write(directory.join(file), format!("{text}\n")).unwrap();
            }
        }
        on_mains(root.path())
    }

    const DISCHARGING: (&str, &[&str]) = ("BAT0", &["type=Battery", "status=Discharging"]);

    #[test]
    fn what_has_no_battery_is_on_the_mains() {
        assert!(with(&[]));
        assert!(with(&[("AC", &["type=Mains", "online=1"])]));
        // A socket of a server without power: the other one feeds it.
        assert!(with(&[("AC", &["type=Mains", "online=0"])]));
        assert!(with(&[
            ("odd", &[]),
            ("ups", &["type=UPS", "status=Discharging"])
        ]));
    }

    #[test]
    fn a_battery_that_discharges_counts_where_no_supply_is_online() {
        assert!(!with(&[DISCHARGING]));
        assert!(!with(&[DISCHARGING, ("AC", &["type=Mains", "online=0"])]));
        assert!(!with(&[DISCHARGING, ("AC", &["type=Mains"])]));
        assert!(with(&[DISCHARGING, ("AC", &["type=Mains", "online=1"])]));
        // A fixed and a programmable voltage.
        for online in ["online=1", "online=2"] {
            assert!(with(&[DISCHARGING, ("ucsi", &["type=USB", online])]));
        }
        assert!(with(&[("BAT0", &["type=Battery", "status=Full"])]));
        assert!(with(&[("BAT0", &["type=Battery"])]));
    }

    #[test]
    fn batteries_of_devices_and_empty_bays_say_nothing() {
        let mouse = ["type=Battery", "status=Discharging", "scope=Device"];
        assert!(with(&[("hid", &mouse)]));
        assert!(!with(&[("hid", &mouse), DISCHARGING]));
        let bay = ["type=Battery", "status=Discharging", "present=0"];
        assert!(with(&[("BAT1", &bay)]));
        let system = ["type=Battery", "status=Discharging", "scope=System"];
        assert!(!with(&[("BAT0", &system)]));
    }
}

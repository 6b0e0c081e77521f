//! A small file system of its own, which can be filled and made read-only.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in memory, mounted while this lives.
pub struct Mounted(PathBuf);

impl Mounted {
    /// Mounts one of a quarter of a megabyte; nothing, and a line that names the test, where that is not allowed.
    pub fn at(path: &Path, test: &str) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let is_mounted = mount(&["-t", "tmpfs", "-o", "size=256k,mode=755", "tmpfs"], path);
        if !is_mounted {
            eprintln!("skipped {test}: no file system can be mounted here, which takes root");
        }
        is_mounted.then(|| Self(path.to_owned()))
    }

    /// Leaves no room in it.
    pub fn fill(&self) {
        let mut filler = File::create(self.filler()).unwrap();
        while filler.write_all(&[0; 4096]).is_ok() {}
        // Nor a place for one more small file: the page that was there for the last write may be left.
        while filler.write_all(&[0]).is_ok() {}
    }

    /// Ends what [`Self::fill`] did.
    pub fn empty(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    pub fn make_read_only(&self) {
        assert!(mount(&["-o", "remount,ro"], &self.0));
    }

    pub fn make_writable(&self) {
        assert!(mount(&["-o", "remount,rw"], &self.0));
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: a daemon may still have files open there.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn mount(options: &[&str], path: &Path) -> bool {
    let mut command = Command::new("mount");
    let output = command.args(options).arg(path).output();
    output.is_ok_and(|output| output.status.success())
}

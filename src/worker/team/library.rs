//! Where the file of an OpenMP runtime lies, and whether it may be loaded. Loads nothing.

use crate::machine::fnv1a;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The runtimes that are tried, most common under Linux programs first.
pub(super) const NAMES: [&str; 3] = ["libgomp.so.1", "libomp.so.5", "libiomp5.so"];

/// Where the distributions keep shared libraries.
pub(super) const DIRECTORIES: [&str; 8] = [
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib/riscv64-linux-gnu",
    "/usr/lib/powerpc64le-linux-gnu",
    "/usr/lib/s390x-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/lib",
];

/// No library is larger; one that is has no hash.
const MOST_BYTES: u64 = 64 << 20;

/// Whose files may be loaded, where that is not left to the dynamic linker.
#[derive(Debug, Clone)]
pub(super) struct Trust {
    /// The only user who may be able to change them.
    owner: u32,
    /// The directory above which nothing is asked.
    top: PathBuf,
}

impl Trust {
    /// Only files that root alone can change: for root itself, and for whoever asks for it. Everybody else's own
    /// libraries are none of our business.
    pub(super) fn of_process(trusted_libraries: bool) -> Option<Self> {
        let is_asked = trusted_libraries || rustix::process::geteuid().is_root();
        is_asked.then(|| Self {
            owner: 0,
            top: PathBuf::from("/"),
        })
    }

    /// The file behind this path, if nobody but the owner can put another in its place: it and every directory above it
    /// are the owner's, and others may not write to them. What links led to it is not asked, as the answer is loaded.
    fn file_behind(&self, path: &Path) -> Result<PathBuf, String> {
        let fail = |at: &Path, why: &str| format!("{}: {why}", at.display());
        let unreadable = |e: std::io::Error| fail(path, &e.to_string());
        let real = path.canonicalize().map_err(unreadable)?;
        for part in real.ancestors().take_while(|p| p.starts_with(&self.top)) {
            let metadata = part.metadata().map_err(unreadable)?;
            if metadata.uid() != self.owner || metadata.mode() & 0o022 != 0 {
                return Err(fail(part, "not owned by root alone"));
            }
        }
        Ok(real)
    }
}

/// What to load for a name: with trust the first file that deserves it, else the first there is; a bare name is left to
/// the dynamic linker.
pub(super) fn locate(
    name: &str,
    directories: &[&Path],
    trust: Option<&Trust>,
) -> Result<PathBuf, String> {
    let mut found = directories
        .iter()
        .map(|directory| directory.join(name))
        .filter(|path| path.exists());
    let Some(trust) = trust else {
        return Ok(found.next().unwrap_or_else(|| PathBuf::from(name)));
    };
    let mut refused = Vec::new();
    for path in found {
        match trust.file_behind(&path) {
            Ok(real) => return Ok(real),
            Err(why) if refused.contains(&why) => {}
            Err(why) => refused.push(why),
        }
    }
    Err(if refused.is_empty() {
        format!("{name}: not in the system's library directories")
    } else {
        refused.join("; ")
    })
}

/// `libgomp (libgomp.so.1.0.0)`: the file behind the link says which release it is.
pub(super) fn describe(path: &Path, name: &str) -> String {
    let family = name.split('.').next().unwrap_or(name);
    format!(
        "{family} ({})",
        file_name(path).unwrap_or_else(|| name.to_owned())
    )
}

/// `libgomp.so.1.0.0 5f3a9c01`: the file behind the link with a hash of its bytes, as a distribution's fix changes the
/// bytes only.
pub(super) fn name_and_hash(path: &Path) -> Option<String> {
    let metadata = path.metadata().ok()?;
    if !metadata.is_file() || metadata.len() > MOST_BYTES {
        return None;
    }
    let hash = fnv1a(&std::fs::read(path).ok()?);
    let short = (hash ^ hash >> 32) as u32;
    Some(format!("{} {short:08x}", file_name(path)?))
}

/// The file that was loaded for this path: the kernel tells which one the dynamic linker found for a bare name.
pub(super) fn file_of(path: &Path) -> Option<PathBuf> {
    if path.is_absolute() {
        return Some(path.to_owned());
    }
    mapped(&std::fs::read_to_string("/proc/self/maps").ok()?, path)
}

/// The file of this name, or one whose name goes on behind it, that a process has mapped.
fn mapped(maps: &str, name: &Path) -> Option<PathBuf> {
    let name = name.to_str()?;
    let is_it = |path: &PathBuf| {
        let file = path.file_name().and_then(|file| file.to_str());
        file.is_some_and(|file| file.starts_with(name))
    };
    let paths = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| &line[at..]));
    paths.map(PathBuf::from).find(is_it)
}

fn file_name(path: &Path) -> Option<String> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    Some(real.file_name()?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use tempfile::TempDir;

    const NAME: &str = "libgomp.so.1";

    /// Two directories of libraries. In the first one lies a link to a file in a third directory.
    struct Libraries {
        directory: TempDir,
        trust: Trust,
    }

    impl Libraries {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let top = directory.path().canonicalize().unwrap();
            for name in ["first", "second", "real"] {
                fs::create_dir(top.join(name)).unwrap();
            }
            fs::write(top.join("real/libgomp.so.1.0.0"), "one").unwrap();
            symlink("../real/libgomp.so.1.0.0", top.join("first").join(NAME)).unwrap();
            let owner = rustix::process::geteuid().as_raw();
            let libraries = Self {
                directory,
                trust: Trust { owner, top },
            };
            for (path, mode) in [
                ("first", 0o755),
                ("second", 0o755),
                ("real", 0o755),
                ("", 0o755),
            ] {
                libraries.mode(path, mode);
            }
            libraries.mode("real/libgomp.so.1.0.0", 0o644);
            libraries
        }

        fn mode(&self, path: &str, mode: u32) {
            let path = self.directory.path().join(path);
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }

        fn locate(&self, trust: Option<&Trust>) -> Result<String, String> {
            let directories = ["first", "second"].map(|d| self.trust.top.join(d));
            let directories: Vec<&Path> = directories.iter().map(PathBuf::as_path).collect();
            let found = locate(NAME, &directories, trust)?;
            let inside = found.strip_prefix(&self.trust.top).unwrap_or(&found);
            Ok(inside.display().to_string())
        }
    }

    #[test]
    fn a_trusted_file_is_the_one_behind_the_links() {
        let libraries = Libraries::new();
        let found = libraries.locate(Some(&libraries.trust));
        assert_eq!(found.as_deref(), Ok("real/libgomp.so.1.0.0"));
        let found = libraries.locate(None);
        assert_eq!(found.as_deref(), Ok("first/libgomp.so.1"));
    }

    #[test]
    fn a_file_that_others_can_change_or_replace_is_not_trusted() {
        for (path, mode) in [
            ("real/libgomp.so.1.0.0", 0o664),
            ("real/libgomp.so.1.0.0", 0o646),
            ("real", 0o775),
            ("real", 0o757),
            ("", 0o777),
        ] {
            let libraries = Libraries::new();
            libraries.mode(path, mode);
            let error = libraries.locate(Some(&libraries.trust)).unwrap_err();
            let at = libraries.trust.top.join(path);
            let at = at.to_str().unwrap().trim_end_matches('/');
            assert_eq!(error, format!("{at}: not owned by root alone"), "{mode:o}");
            assert!(libraries.locate(None).is_ok());
        }
        let libraries = Libraries::new();
        let somebody_else = Trust {
            owner: libraries.trust.owner + 1,
            ..libraries.trust.clone()
        };
        let error = libraries.locate(Some(&somebody_else)).unwrap_err();
        assert!(error.ends_with(": not owned by root alone"), "{error}");
    }

    #[test]
    fn the_next_directory_may_hold_one_that_is_trusted() {
        let libraries = Libraries::new();
        libraries.mode("real", 0o777);
        let second = libraries.trust.top.join("second").join(NAME);
        fs::write(&second, "two").unwrap();
        fs::set_permissions(&second, Permissions::from_mode(0o644)).unwrap();
        let found = libraries.locate(Some(&libraries.trust));
        assert_eq!(found.as_deref(), Ok("second/libgomp.so.1"));
    }

    #[test]
    fn only_who_asks_for_no_trust_leaves_the_search_to_the_linker() {
        let libraries = Libraries::new();
        fs::remove_file(libraries.trust.top.join("first").join(NAME)).unwrap();
        assert_eq!(libraries.locate(None).as_deref(), Ok(NAME));
        let error = libraries.locate(Some(&libraries.trust)).unwrap_err();
        assert_eq!(
            error,
            "libgomp.so.1: not in the system's library directories"
        );
    }

    #[test]
    fn root_and_who_asks_for_it_trust_root_alone() {
        let asked = Trust::of_process(true).unwrap();
        assert_eq!((asked.owner, asked.top.as_path()), (0, Path::new("/")));
        let is_root = rustix::process::geteuid().is_root();
        assert_eq!(Trust::of_process(false).is_some(), is_root);
        // Whoever made this directory: the one above it is everybody's.
        let libraries = Libraries::new();
        if std::env::temp_dir() == Path::new("/tmp") {
            assert!(libraries.locate(Some(&asked)).is_err());
        }
    }

    #[test]
    fn the_kernel_tells_which_file_a_bare_name_has_become() {
        let maps = "00400000-00452000 r-xp 00000000 08:02 173521 /usr/bin/threadtune\n\
                    7f0000000000-7f0000021000 rw-p 00000000 00:00 0 \n\
                    7f3a5c000000-7f3a5c021000 r-xp 00000000 08:02 9 /opt/a b/libgomp.so.1.0.0\n\
                    7f3a5d000000-7f3a5d021000 r-xp 00000000 08:02 9 /opt/a b/libgomp.so.1.0.0\n\
                    7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0 [stack]\n";
        let of = |name: &str| mapped(maps, Path::new(name));
        assert_eq!(of(NAME), Some(PathBuf::from("/opt/a b/libgomp.so.1.0.0")));
        assert_eq!(of("libomp.so.5"), None);
        let absolute = Path::new("/opt/libgomp.so.1");
        assert_eq!(file_of(absolute).as_deref(), Some(absolute));
    }

    #[test]
    fn other_bytes_have_another_hash() {
        let libraries = Libraries::new();
        let link = libraries.trust.top.join("first").join(NAME);
        let described = || name_and_hash(&link).unwrap();
        // FNV-1a of the text, its halves combined.
        let hash = fnv1a(b"one");
        let short = format!("libgomp.so.1.0.0 {:08x}", (hash ^ hash >> 32) & 0xffff_ffff);
        assert_eq!(described(), short);
        fs::write(&link, "two").unwrap();
        assert_ne!(described(), short);
        assert_eq!(describe(&link, NAME), "libgomp (libgomp.so.1.0.0)");
        let sparse = fs::File::options().write(true).open(&link).unwrap();
        sparse.set_len(MOST_BYTES + 1).unwrap();
        assert_eq!(name_and_hash(&link), None);
        assert_eq!(name_and_hash(&libraries.trust.top), None);
    }
}

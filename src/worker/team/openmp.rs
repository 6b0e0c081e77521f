//! A team of an OpenMP runtime's, through `GOMP_parallel`, which libgomp, libomp and libiomp5 all export.
//!
//! The library is loaded while the process may still use its whole CPU budget (libgomp sizes its spinning by what
//! it sees then) and is never unloaded: its threads would run on in code that is gone.

#![allow(unsafe_code)]

use super::{Fork, Team, TeamError, Work};
use crate::units::ThreadCount;
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use std::ffi::{c_int, c_uint, c_void};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

type GompParallel =
    unsafe extern "C" fn(unsafe extern "C" fn(*mut c_void), *mut c_void, c_uint, c_uint);
type OmpQuery = unsafe extern "C" fn() -> c_int;

/// The runtimes that are tried, most common under Linux programs first.
const NAMES: [&str; 3] = ["libgomp.so.1", "libomp.so.5", "libiomp5.so"];

/// Where the distributions keep shared libraries.
const DIRECTORIES: [&str; 8] = [
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib/riscv64-linux-gnu",
    "/usr/lib/powerpc64le-linux-gnu",
    "/usr/lib/s390x-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/lib",
];

/// The three entry points that a team needs.
#[derive(Clone, Copy)]
struct Symbols {
    parallel: GompParallel,
    thread_num: OmpQuery,
    num_threads: OmpQuery,
}

/// A loaded OpenMP runtime.
pub struct OpenMpTeam {
    symbols: Symbols,
    description: String,
}

impl OpenMpTeam {
    /// Loads the first runtime there is.
    ///
    /// By absolute path from the system's library directories; root takes files that only root may change, others
    /// may also have it found by the dynamic linker.
    pub fn load() -> Result<Self, TeamError> {
        let is_root = rustix::process::geteuid().is_root();
        let mut tried = Vec::new();
        for name in NAMES {
            let found = DIRECTORIES
                .iter()
                .map(|d| Path::new(d).join(name))
                .find(|p| p.exists());
            let path = match found {
                Some(path) if is_root && !owned_by_root(&path) => {
                    tried.push(format!("{}: not owned by root alone", path.display()));
                    continue;
                }
                Some(path) => path,
                None if is_root => {
                    tried.push(format!("{name}: not in the system's library directories"));
                    continue;
                }
                None => PathBuf::from(name),
            };
            match load_symbols(&path) {
                Ok(symbols) => {
                    return Ok(Self {
                        symbols,
                        description: describe(&path, name),
                    });
                }
                Err(why) => tried.push(why),
            }
        }
        Err(TeamError::NoOpenMp(tried.join("; ")))
    }
}

/// May only root change this library? Links are followed: what counts is the file that is loaded.
fn owned_by_root(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|m| m.uid() == 0 && m.mode() & 0o022 == 0)
}

/// `libgomp.so.1.0.0`: the file behind the link says which release it is.
fn describe(path: &Path, name: &str) -> String {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let file = real
        .file_name()
        .map_or_else(|| name.to_owned(), |f| f.to_string_lossy().into_owned());
    let family = name.split('.').next().unwrap_or(name);
    format!("{family} ({file})")
}

fn load_symbols(path: &Path) -> Result<Symbols, String> {
    let fail = |e: libloading::Error| format!("{}: {e}", path.display());
    // SAFETY: the library's initialisers run; it is a system OpenMP runtime, found as `load` says, whose
    // initialisers only read the environment and the affinity mask. This thread is the only one of the process.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }.map_err(fail)?;
    // SAFETY: the three types are those of the OpenMP API (`int omp_get_thread_num(void)`) and of GCC's ABI
    // (`void GOMP_parallel(void (*)(void *), void *, unsigned, unsigned)`), which the other runtimes copy.
    let symbols = unsafe {
        Symbols {
            parallel: *library
                .get::<GompParallel>(b"GOMP_parallel\0")
                .map_err(fail)?,
            thread_num: *library
                .get::<OmpQuery>(b"omp_get_thread_num\0")
                .map_err(fail)?,
            num_threads: *library
                .get::<OmpQuery>(b"omp_get_num_threads\0")
                .map_err(fail)?,
        }
    };
    // Never unloaded: see the head of this file.
    let _ = library.into_raw();
    Ok(symbols)
}

struct OpenMpFork {
    symbols: Symbols,
    threads: ThreadCount,
}

/// What the C callback finds behind its pointer.
struct Call<'a> {
    work: Work<'a>,
    symbols: Symbols,
}

/// Runs on every thread of the region. A panic cannot cross C: it aborts the worker, which the supervisor reports.
unsafe extern "C" fn trampoline(data: *mut c_void) {
    // SAFETY: `region` passes a pointer to a `Call` that lives until `GOMP_parallel` returns, which it does after
    // the last thread has left this function; `Call` is shared (`Work` is `Sync`, `Symbols` are plain functions).
    let call = unsafe { &*data.cast_const().cast::<Call<'_>>() };
    // SAFETY: both functions take nothing, and may be called from any thread of a region.
    let (thread, of) = unsafe { ((call.symbols.thread_num)(), (call.symbols.num_threads)()) };
    (call.work)(thread.max(0) as usize, of.max(1) as usize);
}

impl Fork for OpenMpFork {
    fn region(&self, work: Work<'_>) {
        let call = Call {
            work,
            symbols: self.symbols,
        };
        // SAFETY: `trampoline` has the type that is asked for, and its data outlives the call (see there).
        unsafe {
            (self.symbols.parallel)(
                trampoline,
                (&raw const call).cast_mut().cast(),
                self.threads.get(),
                0,
            );
        }
    }
}

impl Team for OpenMpTeam {
    fn describe(&self) -> &str {
        &self.description
    }

    fn with(
        &mut self,
        threads: ThreadCount,
        body: &mut (dyn FnMut(&dyn Fork) + Send),
    ) -> Result<(), TeamError> {
        body(&OpenMpFork {
            symbols: self.symbols,
            threads,
        });
        Ok(())
    }
}

//! A team of an OpenMP runtime's, through `GOMP_parallel`, which libgomp, libomp and libiomp5 all export.
//!
//! The library is loaded while the process may still use its whole CPU budget (libgomp sizes its spinning by what
//! it sees then) and is never unloaded: its threads would run on in code that is gone.

#![allow(unsafe_code)]

use super::library::{DIRECTORIES, NAMES, Trust, describe, file_of, locate, name_and_hash};
use super::{Fork, Team, TeamError, Work};
use crate::units::ThreadCount;
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use std::ffi::{c_int, c_uint, c_void};
use std::path::Path;

type GompParallel =
    unsafe extern "C" fn(unsafe extern "C" fn(*mut c_void), *mut c_void, c_uint, c_uint);
type OmpQuery = unsafe extern "C" fn() -> c_int;
type OmpPause = unsafe extern "C" fn(c_int) -> c_int;

/// `omp_pause_hard` of OpenMP 5.0: nothing of the runtime need survive. (libomp keeps its threads in a soft pause.)
const PAUSE_HARD: c_int = 2;

/// The entry points that a team needs.
#[derive(Clone, Copy)]
struct Symbols {
    parallel: GompParallel,
    thread_num: OmpQuery,
    num_threads: OmpQuery,
    /// Ends the runtime's threads; libgomp before GCC 9 has none.
    pause_all: Option<OmpPause>,
}

/// A loaded OpenMP runtime.
pub struct OpenMpTeam {
    symbols: Symbols,
    description: String,
    library: Option<String>,
}

impl OpenMpTeam {
    /// Loads the first runtime there is, by absolute path from the system's library directories: with `trust` only files
    /// that deserve it, else also one that the dynamic linker finds.
    pub fn load(trust: Option<&Trust>) -> Result<Self, TeamError> {
        let mut tried = Vec::new();
        for name in NAMES {
            let directories = DIRECTORIES.map(Path::new);
            let loaded = locate(name, &directories, trust)
                .and_then(|path| load_symbols(&path).map(|symbols| (path, symbols)));
            match loaded {
                Ok((path, symbols)) => {
                    return Ok(Self {
                        symbols,
                        description: describe(&path, name),
                        library: file_of(&path).as_deref().and_then(name_and_hash),
                    });
                }
                Err(why) => tried.push(why),
            }
        }
        Err(TeamError::NoOpenMp(tried.join("; ")))
    }
}

fn load_symbols(path: &Path) -> Result<Symbols, String> {
    let fail = |e: libloading::Error| format!("{}: {e}", path.display());
    // SAFETY: the library's initialisers run; it is a system OpenMP runtime, found as `load` says, whose
    // initialisers only read the environment and the affinity mask. This thread is the only one of the process.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }.map_err(fail)?;
    // SAFETY: the types are those of the OpenMP API (`int omp_get_thread_num(void)`,
    // `int omp_pause_resource_all(omp_pause_resource_t)`, whose argument is an enumeration) and of GCC's ABI
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
            pause_all: library
                .get::<OmpPause>(b"omp_pause_resource_all\0")
                .ok()
                .map(|symbol| *symbol),
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
        // As libraries do, which ask the runtime for nothing where one thread is enough.
        if self.threads == ThreadCount::ONE {
            return work(0, 1);
        }
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

    fn library(&self) -> Option<&str> {
        self.library.as_deref()
    }

    fn disband(&mut self) {
        if let Some(pause_all) = self.symbols.pause_all {
            // SAFETY: no region runs, as `with` has returned, and this thread is no member of one.
            let outcome = unsafe { pause_all(PAUSE_HARD) };
            if outcome != 0 {
                log::debug!("{}: threads stay ready ({outcome})", self.description);
            }
        }
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

//! The runtimes and libraries that take their number of threads from the environment.

/// A family of libraries that obeys the same variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// The variables that are set for it.
    pub variables: &'static [Variable],
    /// What a user should know.
    pub note: &'static str,
}

/// A variable that holds a number of threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What the library reads where this one is absent, first choice first.
    ///
    /// If the user has set one of those and not this one, then that is the value they want: setting this one to
    /// anything else would overrule them from behind.
    pub falls_back_on: &'static [&'static str],
    /// A variable of the user's that this one must not exceed.
    pub at_most: Option<&'static str>,
}

const OMP: &str = "OMP_NUM_THREADS";

/// A user's limit on all OpenMP threads: asking for more than it hangs `PyTorch`.
pub(super) const LIMIT: &str = "OMP_THREAD_LIMIT";

const fn alone(name: &'static str) -> Variable {
    Variable {
        name,
        falls_back_on: &[],
        at_most: None,
    }
}

const fn after(name: &'static str, falls_back_on: &'static [&'static str]) -> Variable {
    Variable {
        name,
        falls_back_on,
        at_most: None,
    }
}

/// A variable by which a user binds the threads of an OpenMP runtime to CPUs, each to its own; never set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binder {
    /// Its name.
    pub name: &'static str,
    /// Words of its value, which commas divide, that switch binding off.
    off: &'static [&'static str],
}

impl Binder {
    /// May this value of the variable bind threads? An empty one says nothing.
    pub fn may_bind(&self, value: &str) -> bool {
        let is_off = |word: &str| self.off.iter().any(|off| word.eq_ignore_ascii_case(off));
        !value.trim().is_empty() && !value.split(',').map(str::trim).any(is_off)
    }
}

/// Every variable that binds threads, in the order in which they are named.
pub const BINDERS: [Binder; 4] = [
    Binder {
        name: "OMP_PROC_BIND",
        off: &["false"],
    },
    Binder {
        name: "OMP_PLACES",
        off: &[],
    },
    Binder {
        name: "GOMP_CPU_AFFINITY",
        off: &[],
    },
    Binder {
        name: "KMP_AFFINITY",
        off: &["none", "disabled"],
    },
];

/// Every family that is served, in the order in which variables are set and printed.
///
/// Never among them: `OMP_THREAD_LIMIT` (less than `OMP_NUM_THREADS` hangs `PyTorch`), and what binds threads
/// ([`BINDERS`]), which makes concurrent programs collide.
/// ONNX Runtime and oneTBB read no variable.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "OpenMP",
        variables: &[Variable {
            name: OMP,
            falls_back_on: &[],
            at_most: Some(LIMIT),
        }],
        note: "libgomp, libomp, libiomp5; a list (`4,2`) gives the counts of nested regions",
    },
    Family {
        name: "MKL",
        variables: &[Variable {
            name: "MKL_NUM_THREADS",
            falls_back_on: &[OMP],
            at_most: Some(LIMIT),
        }],
        note: "also inside PyTorch",
    },
    Family {
        name: "OpenBLAS",
        variables: &[Variable {
            name: "OPENBLAS_NUM_THREADS",
            falls_back_on: &["GOTO_NUM_THREADS", OMP, "OPENBLAS_DEFAULT_NUM_THREADS"],
            at_most: Some(LIMIT),
        }],
        note: "builds on OpenMP may obey OMP_NUM_THREADS only",
    },
    Family {
        name: "BLIS",
        variables: &[Variable {
            name: "BLIS_NUM_THREADS",
            falls_back_on: &[OMP],
            at_most: Some(LIMIT),
        }],
        note: "also AOCL; BLIS_JC_NT and its like beat it",
    },
    Family {
        name: "Accelerate",
        variables: &[alone("VECLIB_MAXIMUM_THREADS")],
        note: "Apple's vecLib",
    },
    Family {
        name: "NumExpr",
        variables: &[
            // Asking for more than the maximum is an error at import.
            Variable {
                name: "NUMEXPR_NUM_THREADS",
                falls_back_on: &[OMP],
                at_most: Some("NUMEXPR_MAX_THREADS"),
            },
            after("NUMEXPR_MAX_THREADS", &["NUMEXPR_NUM_THREADS", OMP]),
        ],
        note: "the maximum must not be less than the number",
    },
    Family {
        name: "Rayon",
        variables: &[after("RAYON_NUM_THREADS", &["RAYON_RS_NUM_CPUS"])],
        note: "the global pool only",
    },
    Family {
        name: "Polars",
        variables: &[alone("POLARS_MAX_THREADS")],
        note: "read at import",
    },
    Family {
        name: "Julia",
        variables: &[alone("JULIA_NUM_THREADS")],
        note: "independent of OPENBLAS_NUM_THREADS",
    },
    Family {
        name: "llama.cpp",
        variables: &[alone("LLAMA_ARG_THREADS")],
        note: "decoding; the threads of a batch are set by -tb only",
    },
];

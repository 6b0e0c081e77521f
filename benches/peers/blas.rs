//! A BLAS that is loaded at run time, through the Fortran interface that all of them export.

use crate::POOL_BYTES;
use crate::turns::{Callee, timed};
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use std::ffi::{c_char, c_int};
use std::time::Duration;
use threadtune::workload::{Residency, Shape};

type Gemm = unsafe extern "C" fn(
    *const c_char,
    *const c_char,
    *const c_int,
    *const c_int,
    *const c_int,
    *const f32,
    *const f32,
    *const c_int,
    *const f32,
    *const c_int,
    *const f32,
    *mut f32,
    *const c_int,
);
type Gemv = unsafe extern "C" fn(
    *const c_char,
    *const c_int,
    *const c_int,
    *const f32,
    *const f32,
    *const c_int,
    *const f32,
    *const c_int,
    *const f32,
    *mut f32,
    *const c_int,
);

pub struct Blas {
    gemm: Gemm,
    gemv: Gemv,
    work: Option<Work>,
}

/// C (m × n) = A (m × k) · Wᵀ (n × k), all row-major, as our kernels compute it; a vector where `m` is 1 and was not
/// asked to be a matrix.
struct Work {
    is_vector: bool,
    m: c_int,
    n: c_int,
    k: c_int,
    a: Vec<f32>,
    weights: Vec<Vec<f32>>,
    c: Vec<f32>,
    next: usize,
}

impl Blas {
    pub fn load(libraries: &str) -> Self {
        let mut last = None;
        for path in libraries.split(',') {
            // SAFETY: the user names a BLAS and what it needs; their initialisers run before any thread starts.
            let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) };
            let library = library.unwrap_or_else(|e| panic!("{path}: {e}"));
            last = Some(&*Box::leak(Box::new(library)));
        }
        let library = last.expect("split gives at least one part");
        // SAFETY: the Fortran BLAS with 32-bit integers defines both signatures; scipy's build prefixes its names.
        unsafe {
            Self {
                gemm: *library
                    .get::<Gemm>(b"sgemm_\0")
                    .or_else(|_| library.get(b"scipy_sgemm_\0"))
                    .unwrap_or_else(|e| panic!("{libraries}: {e}")),
                gemv: *library
                    .get::<Gemv>(b"sgemv_\0")
                    .or_else(|_| library.get(b"scipy_sgemv_\0"))
                    .unwrap_or_else(|e| panic!("{libraries}: {e}")),
                work: None,
            }
        }
    }
}

impl Callee for Blas {
    fn prepare(&mut self, shape: &Shape, residency: Residency) -> bool {
        self.work = None;
        let (is_vector, m, n, k) = match *shape {
            Shape::Gemm { m, n, k, .. } => (false, m, n, k),
            Shape::Gemv { n, k, .. } => (true, 1, n, k),
            _ => return false,
        };
        let noise = |len: usize| (0..len).map(|i| (i * 7 % 13) as f32 / 13.0 - 0.5).collect();
        let [rows, columns, common] = [m, n, k].map(|d| d as usize);
        let copies = match residency {
            Residency::Cache => 1,
            Residency::Memory => POOL_BYTES as usize / (4 * columns * common) + 1,
        };
        self.work = Some(Work {
            is_vector,
            m: m.cast_signed(),
            n: n.cast_signed(),
            k: k.cast_signed(),
            a: noise(rows * common),
            weights: (0..copies).map(|_| noise(columns * common)).collect(),
            c: vec![0.0; rows * columns],
            next: 0,
        });
        true
    }

    fn calls(&mut self, time: Duration) -> Vec<f64> {
        let (gemm, gemv) = (self.gemm, self.gemv);
        let Some(work) = &mut self.work else {
            return Vec::new();
        };
        let (transposed, plain) = (c"T".as_ptr(), c"N".as_ptr());
        timed(time, || {
            let w = work.weights[work.next].as_ptr();
            work.next = (work.next + 1) % work.weights.len();
            let (a, c) = (work.a.as_ptr(), work.c.as_mut_ptr());
            let Work { m, n, k, .. } = &*work;
            // SAFETY: column-major, a row-major n × k matrix is a k × n one, which is transposed; C is n × m. The vectors
            // are as long as these dimensions say.
            unsafe {
                if work.is_vector {
                    gemv(transposed, k, n, &1.0, w, k, a, &1, &0.0, c, &1);
                } else {
                    gemm(transposed, plain, n, m, k, &1.0, w, k, a, k, &0.0, c, n);
                }
            }
        })
    }
}

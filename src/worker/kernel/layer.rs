//! One decoder layer of a language model, one token at a time, as a sequence of regions.
//!
//! Norm, Q·K·V projections, rotary embedding, attention by heads, output projection, norm, gate, up, activation,
//! down. What frameworks leave on one thread (fewer than 32768 elements) is serial here, too.

#![allow(unsafe_code)]
// Vector code is compiled per instruction set, so everything below the dispatch must be inlined there.
#![allow(clippy::inline_always)]

use super::Kernel;
use super::attention;
use super::buffer::{Buffer, LINE, OutOfMemory};
use super::gemv::rows_of;
use super::isa::{Isa, Op, Simd};
use super::loops::{exp, map};
use super::norm::RmsNormRow;
use super::partition::part;
use crate::workload::LayerShape;

/// The steps of a layer, in order.
const STEPS: [Step; 9] = [
    Step::Norm,
    Step::QueryKeyValue,
    Step::RotateAndStore,
    Step::Attention,
    Step::Output,
    Step::ResidualNorm,
    Step::GateUp,
    Step::Activation,
    Step::Down,
];

#[derive(Clone, Copy, PartialEq)]
enum Step {
    Norm,
    QueryKeyValue,
    RotateAndStore,
    Attention,
    Output,
    ResidualNorm,
    GateUp,
    Activation,
    Down,
}

/// The weights of one copy, each outputs × inputs, row-major.
struct Weights {
    qkv: Buffer,
    output: Buffer,
    gate_up: Buffer,
    down: Buffer,
    /// KV heads × context × d.
    keys: Buffer,
    values: Buffer,
}

/// A layer with its activations.
pub struct Layer {
    isa: Isa,
    shape: LayerShape,
    copies: Vec<Weights>,
    gain: Buffer,
    input: Buffer,
    normed: Buffer,
    qkv: Buffer,
    attended: Buffer,
    projected: Buffer,
    gate_up: Buffer,
    activated: Buffer,
    down: Buffer,
    /// Two rows of context for each head.
    scores: Buffer,
}

impl Layer {
    /// A layer of one token in so many copies.
    pub fn new(isa: Isa, shape: &LayerShape, copies: usize) -> Result<Self, OutOfMemory> {
        let [h, f, d, c] =
            [shape.hidden, shape.ffn, shape.head_dim, shape.context].map(|v| v as usize);
        let [heads, kv] = [shape.heads, shape.kv_heads].map(|v| v as usize);
        let weights = |i| {
            Ok(Weights {
                qkv: Buffer::noise((heads + 2 * kv) * d * h, 10 * i + 10)?,
                output: Buffer::noise(h * heads * d, 10 * i + 11)?,
                gate_up: Buffer::noise(2 * f * h, 10 * i + 12)?,
                down: Buffer::noise(h * f, 10 * i + 13)?,
                keys: Buffer::noise(kv * c * d, 10 * i + 14)?,
                values: Buffer::noise(kv * c * d, 10 * i + 15)?,
            })
        };
        Ok(Self {
            isa,
            shape: *shape,
            copies: Buffer::copies(copies, weights)?,
            gain: Buffer::filled(h, |_| 1.0)?,
            input: Buffer::noise(h, 1)?,
            normed: Buffer::zeros(h)?,
            qkv: Buffer::zeros((heads + 2 * kv) * d)?,
            attended: Buffer::zeros(heads * d)?,
            projected: Buffer::zeros(h)?,
            gate_up: Buffer::zeros(2 * f)?,
            activated: Buffer::zeros(f)?,
            down: Buffer::zeros(h)?,
            scores: Buffer::zeros(heads * (2 * c).next_multiple_of(LINE))?,
        })
    }

    fn sizes(&self) -> (usize, usize, usize, usize) {
        let s = &self.shape;
        (
            s.heads as usize,
            s.kv_heads as usize,
            s.head_dim as usize,
            s.context as usize,
        )
    }

    /// Rotates query and key pairwise (Su et al. 2021) for the last position, and puts key and value in the cache.
    fn rotate_and_store(&self, weights: &Weights) {
        let (heads, kv, d, c) = self.sizes();
        // SAFETY: a serial step: this is the only thread.
        let (qkv, keys, values) = unsafe {
            (
                self.qkv.write(0..self.qkv.len()),
                weights.keys.write(0..weights.keys.len()),
                weights.values.write(0..weights.values.len()),
            )
        };
        let position = (c - 1) as f32;
        let (rotated, plain) = qkv.split_at_mut((heads + kv) * d);
        for pair in 0..d / 2 {
            let angle = position * 500_000f32.powf(-2.0 * pair as f32 / d as f32);
            let (sin, cos) = angle.sin_cos();
            for head in rotated.chunks_exact_mut(d) {
                let (a, b) = (head[pair], head[pair + d / 2]);
                head[pair] = a * cos - b * sin;
                head[pair + d / 2] = b * cos + a * sin;
            }
        }
        for head in 0..kv {
            let last = (head * c + c - 1) * d..(head * c + c) * d;
            keys[last.clone()]
                .copy_from_slice(&rotated[(heads + head) * d..(heads + head + 1) * d]);
            values[last].copy_from_slice(&plain[head * d..(head + 1) * d]);
        }
    }

    fn attention(&self, weights: &Weights, thread: usize, of: usize) {
        let (heads, kv, d, c) = self.sizes();
        let row = (2 * c).next_multiple_of(LINE);
        for head in part(heads, 1, thread, of) {
            let group = head * kv / heads;
            let cache = group * c * d..(group + 1) * c * d;
            // SAFETY: query, keys and values were written in earlier steps; scratch and result of a head are used by
            // the one thread that has it.
            unsafe {
                attention::head(
                    self.isa,
                    self.qkv.read(head * d..(head + 1) * d),
                    weights.keys.read(cache.clone()),
                    weights.values.read(cache),
                    self.scores.write(head * row..head * row + 2 * c),
                    self.attended.write(head * d..(head + 1) * d),
                );
            }
        }
    }

    fn activate(&self) {
        let f = self.activated.len();
        // SAFETY: a serial step: this is the only thread.
        let (gate_up, out) = unsafe { (self.gate_up.read(0..2 * f), self.activated.write(0..f)) };
        let (gate, up) = gate_up.split_at(f);
        self.isa.run(SwiGlu { gate, up, out });
    }
}

/// out = SiLU(gate) · up with SiLU(g) = g / (1 + e⁻ᵍ) (Shazeer 2020).
struct SwiGlu<'a> {
    gate: &'a [f32],
    up: &'a [f32],
    out: &'a mut [f32],
}

impl Op for SwiGlu<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (one, minus_one) = (simd.splat(1.0), simd.splat(-1.0));
        map(
            simd,
            [self.gate, self.up],
            self.out,
            #[inline(always)]
            |[gate, up]| {
                let e = exp(simd, simd.mul(gate, minus_one));
                simd.mul(simd.div(gate, simd.add(one, e)), up)
            },
        );
    }
}

impl Kernel for Layer {
    fn steps(&self) -> usize {
        STEPS.len()
    }

    fn is_serial(&self, step: usize) -> bool {
        matches!(
            STEPS[step],
            Step::Norm | Step::RotateAndStore | Step::ResidualNorm | Step::Activation
        )
    }

    fn copies(&self) -> usize {
        self.copies.len()
    }

    unsafe fn run(&self, step: usize, copy: usize, thread: usize, of: usize) {
        let weights = &self.copies[copy];
        // SAFETY (of all blocks below): a step reads what earlier steps wrote and writes what no other thread of
        // the step touches: serial steps run alone, `rows_of` gives each thread its own rows.
        match STEPS[step] {
            // SAFETY: as above.
            Step::Norm => unsafe {
                let h = self.input.len();
                self.isa.run(RmsNormRow {
                    input: self.input.read(0..h),
                    gain: self.gain.read(0..h),
                    out: self.normed.write(0..h),
                    next: &[],
                });
            },
            // SAFETY: as above.
            Step::QueryKeyValue => unsafe {
                rows_of(
                    self.isa,
                    &weights.qkv,
                    self.normed.read(0..self.normed.len()),
                    &self.qkv,
                    thread,
                    of,
                );
            },
            Step::RotateAndStore => self.rotate_and_store(weights),
            Step::Attention => self.attention(weights, thread, of),
            // SAFETY: as above.
            Step::Output => unsafe {
                let attended = self.attended.read(0..self.attended.len());
                rows_of(
                    self.isa,
                    &weights.output,
                    attended,
                    &self.projected,
                    thread,
                    of,
                );
            },
            // SAFETY: as above.
            Step::ResidualNorm => unsafe {
                let h = self.input.len();
                let projected = self.projected.write(0..h);
                projected
                    .iter_mut()
                    .zip(self.input.read(0..h))
                    .for_each(|(p, x)| *p += x);
                self.isa.run(RmsNormRow {
                    input: projected,
                    gain: self.gain.read(0..h),
                    out: self.normed.write(0..h),
                    next: &[],
                });
            },
            // SAFETY: as above.
            Step::GateUp => unsafe {
                rows_of(
                    self.isa,
                    &weights.gate_up,
                    self.normed.read(0..self.normed.len()),
                    &self.gate_up,
                    thread,
                    of,
                );
            },
            Step::Activation => self.activate(),
            // SAFETY: as above.
            Step::Down => unsafe {
                let activated = self.activated.read(0..self.activated.len());
                rows_of(self.isa, &weights.down, activated, &self.down, thread, of);
            },
        }
    }

    #[cfg(test)]
    fn result(&self, count: usize) -> Vec<f32> {
        // SAFETY: called between calls, when no thread writes.
        unsafe { self.down.read(0..count.min(self.down.len())) }.to_vec()
    }
}

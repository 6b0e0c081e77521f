//! Every kernel, at every level that this processor has, against the same arithmetic in double precision.

use super::isa::Isa;
use super::{Kernel, prepare};
use crate::worker::protocol::Open;
use crate::workload::{LayerShape, Residency, Shape};

/// The numbers that a buffer of this seed holds.
fn noise(len: usize, seed: u64) -> Vec<f64> {
    let buffer = super::Buffer::noise(len, seed).unwrap();
    // SAFETY: nobody writes it.
    let values = unsafe { buffer.read(0..len) };
    values.iter().map(|v| f64::from(*v)).collect()
}

/// C (m × n) = A (m × k) · W (n × k)ᵀ.
fn product(a: &[f64], w: &[f64], k: usize) -> Vec<f64> {
    a.chunks(k)
        .flat_map(|a| w.chunks(k).map(move |w| dot(a, w)))
        .collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn rms_norm(row: &[f64], gain: &[f64]) -> Vec<f64> {
    let scale = 1.0 / (dot(row, row) / row.len() as f64 + 1e-5).sqrt();
    row.iter()
        .zip(gain)
        .map(|(v, gain)| v * scale * gain)
        .collect()
}

fn softmax(row: &[f64]) -> Vec<f64> {
    let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exponentials: Vec<f64> = row.iter().map(|v| (v - largest).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.iter().map(|e| e / sum).collect()
}

/// A decoder layer of one token after a cache of `context` − 1 others (Touvron et al. 2023).
fn layer(shape: &LayerShape) -> Vec<f64> {
    let [h, f, d, c] = [shape.hidden, shape.ffn, shape.head_dim, shape.context].map(|v| v as usize);
    let [heads, kv] = [shape.heads, shape.kv_heads].map(|v| v as usize);
    let gain = vec![1.0; h];
    let input = noise(h, 1);
    let mut qkv = product(
        &rms_norm(&input, &gain),
        &noise((heads + 2 * kv) * d * h, 10),
        h,
    );
    let (mut keys, mut values) = (noise(kv * c * d, 14), noise(kv * c * d, 15));
    for head in qkv[..(heads + kv) * d].chunks_mut(d) {
        for pair in 0..d / 2 {
            let angle = (c - 1) as f64 * 500_000f64.powf(-2.0 * pair as f64 / d as f64);
            let (a, b) = (head[pair], head[pair + d / 2]);
            head[pair] = a * angle.cos() - b * angle.sin();
            head[pair + d / 2] = b * angle.cos() + a * angle.sin();
        }
    }
    for head in 0..kv {
        let last = (head * c + c - 1) * d..(head * c + c) * d;
        keys[last.clone()].copy_from_slice(&qkv[(heads + head) * d..][..d]);
        values[last].copy_from_slice(&qkv[(heads + kv + head) * d..][..d]);
    }
    let mut attended = Vec::new();
    for (head, query) in qkv[..heads * d].chunks(d).enumerate() {
        let group = head * kv / heads * c * d;
        let scores: Vec<f64> = keys[group..][..c * d]
            .chunks(d)
            .map(|key| dot(query, key) / (d as f64).sqrt())
            .collect();
        let weights = softmax(&scores);
        for i in 0..d {
            let column: Vec<f64> = values[group..][..c * d].chunks(d).map(|v| v[i]).collect();
            attended.push(dot(&weights, &column));
        }
    }
    let projected = product(&attended, &noise(h * heads * d, 11), heads * d);
    let residual: Vec<f64> = projected.iter().zip(&input).map(|(p, x)| p + x).collect();
    let gate_up = product(&rms_norm(&residual, &gain), &noise(2 * f * h, 12), h);
    let (gate, up) = gate_up.split_at(f);
    let activated: Vec<f64> = gate
        .iter()
        .zip(up)
        .map(|(g, u)| g / (1.0 + (-g).exp()) * u)
        .collect();
    product(&activated, &noise(h * f, 13), f)
}

fn reference(shape: &Shape) -> Vec<f64> {
    match *shape {
        Shape::Gemm { m, n, k, .. } => {
            let [m, n, k] = [m, n, k].map(|v| v as usize);
            product(&noise(m * k, 1), &noise(n * k, 2), k)
        }
        Shape::Gemv { n, k, .. } => {
            let [n, k] = [n, k].map(|v| v as usize);
            product(&noise(k, 1), &noise(n * k, 2), k)
        }
        Shape::Triad { n, .. } => {
            let (b, c) = (noise(n as usize, 1), noise(n as usize, 2));
            b.iter().zip(c).map(|(b, c)| b + 3.0 * c).collect()
        }
        Shape::RmsNorm { rows, columns, .. } => {
            let [rows, columns] = [rows, columns].map(|v| v as usize);
            let gain = noise(columns, 1);
            let input = noise(rows * columns, 2);
            input
                .chunks(columns)
                .flat_map(|row| rms_norm(row, &gain))
                .collect()
        }
        Shape::Softmax { rows, columns, .. } => {
            let [rows, columns] = [rows, columns].map(|v| v as usize);
            let input = noise(rows * columns, 2);
            input.chunks(columns).flat_map(softmax).collect()
        }
        Shape::Layer { layer: shape, .. } => layer(&shape),
    }
}

/// Runs one call as a team of `of` would, one thread after another.
fn call(kernel: &dyn Kernel, of: usize) -> Vec<f32> {
    for step in 0..kernel.steps() {
        let of = if kernel.is_serial(step) { 1 } else { of };
        for thread in 0..of {
            // SAFETY: one thread runs one share after another.
            unsafe { kernel.run(step, 0, thread, of) };
        }
    }
    kernel.result(usize::MAX)
}

#[test]
fn every_kernel_at_every_level_computes_what_double_precision_does() {
    for text in [
        "gemm:64x64x64:f32",
        // few rows: by dot products
        "gemm:1x50x37:f32",
        "gemm:4x96x80:f32",
        "gemm:7x33x129:f32",
        // odd sizes, several blocks, tiles that end early
        "gemm:33x17x29:f32",
        "gemm:19x70x300:f32",
        "gemm:9x1030x600:f32",
        // weights that are read in place
        "gemm:16x330x160:f32",
        "gemm:45x330x160:f32",
        "gemv:200x72:f32",
        "gemv:13x577:f32",
        "triad:1000:f32",
        "rmsnorm:13x100:f32",
        "softmax:7x50:f32",
        "softmax:3x1:f32",
        "layer:1x64x96:h4x2x16:c20:f32",
        "layer:1x40x36:h6x2x10:c7:f32",
    ] {
        let shape: Shape = text.parse().unwrap();
        let exact = reference(&shape);
        let open = Open {
            shape,
            residency: Residency::Cache,
            pool_bytes: 0,
            memory_limit_bytes: 1 << 30,
            first_cpu: 0,
        };
        for isa in Isa::all() {
            // More threads than work, too.
            for of in [1, 2, 3, 5, 7, 64] {
                let found = call(&*prepare(isa, &[], &open).unwrap().kernel, of);
                assert_eq!(found.len(), exact.len(), "{text}");
                for (i, (found, exact)) in found.iter().zip(&exact).enumerate() {
                    let error = (f64::from(*found) - exact).abs();
                    let level = isa.level();
                    assert!(
                        error <= 2e-5 * exact.abs().max(1.0),
                        "{level}: {text} on {of} threads: element {i} is {found}, not {exact}"
                    );
                }
            }
        }
    }
}

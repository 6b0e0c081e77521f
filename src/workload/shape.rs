//! A workload's kind, dimensions and data type, as a text that parses and prints the same.
//!
//! | text | meaning |
//! | --- | --- |
//! | `gemm:MxNxK:f32` | C (M×N) = A (M×K) · B (K×N): M tokens, N outputs, K inputs |
//! | `gemv:NxK:f32` | y (N) = W (N×K) · x (K): N outputs, K inputs |
//! | `triad:N:f32` | a = b + s·c over N elements |
//! | `rmsnorm:RxC:f32`, `softmax:RxC:f32` | R rows of C elements |
//! | `layer:MxHxF:hQxVxD:cC:f32` | one decoder layer: M tokens, hidden size H, feed-forward size F, Q query and V key-value heads of D elements, C tokens of context |
//!
//! The dimensions of a catalogue name follow the same order (`gemm-4x2048x2048`, `gemv-2048x8192`); the one
//! exception, `lmhead-…-KxN`, is named as checkpoints name it: inputs first.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataType {
    /// IEEE single precision.
    F32,
}

impl DataType {
    /// Bytes of one element.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
        }
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F32 => f.write_str("f32"),
        }
    }
}

/// The dimensions of one decoder layer of a language model (gated feed-forward, `RMSNorm`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LayerShape {
    /// Tokens computed at once; 1 when decoding.
    pub tokens: u32,
    /// Hidden size h.
    pub hidden: u32,
    /// Feed-forward size.
    pub ffn: u32,
    /// Query heads H.
    pub heads: u32,
    /// Key-value heads KV.
    pub kv_heads: u32,
    /// Elements of a head, d.
    pub head_dim: u32,
    /// Tokens in the key-value cache, c.
    pub context: u32,
}

impl LayerShape {
    /// Weights of the layer: Q, K, V and O projections, gate, up and down.
    pub fn weights(&self) -> u64 {
        let [h, f, d] = [self.hidden, self.ffn, self.head_dim].map(u64::from);
        let [q, kv] = [self.heads, self.kv_heads].map(u64::from);
        h * d * (2 * q + 2 * kv) + 3 * h * f
    }
}

/// What one call computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[allow(missing_docs)] // the fields are the letters of the table above
pub enum Shape {
    /// C (m×n) = A (m×k) · B (k×n).
    Gemm {
        m: u32,
        n: u32,
        k: u32,
        dtype: DataType,
    },
    /// y (n) = W (n×k) · x (k).
    Gemv { n: u32, k: u32, dtype: DataType },
    /// a = b + s·c over n elements.
    Triad { n: u32, dtype: DataType },
    /// Root-mean-square normalisation of each row, with a gain.
    RmsNorm {
        rows: u32,
        columns: u32,
        dtype: DataType,
    },
    /// Softmax of each row.
    Softmax {
        rows: u32,
        columns: u32,
        dtype: DataType,
    },
    /// One decoder layer.
    Layer { layer: LayerShape, dtype: DataType },
}

/// A text that is no shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a shape: {why}")]
pub struct InvalidShape {
    /// The text as found.
    pub text: String,
    /// What is wrong, and what would be right.
    pub why: String,
}

/// The most bytes that the operands of one call may take: 16 GiB.
const MAX_BYTES: u128 = 16 << 30;

/// The largest dimension.
const MAX_DIMENSION: u32 = 1 << 28;

impl Shape {
    /// The type of the elements.
    pub fn data_type(&self) -> DataType {
        match *self {
            Self::Gemm { dtype, .. }
            | Self::Gemv { dtype, .. }
            | Self::Triad { dtype, .. }
            | Self::RmsNorm { dtype, .. }
            | Self::Softmax { dtype, .. }
            | Self::Layer { dtype, .. } => dtype,
        }
    }

    /// Is it the same operation on elements of the same type, of whatever size?
    pub fn is_of_kind_of(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
            && self.data_type() == other.data_type()
    }

    /// Floating-point operations of one call.
    ///
    /// A multiply-add is two. `RMSNorm` takes 4 an element (square, sum, scale, gain), softmax 5 (maximum,
    /// difference, exponential, sum, scale). A layer takes 2mW + 4Hdmc, W its weights.
    pub fn flops(&self) -> u64 {
        let product = |dims: &[u32]| dims.iter().map(|d| u64::from(*d)).product::<u64>();
        match self {
            Self::Gemm { m, n, k, .. } => 2 * product(&[*m, *n, *k]),
            Self::Gemv { n, k, .. } => 2 * product(&[*n, *k]),
            Self::Triad { n, .. } => 2 * u64::from(*n),
            Self::RmsNorm { rows, columns, .. } => 4 * product(&[*rows, *columns]),
            Self::Softmax { rows, columns, .. } => 5 * product(&[*rows, *columns]),
            Self::Layer { layer: l, .. } => {
                2 * u64::from(l.tokens) * l.weights()
                    + 4 * product(&[l.heads, l.head_dim, l.tokens, l.context])
            }
        }
    }

    /// Bytes that one call reads and writes, each operand counted once.
    ///
    /// A layer: its weights, the key-value cache 2·KV·d·c, and the hidden state in and out.
    pub fn bytes(&self) -> u64 {
        u64::try_from(self.wide_bytes()).unwrap_or(u64::MAX)
    }

    /// Bytes of the operands that rotate through memory: weights and caches of keys and values, or, where there are
    /// none, everything.
    pub fn rotating_bytes(&self) -> u64 {
        let product = |dims: &[u32]| dims.iter().map(|d| u64::from(*d)).product::<u64>();
        let elements = match self {
            Self::Gemm { n, k, .. } | Self::Gemv { n, k, .. } => product(&[*n, *k]),
            Self::Triad { n, .. } => 3 * u64::from(*n),
            Self::RmsNorm { rows, columns, .. } | Self::Softmax { rows, columns, .. } => {
                2 * product(&[*rows, *columns])
            }
            Self::Layer { layer: l, .. } => {
                l.weights() + 2 * product(&[l.kv_heads, l.head_dim, l.context])
            }
        };
        elements * self.data_type().bytes()
    }

    fn wide_bytes(&self) -> u128 {
        let product = |dims: &[u32]| dims.iter().map(|d| u128::from(*d)).product::<u128>();
        let elements = match self {
            Self::Gemm { m, n, k, .. } => {
                product(&[*m, *k]) + product(&[*k, *n]) + product(&[*m, *n])
            }
            Self::Gemv { n, k, .. } => product(&[*n, *k]) + u128::from(*n) + u128::from(*k),
            Self::Triad { n, .. } => 3 * u128::from(*n),
            Self::RmsNorm { rows, columns, .. } => {
                2 * product(&[*rows, *columns]) + u128::from(*columns)
            }
            Self::Softmax { rows, columns, .. } => 2 * product(&[*rows, *columns]),
            Self::Layer { layer: l, .. } => {
                let per_head = u128::from(l.head_dim);
                let heads = 2 * u128::from(l.heads) + 2 * u128::from(l.kv_heads);
                u128::from(l.hidden) * (per_head * heads + 3 * u128::from(l.ffn))
                    + 2 * product(&[l.kv_heads, l.head_dim, l.context])
                    + 2 * product(&[l.tokens, l.hidden])
            }
        };
        elements * u128::from(self.data_type().bytes())
    }

    fn checked(self, text: &str) -> Result<Self, InvalidShape> {
        let fail = |why: String| InvalidShape {
            text: text.to_owned(),
            why,
        };
        if let Self::Layer { layer, .. } = self {
            if layer.kv_heads > layer.heads || layer.heads % layer.kv_heads != 0 {
                return Err(fail(
                    "the query heads must be a multiple of the key-value heads".to_owned(),
                ));
            }
            if layer.head_dim % 2 != 0 {
                return Err(fail(
                    "a head must have an even number of elements".to_owned(),
                ));
            }
            if layer.tokens != 1 {
                return Err(fail(
                    "only layers of one token (decoding) can be measured yet".to_owned(),
                ));
            }
        }
        if self.wide_bytes() > MAX_BYTES {
            return Err(fail("its operands take more than 16 GiB".to_owned()));
        }
        Ok(self)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gemm { m, n, k, dtype } => write!(f, "gemm:{m}x{n}x{k}:{dtype}"),
            Self::Gemv { n, k, dtype } => write!(f, "gemv:{n}x{k}:{dtype}"),
            Self::Triad { n, dtype } => write!(f, "triad:{n}:{dtype}"),
            Self::RmsNorm {
                rows,
                columns,
                dtype,
            } => write!(f, "rmsnorm:{rows}x{columns}:{dtype}"),
            Self::Softmax {
                rows,
                columns,
                dtype,
            } => write!(f, "softmax:{rows}x{columns}:{dtype}"),
            Self::Layer { layer: l, dtype } => write!(
                f,
                "layer:{}x{}x{}:h{}x{}x{}:c{}:{dtype}",
                l.tokens, l.hidden, l.ffn, l.heads, l.kv_heads, l.head_dim, l.context
            ),
        }
    }
}

impl From<Shape> for String {
    fn from(shape: Shape) -> Self {
        shape.to_string()
    }
}

impl TryFrom<String> for Shape {
    type Error = InvalidShape;
    fn try_from(text: String) -> Result<Self, InvalidShape> {
        text.parse()
    }
}

impl FromStr for Shape {
    type Err = InvalidShape;

    fn from_str(text: &str) -> Result<Self, InvalidShape> {
        let fail = |why: String| InvalidShape {
            text: text.to_owned(),
            why,
        };
        let parts: Vec<&str> = text.split(':').collect();
        let (&[kind, ref middle @ ..], &dtype) = (match parts.split_last() {
            Some((last, rest)) if !rest.is_empty() => (rest, last),
            _ => {
                return Err(fail(
                    "it is written KIND:DIMENSIONS:TYPE, as in gemm:256x256x256:f32".to_owned(),
                ));
            }
        }) else {
            return Err(fail("it is written KIND:DIMENSIONS:TYPE".to_owned()));
        };
        let dtype = match dtype {
            "f32" => DataType::F32,
            other => {
                return Err(fail(format!(
                    "`{other}` is not a data type that can be measured yet (known: f32)"
                )));
            }
        };
        let forms: &[&str] = match kind {
            "gemm" => &["MxNxK"],
            "gemv" => &["NxK"],
            "triad" => &["N"],
            "rmsnorm" | "softmax" => &["ROWSxCOLUMNS"],
            "layer" => &["TOKENSxHIDDENxFFN", "hHEADSxKVxDIM", "cCONTEXT"],
            other => {
                let known = "gemm, gemv, triad, rmsnorm, softmax, layer";
                return Err(fail(format!(
                    "`{other}` is not a kind of work (known: {known})"
                )));
            }
        };
        let form = || format!("{kind} is written {kind}:{}:TYPE", forms.join(":"));
        if middle.len() != forms.len() {
            return Err(fail(form()));
        }
        let mut dims = Vec::new();
        for (part, pattern) in middle.iter().zip(forms) {
            let prefix: String = pattern
                .chars()
                .take_while(char::is_ascii_lowercase)
                .filter(|c| *c != 'x')
                .collect();
            let numbers = part
                .strip_prefix(prefix.as_str())
                .ok_or_else(|| fail(form()))?;
            let parsed: Vec<u32> = numbers
                .split('x')
                .map(|n| dimension(n).map_err(&fail))
                .collect::<Result<_, _>>()?;
            if parsed.len() != pattern.split('x').count() {
                return Err(fail(form()));
            }
            dims.extend(parsed);
        }
        let shape = match (kind, dims.as_slice()) {
            ("gemm", &[m, n, k]) => Self::Gemm { m, n, k, dtype },
            ("gemv", &[n, k]) => Self::Gemv { n, k, dtype },
            ("triad", &[n]) => Self::Triad { n, dtype },
            ("rmsnorm", &[rows, columns]) => Self::RmsNorm {
                rows,
                columns,
                dtype,
            },
            ("softmax", &[rows, columns]) => Self::Softmax {
                rows,
                columns,
                dtype,
            },
            ("layer", &[tokens, hidden, ffn, heads, kv_heads, head_dim, context]) => Self::Layer {
                layer: LayerShape {
                    tokens,
                    hidden,
                    ffn,
                    heads,
                    kv_heads,
                    head_dim,
                    context,
                },
                dtype,
            },
            _ => return Err(fail(form())),
        };
        shape.checked(text)
    }
}

/// A dimension as digits alone: what prints must be what was parsed, so no sign and no leading zero.
fn dimension(text: &str) -> Result<u32, String> {
    let plain =
        !text.starts_with('0') && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<u32>() {
        Ok(n) if plain && n <= MAX_DIMENSION => Ok(n),
        _ => Err(format!(
            "`{text}` is not a dimension; expected a whole number from 1 to {MAX_DIMENSION}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_parse_and_print_the_same() {
        for text in [
            "gemm:256x256x256:f32",
            "gemv:2048x8192:f32",
            "triad:4194304:f32",
            "rmsnorm:128x2048:f32",
            "softmax:512x512:f32",
            "layer:1x2048x8192:h32x8x64:c1024:f32",
        ] {
            assert_eq!(text.parse::<Shape>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn malformed_shapes_say_what_would_be_right() {
        for (text, says) in [
            ("", "KIND:DIMENSIONS:TYPE"),
            ("gemm", "KIND:DIMENSIONS:TYPE"),
            ("gemm:f32", "gemm:MxNxK:TYPE"),
            ("gemm:1x2:f32", "gemm:MxNxK:TYPE"),
            ("gemm:1x2x3x4:f32", "gemm:MxNxK:TYPE"),
            ("gemm:0x2x3:f32", "whole number from 1"),
            ("gemm:+1x2x3:f32", "whole number from 1"),
            ("gemm:01x2x3:f32", "whole number from 1"),
            ("gemm:-1x2x3:f32", "whole number from 1"),
            ("gemm:1x2x99999999999:f32", "whole number from 1"),
            ("gemm:256x256x256:q4_0", "not a data type"),
            ("gem:256x256x256:f32", "not a kind of work"),
            ("triad:268435456x2:f32", "triad:N:TYPE"),
            ("gemv:268435456x268435456:f32", "more than 16 GiB"),
            ("layer:1x2048x8192:h32x8x64:1024:f32", "cCONTEXT"),
            (
                "layer:1x2048x8192:h32x7x64:c1024:f32",
                "multiple of the key-value heads",
            ),
            (
                "layer:1x2048x8192:h4x8x64:c1024:f32",
                "multiple of the key-value heads",
            ),
            ("layer:8x2048x8192:h32x8x64:c1024:f32", "one token"),
        ] {
            let error = text.parse::<Shape>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn flops_and_bytes_are_those_of_the_literature() {
        let shape = |text: &str| text.parse::<Shape>().unwrap();
        assert_eq!(shape("gemm:256x256x256:f32").flops(), 33_554_432);
        assert_eq!(shape("gemm:256x256x256:f32").bytes(), 786_432);
        assert_eq!(shape("gemv:2048x8192:f32").flops(), 33_554_432);
        assert_eq!(
            shape("gemv:2048x8192:f32").bytes(),
            4 * (2048 * 8192 + 2048 + 8192)
        );
        assert_eq!(shape("triad:32768:f32").bytes(), 12 * 32768);
        let llama = shape("layer:1x2048x8192:h32x8x64:c1024:f32");
        // 2048·(32+8+8+32)·64 + 3·2048·8192 = 60 817 408 weights; 4·32·64·1024 attention operations
        assert_eq!(llama.flops(), 2 * 60_817_408 + 8_388_608);
        assert_eq!(
            llama.bytes(),
            4 * (60_817_408 + 2 * 8 * 64 * 1024 + 2 * 2048)
        );
    }
}

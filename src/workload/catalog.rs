//! The catalogue: named workloads, in the order of tables and profiles; quick ones are tuned before the others.

use super::{Residency, Shape};
use serde::Deserialize;
use std::collections::BTreeSet;

/// The catalogue that the binary carries, `profiles/catalog.toml`.
const DEFAULT: &str = include_str!("../../profiles/catalog.toml");

/// One named piece of work.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Its name, e.g. `matmul-256`.
    pub name: String,
    /// What one call computes.
    pub shape: Shape,
    /// Where its data lies.
    #[serde(default)]
    pub residency: Residency,
    /// Does `tune --quick` take it? Such workloads are tuned first.
    #[serde(default)]
    pub quick: bool,
}

/// Named workloads, each name once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    workloads: Vec<Workload>,
}

/// Why a text is no catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// Not TOML, or a key or value that is not understood; the message names line and column.
    #[error("{0}")]
    Malformed(String),
    /// A name stands twice.
    #[error(
        "line {line}: the name `{name}` stands twice; give one of the two workloads another name"
    )]
    Duplicate {
        /// Line of the second one, from 1.
        line: usize,
        /// The name.
        name: String,
    },
    /// A name that could not be typed after `-w`.
    #[error(
        "line {line}: `{name}` is not a name for a workload: use lower-case letters, digits, `.`, `_`, `-` and `/`, \
         with a letter or digit first and last"
    )]
    Name {
        /// Line of the workload, from 1.
        line: usize,
        /// The name.
        name: String,
    },
    /// Nothing to measure.
    #[error("the catalogue holds no [[workload]]")]
    Empty,
}

/// A name that the catalogue, or a recording, lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownWorkload {
    /// The name asked for.
    pub name: String,
    /// Names that look like it, closest first.
    pub closest: Vec<String>,
}

impl UnknownWorkload {
    /// None of `names` is this one.
    pub fn among<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Self {
        Self {
            name: name.to_owned(),
            closest: closest(name, names),
        }
    }
}

impl std::error::Error for UnknownWorkload {}

impl std::fmt::Display for UnknownWorkload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "unknown workload `{}`", self.name)?;
        match self.closest.as_slice() {
            [] => Ok(()),
            [one] => write!(f, "; did you mean `{one}`?"),
            [some @ .., last] => {
                write!(f, "; did you mean `{}` or `{last}`?", some.join("`, `"))
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    workload: Vec<toml::Spanned<Workload>>,
}

impl Catalog {
    /// The catalogue that the binary carries.
    ///
    /// # Panics
    /// Never in a build whose tests pass: one of them parses this very text.
    #[allow(clippy::missing_panics_doc)]
    pub fn embedded() -> Self {
        Self::parse(DEFAULT).expect("a test parses the embedded catalogue")
    }

    /// Parses a catalogue; errors name the line.
    pub fn parse(text: &str) -> Result<Self, CatalogError> {
        let file: File = toml::from_str(text)
            .map_err(|e| CatalogError::Malformed(e.to_string().trim_end().to_owned()))?;
        let mut names = BTreeSet::new();
        let mut workloads = Vec::new();
        for spanned in file.workload {
            let line = 1 + text
                .bytes()
                .take(spanned.span().start)
                .filter(|b| *b == b'\n')
                .count();
            let workload = spanned.into_inner();
            let name = workload.name.clone();
            if !is_name(&name) {
                return Err(CatalogError::Name { line, name });
            }
            if !names.insert(name.clone()) {
                return Err(CatalogError::Duplicate { line, name });
            }
            workloads.push(workload);
        }
        if workloads.is_empty() {
            return Err(CatalogError::Empty);
        }
        Ok(Self { workloads })
    }

    /// All workloads, in the catalogue's order.
    pub fn workloads(&self) -> &[Workload] {
        &self.workloads
    }

    /// The workload of this name.
    pub fn get(&self, name: &str) -> Result<&Workload, UnknownWorkload> {
        self.workloads
            .iter()
            .find(|w| w.name == name)
            .ok_or_else(|| {
                UnknownWorkload::among(name, self.workloads.iter().map(|w| w.name.as_str()))
            })
    }

    /// The names, in the catalogue's order.
    pub fn names(&self) -> Vec<&str> {
        self.workloads.iter().map(|w| w.name.as_str()).collect()
    }

    /// The workloads of these names, each once, or all of them where none is named, by priority: when a run's time is
    /// short, the first ones get what they need. Quick ones come first, then the others, each in the catalogue's order.
    pub fn select(&self, names: &[String], quick: bool) -> Result<Vec<Workload>, UnknownWorkload> {
        for name in names {
            self.get(name)?;
        }
        let wanted =
            |w: &&Workload| (names.is_empty() || names.contains(&w.name)) && (!quick || w.quick);
        let mut selected: Vec<Workload> = self.workloads.iter().filter(wanted).cloned().collect();
        // The sort is stable.
        selected.sort_by_key(|workload| !workload.quick);
        Ok(selected)
    }
}

/// Up to three of `names` that look like `name`, closest first.
pub fn closest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut scored: Vec<(f64, &str)> = names
        .map(|n| (strsim::jaro_winkler(name, n), n))
        .filter(|(score, _)| *score > 0.7)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored
        .into_iter()
        .take(3)
        .map(|(_, n)| n.to_owned())
        .collect()
}

fn is_name(name: &str) -> bool {
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    end(name.chars().next())
        && end(name.chars().next_back())
        && name.len() <= 100
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_catalogue_holds_what_this_version_measures() {
        let catalog = Catalog::embedded();
        let quick: Vec<&str> = catalog
            .workloads()
            .iter()
            .filter(|w| w.quick)
            .map(|w| w.name.as_str())
            .collect();
        assert_eq!(
            quick,
            [
                "matmul-64",
                "matmul-256",
                "matmul-1024",
                "gemm-16x2048x2048",
                "gemv-2048x2048",
                "rmsnorm-128x2048",
                "softmax-512x512",
                "llama3.2-1b/decode"
            ]
        );
        assert_eq!(catalog.workloads().len(), 18);
        let hot: Vec<&str> = catalog
            .workloads()
            .iter()
            .filter(|w| w.residency == Residency::Cache)
            .map(|w| w.name.as_str())
            .collect();
        assert_eq!(
            hot,
            [
                "matmul-64",
                "matmul-128",
                "matmul-256",
                "matmul-512",
                "matmul-1024",
                "matmul-2048",
                "gemv-2048x2048/hot"
            ]
        );
    }

    #[test]
    fn an_unknown_name_gets_the_closest_ones() {
        let error = Catalog::embedded().get("matmul-265").unwrap_err();
        assert_eq!(error.closest.len(), 3);
        assert!(error.closest.contains(&"matmul-256".to_owned()), "{error}");
        assert_eq!(
            Catalog::embedded().get("???").unwrap_err().to_string(),
            "unknown workload `???`"
        );
    }

    #[test]
    fn names_are_taken_once_and_quick_ones_first() {
        let catalog = Catalog::embedded();
        let asked = [
            "triad-4m",
            "softmax-512x512",
            "matmul-128",
            "matmul-64",
            "triad-4m",
        ];
        let selected = catalog.select(&asked.map(str::to_owned), false).unwrap();
        let names: Vec<&str> = selected.iter().map(|w| w.name.as_str()).collect();
        assert_eq!(
            names,
            ["matmul-64", "softmax-512x512", "matmul-128", "triad-4m"]
        );
        let quick = catalog.select(&[], true).unwrap();
        let all = catalog.select(&[], false).unwrap();
        assert_eq!((quick.len(), all.len()), (8, 18));
        assert_eq!(all[..8], quick);
        let unknown = catalog.select(&["matmul-63".to_owned()], false);
        assert_eq!(unknown.unwrap_err().name, "matmul-63");
    }

    #[test]
    fn bad_catalogues_are_errors_with_their_line() {
        let entry =
            |name: &str| format!("[[workload]]\nname = \"{name}\"\nshape = \"gemv:64x64:f32\"\n");
        let twice = entry("a") + &entry("b") + &entry("a");
        assert_eq!(
            Catalog::parse(&twice),
            Err(CatalogError::Duplicate {
                line: 7,
                name: "a".to_owned()
            })
        );
        assert_eq!(Catalog::parse("\n# nothing\n"), Err(CatalogError::Empty));
        for name in ["", "A", "-a", "a b", "a:2", "a/"] {
            assert_eq!(
                Catalog::parse(&entry(name)),
                Err(CatalogError::Name {
                    line: 1,
                    name: name.to_owned()
                })
            );
        }
        for (text, says) in [
            (
                "[[workload]]\nname = \"a\"\nshape = \"gemm:1x2:f32\"\n",
                "line 3",
            ),
            (
                "[[workload]]\nname = \"a\"\nshape = \"gemm:1x2:f32\"\n",
                "gemm:MxNxK:TYPE",
            ),
            ("[[workload]]\nname = \"a\"\n", "shape"),
            (
                "[[workload]]\nname = \"a\"\nshap = \"triad:1:f32\"\n",
                "shap",
            ),
            ("[[workload", "line 1"),
            (
                "[[workload]]\nname = \"a\"\nshape = \"triad:9:f32\"\nresidency = \"disk\"\n",
                "line 4",
            ),
        ] {
            let error = Catalog::parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}

//! Times in the unit that suits them.

/// The unit in which a time is readable, and how many microseconds it has.
fn unit_of(us: f64) -> (&'static str, f64) {
    match us {
        us if us < 1.0 => ("ns", 1e-3),
        us if us < 1e3 => ("µs", 1.0),
        us if us < 1e6 => ("ms", 1e3),
        _ => ("s", 1e6),
    }
}

/// Three significant digits without an exponent.
fn digits(value: f64) -> String {
    match value {
        v if v >= 99.95 => format!("{v:.0}"),
        v if v >= 9.995 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

/// A time given in microseconds, to three significant digits: `112 µs`, `2.24 ms`.
pub fn time(us: f64) -> String {
    let (name, scale) = unit_of(us);
    format!("{} {name}", digits(us / scale))
}

/// An interval in the unit of its upper end: `111–113 µs`.
pub(super) fn interval([low, high]: [f64; 2]) -> String {
    let (name, scale) = unit_of(high);
    // Ends that three digits cannot tell apart get one more.
    let (mut a, mut b) = (digits(low / scale), digits(high / scale));
    if a == b {
        (a, b) = (one_more(low / scale), one_more(high / scale));
    }
    format!("{a}–{b} {name}")
}

fn one_more(value: f64) -> String {
    match value {
        v if v >= 99.95 => format!("{v:.1}"),
        v if v >= 9.995 => format!("{v:.2}"),
        v => format!("{v:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_a_fitting_unit() {
        for (us, text) in [
            (0.0042, "4.20 ns"),
            (0.5, "500 ns"),
            (1.0, "1.00 µs"),
            (9.996, "10.0 µs"),
            (112.3, "112 µs"),
            (2240.0, "2.24 ms"),
            (24100.0, "24.1 ms"),
            (3.2e6, "3.20 s"),
            (6.4e8, "640 s"),
        ] {
            assert_eq!(time(us), text);
        }
        assert_eq!(interval([110.9, 113.2]), "111–113 µs");
        assert_eq!(interval([990.0, 1010.0]), "0.99–1.01 ms");
        assert_eq!(interval([112.1, 112.4]), "112.1–112.4 µs");
    }
}

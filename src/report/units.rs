//! Times and sizes in the unit that suits them.

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
pub(super) fn digits(value: f64) -> String {
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

/// A number of things: `1 node`, `2 nodes`.
pub fn counted(number: usize, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {one}{plural}")
}

fn one_more(value: f64) -> String {
    match value {
        v if v >= 99.95 => format!("{v:.1}"),
        v if v >= 9.995 => format!("{v:.2}"),
        v => format!("{v:.3}"),
    }
}

/// A size in the largest unit of which it has at least one, to three significant digits: `32 MiB`, `62.6 GiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let power = (bytes.max(1).ilog2() / 10) as usize;
    let number = digits(bytes as f64 / (1u64 << (10 * power)) as f64);
    let number = if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        &number
    };
    format!("{number} {}", UNITS[power])
}

/// A length of time in round figures: `6 s`, `8 min`, `2.5 h`.
pub fn rough(seconds: f64) -> String {
    let seconds = seconds.max(1.0).round();
    match seconds {
        s if s < 100.0 => format!("{s:.0} s"),
        s if s < 6000.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_powers_of_two_for_units() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1 << 10, "1 KiB"),
            (32 << 20, "32 MiB"),
            (39424 << 10, "38.5 MiB"),
            (65_621_548 << 10, "62.6 GiB"),
            (1023 << 20, "1023 MiB"),
            ((16 << 30) - 4096, "16 GiB"),
            (1300 << 20, "1.27 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

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

    #[test]
    fn figures_are_round() {
        for (seconds, text) in [
            (0.0, "1 s"),
            (0.3, "1 s"),
            (6.4, "6 s"),
            (99.4, "99 s"),
            (99.6, "2 min"),
            (480.0, "8 min"),
            (5990.0, "100 min"),
            (9000.0, "2.5 h"),
        ] {
            assert_eq!(rough(seconds), text);
        }
    }
}

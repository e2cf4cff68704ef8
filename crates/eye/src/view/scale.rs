//! Numbers as people read them, and the steps of an axis.

/// A count with its thousands parted: `1,073,741,824`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 call`, `2 calls`, `1,204 calls`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(count))
}

/// A size in few characters, in powers of 1,000 and rounded to two digits or three: `78`, `4.3k`,
/// `66k`, `1.1G`.
pub(super) fn short(bytes: u64) -> String {
    if bytes < 1000 {
        return bytes.to_string();
    }
    let bytes = u128::from(bytes);
    let mut unit = 1000_u128;
    for name in ["k", "M", "G", "T", "P", "E"] {
        let tenths = (bytes + unit / 20) / (unit / 10);
        let whole = (bytes + unit / 2) / unit;
        match (tenths / 10, tenths % 10) {
            (few @ 0..=9, tenth @ 1..) => return format!("{few}.{tenth}{name}"),
            // What would round up to 1000 of a unit is 1 of the next.
            _ if whole < 1000 => return format!("{whole}{name}"),
            _ => unit *= 1000,
        }
    }
    format!("{bytes}")
}

/// A size with its unit: `233 B`, `4,312 B`.
pub(crate) fn bytes(count: u64) -> String {
    format!("{} B", grouped(count))
}

/// Milliseconds with as many decimals as matter for their size: `0.031`, `12.4`, `1,204`.
pub(crate) fn millis(nanos: u64) -> String {
    let (unit, decimals) = unit_of_millis(nanos);
    decimal(nanos.saturating_add(unit / 2) / unit, decimals)
}

/// How many nanoseconds the last digit of so many stands for, and how many decimals of a
/// millisecond are shown then.
fn unit_of_millis(nanos: u64) -> (u64, u32) {
    match nanos {
        0..1_000_000 => (1_000, 3),
        1_000_000..10_000_000 => (10_000, 2),
        10_000_000..1_000_000_000 => (100_000, 1),
        _ => (1_000_000, 0),
    }
}

/// Milliseconds with a fixed number of decimals, 0 to 6.
pub(crate) fn millis_fixed(nanos: u64, decimals: u32) -> String {
    let unit = 10_u64.pow(6 - decimals.min(6));
    decimal(nanos.saturating_add(unit / 2) / unit, decimals)
}

/// A span of time in words: `0.031 ms`, `12.4 ms`, `59.9 s`.
pub(crate) fn span(nanos: u64) -> String {
    if nanos < 10_000_000_000 {
        format!("{} ms", millis(nanos))
    } else {
        format!("{} s", decimal(nanos.saturating_add(50_000_000) / 100_000_000, 1))
    }
}

/// The parts of `whole`, in the unit and with the decimals that [`span`] shows the whole with;
/// `None` for what would show as nothing.
///
/// Rounded so that what is shown adds up to the whole as it is shown, if the parts do.
pub(crate) fn shares<const N: usize>(parts: [u64; N], whole: u64) -> [Option<String>; N] {
    let (unit, decimals) = match whole {
        0..10_000_000_000 => unit_of_millis(whole),
        _ => (100_000_000, 1),
    };
    let mut shown = parts.map(|part| part / unit);
    let sum = parts.iter().fold(0, |sum: u64, part| sum.saturating_add(*part));
    let missing = (sum.saturating_add(unit / 2) / unit).saturating_sub(shown.iter().sum());
    let mut by_rest: [usize; N] = std::array::from_fn(|place| place);
    by_rest.sort_by_key(|place| std::cmp::Reverse(parts[*place] % unit));
    let missing = usize::try_from(missing).unwrap_or(N).min(N);
    for place in &by_rest[..missing] {
        shown[*place] += 1;
    }
    shown.map(|shown| (shown > 0).then(|| decimal(shown, decimals)))
}

fn decimal(scaled: u64, decimals: u32) -> String {
    if decimals == 0 {
        return grouped(scaled);
    }
    let unit = 10_u64.pow(decimals);
    let width = decimals as usize;
    format!("{}.{:0width$}", grouped(scaled / unit), scaled % unit)
}

/// The distance between the marks of an axis from 0 to `total`: 1, 2 or 5 times a power of ten,
/// so that there are at most `marks` of them.
pub(super) fn step(total: u64, marks: u64) -> u64 {
    let wanted = total.div_ceil(marks.max(1)).max(1);
    let mut unit = 1_u64;
    loop {
        for factor in [1, 2, 5] {
            let step = unit.saturating_mul(factor);
            if step >= wanted {
                return step;
            }
        }
        unit = unit.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short_and_never_show_a_thousand_of_a_unit() {
        let shown = [0, 999, 1000, 4312, 9_960, 65_536, 999_499, 999_500, 1 << 30].map(short);
        assert_eq!(shown, ["0", "999", "1k", "4.3k", "10k", "66k", "999k", "1M", "1.1G"]);
    }

    #[test]
    fn milliseconds_keep_the_digits_that_matter() {
        let shown = [31_000, 999_900, 1_234_000, 12_440_000, 1_204_000_000].map(millis);
        assert_eq!(shown, ["0.031", "1.000", "1.23", "12.4", "1,204"]);
    }

    #[test]
    fn shares_add_up_to_the_whole_as_it_is_shown() {
        let shown = |parts, whole| shares(parts, whole).map(|part| part.unwrap_or_default());
        assert_eq!(span(1_000_500), "1.00 ms");
        assert_eq!(shown([333_500, 333_500, 333_500], 1_000_500), ["0.34", "0.33", "0.33"]);
        assert_eq!(shown([999_999_999, 1, 0], 1_000_000_000), ["1,000", "", ""]);
        assert_eq!(shown([14_960_000_000, 30_000_000, 10_000_000], 15_000_000_000)[0], "15.0");
        assert_eq!(shown([0, 0, 0], 0), ["", "", ""]);
    }

    #[test]
    fn steps_are_round_and_few() {
        assert_eq!([step(30, 6), step(233, 6), step(300_000, 6)], [5, 50, 50_000]);
        assert_eq!(step(0, 6), 1);
        assert!(step(u64::MAX, 3) > u64::MAX / 4);
    }
}

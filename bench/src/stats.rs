//! Medians and quartiles: what a noisy machine leaves standing.

/// The middle of a sample and the bounds of its middle half.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quartiles {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Quartiles {
    /// Linear interpolation between the two nearest ranks; `None` for an empty sample or one with
    /// a value that is not a number.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        if sorted.is_empty() || sorted.iter().any(|value| value.is_nan()) {
            return None;
        }
        sorted.sort_by(f64::total_cmp);
        let at = |quarter: usize| {
            let position = (sorted.len() - 1) * quarter;
            let (below, part) = (position / 4, position % 4);
            let above = (below + 1).min(sorted.len() - 1);
            let fraction = [0.0, 0.25, 0.5, 0.75][part];
            sorted[below] + (sorted[above] - sorted[below]) * fraction
        };
        Some(Self { low: at(1), median: at(2), high: at(3) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_of_known_samples() {
        let five = Quartiles::of([5.0, 1.0, 4.0, 2.0, 3.0]).expect("five values");
        assert_eq!(five, Quartiles { low: 2.0, median: 3.0, high: 4.0 });
        let four = Quartiles::of([1.0, 2.0, 3.0, 4.0]).expect("four values");
        assert_eq!(four, Quartiles { low: 1.75, median: 2.5, high: 3.25 });
        let one = Quartiles::of([7.0]).expect("one value");
        assert_eq!(one, Quartiles { low: 7.0, median: 7.0, high: 7.0 });
    }

    #[test]
    fn nothing_has_no_middle() {
        assert_eq!(Quartiles::of([]), None);
        assert_eq!(Quartiles::of([1.0, f64::NAN]), None);
    }
}

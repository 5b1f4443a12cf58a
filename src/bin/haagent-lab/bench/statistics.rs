//! What is said of many measured values. Pure.

/// Below so many values the 99th percentile is the greatest one, and is not called by that name.
const ENOUGH_FOR_P99: usize = 100;

/// Measured values of one thing, in any one unit, the least first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample(Vec<f64>);

impl FromIterator<f64> for Sample {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }
}

impl Sample {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The one in the middle, or the mean of the two there. None of no values.
    pub(crate) fn median(&self) -> Option<f64> {
        let upper = self.0.get(self.0.len() / 2)?;
        let lower = if self.0.len().is_multiple_of(2) { self.0.get(self.0.len() / 2 - 1)? } else { upper };
        Some(f64::midpoint(*lower, *upper))
    }

    /// The least value that 99 of 100 do not exceed (nearest rank). None of fewer than 100 values.
    pub(crate) fn p99(&self) -> Option<f64> {
        let rank = (self.0.len() * 99).div_ceil(100);
        (self.0.len() >= ENOUGH_FOR_P99).then(|| self.0.get(rank - 1).copied()).flatten()
    }

    /// The greatest. None of no values.
    pub(crate) fn max(&self) -> Option<f64> {
        self.0.last().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(values: &[f64]) -> Sample {
        values.iter().copied().collect()
    }

    #[test]
    fn the_median_is_the_one_in_the_middle_or_between_the_two_there() {
        assert_eq!(sample(&[]).median(), None);
        assert_eq!(sample(&[7.0]).median(), Some(7.0));
        assert_eq!(sample(&[9.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(sample(&[9.0, 1.0, 3.0, 2.0]).median(), Some(2.5));
        assert_eq!(sample(&[-3.0, -1.0]).median(), Some(-2.0));
    }

    #[test]
    fn the_99th_percentile_leaves_one_of_100_above_it_and_none_is_claimed_of_fewer() {
        let to = |n: i32| (1..=n).rev().map(f64::from).collect::<Sample>();
        assert_eq!(to(99).p99(), None);
        assert_eq!(to(100).p99(), Some(99.0));
        assert_eq!(to(101).p99(), Some(100.0));
        assert_eq!(to(1000).p99(), Some(990.0));
    }

    #[test]
    fn the_greatest_is_the_last() {
        assert_eq!(sample(&[1.0, 9.0, 2.0]).max(), Some(9.0));
        assert_eq!((sample(&[]).max(), sample(&[]).len()), (None, 0));
    }
}

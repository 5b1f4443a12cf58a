//! What several commands of the lab take, and how it is read.

use std::time::Duration;

/// A duration with its unit, as milliseconds: what control endpoints take.
pub(crate) fn milliseconds(text: &str) -> Result<u64, String> {
    u64::try_from(duration(text)?.as_millis()).map_err(|_| "too long".to_owned())
}

/// A duration with its unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write a number with a unit: 200ms, 5s, 2m"))
}

/// A share of all: 0.3 or 30%.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let (number, whole) = text.strip_suffix('%').map_or((text, 1.0), |percent| (percent, 100.0));
    match number.parse::<f64>() {
        Ok(number) if (0.0..=whole).contains(&number) => Ok(number / whole),
        _ => Err("write a share from 0 to 1, or in percent: 0.3, 30%".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_durations_have_their_units() {
        assert_eq!((share("0.3"), share("30%"), share("100%")), (Ok(0.3), Ok(0.3), Ok(1.0)));
        assert!(["1.1", "101%", "-1", "x", ""].into_iter().all(|text| share(text).is_err()));
        assert_eq!((milliseconds("2s"), milliseconds("1m 5ms")), (Ok(2_000), Ok(60_005)));
        assert!(milliseconds("20").unwrap_err().contains("with a unit"));
    }
}

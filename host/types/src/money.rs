//! What calls cost, in whatever currency the operator counts in.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Range};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

/// What a unit of currency is divided into.
const PARTS: u64 = 1_000_000_000_000;
const DIGITS: usize = 12;

/// An amount of money, exact to a millionth of a millionth: a call of twenty microseconds costs so little. The largest is
/// about 18 million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Money(u64);

/// A string that is no amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an amount; write a number with at most {DIGITS} decimals, such as `0.00002`")]
pub struct ParseMoneyError(String);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// What `time` costs at this price of an hour, rounded up.
    pub fn of(self, time: Duration) -> Self {
        const HOUR_NANOS: u128 = 3600 * 1_000_000_000;
        let parts = u128::from(self.0).saturating_mul(time.as_nanos()).div_ceil(HOUR_NANOS);
        Self(u64::try_from(parts).unwrap_or(u64::MAX))
    }

    /// What so many bytes cost at this price of a GiB, rounded up.
    pub fn of_bytes(self, bytes: u64) -> Self {
        let parts = (u128::from(self.0) * u128::from(bytes)).div_ceil(1 << 30);
        Self(u64::try_from(parts).unwrap_or(u64::MAX))
    }

    /// In units.
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / PARTS as f64
    }

    /// Whether it is nothing.
    pub fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Self::add)
    }
}

/// An amount as it is written. Each record of a call has one, so it is made on the stack.
struct Text {
    bytes: [u8; Self::LENGTH],
    range: Range<usize>,
}

impl Text {
    /// Eight digits of units at most, a point, and the decimals.
    const LENGTH: usize = 8 + 1 + DIGITS;

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[self.range.clone()]).unwrap_or_default()
    }
}

impl From<Money> for Text {
    /// Without zeros at the end: `0.00002`.
    fn from(money: Money) -> Self {
        let (mut units, mut parts) = (money.0 / PARTS, money.0 % PARTS);
        let mut bytes = [b'0'; Self::LENGTH];
        let (mut start, point) = (Self::LENGTH - DIGITS - 1, Self::LENGTH - DIGITS - 1);
        let mut end = point;
        bytes[point] = b'.';
        for place in (point + 1..Self::LENGTH).rev() {
            bytes[place] = b'0' + (parts % 10) as u8;
            if end == point && parts % 10 > 0 {
                end = place + 1;
            }
            parts /= 10;
        }
        while units > 0 || start == point {
            start -= 1;
            bytes[start] = b'0' + (units % 10) as u8;
            units /= 10;
        }
        Self { bytes, range: start..end }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(Text::from(*self).as_str())
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(Text::from(*self).as_str())
    }
}

impl FromStr for Money {
    type Err = ParseMoneyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (units, decimals) = text.split_once('.').unwrap_or((text, "0"));
            let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
            if !is_number(units) || !is_number(decimals) || decimals.len() > DIGITS {
                return None;
            }
            let parts: u64 = format!("{decimals:0<DIGITS$}").parse().ok()?;
            units.parse::<u64>().ok()?.checked_mul(PARTS)?.checked_add(parts).map(Self)
        };
        parse().ok_or_else(|| ParseMoneyError(text.chars().take(100).collect()))
    }
}

impl TryFrom<String> for Money {
    type Error = ParseMoneyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_what_they_write_and_nothing_else() {
        for text in ["0", "1", "0.00002", "12.5", "0.000000000001", "18446744.073709551615"] {
            assert_eq!(text.parse::<Money>().unwrap().to_string(), text);
        }
        assert_eq!("1.50".parse::<Money>().unwrap().to_string(), "1.5");
        for bad in ["", ".", "1.", ".5", "-1", "+1", "1e-3", "0.0000000000001", "18446745", "1,5", "a"] {
            assert!(bad.parse::<Money>().is_err(), "{bad}");
        }
    }

    #[test]
    fn time_and_bytes_have_their_price_rounded_up() {
        let price: Money = "0.036".parse().unwrap();
        assert_eq!(price.of(Duration::from_secs(3600)), price);
        assert_eq!(price.of(Duration::from_millis(100)).to_string(), "0.000001");
        assert_eq!(price.of(Duration::from_nanos(1)).to_string(), "0.000000000001");
        assert_eq!(price.of_bytes(1 << 29).to_string(), "0.018");
        assert_eq!(price.of_bytes(1).to_string(), "0.000000000034");
        assert!(Money::ZERO.of(Duration::MAX).is_zero());
        assert_eq!(Money(u64::MAX).of(Duration::MAX), Money(u64::MAX));
    }
}

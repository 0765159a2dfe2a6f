//! What a call took, and what that costs.

use std::fmt;
use std::iter::Sum;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::Money;

/// What one call took of one node, or many calls together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bill {
    /// A core running the function's own code, in seconds.
    pub cpu_seconds: f64,
    /// A core running models and kernels on its behalf, in seconds.
    pub kernel_seconds: f64,
    /// Linear memory and host tensors of its sandbox, shared among the calls in it, over time: byte times second.
    pub memory_byte_seconds: f64,
    /// The request's body, as far as it was read.
    pub request_bytes: u64,
    /// The response's body, as far as it was sent.
    pub response_bytes: u64,
    /// What of both this node sent to another node.
    pub transfer_bytes: u64,
    /// What all that costs by the prices of the node.
    pub cost: Money,
}

impl AddAssign for Bill {
    fn add_assign(&mut self, other: Self) {
        self.cpu_seconds += other.cpu_seconds;
        self.kernel_seconds += other.kernel_seconds;
        self.memory_byte_seconds += other.memory_byte_seconds;
        self.request_bytes = self.request_bytes.saturating_add(other.request_bytes);
        self.response_bytes = self.response_bytes.saturating_add(other.response_bytes);
        self.transfer_bytes = self.transfer_bytes.saturating_add(other.transfer_bytes);
        self.cost = self.cost + other.cost;
    }
}

impl Sum for Bill {
    fn sum<I: Iterator<Item = Self>>(bills: I) -> Self {
        bills.fold(Self::default(), |mut sum, bill| {
            sum += bill;
            sum
        })
    }
}

/// As parameters of a header field (RFC 9651): what is nothing is left out, but for the cost.
impl fmt::Display for Bill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cost={}", self.cost)?;
        for (name, value) in [("cpu", self.cpu_seconds), ("kernel", self.kernel_seconds)] {
            if value > 0.0 {
                write!(f, ";{name}={value:.6}")?;
            }
        }
        if self.memory_byte_seconds > 0.0 {
            write!(f, ";memory={:.0}", self.memory_byte_seconds)?;
        }
        for (name, bytes) in
            [("request", self.request_bytes), ("response", self.response_bytes), ("transfer", self.transfer_bytes)]
        {
            if bytes > 0 {
                write!(f, ";{name}={bytes}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bills_add_up_and_say_what_there_is() {
        let one = Bill { cpu_seconds: 0.25, request_bytes: 10, cost: "0.5".parse().unwrap(), ..Bill::default() };
        let two = Bill { kernel_seconds: 1.0, transfer_bytes: 7, cost: "0.25".parse().unwrap(), ..Bill::default() };
        let both: Bill = [one, two].into_iter().sum();
        assert_eq!(both.to_string(), "cost=0.75;cpu=0.250000;kernel=1.000000;request=10;transfer=7");
        assert_eq!(Bill::default().to_string(), "cost=0");
    }
}

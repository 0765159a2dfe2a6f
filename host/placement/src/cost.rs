//! What a call costs: the share of a node that it takes, for as long as it takes it, and what is sent on its behalf.

use std::time::Duration;

use spillway_types::Money;

/// A node's prices, and what it has for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tariff {
    /// Of an hour of the whole node.
    pub hour: Money,
    /// Of a GiB that it sends to another node.
    pub transfer_gib: Money,
    /// Its cores.
    pub cores: u32,
    /// Its memory; zero where that is not known.
    pub memory_bytes: u64,
}

impl Tariff {
    /// How long the whole node would be taken: the larger of the call's share of the cores and its share of the memory,
    /// the dominant one (Ghodsi et al., Dominant Resource Fairness, 2011). `work` is time of a core.
    pub fn node_time(&self, work: Duration, memory_byte_seconds: f64) -> Duration {
        let of_cores = work / self.cores.max(1);
        if self.memory_bytes == 0 {
            return of_cores;
        }
        let of_memory = Duration::try_from_secs_f64(memory_byte_seconds / self.memory_bytes as f64);
        of_cores.max(of_memory.unwrap_or_default())
    }

    /// What a call costs that takes so much.
    pub fn cost(&self, work: Duration, memory_byte_seconds: f64, transfer_bytes: u64) -> Money {
        self.hour.of(self.node_time(work, memory_byte_seconds)) + self.transfer_gib.of_bytes(transfer_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn tariff() -> Tariff {
        let (hour, transfer_gib) = ("3.6".parse().unwrap(), "0.5".parse().unwrap());
        Tariff { hour, transfer_gib, cores: 4, memory_bytes: 8 * GIB }
    }

    #[test]
    fn the_larger_share_is_paid_for_and_so_is_what_is_sent() {
        let second = Duration::from_secs(1);
        let cost = |work, memory, transfer| tariff().cost(work, memory, transfer).to_string();
        assert_eq!(cost(second, 0.0, 0), "0.00025", "a quarter of the cores");
        assert_eq!(cost(second, GIB as f64, 0), "0.00025", "an eighth of the memory is less");
        assert_eq!(cost(second, 4.0 * GIB as f64, 0), "0.0005", "half of the memory is more");
        assert_eq!(cost(Duration::ZERO, 0.0, GIB / 2), "0.25");
    }

    #[test]
    fn what_is_not_known_costs_nothing_and_nonsense_does_no_harm() {
        let blind = Tariff { memory_bytes: 0, ..tariff() };
        assert_eq!(blind.node_time(Duration::ZERO, 1e30), Duration::ZERO);
        assert_eq!(tariff().node_time(Duration::ZERO, f64::NAN), Duration::ZERO);
        assert_eq!(Tariff { cores: 0, ..tariff() }.node_time(Duration::from_secs(1), 0.0), Duration::from_secs(1));
    }
}

//! Here, there, or nowhere.

use std::time::Duration;

use spillway_types::{Money, Prefer};

use crate::Prediction;

/// How much of a call's time may be used up by what is expected: nobody expects exactly.
const TIME_USED: f64 = 0.9;

/// What a call asks for.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// Time left until its deadline.
    pub patience: Duration,
    /// Which of the nodes that would make it is wanted.
    pub prefer: Prefer,
    /// What it may cost at most; `None` for any price.
    pub max_cost: Option<Money>,
}

/// How a node stands to a call.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// The way there and back; zero here.
    pub way: Duration,
    /// Until the call would begin to run.
    pub wait: Duration,
    /// How long it would run then; `None` if no call was seen to.
    pub run: Option<Prediction>,
    /// What it would cost.
    pub cost: Money,
}

/// What to do with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Run it here.
    Here,
    /// Send it to this one of the peers.
    There(usize),
    /// Nobody would make it in time.
    Refuse {
        /// When somebody will, if nothing comes between.
        retry_after: Duration,
    },
    /// Nobody does it for what it may cost, be it later.
    TooDear,
}

impl Offer {
    /// When the call is expected to be finished, as likely later as earlier.
    pub fn finish(&self) -> Duration {
        self.with(|run| run.p50)
    }

    /// When it is finished nineteen times in twenty.
    pub fn finish_at_worst(&self) -> Duration {
        self.with(|run| run.p95)
    }

    fn with(&self, time: impl FnOnce(Prediction) -> Duration) -> Duration {
        self.way.saturating_add(self.wait).saturating_add(self.run.map(time).unwrap_or_default())
    }

    /// Whether the call would be finished in time, and for what it may cost.
    pub fn makes(&self, demand: &Demand) -> bool {
        self.finish_at_worst() <= demand.patience.mul_f64(TIME_USED) && self.is_affordable(demand)
    }

    fn is_affordable(&self, demand: &Demand) -> bool {
        demand.max_cost.is_none_or(|most| self.cost <= most)
    }
}

/// Decides where a call runs, given how this node stands to it, if it may run here at all, and how peers do that may take
/// it. Of many peers two are looked at, drawn by `random`: comparing two finds a good one nearly as often as comparing all,
/// and does not send everybody to the same one (Mitzenmacher, The Power of Two Choices, 2001).
///
/// A node with nothing to do takes a call that is expected to be late: only so it learns otherwise.
pub fn decide(demand: &Demand, here: Option<&Offer>, peers: &[Offer], random: u64) -> Decision {
    let two = two_of(peers.len(), random);
    let there = two.into_iter().flatten().map(|index| (Decision::There(index), &peers[index]));
    let all = here.map(|here| (Decision::Here, here)).into_iter().chain(there);
    let making: Vec<_> = all.clone().filter(|(_, offer)| offer.makes(demand)).collect();
    let soonest = |offers: &[(Decision, &Offer)]| {
        offers.iter().min_by_key(|(_, offer)| offer.finish()).map(|(decision, _)| *decision)
    };
    let chosen = match demand.prefer {
        Prefer::Near if here.is_some_and(|here| has_room(demand, here)) => Some(Decision::Here),
        Prefer::Near => soonest(&making),
        Prefer::Fast => soonest(&making),
        Prefer::Cheap => {
            let cheapest = making.iter().min_by(|(_, one), (_, other)| {
                one.cost.cmp(&other.cost).then_with(|| one.finish().cmp(&other.finish()))
            });
            cheapest.map(|(decision, _)| *decision)
        }
    };
    let idle_here = here.filter(|here| here.wait.is_zero() && here.is_affordable(demand));
    chosen.or(idle_here.map(|_| Decision::Here)).unwrap_or_else(|| {
        let late = all.filter(|(_, offer)| offer.is_affordable(demand));
        let latest = demand.patience.mul_f64(TIME_USED);
        let over = late.map(|(_, offer)| offer.finish_at_worst().saturating_sub(latest)).min();
        match over {
            Some(retry_after) => Decision::Refuse { retry_after },
            None if here.is_none() && peers.is_empty() => Decision::Refuse { retry_after: Duration::ZERO },
            None => Decision::TooDear,
        }
    })
}

/// Whether a call that wants to stay does so without a look at others: it is finished in half of its time. A node that
/// filled its queue up to the deadline would make everybody wait for as long as they can, and be wrong half of the time.
pub fn has_room(demand: &Demand, here: &Offer) -> bool {
    here.finish_at_worst() <= demand.patience / 2 && here.is_affordable(demand)
}

/// Two different numbers below `count`, or as many as there are.
fn two_of(count: usize, random: u64) -> [Option<usize>; 2] {
    match count as u64 {
        0 => [None, None],
        1 => [Some(0), None],
        count => {
            let first = random % count;
            let second = (first + 1 + (random / count) % (count - 1)) % count;
            [Some(first as usize), Some(second as usize)]
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn offer(way: u64, wait: u64, run: u64) -> Offer {
        let run = Some(Prediction { p50: ms(run), p95: ms(run), seen: true });
        Offer { way: ms(way), wait: ms(wait), run, cost: Money::ZERO }
    }

    fn within(patience: u64) -> Demand {
        Demand { patience: ms(patience), prefer: Prefer::Near, max_cost: None }
    }

    #[test]
    fn a_call_stays_while_it_is_made_here_and_goes_when_it_is_not() {
        let far = offer(20, 0, 50);
        assert_eq!(decide(&within(400), Some(&offer(0, 100, 100)), &[far], 0), Decision::Here, "in half of its time");
        assert_eq!(decide(&within(400), Some(&offer(0, 101, 100)), &[far], 0), Decision::There(0), "sooner there");
        assert_eq!(decide(&within(400), Some(&offer(0, 101, 100)), &[offer(200, 0, 50)], 0), Decision::Here);
        assert_eq!(
            decide(&within(220), Some(&offer(0, 100, 100)), &[offer(200, 0, 50)], 0),
            Decision::Refuse { retry_after: ms(2) }
        );
        let fast = Demand { prefer: Prefer::Fast, ..within(200) };
        assert_eq!(decide(&fast, Some(&offer(0, 0, 100)), &[far], 0), Decision::There(0));
        assert_eq!(decide(&fast, Some(&offer(0, 0, 60)), &[far], 0), Decision::Here);
    }

    #[test]
    fn a_call_that_nobody_makes_is_refused_until_somebody_will() {
        let refused = decide(&within(200), Some(&offer(0, 500, 100)), &[offer(20, 300, 50)], 0);
        assert_eq!(refused, Decision::Refuse { retry_after: ms(190) });
        assert_eq!(decide(&within(200), None, &[], 0), Decision::Refuse { retry_after: ms(0) });
    }

    #[test]
    fn a_call_that_is_late_anyway_runs_where_nothing_is_to_do() {
        assert_eq!(decide(&within(50), Some(&offer(0, 0, 100)), &[], 0), Decision::Here);
        let unseen = Offer { run: None, ..offer(0, 0, 0) };
        assert_eq!(decide(&within(50), Some(&unseen), &[offer(1, 0, 1)], 0), Decision::Here);
    }

    #[test]
    fn price_decides_where_it_shall_and_keeps_calls_from_where_it_is_too_high() {
        let priced = |cost: &str, offer: Offer| Offer { cost: cost.parse().unwrap(), ..offer };
        let (here, there) = (priced("3", offer(0, 0, 10)), priced("1", offer(20, 0, 10)));
        let cheap = Demand { prefer: Prefer::Cheap, ..within(200) };
        assert_eq!(decide(&cheap, Some(&here), &[there], 0), Decision::There(0));
        let poor = Demand { max_cost: Some("2".parse().unwrap()), ..within(200) };
        assert_eq!(decide(&poor, Some(&here), &[there], 0), Decision::There(0));
        let poorer = Demand { max_cost: Some("0.5".parse().unwrap()), ..within(200) };
        assert_eq!(decide(&poorer, Some(&here), &[there], 0), Decision::TooDear);
        // Nobody is told to come again for a price that is not right then either; but where one is only late, when.
        let late = priced("0.5", offer(0, 500, 10));
        assert_eq!(decide(&poorer, Some(&late), &[there], 0), Decision::Refuse { retry_after: ms(330) });
    }

    #[test]
    fn of_many_peers_two_different_ones_are_compared_and_in_the_end_all() {
        for count in 2..6 {
            let mut seen = BTreeSet::new();
            for random in 0..100 {
                let [Some(first), Some(second)] = two_of(count, random) else { panic!("there are two") };
                assert!(first != second && first < count && second < count);
                seen.insert((first, second));
            }
            assert_eq!(seen.len(), count * (count - 1));
        }
        let peers = [offer(0, 9, 1), offer(0, 1, 1), offer(0, 5, 1)];
        for random in 0..100 {
            let Decision::There(index) = decide(&within(100), None, &peers, random) else { panic!("all make it") };
            assert_ne!(index, 0, "the worst of three is never the better of two");
        }
    }
}

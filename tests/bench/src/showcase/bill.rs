//! What a call cost, by the bill that a node writes on its answer.

use reqwest::header::HeaderMap;

/// Asks for a bill, and carries it.
pub(crate) const BILL: &str = "spillway-bill";

/// The sum over all nodes that had a part in the call; nothing where there is no bill.
pub(crate) fn cost(headers: &HeaderMap) -> f64 {
    headers.get_all(BILL).iter().filter_map(|value| value.to_str().ok()).map(total).sum()
}

/// Of a list as RFC 9651 has it: items with parameters, `cloud;cost=0.000013;cpu=0.0021, kiosk;cost=0`.
fn total(list: &str) -> f64 {
    let mut is_quoted = false;
    let mut parts = list.split(|c: char| {
        is_quoted ^= c == '"';
        !is_quoted && matches!(c, ',' | ';')
    });
    let costs = parts.by_ref().filter_map(|part| part.trim().strip_prefix("cost=")?.parse::<f64>().ok());
    costs.filter(|cost| cost.is_finite()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_costs_of_all_nodes_are_added_up() {
        for (list, sum) in [
            ("cloud;cost=0.000013;cpu=0.0021;kernel=0.0413", 0.000_013),
            ("cloud;cost=0.5;cpu=1, kiosk;cpu=2;cost=0.25", 0.75),
            ("cloud;note=\"a;cost=9, b\";cost=1", 1.0),
            ("cloud;cpu=1", 0.0),
            ("cloud;cost=dear", 0.0),
            ("", 0.0),
        ] {
            assert_eq!(total(list), sum, "{list}");
        }
    }

    #[test]
    fn an_answer_without_a_bill_cost_nothing_and_several_lines_are_one_list() {
        let mut headers = HeaderMap::new();
        assert_eq!(cost(&headers), 0.0);
        for line in ["a;cost=1", "b;cost=2"] {
            headers.append(BILL, line.parse().expect("a field of letters"));
        }
        assert_eq!(cost(&headers), 3.0);
    }
}

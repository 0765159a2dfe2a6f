//! Costs by day, and the audit.

use spillway_cluster::AuditEntry;
use spillway_types::{AuditKind, Bill};

use crate::{fixture, function};

fn bill(cost: &str, bytes: u64) -> Bill {
    Bill { cpu_seconds: 0.5, request_bytes: bytes, cost: cost.parse().unwrap(), ..Bill::default() }
}

#[test]
fn costs_add_up_by_function_over_days_and_go_after_a_year_and_a_month() {
    let fixture = fixture();
    let store = &fixture.store;
    assert_eq!(store.costs(0).unwrap(), []);
    store.add_costs(1000, &[(function("a"), 2, bill("0.1", 10)), (function("b"), 1, bill("1", 1))]).unwrap();
    store.add_costs(1000, &[(function("a"), 3, bill("0.2", 5))]).unwrap();
    store.add_costs(1001, &[(function("a"), 1, bill("0.000000000001", u64::MAX))]).unwrap();
    let all = store.costs(0).unwrap();
    let [(a, calls, sum), (b, ..)] = &all[..] else { panic!("{all:?}") };
    assert_eq!((a, b, *calls), (&function("a"), &function("b"), 6));
    assert_eq!((sum.cost.to_string().as_str(), sum.cpu_seconds), ("0.300000000001", 1.5));
    assert_eq!(sum.request_bytes, u64::MAX, "it does not wrap");
    assert_eq!(store.costs(1001).unwrap().len(), 1);
    store.add_costs(1401, &[(function("b"), 1, bill("0", 0))]).unwrap();
    assert_eq!(store.costs(0).unwrap().iter().map(|(_, calls, _)| *calls).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn the_newest_ten_thousand_records_of_the_audit_are_kept() {
    let fixture = fixture();
    let entry = |number: u64| AuditEntry {
        time_ms: number,
        kind: AuditKind::Residency,
        function: number.is_multiple_of(2).then(|| function("a")),
        peer: None,
        invocation: Some(number.to_string()),
        count: number,
        detail: "kept".to_owned(),
    };
    let entries: Vec<AuditEntry> = (0..10_010).map(entry).collect();
    fixture.store.add_audit(&entries).unwrap();
    assert_eq!(fixture.store.audit(3).unwrap(), [entry(10_007), entry(10_008), entry(10_009)]);
    let all = fixture.store.audit(u32::MAX).unwrap();
    assert_eq!((all.len(), all[0].time_ms), (10_000, 10));
}

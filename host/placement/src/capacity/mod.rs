//! What a node has, what of it is in use and what it gets done, as it tells other nodes and as its metrics show it.

mod format;
mod function;
mod rates;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use spillway_types::{Digest, Money};

pub use format::{CAPACITY_FORMAT, CapacityError, Format};
pub use function::{FunctionCapacity, Link};
pub use rates::{Throughput, Utilisation, ratio};

use crate::pressure::Load;
use crate::seconds;

/// A node's report of itself.
///
/// Within one [`Format`], fields may be added and readers pass over those that they don't know. What a node cannot measure
/// is absent, never zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// How to read the rest.
    pub format: Format,
    /// Processor cores that the node may use.
    pub cores: u32,
    /// Threads that run models and kernels.
    pub kernel_threads: u32,
    /// Its memory.
    pub memory: Memory,
    /// Models in memory.
    pub models: Vec<ResidentModel>,
    /// Functions that serve.
    pub functions: Vec<FunctionCapacity>,
    /// What its machine waits for.
    pub pressure: Pressure,
    /// Its ways to other nodes.
    pub links: Vec<Link>,
    /// Work done per time.
    pub throughput: Throughput,
    /// What is used of what there is.
    pub utilisation: Utilisation,
    /// Work that it has taken on and not done yet: core time of its running and waiting calls.
    #[serde(default, rename = "work_seconds", with = "seconds", skip_serializing_if = "Duration::is_zero")]
    pub work: Duration,
    /// What an hour of its cores costs.
    #[serde(default, skip_serializing_if = "Money::is_zero")]
    pub price: Money,
}

/// Memory of a node, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The limit of the node's control group if it has one, else the machine's memory.
    pub total_bytes: u64,
    /// Taken by whoever shares the total.
    pub used_bytes: u64,
    /// Resident in the node's process.
    pub process_bytes: u64,
}

/// A model in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResidentModel {
    /// Which model.
    pub digest: Digest,
    /// Memory that it takes, estimated, in bytes.
    pub bytes: u64,
}

/// Pressure on each resource; absent where the kernel doesn't tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pressure {
    /// Work that waited for a core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Load>,
    /// Work that waited for memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Load>,
    /// Work that waited for a disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io: Option<Load>,
}

impl Capacity {
    /// Reads what another node sent.
    ///
    /// # Errors
    ///
    /// If it is of another format, which is looked at before anything else, or not a report.
    pub fn from_json(text: &[u8]) -> Result<Self, CapacityError> {
        format::check(text)?;
        serde_json::from_slice(text).map_err(CapacityError::Json)
    }

    /// What the node has of a function, if it serves it.
    pub fn function(&self, id: &spillway_types::FunctionId) -> Option<&FunctionCapacity> {
        self.functions.iter().find(|function| function.function == *id)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What a node of format 1 sent. It stays as it is for as long as this build says that it reads format 1.
    const FORMAT_1: &str = include_str!("../../tests/capacity-1.json");

    #[test]
    fn a_report_of_format_1_reads_and_writes_the_same() {
        let capacity = Capacity::from_json(FORMAT_1.as_bytes()).unwrap();
        assert_eq!(serde_json::to_value(&capacity).unwrap(), serde_json::from_str::<Value>(FORMAT_1).unwrap());
        let ocr = capacity.function(&"shop/ocr".parse().unwrap()).unwrap();
        assert_eq!(ocr.service_times.predict(3000).unwrap().p95.as_millis(), 250);
        assert_eq!(capacity.utilisation.kernel_threads_ratio, Some(0.5));
        assert_eq!(capacity.links[0].rtt.as_millis(), 12);
    }

    #[test]
    fn fields_that_a_newer_node_adds_are_passed_over_everywhere() {
        fn add(value: &mut Value) {
            match value {
                Value::Object(fields) => {
                    fields.values_mut().for_each(add);
                    fields.insert("added".to_owned(), json!({ "later": 1 }));
                }
                Value::Array(items) => items.iter_mut().for_each(add),
                _ => {}
            }
        }
        let mut newer = serde_json::from_str(FORMAT_1).unwrap();
        add(&mut newer);
        let text = newer.to_string();
        assert!(text.matches("added").count() > 10, "{text}");
        let read = Capacity::from_json(text.as_bytes()).unwrap();
        assert_eq!(read, Capacity::from_json(FORMAT_1.as_bytes()).unwrap());
    }

    #[test]
    fn what_a_node_cannot_measure_may_be_absent() {
        let mut report: Value = serde_json::from_str(FORMAT_1).unwrap();
        for part in ["pressure", "throughput", "utilisation"] {
            report[part] = json!({ "window_seconds": 10.0 });
        }
        let capacity = Capacity::from_json(report.to_string().as_bytes()).unwrap();
        assert_eq!(capacity.pressure, Pressure::default());
        assert_eq!(capacity.utilisation, Utilisation::default());
        assert_eq!(capacity.throughput.invocations_per_second, None);
    }

    #[test]
    fn an_unknown_format_is_refused_by_name_even_if_nothing_else_can_be_read() {
        let error = Capacity::from_json(br#"{"format":2,"cores":"many"}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the report of a node's capacity is in format 2, and this build reads format 1; run the same version on both nodes"
        );
        let embedded = FORMAT_1.replacen("\"format\": 1", "\"format\": 7", 1);
        let error = serde_json::from_str::<Capacity>(&embedded).unwrap_err().to_string();
        assert!(error.starts_with("the report of a node's capacity is in format 7"), "{error}");
    }

    #[test]
    fn a_report_without_format_or_with_nonsense_is_an_error() {
        for bad in ["", "[]", "{}", r#"{"format":"1"}"#, r#"{"format":1}"#, "\u{0}"] {
            assert!(matches!(Capacity::from_json(bad.as_bytes()), Err(CapacityError::Json(_))), "{bad}");
        }
        let negative = FORMAT_1.replacen("0.012", "-0.012", 1);
        assert!(Capacity::from_json(negative.as_bytes()).unwrap_err().to_string().contains("-0.012"));
    }
}

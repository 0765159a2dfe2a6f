//! What the functions of a namespace may take of a node together.

use serde::{Deserialize, Serialize};

use crate::Namespace;

/// Limits of a namespace on one node; what is not given is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Calls that may begin in a second, on average; as many may come at once after a second without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_per_second: Option<f64>,
    /// Calls at once, those that wait for their turn included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<u32>,
    /// Linear memory and host tensors of all sandboxes together, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Seconds of native inference in a second, on average: 1 is one core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_time: Option<f64>,
    /// Where others want kernel threads, too: how many times the time that a namespace has which nobody gave a share, from 1 to
    /// [`KERNEL_SHARE_MAX`](Self::KERNEL_SHARE_MAX).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_share: Option<u32>,
}

impl Quota {
    /// The greatest share of kernel threads.
    pub const KERNEL_SHARE_MAX: u32 = 1000;

    /// Checks that each limit leaves something.
    ///
    /// # Errors
    /// Which limit does not, and what to write.
    pub fn check(&self) -> Result<(), String> {
        let positive = |what: &str, value: Option<f64>| match value {
            Some(value) if !(value.is_finite() && value > 0.0) => Err(format!("{what} is {value}; write more than 0")),
            _ => Ok(()),
        };
        positive("calls_per_second", self.calls_per_second)?;
        positive("concurrent", self.concurrent.map(f64::from))?;
        positive("memory_bytes", self.memory_bytes.map(|bytes| bytes as f64))?;
        positive("kernel_time", self.kernel_time)?;
        if let Some(share) = self.kernel_share
            && !(1..=Self::KERNEL_SHARE_MAX).contains(&share)
        {
            return Err(format!("kernel_share is {share}; write 1 to {}", Self::KERNEL_SHARE_MAX));
        }
        if *self == Self::default() {
            return Err("the quota limits nothing; give at least one limit, or remove the quota".to_owned());
        }
        Ok(())
    }
}

/// A namespace's quota and what it uses of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamespaceQuota {
    /// Whose.
    pub namespace: Namespace,
    /// The limits.
    #[serde(flatten)]
    pub quota: Quota,
    /// Calls now.
    pub running: u32,
    /// Memory now, in bytes.
    pub used_memory_bytes: u64,
    /// Calls refused since the node started.
    pub refused: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_limits_something_and_leaves_something() {
        let quota = |text: &str| serde_json::from_str::<Quota>(text).unwrap().check();
        assert_eq!(quota(r#"{"calls_per_second": 0.5}"#), Ok(()));
        for bad in [
            r#"{"calls_per_second": 0}"#,
            r#"{"concurrent": 0}"#,
            r#"{"kernel_time": -1}"#,
            r#"{"kernel_share": 0}"#,
            "{}",
        ] {
            assert!(quota(bad).is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<Quota>(r#"{"cals": 1}"#).is_err());
    }
}

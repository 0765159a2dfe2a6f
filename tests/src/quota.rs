//! A share of the processor, where the machine lets a test give one: a control group (cgroups(7), version 1, `cpu`).

use std::fs;
use std::path::{Path, PathBuf};

/// One period of the scheduler, in microseconds.
const PERIOD: u32 = 10_000;

/// The largest weight that the kernel takes, 256 times the usual one: what a group is given it gets, too, whatever else the
/// machine does.
const WEIGHT: u32 = 262_144;

/// A control group with so many cores, removed when dropped.
pub struct Quota {
    folder: PathBuf,
}

impl Quota {
    /// One with `cores`; `None` where that is not allowed.
    ///
    /// # Panics
    /// If a group can be made and not be given a quota.
    pub fn cores(cores: f64) -> Option<Self> {
        let folder = Path::new("/sys/fs/cgroup/cpu").join(format!("spillway-test-{:016x}", rand::random::<u64>()));
        fs::create_dir(&folder).ok()?;
        let quota = Self { folder };
        let write = |file: &str, value: String| fs::write(quota.folder.join(file), value);
        write("cpu.cfs_period_us", PERIOD.to_string()).expect("a new group takes a period");
        let share = (f64::from(PERIOD) * cores) as u32;
        write("cpu.cfs_quota_us", share.to_string()).expect("a new group takes a quota");
        write("cpu.shares", WEIGHT.to_string()).expect("a new group takes a weight");
        Some(quota)
    }

    /// A program that enters the group and becomes what its arguments say: for [`crate::NodeBuilder::under`].
    pub fn entrance(&self) -> [String; 3] {
        let enter = format!("echo $$ > '{}/cgroup.procs' && exec \"$0\" \"$@\"", self.folder.display());
        ["sh".to_owned(), "-c".to_owned(), enter]
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // Processes that ended are gone from it a moment later.
        for _ in 0..100 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

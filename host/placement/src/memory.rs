//! The texts in which Linux says how much memory there is.

/// `MemTotal` and `MemAvailable` of `/proc/meminfo`, in bytes (proc_meminfo(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineMemory {
    /// What the kernel can use.
    pub total_bytes: u64,
    /// What can be had without swapping, caches given up.
    pub available_bytes: u64,
}

/// Reads `/proc/meminfo`; `None` if a value is missing.
pub fn parse_meminfo(text: &str) -> Option<MachineMemory> {
    let kilobytes = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        value.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(MachineMemory { total_bytes: kilobytes("MemTotal")?, available_bytes: kilobytes("MemAvailable")? })
}

/// Reads the limit of a cgroup: `memory.max` of version 2, `memory.limit_in_bytes` of version 1. `None` if it sets none:
/// version 2 says `max`, version 1 the largest multiple of a page that an `i64` holds, whatever a page is.
pub fn parse_memory_limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|bytes| *bytes < (i64::MAX as u64) >> 1)
}

/// Reads resident pages off `/proc/self/statm`: its second number (proc_pid_statm(5)).
pub fn parse_resident_pages(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_read_in_bytes() {
        let text = "MemTotal:       24684084 kB\nMemFree:        12817568 kB\nMemAvailable:   17757476 kB\n";
        let memory = MachineMemory { total_bytes: 24_684_084 * 1024, available_bytes: 17_757_476 * 1024 };
        assert_eq!(parse_meminfo(text), Some(memory));
        assert_eq!(parse_meminfo("MemTotal: 5 kB\n"), None);
        assert_eq!(parse_meminfo(&text.replace("kB", "MB")), None);
    }

    #[test]
    fn no_limit_of_a_cgroup_is_none_in_both_versions() {
        assert_eq!(parse_memory_limit("536870912\n"), Some(512 << 20));
        for unlimited in ["max\n", "9223372036854771712\n", "9223372036854710272\n", ""] {
            assert_eq!(parse_memory_limit(unlimited), None, "{unlimited}");
        }
    }

    #[test]
    fn resident_pages_are_the_second_number() {
        assert_eq!(parse_resident_pages("765 418 389 5 0 123 0\n"), Some(418));
        assert_eq!(parse_resident_pages("765"), None);
    }
}

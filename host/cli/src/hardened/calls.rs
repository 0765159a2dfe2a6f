//! seccomp: system calls.
//!
//! A list of what is refused, and not of what is allowed: which calls a C library makes changes with its version, and a node
//! that dies of an update is no safer. On the list is what reaches other processes, changes the machine, makes namespaces, or is
//! new and large: where the kernel's own bugs have been.

use std::collections::BTreeMap;

use anyhow::Context as _;
use libc::{EPERM, c_long};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as ArgLen, SeccompCmpOp as Op, SeccompCondition as Condition,
    SeccompFilter, SeccompRule, apply_filter,
};

/// Refused with "operation not permitted", whatever the arguments.
const REFUSED: &[c_long] = &[
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    // Namespaces, and what is mounted where.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_quotactl,
    // The machine.
    libc::SYS_reboot,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    // Other users.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_capset,
    libc::SYS_personality,
    // Large parts of the kernel that a node has no use for.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_fanotify_init,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_lookup_dcookie,
    libc::SYS_mq_open,
    libc::SYS_shmget,
    libc::SYS_semget,
    libc::SYS_msgget,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_kexec_file_load,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

/// The only families of sockets: local ones, IP, and what the C library asks for the machine's addresses.
const FAMILIES: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
/// Types into the terminal that the node was started from, where a shell reads it: TIOCSTI and TIOCLINUX of
/// `asm-generic/ioctls.h` and `linux/tiocl.h`.
const TYPES: [u64; 2] = [0x5412, 0x541c];
/// Flags of `clone` that make namespaces.
const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];
/// On x86-64 each call has a second number, for programs with short pointers; a list that forgets them is none.
#[cfg(target_arch = "x86_64")]
const ALIASES: &[c_long] = &[0, 0x4000_0000];
#[cfg(not(target_arch = "x86_64"))]
const ALIASES: &[c_long] = &[0];

/// Has the kernel refuse them from now on. Says how many.
///
/// # Errors
/// The kernel has no seccomp, or this processor no filter.
pub(super) fn restrict() -> anyhow::Result<usize> {
    let missing = || "--hardened needs seccomp filters (CONFIG_SECCOMP_FILTER of the kernel); start without --hardened, or boot another kernel";
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> = BTreeMap::new();
    let mut refuse = |call: c_long, chain: Vec<SeccompRule>| {
        for alias in ALIASES {
            rules.insert(call | alias, chain.clone());
        }
    };
    for call in REFUSED {
        refuse(*call, Vec::new());
    }
    let others = FAMILIES.iter().map(|family| argument(0, Op::Ne, family.cast_unsigned().into()));
    refuse(libc::SYS_socket, vec![SeccompRule::new(others.collect::<Result<_, _>>()?)?]);
    let types = TYPES.iter().map(|request| SeccompRule::new(vec![argument(1, Op::Eq, *request)?]));
    refuse(libc::SYS_ioctl, types.collect::<Result<_, _>>()?);
    let namespaces = NAMESPACES.iter().map(|flag| {
        let flag = u64::from(flag.cast_unsigned());
        SeccompRule::new(vec![argument(0, Op::MaskedEq(flag), flag)?])
    });
    refuse(libc::SYS_clone, namespaces.collect::<Result<_, _>>()?);
    apply(rules, EPERM).with_context(missing)?;
    // A filter cannot see the flags of `clone3`. The C library makes do with `clone` where there is none.
    let newer = ALIASES.iter().map(|alias| (libc::SYS_clone3 | alias, Vec::new())).collect();
    apply(newer, libc::ENOSYS).with_context(missing)?;
    Ok(REFUSED.len())
}

fn argument(index: u8, operator: Op, value: u64) -> Result<Condition, seccompiler::BackendError> {
    Condition::new(index, ArgLen::Dword, operator, value)
}

fn apply(rules: BTreeMap<c_long, Vec<SeccompRule>>, errno: i32) -> anyhow::Result<()> {
    let refused = SeccompAction::Errno(errno.cast_unsigned());
    let architecture = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, architecture)?;
    apply_filter(&BpfProgram::try_from(filter)?)?;
    Ok(())
}

//! Landlock: files and ports.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, NetPort, PathBeneath, PathFd,
    Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetStatus, Scope,
};

use super::Needs;

/// Without it no file could go from one folder to another, as uploads do.
const LEAST: ABI = ABI::V2;
/// The newest that was tried.
const NEWEST: ABI = ABI::V7;

/// What every program reads: names, certificates, time zones, and what the machine has; and the libraries of this one, which
/// its children load anew.
const SYSTEM: [&str; 12] = [
    "/etc",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/share",
    "/proc",
    "/sys",
    "/run/systemd/resolve",
    "/dev/urandom",
    "/dev/null",
];

/// Allows what is needed, and nothing else.
///
/// # Errors
/// The kernel has no Landlock, or a path that is needed is not there.
pub(super) fn restrict(needs: &Needs) -> anyhow::Result<String> {
    const MISSING: &str = "--hardened needs Landlock of Linux 5.19 or later (`landlock` in the kernel's list of security modules, /sys/kernel/security/lsm); start without --hardened, or boot another kernel";
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(LEAST))
        .context(MISSING)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::BindTcp)?
        .scope(BitFlags::from(Scope::Signal))?;
    let mut ruleset = ruleset.create().context(MISSING)?;
    for folder in &needs.writes {
        // Made here: it could not be, any more, once its parent is out of reach.
        std::fs::create_dir_all(folder).with_context(|| format!("folder {} cannot be made", folder.display()))?;
        ruleset = allow(ruleset, folder, AccessFs::from_all(NEWEST) & !BitFlags::from(AccessFs::Execute))?;
    }
    for path in &needs.reads {
        ensure!(path.exists(), "{} is not there; correct the option that names it", path.display());
        ruleset = allow(ruleset, path, AccessFs::ReadFile | AccessFs::ReadDir)?;
    }
    for path in SYSTEM.iter().map(Path::new).filter(|path| path.exists()) {
        // Libraries are executed by the loader, which is one of them.
        ruleset = allow(ruleset, path, AccessFs::from_read(NEWEST))?;
    }
    let own = own_program()?;
    ruleset = allow(ruleset, &own, AccessFs::ReadFile | AccessFs::Execute)?;
    // The child that tries a model says that it may be killed first.
    ruleset = allow(ruleset, Path::new("/proc"), AccessFs::from_read(NEWEST) | AccessFs::WriteFile)?;
    ruleset = allow(ruleset, Path::new("/dev/null"), AccessFs::ReadFile | AccessFs::WriteFile)?;
    for port in &needs.listens {
        ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
    }
    let status = ruleset.restrict_self().context(MISSING)?;
    let how_far = match status.ruleset {
        RulesetStatus::FullyEnforced => "files, ports and signals by Landlock",
        RulesetStatus::PartiallyEnforced => "files by Landlock, as far as this kernel knows it",
        RulesetStatus::NotEnforced => anyhow::bail!(MISSING),
    };
    Ok(how_far.to_owned())
}

fn own_program() -> anyhow::Result<PathBuf> {
    std::fs::read_link("/proc/self/exe").context("this program's own file cannot be found in /proc; mount it")
}

fn allow(ruleset: RulesetCreated, path: &Path, access: BitFlags<AccessFs>) -> anyhow::Result<RulesetCreated> {
    let opened = PathFd::new(path).with_context(|| format!("{} cannot be opened", path.display()))?;
    // Rights that only folders have make no sense for a file, and are an error there.
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
    Ok(ruleset.add_rule(PathBeneath::new(opened, access))?)
}

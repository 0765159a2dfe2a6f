//! Landlock: files and ports.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus, NetPort,
    PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetStatus, Scope,
    make_bitflags,
};

use super::Needs;

/// Without it no file could go from one folder to another, as uploads do.
const LEAST: ABI = ABI::V2;
/// The newest that was tried.
const NEWEST: ABI = ABI::V7;

/// Of files, and of folders which files are in them.
const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});

/// What is read to find names and the time, to trust servers, and to load this program anew as a child. Not all of `/etc`:
/// passwords and keys are in there, too.
const SYSTEM: [&str; 24] = [
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/localtime",
    "/etc/ca-certificates",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
    "/etc/ld.so.cache",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/share",
    "/usr/local/share/ca-certificates",
    // Whole, since the kernel makes the entries in it anew, and a rule for one would end then.
    "/proc",
    "/sys",
    "/dev/urandom",
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
        .scope(Scope::from_all(NEWEST))?;
    let mut ruleset = ruleset.create().context(MISSING)?;
    for folder in &needs.writes {
        make(folder).with_context(|| format!("folder {} cannot be made", folder.display()))?;
        ruleset = allow(ruleset, folder, AccessFs::from_all(NEWEST) & !BitFlags::from(AccessFs::Execute))?;
    }
    for path in &needs.reads {
        ensure!(path.exists(), "{} is not there; correct the option that names it", path.display());
        ruleset = allow(ruleset, path, READ)?;
    }
    let servers = std::env::var_os("SSL_CERT_FILE").into_iter().chain(std::env::var_os("SSL_CERT_DIR"));
    let system = SYSTEM.iter().map(PathBuf::from).chain(servers.map(PathBuf::from)).chain(names_of_servers());
    for path in system.filter(|path| path.exists()) {
        ruleset = allow(ruleset, &path, READ)?;
    }
    for program in own_program()? {
        ruleset = allow(ruleset, &program, AccessFs::ReadFile | AccessFs::Execute)?;
    }
    ruleset = allow(ruleset, Path::new("/dev/null"), AccessFs::ReadFile | AccessFs::WriteFile)?;
    for port in &needs.listens {
        ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
    }
    let status = ruleset.restrict_self().context(MISSING)?;
    let abi = match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => effective_abi as u32,
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => bail!(MISSING),
    };
    // What older ones lack, see `docs/security.md`.
    match status.ruleset {
        RulesetStatus::FullyEnforced => Ok(format!("files, ports and signals by Landlock (version {abi})")),
        RulesetStatus::PartiallyEnforced => Ok(format!("files by Landlock (version {abi}, which is not all of it)")),
        RulesetStatus::NotEnforced => bail!(MISSING),
    }
}

/// Made here, with the rights that the node gives it: it could not be, once its parent is out of reach.
fn make(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

/// The folder in which a service keeps the file that `/etc/resolv.conf` is a link to: it replaces the file.
fn names_of_servers() -> Option<PathBuf> {
    let file = fs::canonicalize("/etc/resolv.conf").ok()?;
    let folder = file.parent()?;
    (folder != Path::new("/etc")).then(|| folder.to_owned())
}

/// This program, and the loader that the kernel starts for it, if it has one. Libraries are only read.
fn own_program() -> anyhow::Result<Vec<PathBuf>> {
    let own = fs::read_link("/proc/self/exe").context("this program's own file cannot be found in /proc; mount it")?;
    let maps = fs::read_to_string("/proc/self/maps").context("/proc/self/maps cannot be read")?;
    let mapped = maps.lines().filter_map(|line| line.find('/').map(|start| Path::new(&line[start..])));
    let is_loader = |path: &&Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"ld-"));
    let loader = mapped.filter(is_loader).find(|path| path.exists()).map(Path::to_owned);
    Ok([own].into_iter().chain(loader).collect())
}

fn allow(ruleset: RulesetCreated, path: &Path, access: BitFlags<AccessFs>) -> anyhow::Result<RulesetCreated> {
    let opened = PathFd::new(path).with_context(|| format!("{} cannot be opened", path.display()))?;
    // Rights that only folders have make no sense for a file, and are an error there.
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
    Ok(ruleset.add_rule(PathBeneath::new(opened, access))?)
}

//! Capabilities: what root may do beyond other users.

use anyhow::Context as _;
use caps::{CapSet, Capability};

/// Ports below 1024, and files in the data folder and of certificates that belong to another user. The rest goes: with it,
/// root reads the kernel's memory in `/proc`.
const KEPT: [Capability; 2] = [Capability::CAP_NET_BIND_SERVICE, Capability::CAP_DAC_OVERRIDE];

/// Drops all others. No program that is started gets them back, since it may gain no privileges.
///
/// # Errors
/// The kernel refuses it.
pub(super) fn drop_others() -> anyhow::Result<()> {
    let context = "--hardened cannot give up capabilities";
    caps::clear(None, CapSet::Inheritable).context(context)?;
    for set in [CapSet::Effective, CapSet::Permitted] {
        let has = caps::read(None, set).context(context)?;
        let keeps = has.into_iter().filter(|one| KEPT.contains(one)).collect();
        caps::set(None, set, &keeps).context(context)?;
    }
    Ok(())
}

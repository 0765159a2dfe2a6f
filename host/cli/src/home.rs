//! Where the user's own files lie, by the XDG Base Directory Specification.

use std::path::PathBuf;

use anyhow::Context as _;

/// Keys and authorities: `spillway` in `$XDG_CONFIG_HOME` or `~/.config`.
pub(crate) fn config() -> anyhow::Result<PathBuf> {
    folder("XDG_CONFIG_HOME", ".config").context("there is no home folder to keep keys in; set HOME")
}

/// The deployer's key, unless the command line names another.
pub(crate) fn deployer_key() -> anyhow::Result<PathBuf> {
    Ok(config()?.join("deployer.pem"))
}

/// `spillway` in the folder that a variable names, or below the home folder.
pub(crate) fn folder(variable: &str, below_home: &str) -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set(variable)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(set("HOME")?.join(below_home)))
        .map(|base| base.join("spillway"))
}

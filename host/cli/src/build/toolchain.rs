//! Which compiler makes components on this machine.
//!
//! | first that fits | what it takes |
//! | --- | --- |
//! | the `rustc` on the path | its library for `wasm32-wasip2` (`rustup target add wasm32-wasip2`) |
//! | Debian's | packages `rustc-web`, `rust-web-src`, `rust-web-llvm`, `wasi-libc`; builds the library from source, once per target folder |

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

/// The one target that functions are built for.
pub(crate) const TARGET: &str = "wasm32-wasip2";

/// How to call Cargo so that it builds for [`TARGET`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Toolchain {
    /// Arguments after `cargo build`.
    pub(crate) args: Vec<String>,
    /// Environment variables to set.
    pub(crate) env: Vec<(&'static str, OsString)>,
}

impl Toolchain {
    /// Finds a toolchain for the crates in `folder`, whose `rust-toolchain.toml` may choose one.
    ///
    /// # Errors
    /// None is there; says how to install one.
    pub(crate) fn find(folder: &Path) -> anyhow::Result<Self> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        if has_library(&rustc, folder) {
            // Beside what the user's own configuration says, not in place of it.
            let args = vec!["--config".to_owned(), format!("target.{TARGET}.rustflags=[\"-C\",\"{HEAP}\"]")];
            return Ok(Self { args, env: Vec::new() });
        }
        debian(folder)?.context(MISSING)
    }
}

/// Heap that a function begins with. Without it even the smallest one grows its memory twice in each call, and to grow memory
/// and shrink it again for the next sandbox the kernel has to interrupt every other core (a sixth of a call in a fresh sandbox).
const HEAP: &str = "link-arg=--initial-heap=1048576";

const MISSING: &str = "no compiler here can build for wasm32-wasip2; install one\n\
    \n  with rustup:           rustup target add wasm32-wasip2\
    \n  on Debian, as root:    apt-get install rustc-web rust-web-src rust-web-llvm wasi-libc\n";

/// Whether a compiler has the target's library.
fn has_library(rustc: &OsString, folder: &Path) -> bool {
    let Some(library) = print(rustc, folder, &["--print", "target-libdir", "--target", TARGET]) else { return false };
    // A compiler that knows the target names the folder whether or not it is there.
    std::fs::read_dir(library)
        .is_ok_and(|files| files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libstd-")))
}

/// Debian's compiler, whose library is there as source only.
fn debian(folder: &Path) -> anyhow::Result<Option<Toolchain>> {
    let rustc = OsString::from("/usr/bin/rustc");
    let libc = Path::new("/usr/lib/wasm32-wasi");
    let Some(sysroot) = print(&rustc, folder, &["--print", "sysroot"]).map(PathBuf::from) else { return Ok(None) };
    let source = sysroot.join("lib/rustlib/src/rust/library/std/Cargo.toml");
    let tools = tools_folder(&rustc, folder);
    let has_component_linker = tools.is_some_and(|tools| tools.join("wasm-component-ld").is_file());
    if !source.is_file() || !libc.join("libc.a").is_file() || !has_component_linker {
        return Ok(None);
    }
    let Some(linker) = linker_folder(&rustc, folder) else { return Ok(None) };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(linker).chain(std::env::split_paths(&path)))?;
    // The unit separator is Cargo's own, so that paths with spaces survive.
    let flags =
        ["-C", "link-self-contained=no", "-L", &format!("native={}", libc.display()), "-C", HEAP].join("\u{1f}");
    Ok(Some(Toolchain {
        args: vec!["-Zbuild-std=std,panic_abort".to_owned()],
        env: vec![
            ("RUSTC", rustc),
            // Building the library is not a stable feature of Cargo.
            ("RUSTC_BOOTSTRAP", "1".into()),
            ("PATH", path),
            ("CARGO_ENCODED_RUSTFLAGS", flags.into()),
        ],
    }))
}

/// A folder with `wasm-ld` that may stand first in PATH. Debian's compiler comes without it; rustup's brings it.
fn linker_folder(debian_rustc: &OsString, folder: &Path) -> Option<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let of = |rustc| tools_folder(rustc, folder).map(|tools| tools.join("gcc-ld"));
    let candidates = [of(&rustc), of(debian_rustc)].into_iter().flatten();
    let path = std::env::var_os("PATH").unwrap_or_default();
    candidates.chain(std::env::split_paths(&path)).find(|folder| folder.join("wasm-ld").is_file())
}

/// Where a compiler keeps linkers and the like; it looks there before it looks in PATH.
fn tools_folder(rustc: &OsString, folder: &Path) -> Option<PathBuf> {
    let version = print(rustc, folder, &["-vV"])?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "))?;
    let sysroot = print(rustc, folder, &["--print", "sysroot"])?;
    Some(Path::new(&sysroot).join("lib/rustlib").join(host).join("bin"))
}

/// What a compiler prints, if it runs and succeeds.
fn print(rustc: &OsString, folder: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new(rustc).args(args).current_dir(folder).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_that_is_not_there_has_no_library() {
        assert!(!has_library(&"/nonexistent/rustc".into(), Path::new(".")));
    }

    #[test]
    fn the_message_for_a_machine_without_any_names_the_commands() {
        assert!(MISSING.contains("rustup target add wasm32-wasip2") && MISSING.contains("apt-get install"));
    }
}

//! Configuration of the function: `[config]` in `spillway.toml`.

use crate::host::{self, HostError};

/// The value under `key`, if there is one.
///
/// ```
/// # fn main() -> Result<(), spillway_sdk::HostError> {
/// let greeting = spillway_sdk::config::get("greeting")?.unwrap_or_else(|| "Hello".to_owned());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The host cannot read the configuration.
pub fn get(key: &str) -> Result<Option<String>, HostError> {
    host::config(key)
}

//! `wasi:config@0.2.0-rc.1`: the manifest's `[config]`.

use super::bindings::config::wasi::config::store::{Error, Host};
use crate::sandbox::SandboxState;

impl Host for SandboxState {
    fn get(&mut self, key: String) -> Result<Option<String>, Error> {
        Ok(self.grants.config.get(&key).cloned())
    }

    fn get_all(&mut self) -> Result<Vec<(String, String)>, Error> {
        Ok(self.grants.config.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

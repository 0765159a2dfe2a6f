//! `[placement]`: which nodes may run the function, and how far the data of its calls may go.

use super::section::Section;
use crate::{Placement, Residency, Role, Site};

/// The keys of the section.
const KEYS: [&str; 3] = ["residency", "roles", "sites"];

/// Reads `[placement]`, or the default where it is absent.
pub(super) fn read(top: &Section<'_>) -> Placement {
    let default = Placement::default();
    let Some(section) = top.table("placement", &KEYS) else { return default };
    Placement {
        residency: section
            .parsed("residency", "residency = \"site\"", str::parse::<Residency>)
            .unwrap_or(default.residency),
        roles: parsed(&section, "roles", "roles = [\"edge\"]", str::parse::<Role>),
        sites: parsed(&section, "sites", "sites = [\"paris\"]", str::parse::<Site>),
    }
}

/// The elements of a list of strings, each once; what does not parse is reported.
fn parsed<T: PartialEq, E: ToString>(
    section: &Section<'_>,
    key: &str,
    example: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Vec<T> {
    let mut items = Vec::new();
    for (text, at) in section.strings(key, example) {
        match parse(text) {
            Ok(item) if !items.contains(&item) => items.push(item),
            Ok(_) => {}
            Err(error) => section.report(at, error.to_string()),
        }
    }
    items
}

/// The section as a bundle has it; nothing for the default, so that bundles of one node keep their digests.
pub(super) fn lines(placement: &Placement) -> Vec<String> {
    let default = Placement::default();
    if *placement == default {
        return Vec::new();
    }
    let list = |words: Vec<&str>| toml::Value::from(words).to_string();
    let mut lines = vec!["\n[placement]".to_owned(), format!("residency = \"{}\"", placement.residency.as_str())];
    if !placement.roles.is_empty() {
        lines.push(format!("roles = {}", list(placement.roles.iter().map(|role| role.as_str()).collect())));
    }
    if !placement.sites.is_empty() {
        lines.push(format!("sites = {}", list(placement.sites.iter().map(Site::as_str).collect())));
    }
    lines
}

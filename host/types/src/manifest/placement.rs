//! `[placement]`: which nodes may run the function, and how far the data of its calls may go.

use std::time::Duration;

use super::section::Section;
use crate::{Money, Placement, Prefer, Priority, Residency, Role, Site, parse_duration};

/// The keys of the section.
const KEYS: [&str; 7] = ["residency", "roles", "sites", "prefer", "deadline", "priority", "max_cost"];

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
        prefer: section.parsed("prefer", "prefer = \"near\"", str::parse::<Prefer>).unwrap_or(default.prefer),
        deadline: section.parsed("deadline", "deadline = \"500ms\"", deadline),
        priority: section
            .integer("priority", 0..=i64::from(Priority::MAX))
            .and_then(|number| u8::try_from(number).ok())
            .map_or(default.priority, Priority::new),
        max_cost: section.parsed("max_cost", "max_cost = \"0.00002\"", str::parse::<Money>),
    }
}

/// A time that somebody can wait.
pub(super) fn deadline(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        deadline if deadline.is_zero() => Err("`deadline` is 0; write a duration such as `10s`".to_owned()),
        deadline => Ok(deadline),
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
    if placement.prefer != default.prefer {
        lines.push(format!("prefer = \"{}\"", placement.prefer.as_str()));
    }
    if let Some(deadline) = placement.deadline {
        lines.push(format!("deadline = \"{}ms\"", deadline.as_millis()));
    }
    if placement.priority != default.priority {
        lines.push(format!("priority = {}", placement.priority.get()));
    }
    if let Some(most) = placement.max_cost {
        lines.push(format!("max_cost = \"{most}\""));
    }
    lines
}

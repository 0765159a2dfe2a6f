//! What a component imports and exports, read before it is compiled.

use std::fmt;

use wasmparser::{ComponentExternalKind, Parser, Payload};

/// The interface through which a component answers HTTP, and so the engine it runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interface {
    /// `wasi:http/handler@0.3`.
    P3,
    /// `wasi:http/incoming-handler@0.2`.
    P2,
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P3 => "wasi:http@0.3",
            Self::P2 => "wasi:http@0.2",
        })
    }
}

/// A component's outside.
#[derive(Debug)]
pub(crate) struct Outside {
    pub(crate) interface: Option<Interface>,
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
}

/// Packages whose interfaces every sandbox is linked with, by the version they must be compatible with.
const OFFERED: &[(&str, &[&str], Offer)] = &[
    (
        "wasi:cli",
        &["environment", "exit", "stdin", "stdout", "stderr", "terminal-input", "terminal-output"],
        Offer::Both,
    ),
    ("wasi:cli", &["terminal-stdin", "terminal-stdout", "terminal-stderr"], Offer::Both),
    ("wasi:cli", &["types"], Offer::P3),
    ("wasi:clocks", &["monotonic-clock"], Offer::Both),
    ("wasi:clocks", &["wall-clock", "timezone"], Offer::P2),
    ("wasi:clocks", &["system-clock", "types"], Offer::P3),
    ("wasi:filesystem", &["types", "preopens"], Offer::Both),
    ("wasi:io", &["error", "poll", "streams"], Offer::P2),
    ("wasi:random", &["random", "insecure", "insecure-seed"], Offer::Both),
    (
        "wasi:sockets",
        &["network", "instance-network", "tcp", "tcp-create-socket", "udp", "udp-create-socket"],
        Offer::P2,
    ),
    ("wasi:sockets", &["types"], Offer::P3),
    ("wasi:sockets", &["ip-name-lookup"], Offer::Both),
    ("wasi:http", &["types"], Offer::Both),
    ("wasi:http", &["outgoing-handler"], Offer::P2),
    ("wasi:http", &["client"], Offer::P3),
    ("wasi:keyvalue", &["store", "atomics", "batch"], Offer::Exactly("0.2.0-draft")),
    ("wasi:config", &["store"], Offer::Exactly("0.2.0-rc.1")),
    ("wasi:logging", &["logging"], Offer::Exactly("0.1.0-draft")),
    ("wasi:nn", &["tensor", "graph", "inference", "errors"], Offer::Exactly("0.2.0-rc-2024-10-28")),
    (
        "spillway:tensor",
        &[
            "tensors",
            "models",
            "inference-blocking",
            "operators",
            "kernels-blocking",
            "graphs",
            "graph-execution-blocking",
        ],
        Offer::Exactly("0.1.0"),
    ),
];

/// Offered on the engine for WASI 0.3 only: the 0.2 engine has no asynchronous functions.
const OFFERED_ON_P3: &[(&str, &[&str], Offer)] =
    &[("spillway:tensor", &["inference", "kernels", "graph-execution"], Offer::Exactly("0.1.0"))];

#[derive(Clone, Copy)]
enum Offer {
    /// WASI 0.2 releases.
    P2,
    /// WASI 0.3 releases.
    P3,
    /// Either.
    Both,
    /// One version.
    Exactly(&'static str),
}

impl Offer {
    fn takes(self, version: &str, on: Interface) -> bool {
        let p3 = version.starts_with("0.3.") && on == Interface::P3;
        // `-rc` and `-draft` versions before 0.2.0 have other types under the same names.
        let p2 = version.starts_with("0.2.") && !version.contains('-');
        match self {
            Self::P2 => p2,
            Self::P3 => p3,
            Self::Both => p2 || p3,
            Self::Exactly(wanted) => version == wanted,
        }
    }
}

impl Outside {
    /// Reads the top level of a component; what is nested inside is its own affair.
    ///
    /// # Errors
    /// Where the binary is damaged.
    pub(crate) fn read(component: &[u8]) -> Result<Self, String> {
        let mut outside = Self { interface: None, imports: Vec::new(), exports: Vec::new() };
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(component) {
            match payload.map_err(|error| error.to_string())? {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(imports) if depth == 0 => {
                    for import in imports {
                        outside.imports.push(import.map_err(|error| error.to_string())?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(exports) if depth == 0 => {
                    for export in exports {
                        let export = export.map_err(|error| error.to_string())?;
                        if export.kind == ComponentExternalKind::Instance {
                            outside.exports.push(export.name.name.to_owned());
                        }
                    }
                }
                _ => {}
            }
        }
        outside.interface = outside.find_interface();
        Ok(outside)
    }

    fn find_interface(&self) -> Option<Interface> {
        let exports = |prefix: &str| self.exports.iter().any(|name| name.starts_with(prefix));
        if exports("wasi:http/handler@0.3.") {
            Some(Interface::P3)
        } else if exports("wasi:http/incoming-handler@0.2.") {
            Some(Interface::P2)
        } else {
            None
        }
    }

    /// The imports that no sandbox on `interface` is linked with.
    pub(crate) fn unknown_imports(&self, interface: Interface) -> Vec<String> {
        self.imports.iter().filter(|name| !is_offered(name, interface)).cloned().collect()
    }
}

fn is_offered(import: &str, on: Interface) -> bool {
    let Some((path, version)) = import.split_once('@') else { return false };
    let Some((package, interface)) = path.split_once('/') else { return false };
    let also: &[_] = if on == Interface::P3 { OFFERED_ON_P3 } else { &[] };
    OFFERED.iter().chain(also).any(|(offered, interfaces, offer)| {
        *offered == package && interfaces.contains(&interface) && offer.takes(version, on)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_offered_by_package_interface_and_version() {
        for (import, on, offered) in [
            ("wasi:cli/environment@0.2.3", Interface::P2, true),
            ("wasi:cli/environment@0.2.3", Interface::P3, true),
            ("wasi:cli/environment@0.3.2", Interface::P3, true),
            ("wasi:cli/environment@0.3.2", Interface::P2, false),
            ("wasi:cli/environment@0.2.0-rc-2023-11-10", Interface::P2, false),
            ("wasi:nn/tensor@0.2.0", Interface::P2, false),
            ("wasi:nn/graph@0.2.0-rc-2024-10-28", Interface::P2, true),
            ("spillway:tensor/inference@0.1.0", Interface::P3, true),
            ("spillway:tensor/inference@0.1.0", Interface::P2, false),
            ("spillway:tensor/inference-blocking@0.1.0", Interface::P2, true),
            ("spillway:tensor/graph-execution@0.1.0", Interface::P3, true),
            ("spillway:tensor/graph-execution@0.1.0", Interface::P2, false),
            ("spillway:tensor/graph-execution-blocking@0.1.0", Interface::P2, true),
            ("spillway:tensor/tensors@0.2.0", Interface::P3, false),
            ("host-function", Interface::P2, false),
        ] {
            assert_eq!(is_offered(import, on), offered, "{import} on {on}");
        }
    }

    #[test]
    fn a_truncated_component_is_an_error() {
        assert!(Outside::read(b"\0asm\x0d\0\x01\0\x07\xff").is_err());
    }
}

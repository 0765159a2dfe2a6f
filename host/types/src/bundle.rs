//! A bundle: one `.wasm` file that is a component with its manifest, and its models if they were embedded.
//!
//! | custom section | content |
//! | --- | --- |
//! | `spillway:manifest` | the manifest as UTF-8 TOML ([`crate::Manifest::to_bundle_toml`]) |
//! | `spillway:model` | SHA-256 of the model (32 bytes), then the model; any number of sections |
//!
//! Sections are read at the top level only: what a nested module carries is its own.

use std::ops::Range;

use wasmparser::BinaryReader;

use crate::Digest;

const MANIFEST_SECTION: &str = "spillway:manifest";
const MODEL_SECTION: &str = "spillway:model";
/// Magic, then version 13, layer 1 (Component Model binary format, "preamble").
const COMPONENT_PREAMBLE: &[u8; 8] = b"\0asm\x0d\0\x01\0";
const CORE_PREAMBLE: &[u8; 8] = b"\0asm\x01\0\0\0";

/// A bundle read in place.
#[derive(Debug)]
pub struct Bundle<'a> {
    bytes: &'a [u8],
    manifest: Option<&'a str>,
    models: Vec<(Digest, &'a [u8])>,
    /// Top-level sections that are not ours, whole.
    component: Vec<Range<usize>>,
    /// The manifest's section, whole.
    manifest_section: Option<Range<usize>>,
}

/// Why a file is no bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Something else altogether.
    #[error("the file is not WebAssembly; deploy the `.wasm` file that `spillway build` wrote")]
    NotWasm,
    /// A core module.
    #[error(
        "the file is a core WebAssembly module, not a component; build for the target wasm32-wasip2, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// Cut off or garbled.
    #[error("the file is damaged at byte {offset}: {reason}; build or download it again")]
    Damaged {
        /// Where.
        offset: usize,
        /// What.
        reason: String,
    },
    /// Embedded model bytes are not those of their digest.
    #[error("the embedded model {expected} has the digest {actual}; build the bundle again")]
    ModelDigest {
        /// What the section says.
        expected: Digest,
        /// What its bytes have.
        actual: Digest,
    },
}

impl<'a> Bundle<'a> {
    /// Finds the parts of a bundle. A component without a manifest is one, too.
    ///
    /// # Errors
    /// Why the bytes are no bundle. The component itself is validated when it is compiled.
    pub fn read(bytes: &'a [u8]) -> Result<Self, BundleError> {
        match bytes.get(..8) {
            Some(preamble) if preamble == COMPONENT_PREAMBLE => {}
            Some(preamble) if preamble == CORE_PREAMBLE => return Err(BundleError::CoreModule),
            _ => return Err(BundleError::NotWasm),
        }
        let mut bundle =
            Self { bytes, manifest: None, models: Vec::new(), component: Vec::new(), manifest_section: None };
        let mut reader = BinaryReader::new(&bytes[8..], 8);
        while !reader.eof() {
            let start = reader.original_position();
            let damaged = |error: wasmparser::BinaryReaderError| BundleError::Damaged {
                offset: error.offset(),
                reason: error.message().to_owned(),
            };
            let id = reader.read_u8().map_err(damaged)?;
            let length = reader.read_var_u32().map_err(damaged)? as usize;
            let body_start = reader.original_position();
            let body = reader.read_bytes(length).map_err(damaged)?;
            let range = start..body_start + length;
            let mut section = BinaryReader::new(body, body_start);
            let name = if id == 0 { section.read_string().map_err(damaged)? } else { "" };
            let payload = &bytes[section.original_position()..range.end];
            match name {
                MANIFEST_SECTION => {
                    let text = std::str::from_utf8(payload).map_err(|_| BundleError::Damaged {
                        offset: start,
                        reason: "the manifest is not UTF-8".to_owned(),
                    })?;
                    bundle.manifest = Some(text);
                    bundle.manifest_section = Some(range);
                }
                MODEL_SECTION => bundle.models.push(read_model(payload, start)?),
                _ => bundle.component.push(range),
            }
        }
        Ok(bundle)
    }

    /// The manifest's text, if there is one.
    pub fn manifest(&self) -> Option<&'a str> {
        self.manifest
    }

    /// Embedded models; their digests are verified.
    pub fn models(&self) -> &[(Digest, &'a [u8])] {
        &self.models
    }

    /// The bundle without embedded models: what a node keeps and names by digest.
    pub fn without_models(&self) -> Vec<u8> {
        let mut out = self.component();
        if let Some(range) = &self.manifest_section {
            out.extend_from_slice(&self.bytes[range.clone()]);
        }
        out
    }

    /// The bare component: what is compiled, so that another manifest needs no other machine code.
    pub fn component(&self) -> Vec<u8> {
        let mut out = COMPONENT_PREAMBLE.to_vec();
        for range in &self.component {
            out.extend_from_slice(&self.bytes[range.clone()]);
        }
        out
    }

    /// Writes a bundle: `component` (a bundle's old parts are dropped), manifest and models to embed.
    ///
    /// # Errors
    /// Why `component` is none.
    pub fn write(component: &[u8], manifest: &str, models: &[&[u8]]) -> Result<Vec<u8>, BundleError> {
        let mut out = Bundle::read(component)?.component();
        push_section(&mut out, MANIFEST_SECTION, &[manifest.as_bytes()]);
        for model in models {
            push_section(&mut out, MODEL_SECTION, &[Digest::of(model).as_bytes(), model]);
        }
        Ok(out)
    }
}

fn read_model(payload: &[u8], offset: usize) -> Result<(Digest, &[u8]), BundleError> {
    let Some((expected, model)) = payload.split_first_chunk::<32>() else {
        return Err(BundleError::Damaged { offset, reason: "a model section without a digest".to_owned() });
    };
    let (expected, actual) = (Digest::from_bytes(*expected), Digest::of(model));
    if expected == actual { Ok((actual, model)) } else { Err(BundleError::ModelDigest { expected, actual }) }
}

fn push_section(out: &mut Vec<u8>, name: &str, parts: &[&[u8]]) {
    let mut head = Vec::new();
    push_leb128(&mut head, name.len());
    head.extend_from_slice(name.as_bytes());
    out.push(0);
    push_leb128(out, head.len() + parts.iter().map(|part| part.len()).sum::<usize>());
    out.extend_from_slice(&head);
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Unsigned LEB128, the integer encoding of WebAssembly's binary format.
fn push_leb128(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            return out.push(byte);
        }
        out.push(byte | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component with one custom section of somebody else.
    fn component() -> Vec<u8> {
        let mut bytes = COMPONENT_PREAMBLE.to_vec();
        push_section(&mut bytes, "producers", &[&[7; 300]]);
        bytes
    }

    #[test]
    fn what_write_puts_in_read_takes_out() {
        let bytes = Bundle::write(&component(), "name = 1", &[b"model one", b"two"]).unwrap();
        let bundle = Bundle::read(&bytes).unwrap();
        assert_eq!(bundle.manifest(), Some("name = 1"));
        assert_eq!(bundle.models(), [(Digest::of(b"model one"), &b"model one"[..]), (Digest::of(b"two"), b"two")]);
        assert_eq!(bundle.component(), component());
        let kept = bundle.without_models();
        assert_eq!(kept, Bundle::write(&bytes, "name = 1", &[]).unwrap());
        assert_eq!(Bundle::read(&kept).unwrap().models(), []);
    }

    #[test]
    fn other_files_are_refused_by_what_they_are() {
        assert_eq!(Bundle::read(b"hello, world").unwrap_err(), BundleError::NotWasm);
        assert_eq!(Bundle::read(b"").unwrap_err(), BundleError::NotWasm);
        assert_eq!(Bundle::read(CORE_PREAMBLE).unwrap_err(), BundleError::CoreModule);
    }

    #[test]
    fn a_truncated_or_altered_bundle_is_refused() {
        let bytes = Bundle::write(&component(), "x", &[b"model"]).unwrap();
        for end in 9..bytes.len() {
            // A cut between two sections leaves a smaller bundle; any other is damage.
            if let Ok(bundle) = Bundle::read(&bytes[..end]) {
                assert!(bundle.models().is_empty());
            }
        }
        let mut altered = bytes.clone();
        *altered.last_mut().unwrap() ^= 1;
        assert!(matches!(Bundle::read(&altered).unwrap_err(), BundleError::ModelDigest { .. }));
    }
}

//! Writes an index, piece by piece: the file is larger than a sandbox.

use minilm::{DIMENSIONS, encoder, tokenizer};
use serde_json::json;
use spillway_sdk::{BodyWriter, Result};

use crate::index::{ENDS, TEXTS, VECTORS};

/// Texts whose vectors are made at once.
const AT_ONCE: usize = 512;

/// The beginning of the file: its header's length and its header.
#[derive(Debug)]
pub(crate) struct Header(Vec<u8>);

impl Header {
    /// `None` where `ends` cannot say how long the texts are.
    pub(crate) fn of(lines: &[String]) -> Option<Self> {
        let (rows, bytes) = (lines.len(), lines.iter().map(String::len).sum::<usize>());
        i32::try_from(bytes).ok()?;
        let (vectors, ends) = (rows * DIMENSIONS * 4, rows * 4);
        let header = json!({
            VECTORS: { "dtype": "F32", "shape": [rows, DIMENSIONS], "data_offsets": [0, vectors] },
            ENDS: { "dtype": "I32", "shape": [rows], "data_offsets": [vectors, vectors + ends] },
            TEXTS: { "dtype": "U8", "shape": [bytes], "data_offsets": [vectors + ends, vectors + ends + bytes] },
        });
        let mut header = header.to_string().into_bytes();
        // The vectors then begin where eight bytes do.
        header.resize(header.len().next_multiple_of(8), b' ');
        Some(Self([&(header.len() as u64).to_le_bytes()[..], &header].concat()))
    }
}

/// The whole file.
pub(crate) async fn index(header: Header, lines: Vec<String>, writer: &mut BodyWriter) -> Result<()> {
    writer.write(header.0).await;
    for lines in lines.chunks(AT_ONCE) {
        let tokens: Vec<_> = lines.iter().map(|line| tokenizer::encode(line)).collect();
        let vectors = encoder::embed(&tokens).await?;
        let bytes: Vec<u8> = vectors.into_iter().flatten().flat_map(f32::to_le_bytes).collect();
        writer.write(bytes).await;
    }
    let mut end = 0;
    let ends = lines.iter().map(|line| {
        end += line.len() as i32;
        end.to_le_bytes()
    });
    writer.write(ends.collect::<Vec<_>>().concat()).await;
    writer.write(lines.concat()).await;
    Ok(())
}

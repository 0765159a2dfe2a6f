//! What the model sees of a file: both ends, without the white space around them.
//!
//! Follows `Magika._extract_features_from_seekable` of the Python package magika 1.0.3, in flat memory.

use spillway_sdk::{Body, Result};

use crate::content_types::{ContentType, EMPTY, TXT, UNKNOWN};

/// Bytes looked at from each end (`block_size` in the model's `config.min.json`, as all of these).
const BLOCK: usize = 4096;
/// Tokens for the beginning (`beg_size`).
const BEGINNING: usize = 1024;
/// Tokens for the end (`end_size`).
const END: usize = 1024;
/// Stands where a file is too short (`padding_token`); a byte is its own token.
const PADDING: i32 = 256;
/// The fewest bytes that the model is asked about (`min_file_size_for_dl`).
const FEWEST: usize = 8;

/// Tokens of the model's input.
pub(crate) const TOKENS: usize = BEGINNING + END;

/// The first and the last block of a file; they overlap in a short one.
#[derive(Debug, Default)]
pub(crate) struct Excerpt {
    first: Vec<u8>,
    last: Vec<u8>,
    length: u64,
}

impl Excerpt {
    /// Reads all of `body`, and keeps both ends.
    pub(crate) async fn read(mut body: Body) -> Result<Self> {
        let mut excerpt = Self::default();
        while let Some(chunk) = body.next().await? {
            excerpt.push(&chunk);
        }
        Ok(excerpt)
    }

    fn push(&mut self, chunk: &[u8]) {
        let room = BLOCK - self.first.len();
        self.first.extend_from_slice(&chunk[..chunk.len().min(room)]);
        self.last.extend_from_slice(&chunk[chunk.len().saturating_sub(BLOCK)..]);
        self.last.drain(..self.last.len().saturating_sub(BLOCK));
        self.length += chunk.len() as u64;
    }

    /// How long the whole file is, in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The model's input, or `None` if there is too little to ask about.
    pub(crate) fn tokens(&self) -> Option<[i32; TOKENS]> {
        let start = self.first.iter().position(|byte| !is_space(*byte)).unwrap_or(self.first.len());
        let end = self.last.iter().rposition(|byte| !is_space(*byte)).map_or(0, |last| last + 1);
        let (beginning, ending) = (&self.first[start..], &self.last[..end]);
        // The reference looks at the length before and after stripping; the second implies the first.
        if beginning.len() < FEWEST {
            return None;
        }
        let mut tokens = [PADDING; TOKENS];
        for (token, byte) in tokens[..BEGINNING].iter_mut().zip(beginning) {
            *token = i32::from(*byte);
        }
        for (token, byte) in tokens[BEGINNING..].iter_mut().rev().zip(ending.iter().rev()) {
            *token = i32::from(*byte);
        }
        Some(tokens)
    }

    /// What can be said without the model.
    pub(crate) fn general_type(&self) -> &'static ContentType {
        if self.length == 0 {
            &EMPTY
        } else if std::str::from_utf8(&self.first).is_ok() {
            &TXT
        } else {
            &UNKNOWN
        }
    }
}

/// What Python's `bytes.strip` strips; unlike `u8::is_ascii_whitespace` it knows the vertical tab.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(chunks: &[&[u8]]) -> Excerpt {
        let mut excerpt = Excerpt::default();
        chunks.iter().for_each(|chunk| excerpt.push(chunk));
        excerpt
    }

    #[test]
    fn both_ends_are_the_same_however_the_body_is_cut() {
        let file: Vec<u8> = (0..10_000u32).map(|n| (n % 251) as u8).collect();
        let whole = excerpt(&[&file]);
        assert_eq!(whole.first, file[..BLOCK]);
        assert_eq!(whole.last, file[file.len() - BLOCK..]);
        for size in [1, 7, 4095, 4096, 4097, 9_999] {
            let chunks: Vec<_> = file.chunks(size).collect();
            let cut = excerpt(&chunks);
            assert_eq!((cut.first, cut.last, cut.length), (whole.first.clone(), whole.last.clone(), 10_000), "{size}");
        }
    }

    #[test]
    fn short_files_are_padded_at_the_far_ends() {
        // Each end is stripped on its own far side only.
        let tokens = excerpt(&[b" \x0b12345678\n"]).tokens().unwrap();
        let ints = |text: &[u8]| text.iter().map(|&byte| i32::from(byte)).collect::<Vec<_>>();
        let (beginning, ending) = tokens.split_at(BEGINNING);
        assert_eq!(beginning[..9], ints(b"12345678\n"));
        assert!(beginning[9..].iter().all(|&token| token == PADDING));
        assert_eq!(ending[END - 10..], ints(b" \x0b12345678"));
        assert!(ending[..END - 10].iter().all(|&token| token == PADDING));
    }

    #[test]
    fn files_with_too_little_to_ask_about_get_a_general_type() {
        for (file, label) in [(&b""[..], "empty"), (b"a", "txt"), (b"\xff", "unknown"), (b" seven b", "txt")] {
            let excerpt = excerpt(&[file]);
            assert!(excerpt.tokens().is_none(), "{file:?}");
            assert_eq!(excerpt.general_type().label, label, "{file:?}");
        }
    }
}

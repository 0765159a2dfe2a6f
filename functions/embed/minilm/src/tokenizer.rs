//! Text to token ids as BERT does it: `BertNormalizer`, `BertPreTokenizer` and `WordPiece` of the Hugging Face library
//! tokenizers 0.22, with the settings in the model's `tokenizer.json`.
//!
//! Not that library itself: it makes a component of 3 MB, reads the settings for 10 ms in each fresh sandbox, and starts
//! threads, which Wasm has none of.

use unicode_categories::UnicodeCategories as _;
use unicode_normalization::UnicodeNormalization as _;

use crate::vocabulary;

/// The most tokens of a text, with the one that opens it and the one that closes it; what is beyond is left out
/// (`max_seq_length` in the model's `sentence_bert_config.json`).
pub const LONGEST: usize = 256;

/// The most characters of a word that is looked up (`max_input_chars_per_word`).
const LONGEST_WORD: usize = 100;

const UNKNOWN: u32 = 100;
const OPENING: u32 = 101;
const CLOSING: u32 = 102;

/// Tokens that stand for themselves where a text has them (`added_tokens`).
const ADDED: [(&str, u32); 5] =
    [("[PAD]", 0), ("[UNK]", UNKNOWN), ("[CLS]", OPENING), ("[SEP]", CLOSING), ("[MASK]", 103)];

/// The token ids of `text`, from 2 to [`LONGEST`] of them.
pub fn encode(text: &str) -> Vec<u32> {
    let mut ids = vec![OPENING];
    let mut rest = text;
    while ids.len() < LONGEST {
        let added = rest.match_indices('[').find_map(|(at, _)| {
            let (token, id) = ADDED.iter().find(|(token, _)| rest[at..].starts_with(token))?;
            Some((at, at + token.len(), *id))
        });
        let Some((start, end, id)) = added else {
            add_words(rest, &mut ids);
            break;
        };
        add_words(&rest[..start], &mut ids);
        ids.push(id);
        rest = &rest[end..];
    }
    ids.truncate(LONGEST - 1);
    ids.push(CLOSING);
    ids
}

/// Adds the tokens of each word, at least until there are enough.
fn add_words(text: &str, ids: &mut Vec<u32>) {
    let plain = text.chars().filter(|&c| !is_noise(c)).nfd().filter(|&c| !is_accent(c)).flat_map(char::to_lowercase);
    let mut word = String::new();
    for c in plain {
        let stands_alone = is_punctuation(c) || is_chinese(c);
        if stands_alone || c.is_whitespace() {
            add_word(&word, ids);
            word.clear();
            if ids.len() >= LONGEST {
                return;
            }
        }
        if stands_alone {
            add_word(c.encode_utf8(&mut [0; 4]), ids);
        } else if !c.is_whitespace() {
            word.push(c);
        }
    }
    add_word(&word, ids);
}

/// Adds the longest tokens that the word is made of, one after the other, or one for a word that is not made of tokens.
fn add_word(word: &str, ids: &mut Vec<u32>) {
    if word.chars().nth(LONGEST_WORD).is_some() {
        ids.push(UNKNOWN);
        return;
    }
    let first = ids.len();
    let mut at = 0;
    while at < word.len() {
        let Some((length, id)) = vocabulary::longest(&word[at..], at == 0) else {
            ids.truncate(first);
            ids.push(UNKNOWN);
            return;
        };
        ids.push(id);
        at += length;
    }
}

/// Whether the character goes, before anything else is looked at.
fn is_noise(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' | ' '..='~' => false,
        '\u{fffd}' => true,
        _ => c.is_other(),
    }
}

fn is_accent(c: char) -> bool {
    !c.is_ascii() && c.is_mark_nonspacing()
}

fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() || (!c.is_ascii() && c.is_punctuation())
}

/// The blocks of `BertNormalizer`: CJK ideographs without some of the later extensions.
fn is_chinese(c: char) -> bool {
    matches!(c,
        '\u{4e00}'..='\u{9fff}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{20000}'..='\u{2a6df}'
        | '\u{2a700}'..='\u{2b73f}'
        | '\u{2b740}'..='\u{2b81f}'
        | '\u{2b920}'..='\u{2ceaf}'
        | '\u{f900}'..='\u{faff}'
        | '\u{2f800}'..='\u{2fa1f}')
}

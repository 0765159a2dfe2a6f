//! The tokens that words are made of.

use std::cmp::Ordering;

/// Written by `vocabulary.py`, which says how, from the tokeniser of all-MiniLM-L6-v2, which has its vocabulary from BERT:
/// copyright Google LLC, Apache-2.0.
static FILE: &[u8] = include_bytes!("vocabulary.bin");

/// The most bytes of a token.
const LONGEST: usize = 18;

/// Tokens that begin a word, and tokens that go on with one, by their length. Found by the compiler, so that a fresh
/// sandbox has nothing to load.
static KINDS: [[Group; LONGEST]; 2] = read(FILE);

/// Tokens of one length in the order of their bytes, and the id of each.
#[derive(Clone, Copy)]
struct Group {
    tokens: &'static [u8],
    ids: &'static [u8],
}

/// The longest token that `rest` begins with, as its length in bytes and its id. `starts` says whether a word starts there.
pub(crate) fn longest(rest: &str, starts: bool) -> Option<(usize, u32)> {
    let groups = &KINDS[usize::from(!starts)];
    let lengths = (1..=LONGEST.min(rest.len())).rev().filter(|&length| rest.is_char_boundary(length));
    lengths.filter_map(|length| Some((length, groups[length - 1].find(&rest.as_bytes()[..length])?))).next()
}

impl Group {
    fn find(&self, token: &[u8]) -> Option<u32> {
        let (mut low, mut high) = (0, self.ids.len() / 2);
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.tokens[middle * token.len()..][..token.len()].cmp(token) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Some(u32::from(number(self.ids, middle))),
                Ordering::Greater => high = middle,
            }
        }
        None
    }
}

const fn read(mut file: &'static [u8]) -> [[Group; LONGEST]; 2] {
    let mut kinds = [[Group { tokens: &[], ids: &[] }; LONGEST]; 2];
    let mut index = 0;
    while index < 2 * LONGEST {
        let length = index % LONGEST + 1;
        let (count, rest) = file.split_at(2);
        let count = number(count, 0) as usize;
        let (tokens, rest) = rest.split_at(count * length);
        let (ids, rest) = rest.split_at(count * 2);
        kinds[index / LONGEST][index % LONGEST] = Group { tokens, ids };
        file = rest;
        index += 1;
    }
    kinds
}

const fn number(numbers: &[u8], index: usize) -> u16 {
    u16::from_le_bytes([numbers[2 * index], numbers[2 * index + 1]])
}

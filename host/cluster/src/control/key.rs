//! The names of what is in a control store.

use std::fmt;
use std::str::FromStr;

/// The longest key in bytes.
const BYTES_MAX: usize = 256;

/// The name of an entry: words of `a-z`, `0-9` and `-`, joined by dots, such as `functions.default.hello`.
///
/// So it is a subject of NATS as it stands, and none of its words can be a wildcard there.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ControlKey(String);

/// A string that is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a control key; use words of lower-case letters, digits and `-`, joined by dots, {BYTES_MAX} bytes at most"
)]
pub struct ParseControlKeyError(String);

impl ControlKey {
    /// A key from its words.
    ///
    /// # Errors
    /// There is no word, a word is empty or has a character that no key has, or the key is too long.
    pub fn new<W: AsRef<str>>(words: impl IntoIterator<Item = W>) -> Result<Self, ParseControlKeyError> {
        let mut text = String::new();
        for (position, word) in words.into_iter().enumerate() {
            if position > 0 {
                text.push('.');
            }
            // A dot within a word would make two of it.
            if word.as_ref().contains('.') {
                return Err(refused(word.as_ref()));
            }
            text.push_str(word.as_ref());
        }
        text.parse()
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its words.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }

    /// Whether it lies below `prefix`: has all its words, and more.
    pub fn is_below(&self, prefix: &Self) -> bool {
        self.0.strip_prefix(&prefix.0).is_some_and(|rest| rest.starts_with('.'))
    }
}

impl FromStr for ControlKey {
    type Err = ParseControlKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_word = |word: &str| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if text.len() > BYTES_MAX || !text.split('.').all(is_word) {
            return Err(refused(text));
        }
        Ok(Self(text.to_owned()))
    }
}

fn refused(text: &str) -> ParseControlKeyError {
    ParseControlKeyError(text.chars().take(100).collect())
}

impl fmt::Display for ControlKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ControlKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_words_joined_by_dots() {
        let key = ControlKey::new(["functions", "default", "2-hello-"]).unwrap();
        assert_eq!(key.to_string(), "functions.default.2-hello-");
        assert_eq!(key.to_string().parse(), Ok(key.clone()));
        assert_eq!(key.words().collect::<Vec<_>>(), ["functions", "default", "2-hello-"]);
        assert!(ControlKey::new(["x".repeat(BYTES_MAX)]).is_ok());
    }

    #[test]
    fn wildcards_empty_words_and_what_others_might_read_differently_are_refused() {
        for bad in ["", ".", "a.", ".a", "a..b", "a.*", ">", "A", "a b", "a_b", "é", "a/b", "a\n"] {
            assert!(bad.parse::<ControlKey>().is_err(), "{bad:?}");
        }
        assert!("x".repeat(BYTES_MAX + 1).parse::<ControlKey>().is_err());
        assert!(ControlKey::new(["a.b"]).is_err() && ControlKey::new([""]).is_err());
        assert!(ControlKey::new(Vec::<String>::new()).is_err());
    }

    #[test]
    fn a_key_is_below_another_by_whole_words() {
        let below = |key: &str, prefix: &str| key.parse::<ControlKey>().unwrap().is_below(&prefix.parse().unwrap());
        assert!(below("a.b", "a") && below("a.b.c", "a") && below("a.b.c", "a.b"));
        assert!(!below("a", "a") && !below("ab", "a") && !below("ab.c", "a") && !below("a", "a.b"));
    }
}

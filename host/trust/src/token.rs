//! Tokens that callers show.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRngCore as _;
use zeroize::Zeroizing;

/// What a token begins with, so that scanners for leaked secrets know it.
const PREFIX: &str = "spw_";

/// A new token of 256 random bits, in letters that need no quotes. Nobody guesses it, so that a plain digest of it may be
/// kept where others read it.
///
/// # Panics
/// The system has no random numbers, which Linux has from early boot on.
pub fn new_token() -> Zeroizing<String> {
    let mut secret = Zeroizing::new([0; 32]);
    rand::rngs::OsRng.try_fill_bytes(&mut *secret).expect("Linux gives random numbers from early boot on");
    let mut token = Zeroizing::new(String::with_capacity(PREFIX.len() + 43));
    token.push_str(PREFIX);
    URL_SAFE_NO_PAD.encode_string(*secret, &mut token);
    token
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_token_comes_twice() {
        let (one, other) = (new_token(), new_token());
        assert_eq!((one.len(), one != other), (PREFIX.len() + 43, true));
        assert!(one.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    }
}

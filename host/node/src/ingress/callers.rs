//! Callers that show tokens: who may call which function.
//!
//! The tokens are a file, one for all nodes, which operators hand out as they do certificates: calls enter a cluster at any
//! node, and each must know who calls without asking another. The file has digests; a token is shown once, when
//! `spillway token new` makes it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use http::Response;
use http::header::{self, HeaderMap, HeaderValue};
use spillway_runtime::Body;
use spillway_types::{Auth, Caller, Digest, FunctionId, Problem, ProblemType};

use super::respond::{has_own, problem_response};

/// The callers that a node knows. Follows its file.
pub(crate) struct Callers {
    file: Option<PathBuf>,
    /// What holds for routes that say nothing.
    usual: Auth,
    known: ArcSwap<Known>,
}

#[derive(Default)]
struct Known {
    /// Digest of the file's text.
    text: Option<Digest>,
    by_token: HashMap<Digest, (HeaderValue, Caller)>,
}

impl Callers {
    /// Reads the file, if there is one.
    ///
    /// # Errors
    /// It cannot be read or is not valid, with the line.
    pub(crate) fn load(file: Option<PathBuf>, usual: Auth) -> anyhow::Result<Self> {
        let known = match &file {
            Some(file) => Known::parse(&read(file)?).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?,
            None => Known::default(),
        };
        Ok(Self { file, usual, known: ArcSwap::from_pointee(known) })
    }

    /// Reads the file again, and says whether it is another than before. Blocks on the disk.
    ///
    /// # Errors
    /// The new file is not good: the callers stay as they were.
    pub(crate) fn reload_if_changed(&self) -> anyhow::Result<bool> {
        let Some(file) = &self.file else { return Ok(false) };
        let text = read(file)?;
        if Some(Digest::of(text.as_bytes())) == self.known.load().text {
            return Ok(false);
        }
        let known = Known::parse(&text).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?;
        self.known.store(Arc::new(known));
        Ok(true)
    }

    /// Whether the caller may call, by what the route asks for. Takes the token away, which is none of the function's
    /// business, and says who calls.
    ///
    /// # Errors
    /// It may not.
    pub(super) fn admit(
        &self,
        asked: Option<Auth>,
        function: &FunctionId,
        headers: &mut HeaderMap,
    ) -> Result<(), Box<Problem>> {
        if has_own(headers) {
            headers.remove(super::head::CALLER);
        }
        if asked.unwrap_or(self.usual) == Auth::None {
            return Ok(());
        }
        let unknown = |detail: &str| Err(Box::new(Problem::new(ProblemType::CallerUnknown, detail)));
        let mut shown = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(shown), None) = (shown.next(), shown.next()) else {
            return unknown("the route wants a token; send it as `authorization: Bearer TOKEN`");
        };
        let Some(token) = shown.to_str().ok().and_then(bearer) else {
            return unknown("`authorization` is no bearer token; send `authorization: Bearer TOKEN`");
        };
        let known = self.known.load();
        // Found by digest: how long it takes says nothing of how much of the token was right.
        let Some((name, caller)) = known.by_token.get(&Digest::of(token.as_bytes())) else {
            return unknown("the token is not known here; ask the node's operator for one");
        };
        if caller.expires.is_some_and(|expires| expires <= SystemTime::now()) {
            return unknown("the token has expired; ask the node's operator for another");
        }
        if !caller.may_call(function) {
            let detail = format!("the token is not for {function}; ask the node's operator for one that is");
            return Err(Box::new(Problem::new(ProblemType::CallerForbidden, detail)));
        }
        headers.remove(header::AUTHORIZATION);
        headers.insert(super::head::CALLER, name.clone());
        Ok(())
    }
}

/// The answer to a caller that may not call.
pub(super) fn refused(problem: &Problem) -> Response<Body> {
    let mut response = problem_response(problem);
    if problem.is(ProblemType::CallerUnknown) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"spillway\""));
    }
    response
}

fn read(file: &Path) -> anyhow::Result<String> {
    Ok(spillway_trust::read_bounded(file)?)
}

/// The token of `Bearer TOKEN`; the scheme in any case of letters (RFC 9110, section 11.1).
fn bearer(text: &str) -> Option<&str> {
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' ')).filter(|token| !token.is_empty())
}

impl Known {
    fn parse(text: &str) -> Result<Self, String> {
        let callers: spillway_types::Callers = text.parse()?;
        let by_token = callers.callers.into_iter().map(|caller| {
            let name =
                HeaderValue::from_str(caller.name.as_str()).expect("a name has lower-case letters, digits and `-`");
            (caller.token, (name, caller))
        });
        Ok(Self { text: Some(Digest::of(text.as_bytes())), by_token: by_token.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::head::CALLER;
    use super::*;

    fn callers() -> Callers {
        let caller = |name: &str, functions: &str, expires: &str| {
            let token = Digest::of(name.as_bytes());
            format!(
                "[[caller]]\nname = \"{name}\"\ntoken = \"{token}\"\nfunctions = [\"{functions}\"]\nexpires = \"{expires}\"\n"
            )
        };
        let text = caller("ada", "shop/*", "2999-01-01T00:00:00Z") + &caller("bob", "*", "2001-01-01T00:00:00Z");
        let known = ArcSwap::from_pointee(Known::parse(&text).unwrap());
        Callers { file: None, usual: Auth::None, known }
    }

    fn admit(asked: Option<Auth>, function: &str, shown: &[&'static str]) -> (Option<u16>, HeaderMap) {
        let mut headers = HeaderMap::new();
        headers.insert(CALLER, HeaderValue::from_static("root"));
        for shown in shown {
            headers.append(header::AUTHORIZATION, HeaderValue::from_static(shown));
        }
        let refused = callers().admit(asked, &function.parse().unwrap(), &mut headers).err();
        (refused.map(|problem| problem.status), headers)
    }

    #[test]
    fn a_token_is_good_for_its_functions_until_it_expires() {
        let token = Some(Auth::Token);
        for (shown, function, status) in [
            (&["Bearer ada"][..], "shop/cart", None),
            (&["bearer  ada"], "shop/cart", None),
            (&["Bearer ada"], "hello", Some(403)),
            (&["Bearer bob"], "hello", Some(401)),
            (&["Bearer eve"], "shop/cart", Some(401)),
            (&["Basic ada"], "shop/cart", Some(401)),
            (&["ada"], "shop/cart", Some(401)),
            (&["Bearer "], "shop/cart", Some(401)),
            (&["Bearer ada", "Bearer ada"], "shop/cart", Some(401)),
            (&[], "shop/cart", Some(401)),
        ] {
            assert_eq!(admit(token, function, shown).0, status, "{shown:?} {function}");
        }
    }

    #[test]
    fn a_function_learns_who_calls_from_the_node_alone_and_never_the_token() {
        let (_, headers) = admit(Some(Auth::Token), "shop/cart", &["Bearer ada"]);
        assert_eq!((&headers[CALLER], headers.len()), (&HeaderValue::from_static("ada"), 1));
        // Where the node does not ask, the field is the function's own.
        let (refused, headers) = admit(None, "shop/cart", &["Bearer own"]);
        assert_eq!((refused, headers.len()), (None, 1));
        assert!(headers.contains_key(header::AUTHORIZATION));
    }
}

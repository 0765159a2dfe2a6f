//! What a caller asks for.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::refusal::Refusal;
use crate::{DIMENSIONS, MODEL};

/// The most texts of one call, as in OpenAI's API.
const MOST_TEXTS: usize = 2048;

/// A call that can be answered.
#[derive(Debug, PartialEq)]
pub(crate) struct Call {
    /// From 1 to [`MOST_TEXTS`], none of them empty.
    pub(crate) texts: Vec<String>,
    pub(crate) encoding: Encoding,
}

/// How vectors are written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Encoding {
    /// As numbers.
    #[default]
    Float,
    /// As the base 64 of little-endian `f32`, which OpenAI's own clients ask for.
    Base64,
}

/// The body of a call, whatever it holds: what is wrong is told member by member.
#[derive(Deserialize)]
struct Document {
    input: Option<Input>,
    model: Option<Given<String>>,
    encoding_format: Option<Given<Encoding>>,
    dimensions: Option<Given<usize>>,
    /// Whom the caller asks for: nobody here needs to know.
    #[serde(rename = "user")]
    _user: Option<IgnoredAny>,
    #[serde(flatten)]
    unknown: BTreeMap<String, IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Texts(Vec<String>),
    Tokens(#[allow(dead_code, reason = "it tells them from what is no input at all")] Vec<u64>),
    TokenLists(#[allow(dead_code, reason = "as above")] Vec<Vec<u64>>),
    Wrong(IgnoredAny),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Given<T> {
    Right(T),
    Wrong(IgnoredAny),
}

impl Call {
    /// # Errors
    /// 400 that names what is wrong, 404 for another model.
    pub(crate) fn read(body: &[u8]) -> Result<Self, Refusal> {
        let Document { input, model, encoding_format, dimensions, unknown, .. } = serde_json::from_slice(body)
            .map_err(|error| Refusal::of_body(format!("the body is not the JSON of a request: {error}")))?;
        if let Some(name) = unknown.into_keys().next() {
            let message = format!(
                "there is no parameter `{name}`; there are `input`, `model`, `encoding_format`, `dimensions` and `user`"
            );
            return Err(Refusal::of(name, "unknown_parameter", message));
        }
        match model.ok_or_else(|| missing("model", "a string"))? {
            Given::Right(name) if name == MODEL => {}
            Given::Right(name) => return Err(Refusal::of_model(&name)),
            Given::Wrong(_) => return Err(Refusal::of("model", "invalid_type", "`model` is not a string")),
        }
        let encoding = match encoding_format {
            None => Encoding::default(),
            Some(Given::Right(encoding)) => encoding,
            Some(Given::Wrong(_)) => {
                let message = "`encoding_format` is neither \"float\" nor \"base64\"";
                return Err(Refusal::of("encoding_format", "invalid_value", message));
            }
        };
        if !matches!(dimensions, None | Some(Given::Right(DIMENSIONS))) {
            let message =
                format!("`dimensions` is not {DIMENSIONS}, which the vectors of `{MODEL}` have; leave it out");
            return Err(Refusal::of("dimensions", "invalid_value", message));
        }
        Ok(Self { texts: input.ok_or_else(|| missing("input", "a string or a list of strings"))?.texts()?, encoding })
    }
}

impl Input {
    fn texts(self) -> Result<Vec<String>, Refusal> {
        let refuse = |code, message: Cow<'static, str>| Err(Refusal::of("input", code, message));
        let texts = match self {
            Self::Text(text) => vec![text],
            Self::Texts(texts) => texts,
            Self::Tokens(_) | Self::TokenLists(_) => {
                let message =
                    "`input` is a list of token ids; send strings, since clients do not know this model's tokens";
                return refuse("invalid_type", message.into());
            }
            Self::Wrong(_) => return refuse("invalid_type", "`input` is no string and no list of strings".into()),
        };
        if texts.is_empty() {
            return refuse("empty_array", "`input` is an empty list; send at least one string".into());
        }
        if texts.len() > MOST_TEXTS {
            let message =
                format!("`input` has {} strings; {MOST_TEXTS} is the most, so send several calls", texts.len());
            return refuse("array_above_max_length", message.into());
        }
        if let Some(index) = texts.iter().position(String::is_empty) {
            return refuse("invalid_value", format!("string {index} of `input` is empty").into());
        }
        Ok(texts)
    }
}

fn missing(param: &'static str, wanted: &str) -> Refusal {
    Refusal::of(param, "missing_required_parameter", format!("the parameter `{param}` is missing; send {wanted}"))
}

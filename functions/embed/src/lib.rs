//! Turns texts into vectors that lie close together where the texts mean much the same, with the model all-MiniLM-L6-v2,
//! for clients of OpenAI's API.
//!
//! ```text
//! $ curl -d '{"model":"all-MiniLM-L6-v2","input":"A cat sleeps."}' localhost:3000/v1/embeddings
//! {"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.07…]}],"model":"all-MiniLM-L6-v2",…}
//! ```
//!
//! The model's file holds weights and no graph: the crate [`minilm`] says of what operators the network is made.

mod call;
mod refusal;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minilm::{DIMENSIONS, encoder, tokenizer};
use serde::Serialize;
use spillway_sdk::{IntoResponse, Json, Method, Request, Response, function, log};

use call::{Call, Encoding};
use refusal::Refusal;

/// What callers name.
const MODEL: &str = "all-MiniLM-L6-v2";

/// The vectors, in the order of the texts. Members are those of OpenAI's API, here and below.
#[derive(Debug, Serialize)]
struct Embeddings {
    object: &'static str,
    data: Vec<Embedding>,
    model: &'static str,
    usage: Usage,
}

#[derive(Debug, Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Vector {
    Float(Vec<f32>),
    Base64(String),
}

/// Tokens that the model saw, the first and last of each text with them.
#[derive(Debug, Serialize)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

#[derive(Debug, Serialize)]
struct Models {
    object: &'static str,
    data: [ModelCard; 1],
}

#[derive(Debug, Serialize)]
struct ModelCard {
    id: &'static str,
    object: &'static str,
    /// Unix time. Clients want one, and the model's files do not say it.
    created: u64,
    owned_by: &'static str,
}

const CARD: ModelCard = ModelCard { id: MODEL, object: "model", created: 0, owned_by: "sentence-transformers" };

#[function]
async fn handle(request: Request) -> Response {
    answer(request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(request: Request) -> Result<Response, Refusal> {
    let path = request.uri().path().to_owned();
    match (request.method(), path.strip_prefix("/v1/").unwrap_or_default()) {
        (&Method::POST, "embeddings") => {
            let call = Call::read(&request.into_body().bytes().await?)?;
            Ok(Json(embed(&call).await?).into_response())
        }
        (&Method::GET | &Method::HEAD, "models") => Ok(Json(Models { object: "list", data: [CARD] }).into_response()),
        (method @ (&Method::GET | &Method::HEAD), rest) => match rest.strip_prefix("models/") {
            Some(MODEL) => Ok(Json(CARD).into_response()),
            Some(name) => Err(Refusal::of_model(name)),
            None => Err(Refusal::of_path(method.as_str(), &path)),
        },
        (method, _) => Err(Refusal::of_path(method.as_str(), &path)),
    }
}

async fn embed(call: &Call) -> spillway_sdk::Result<Embeddings> {
    let batch: Vec<_> = call.texts.iter().map(|text| tokenizer::encode(text)).collect();
    let tokens = batch.iter().map(Vec::len).sum();
    log::debug!("{} texts of {tokens} tokens", batch.len());
    let vectors = encoder::embed(&batch).await?;
    let vectors = vectors.into_iter().map(|vector| match call.encoding {
        Encoding::Float => Vector::Float(vector),
        Encoding::Base64 => {
            let bytes: Vec<_> = vector.into_iter().flat_map(f32::to_le_bytes).collect();
            Vector::Base64(STANDARD.encode(bytes))
        }
    });
    let data = vectors.enumerate().map(|(index, embedding)| Embedding { object: "embedding", index, embedding });
    let usage = Usage { prompt_tokens: tokens, total_tokens: tokens };
    Ok(Embeddings { object: "list", data: data.collect(), model: MODEL, usage })
}

#[cfg(test)]
mod tests;

//! Finds the texts that mean most nearly what a text means, among those of an index that lies in the node as tensors.
//!
//! ```text
//! $ curl -d '{"text":"a sleeping cat","count":2}' localhost:3000/similar
//! [{"text":"The cat is asleep by the window, where it is warm.","score":0.718},{"text":"A cat sleeps on…","score":0.701}]
//! $ curl --data-binary @texts.txt localhost:3000/similar/index -o index.safetensors
//! ```
//!
//! A search is one product of the matrix of all vectors and the text's own: exact, in one pass through memory. Neither
//! vectors nor texts enter the guest, but for the scores and the texts that are found.

mod index;
mod write;

use minilm::tokenizer;
use serde::{Deserialize, Serialize};
use spillway_sdk::{Body, Error, IntoResponse, Json, Method, Request, Response, Result, function, log};

use index::Index;

/// The most texts that a search gives.
const MOST: usize = 1000;

/// A search.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    text: String,
    #[serde(default = "five")]
    count: usize,
}

fn five() -> usize {
    5
}

/// A text that was found.
#[derive(Debug, Serialize)]
struct Found {
    text: String,
    /// The cosine of the angle between its vector and that of the text that was sent.
    score: f32,
}

/// What there is to search.
#[derive(Debug, Serialize)]
struct About {
    texts: usize,
    dimensions: usize,
}

#[function]
async fn handle(request: Request) -> Result<Response> {
    match (request.method(), request.uri().path()) {
        (&Method::POST, "/similar/index") => make(&request.into_body().bytes().await?),
        (&Method::POST, _) => Ok(Json(search(&request.into_body().bytes().await?).await?).into_response()),
        _ => {
            let index = Index::open().await?;
            Ok(Json(About { texts: index.len(), dimensions: minilm::DIMENSIONS }).into_response())
        }
    }
}

async fn search(body: &[u8]) -> Result<Vec<Found>> {
    let Search { text, count } = serde_json::from_slice(body).map_err(|error| {
        Error::bad_request(format!(
            "the body is no search such as {{\"text\":\"a sleeping cat\",\"count\":3}}: {error}"
        ))
    })?;
    if text.is_empty() {
        return Err(Error::bad_request("`text` is empty; send the text whose like is sought"));
    }
    if !(1..=MOST).contains(&count) {
        return Err(Error::bad_request(format!("`count` is {count}; it is from 1 to {MOST}")));
    }
    let index = Index::open().await?;
    let vectors = minilm::encoder::embed(&[tokenizer::encode(&text)]).await?;
    let nearest = index.nearest(&vectors[0], count).await?;
    let mut found = Vec::with_capacity(nearest.len());
    for (row, score) in nearest {
        found.push(Found { text: index.text(row)?, score });
    }
    Ok(found)
}

/// An index of the lines of the body, as it is made.
fn make(body: &[u8]) -> Result<Response> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let line = body[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
        Error::bad_request(format!("line {line} of the body is not UTF-8; send texts, a line each"))
    })?;
    let lines: Vec<String> = text.lines().filter(|line| !line.is_empty()).map(ToOwned::to_owned).collect();
    if lines.is_empty() {
        return Err(Error::bad_request("the body has no texts; send some, a line each"));
    }
    let header = write::Header::of(&lines)
        .ok_or_else(|| Error::bad_request("the texts have more than 2 GiB, the most that an index has"))?;
    log::info!("an index of {} texts", lines.len());
    let body = Body::stream(async move |mut writer| write::index(header, lines, &mut writer).await);
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", spillway_sdk::HeaderValue::from_static("application/octet-stream"));
    Ok(response)
}

#[cfg(test)]
mod tests;

//! Names the type of any bytes, as the Python package magika 1.0.3 does (`Magika.identify_bytes`).
//!
//! ```text
//! $ curl --data-binary @photo.webp localhost:3000/sniff
//! {"label":"webp","score":0.9999,"mime":"image/webp"}
//! ```
//!
//! The guest looks at both ends of the body as it streams by; a model in the host does the rest.

mod content_types;
mod excerpt;

use serde::Serialize;
use spillway_sdk::{Body, Json, Model, Result, Tensor, function, log};

use content_types::{ANSWERS, ContentType, GENERAL, TXT, UNKNOWN};
use excerpt::{Excerpt, TOKENS};

/// The answer.
#[derive(Debug, Serialize)]
pub struct Sniffed {
    label: &'static str,
    /// From 0 to 1; 1 where no model was needed.
    score: f32,
    mime: &'static str,
}

/// Answers with the type of the body.
#[function]
pub async fn handle(body: Body) -> Result<Json<Sniffed>> {
    let excerpt = Excerpt::read(body).await?;
    let (content_type, score) = match excerpt.tokens() {
        Some(tokens) => ask(&tokens).await?,
        None => (excerpt.general_type(), 1.0),
    };
    log::debug!("{} bytes are {} ({score})", excerpt.length(), content_type.label);
    Ok(Json(Sniffed { label: content_type.label, score, mime: content_type.mime }))
}

/// Asks the model.
async fn ask(tokens: &[i32; TOKENS]) -> Result<(&'static ContentType, f32)> {
    let model = Model::open("magika").await?;
    let input = Tensor::from_slice(tokens, &[1, TOKENS])?;
    let scores = model.run([("bytes", &input)]).await?[0].to_vec::<f32>()?;
    // The first of equals, as in the reference.
    let (answer, score) =
        ANSWERS.iter().zip(scores).reduce(|best, next| if next.1 > best.1 { next } else { best }).expect("214 answers");
    Ok((believe(answer, score), score))
}

/// What the model's best answer stands for: itself if its score is high enough for its type, else just text or bytes.
/// That is the reference's mode "high confidence", its default.
fn believe(answer: &'static ContentType, score: f32) -> &'static ContentType {
    let named = GENERAL.iter().find(|(label, _)| *label == answer.label).map_or(answer, |(_, general)| general);
    if f64::from(score) >= answer.threshold {
        named
    } else if named.is_text {
        &TXT
    } else {
        &UNKNOWN
    }
}

#[cfg(test)]
mod tests;

//! Finds where somebody speaks in a recording, as the Python package silero-vad 6.2.3 does (`read_audio` and
//! `get_speech_timestamps`).
//!
//! ```text
//! $ curl --data-binary @meeting.wav 'localhost:3000/speech?min_silence_duration_ms=300'
//! {"sample_rate":16000,"duration":5.25,"segments":[{"start":0.514,"end":2.046},{"start":2.562,"end":4.35}]}
//! ```
//!
//! The guest reads the file and joins frames to segments; the model runs in the host and remembers what it heard in a
//! tensor that never leaves it.

mod options;
mod resample;
mod segments;
mod wav;

use serde::Serialize;
use spillway_sdk::{Json, Model, Outputs, Request, RequestExt, Result, Tensor, function, log};

use options::Options;
use wav::Recording;

/// Samples per second that the model knows.
const RATE: u32 = 16_000;
/// Samples of one frame (`OnnxWrapper.__call__` of the reference, as the next two).
const FRAME: usize = 512;
/// Samples of the frame before that go in front of a frame.
const CONTEXT: usize = 64;
/// What the model remembers, all zeros at first.
const STATE: [usize; 3] = [2, 1, 128];

/// The answer. Times are seconds from the beginning.
#[derive(Debug, Serialize)]
pub struct Speech {
    /// Of the recording as it came, samples per second.
    sample_rate: u32,
    duration: f64,
    segments: Vec<Segment>,
}

/// A stretch of speech.
#[derive(Debug, Serialize)]
struct Segment {
    start: f64,
    end: f64,
}

#[function]
async fn handle(request: Request) -> Result<Json<Speech>> {
    let options: Options = request.query()?;
    options.check()?;
    let Recording { rate, samples } = wav::read(&request.into_body().bytes().await?)?;
    let duration = samples.len() as f64 / f64::from(rate);
    let samples = resample::resample(samples, rate, RATE);
    let probabilities = listen(&samples).await?;
    let segments = segments::find(&probabilities, samples.len(), &options);
    log::debug!("{} frames, {} segments", probabilities.len(), segments.len());
    let seconds = |sample| sample as f64 / f64::from(RATE);
    let segments = segments.into_iter().map(|(start, end)| Segment { start: seconds(start), end: seconds(end) });
    Ok(Json(Speech { sample_rate: rate, duration, segments: segments.collect() }))
}

/// How likely there is speech in each frame; the last one is filled up with silence.
async fn listen(samples: &[f32]) -> Result<Vec<f32>> {
    let model = Model::open("vad").await?;
    let nothing_heard = Tensor::from_slice(&[0.0f32; STATE[0] * STATE[1] * STATE[2]], &STATE)?;
    let mut last: Option<Outputs> = None;
    let mut input = [0.0f32; CONTEXT + FRAME];
    let mut probabilities = Vec::with_capacity(samples.len().div_ceil(FRAME));
    for frame in samples.chunks(FRAME) {
        input.copy_within(FRAME.., 0);
        let (heard, missing) = input[CONTEXT..].split_at_mut(frame.len());
        heard.copy_from_slice(frame);
        missing.fill(0.0);
        let tensor = Tensor::from_slice(&input, &[1, CONTEXT + FRAME])?;
        let state = last.as_ref().map_or(&nothing_heard, |outputs| &outputs["stateN"]);
        let outputs = model.run([("input", &tensor), ("state", state)]).await?;
        probabilities.extend(outputs["output"].to_vec::<f32>()?);
        last = Some(outputs);
    }
    Ok(probabilities)
}

#[cfg(test)]
mod tests;

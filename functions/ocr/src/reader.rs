//! From crops of lines to text.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use spillway_sdk::vision::{Image, ctc_greedy};
use spillway_sdk::{Error, Model, Result, Tensor};

use crate::LINES_AT_ONCE;

/// What the recogniser can read, by label from 1 on; the last label after them is the space.
///
/// Written by `characters.py` from the model's file, which is part of PP-OCRv4: copyright PaddlePaddle Authors, Apache-2.0.
static CHARACTERS: &str = include_str!("characters.txt");

/// The height of a line for both models (`rec_img_shape`, `cls_image_shape`).
const HEIGHT: usize = 48;
/// The width of a line for the classifier.
const CLASSIFIER_WIDTH: usize = 192;
/// The least width of a line for the recogniser.
const LEAST_WIDTH: usize = 320;
/// How sure the classifier has to be that a line stands on its head (`cls_thresh`).
const UPSIDE_DOWN: f32 = 0.9;
/// How many lines the package reads at once (`rec_batch_num`). We give them to the model one by one, which takes tract no
/// longer, but as wide as there, where the widest line of a batch rules: the zeros to the right of a line change its scores.
const BATCH: usize = 6;

/// The line the right way up.
pub(crate) async fn upright(line: Image) -> Result<Image> {
    let input = to_input(&line, CLASSIFIER_WIDTH).await?;
    let outputs = Model::open("classifier").await?.run([("x", &input)]).await?;
    let is_upside_down = outputs[0].to_vec::<f32>()?.get(1).is_some_and(|&score| score > UPSIDE_DOWN);
    Ok(if is_upside_down { line.upside_down().await? } else { line })
}

/// The text of each line and its score.
pub(crate) async fn read_all(lines: &[Image]) -> Result<Vec<(String, f64)>> {
    let characters: Vec<_> = CHARACTERS.lines().collect();
    let mut by_ratio: Vec<_> = (0..lines.len()).collect();
    by_ratio.sort_by(|&a, &b| ratio(&lines[a]).total_cmp(&ratio(&lines[b])));
    let widths = by_ratio.chunks(BATCH).flat_map(|batch| {
        let widest = batch.last().map_or(0.0, |&index| HEIGHT as f64 * ratio(&lines[index])) as usize;
        batch.iter().map(move |&index| (index, widest.max(LEAST_WIDTH)))
    });
    let reads = stream::iter(widths).map(async |(index, width)| {
        let text = read(&lines[index], width, &characters).await?;
        Ok::<_, Error>((index, text))
    });
    let mut texts: Vec<_> = reads.buffer_unordered(LINES_AT_ONCE).try_collect().await?;
    texts.sort_by_key(|(index, _)| *index);
    Ok(texts.into_iter().map(|(_, text)| text).collect())
}

async fn read(line: &Image, width: usize, characters: &[&str]) -> Result<(String, f64)> {
    let input = to_input(line, width).await?;
    let outputs = Model::open("recognizer").await?.run([("x", &input)]).await?;
    let decoded = ctc_greedy(&outputs[0]).await?;
    let text = decoded.labels.iter().map(|label| characters.get(label - 1).unwrap_or(&" ")).copied().collect();
    Ok((text, decoded.score))
}

fn ratio(line: &Image) -> f64 {
    line.width() as f64 / line.height() as f64
}

/// The line at the models' height, with zeros to its right, or narrower than it should be if there is no room.
async fn to_input(line: &Image, width: usize) -> Result<Tensor> {
    let natural = (HEIGHT as f64 * ratio(line)).ceil() as usize;
    Ok(line.resize(natural.clamp(1, width), HEIGHT).await?.to_nchw(width).await?)
}

//! The picture as the detector and the reader see it.

use spillway_sdk::vision::{Image, Point, ProbabilityMap, Quad, TextBoxes};
use spillway_sdk::{Error, Model, Result, StatusCode};

/// The longest side that is looked at; larger pictures shrink (`max_side_len`).
const LONGEST_SIDE: f64 = 2000.0;
/// The shortest side that is looked at; smaller pictures grow (`min_side_len`).
const SHORTEST_SIDE: f64 = 30.0;
/// A picture lower than this, or wider than so many times its height, gets black rows above and below (`min_height`,
/// `width_height_ratio`).
const LEAST_HEIGHT: usize = 30;
const WIDEST: f64 = 8.0;
/// The shortest side that the detector gets (`limit_side_len`).
const DETECTOR_SIDE: f64 = 736.0;
/// What the detector gets at most: as much as from a picture of 2000 by 250, the longest without black rows. The package
/// has no limit, and takes gigabytes for a strip of 30 by 2000.
const DETECTOR_PIXELS: usize = 4_500_000;
/// The detector halves its input five times.
const STRIDE: f64 = 32.0;
/// How far apart in height boxes on one line begin, in pixels.
const SAME_LINE: f64 = 10.0;
/// A box that is so many times as high as wide is a line on its side.
const TALL: f64 = 1.5;

/// The picture brought to a size that can be read, and the way back.
pub(crate) struct Frame {
    image: Image,
    /// Black rows above.
    top: usize,
    /// Width and height of the picture as it came.
    size: Point,
    /// The picture's pixels to one of the frame, across and down.
    scale: Point,
}

impl Frame {
    pub(crate) async fn of(picture: Image) -> Result<Self> {
        let (width, height) = (picture.width(), picture.height());
        let size = Point::new(width as f64, height as f64);
        let ratio = (LONGEST_SIDE / size.x.max(size.y)).min(1.0).max(SHORTEST_SIDE / size.x.min(size.y).max(1.0));
        let image = if (size.x.max(size.y) > LONGEST_SIDE) || (size.x.min(size.y) < SHORTEST_SIDE) {
            let (width, height) = in_strides(size, ratio);
            check(width * height, size)?;
            picture.resize(width, height).await?
        } else {
            picture
        };
        let (width, height) = (image.width(), image.height());
        let scale = Point::new(size.x / width as f64, size.y / height as f64);
        let is_low = height <= LEAST_HEIGHT || width as f64 / height as f64 > WIDEST;
        let padded = 2 * ((width as f64 / WIDEST) as usize).max(LEAST_HEIGHT);
        let top = if is_low { padded.abs_diff(height) / 2 } else { 0 };
        let image = if top > 0 { image.letterbox(top).await? } else { image };
        Ok(Self { image, top, size, scale })
    }

    /// The boxes around lines of text, on whole pixels of the frame, in the order in which they are read.
    pub(crate) async fn find_lines(&self) -> Result<Vec<Quad>> {
        let size = Point::new(self.image.width() as f64, self.image.height() as f64);
        let (width, height) = in_strides(size, (DETECTOR_SIDE / size.x.min(size.y)).max(1.0));
        check(width * height, self.size)?;
        let input = self.image.resize(width, height).await?.to_nchw(width).await?;
        let outputs = Model::open("detector").await?.run([("x", &input)]).await?;
        drop(input);
        let map = ProbabilityMap::read(&outputs[0]).await?;
        let within = |Point { x, y }| Point::new(x.clamp(0.0, size.x - 1.0), y.clamp(0.0, size.y - 1.0));
        let boxes = TextBoxes::default().find(&map, size.x, size.y).into_iter();
        let boxes = boxes.map(|quad| Quad::from_corners(quad.0).map(within));
        let mut boxes: Vec<_> = boxes.filter(has_area).collect();
        Quad::sort_for_reading(&mut boxes, SAME_LINE);
        Ok(boxes)
    }

    /// What is within one of the boxes, as a line from left to right.
    pub(crate) async fn crop(&self, quad: &Quad) -> Result<Image> {
        Ok(self.image.crop(quad, TALL).await?)
    }

    /// A box in the picture as it came.
    pub(crate) fn to_picture(&self, quad: Quad) -> Quad {
        quad.map(|Point { x, y }| {
            let (x, y) = (x * self.scale.x, (y - self.top as f64) * self.scale.y);
            Point::new(x.clamp(0.0, self.size.x), y.clamp(0.0, self.size.y))
        })
    }
}

/// Width and height of `size` times `ratio` in whole strides.
fn in_strides(size: Point, ratio: f64) -> (usize, usize) {
    let strides = |side: f64| (((side * ratio).trunc() / STRIDE).round_ties_even().max(1.0) * STRIDE) as usize;
    (strides(size.x), strides(size.y))
}

fn check(pixels: usize, size: Point) -> Result<()> {
    if pixels <= DETECTOR_PIXELS {
        return Ok(());
    }
    let words = format!(
        "the picture is {} by {} pixels, which is too long a strip; cut it into parts, each at most 8 times as long as wide",
        size.x, size.y
    );
    Err(Error::status(StatusCode::UNPROCESSABLE_ENTITY, words))
}

/// Whether the upper and the left edge have more than 3 pixels.
fn has_area(Quad([top_left, top_right, _, bottom_left]): &Quad) -> bool {
    let is_long = |end: Point| (end - *top_left).length().trunc() > 3.0;
    is_long(*top_right) && is_long(*bottom_left)
}

//! Pictures in the host, and the steps before a model.

use super::geometry::{Point, Quad};
use super::homography::Homography;
use crate::{ColorMode, DType, HostError, InterpolationMode, PaddingMode, Reduction, Tensor};

/// A picture in the host's memory, `uint8 [height, width, 3]`. Nothing of it enters the guest.
#[derive(Debug)]
pub struct Image {
    pixels: Tensor,
}

impl Image {
    /// Decodes a JPEG or PNG file, upright as its EXIF orientation says, with the channels blue, green, red, as models
    /// that were trained on OpenCV's pictures want them. What is transparent lies on white paper.
    ///
    /// # Errors
    /// It is neither a JPEG nor a PNG file, is damaged, or is over the sandbox's limit.
    pub async fn decode_bgr(file: &[u8]) -> Result<Self, HostError> {
        if !may_be_transparent(file) {
            return Ok(Self { pixels: Tensor::decode_image(file, ColorMode::Bgr).await? });
        }
        let rgba = Tensor::decode_image(file, ColorMode::Rgba).await?;
        let &[height, width, _] = rgba.shape() else { return Err(not_an_image(&rgba)) };
        let channel = async |index| rgba.slice(&[0, 0, index], &[height, width, 1]).await;
        let bgr = Tensor::concat(&[&channel(2).await?, &channel(1).await?, &channel(0).await?], 2).await?;
        let opacity = channel(3).await?;
        if opacity.reduce(Reduction::Min, &[0, 1, 2]).await?.to_vec::<u8>()? == [255] {
            return Ok(Self { pixels: bgr });
        }
        let opacity = opacity.cast(DType::Float32).await?.linear(1.0 / 255.0, 0.0).await?;
        // 255 + opacity * (color - 255), and half a level up, so that the cast rounds. What is done with is dropped: four
        // bytes for each level of a picture are most of what a call takes.
        let levels = bgr.cast(DType::Float32).await?;
        drop(bgr);
        let darkness = levels.linear(1.0, -255.0).await?;
        drop(levels);
        let covered = darkness.mul(&opacity).await?;
        drop((darkness, opacity));
        let on_white = covered.linear(1.0, 255.5).await?;
        drop(covered);
        Ok(Self { pixels: on_white.cast(DType::Uint8).await? })
    }

    /// Takes `uint8 [height, width, 3]` for a picture.
    ///
    /// # Errors
    /// It has another dtype or other axes.
    pub fn from_tensor(pixels: Tensor) -> Result<Self, HostError> {
        match (pixels.dtype(), pixels.shape()) {
            (DType::Uint8, [_, _, 3]) => Ok(Self { pixels }),
            _ => Err(not_an_image(&pixels)),
        }
    }

    /// Its width in pixels.
    pub fn width(&self) -> usize {
        self.pixels.shape()[1]
    }

    /// Its height in pixels.
    pub fn height(&self) -> usize {
        self.pixels.shape()[0]
    }

    /// Its pixels.
    pub fn as_tensor(&self) -> &Tensor {
        &self.pixels
    }

    /// The picture at another size, each pixel from 2 by 2. A picture that shrinks to less than half is not smoothed first.
    ///
    /// # Errors
    /// A side is 0, or the result is over the sandbox's limit.
    pub async fn resize(&self, width: usize, height: usize) -> Result<Self, HostError> {
        let pixels = self.pixels.resample2d([0, 1], [height, width], InterpolationMode::Linear).await?;
        Ok(Self { pixels })
    }

    /// The picture with black rows above and below.
    ///
    /// # Errors
    /// The result is over the sandbox's limit.
    pub async fn letterbox(&self, rows: usize) -> Result<Self, HostError> {
        let pixels = self.pixels.pad(&[rows, 0, 0], &[rows, 0, 0], PaddingMode::Constant, 0.0).await?;
        Ok(Self { pixels })
    }

    /// The region within `quad`, turned upright; one that is at least `tall` times as high as wide is a line on its side
    /// and gets turned by another 90 degrees to the left. Pixels come from 4 by 4; edges go on beyond the picture.
    ///
    /// # Errors
    /// The region has no area.
    pub async fn crop(&self, quad: &Quad, tall: f64) -> Result<Self, HostError> {
        let (width, height) = (quad.width().trunc(), quad.height().trunc());
        let corners = [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)];
        let upright = Quad(corners.map(|(x, y)| Point::new(x, y)));
        let to_picture = Homography::between(&upright, quad)
            .filter(|_| width >= 1.0 && height >= 1.0)
            .ok_or_else(|| HostError::invalid(format!("{quad:?} has no area to crop")))?;
        if height / width < tall {
            return self.warp(&to_picture, width as usize, height as usize).await;
        }
        let turn = Homography::affine([0.0, -1.0, width - 1.0, 1.0, 0.0, 0.0]);
        self.warp(&to_picture.after(&turn), height as usize, width as usize).await
    }

    async fn warp(&self, to_picture: &Homography, width: usize, height: usize) -> Result<Self, HostError> {
        let (mode, border) = (InterpolationMode::Cubic, PaddingMode::Edge);
        Ok(Self { pixels: self.pixels.warp(to_picture.matrix(), [height, width], mode, border).await? })
    }

    /// The picture turned by 180 degrees.
    ///
    /// # Errors
    /// The result is over the sandbox's limit.
    pub async fn upside_down(&self) -> Result<Self, HostError> {
        let (width, height) = (self.width(), self.height());
        let turn = Homography::affine([-1.0, 0.0, width as f64 - 1.0, 0.0, -1.0, height as f64 - 1.0]);
        let (mode, border) = (InterpolationMode::NearestNeighbor, PaddingMode::Edge);
        Ok(Self { pixels: self.pixels.warp(turn.matrix(), [height, width], mode, border).await? })
    }

    /// What a convolutional model takes: `float32 [1, 3, height, width]` with levels from -1 to 1, and zeros to the right
    /// up to `width` if the picture is narrower.
    ///
    /// # Errors
    /// The result is over the sandbox's limit.
    pub async fn to_nchw(&self, width: usize) -> Result<Tensor, HostError> {
        let planes = self.pixels.transpose(&[2, 0, 1]).await?.cast(DType::Float32).await?;
        let normalized = planes.linear(2.0 / 255.0, -1.0).await?.reshape(&[1, 3, self.height(), self.width()]).await?;
        drop(planes);
        let missing = width.saturating_sub(self.width());
        if missing == 0 {
            return Ok(normalized);
        }
        normalized.pad(&[0; 4], &[0, 0, 0, missing], PaddingMode::Constant, 0.0).await
    }
}

/// Whether a file is a PNG with opacity: of colour type 4 or 6, or with a chunk `tRNS` before its pixels (sections 5.2,
/// 5.3 and 11 of the specification, third edition). JPEG has none.
fn may_be_transparent(file: &[u8]) -> bool {
    let Some(mut chunks) = file.strip_prefix(b"\x89PNG\r\n\x1a\n") else { return false };
    while let Some((header, rest)) = chunks.split_first_chunk::<8>() {
        let [a, b, c, d, kind @ ..] = *header;
        match &kind {
            b"IHDR" if matches!(rest.get(9), Some(4 | 6)) => return true,
            b"tRNS" => return true,
            b"IDAT" => return false,
            _ => {}
        }
        // Length, kind, content, checksum.
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        chunks = rest.get(length.saturating_add(4)..).unwrap_or_default();
    }
    false
}

fn not_an_image(tensor: &Tensor) -> HostError {
    HostError::invalid(format!("{tensor:?} is no picture; it needs to be uint8 [height, width, 3]"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::testing::block_on;

    fn picture(name: &str) -> Vec<u8> {
        let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/ocr/pictures");
        std::fs::read(pictures.join(name)).unwrap()
    }

    fn decode(name: &str) -> Image {
        block_on(Image::decode_bgr(&picture(name))).unwrap()
    }

    #[test]
    fn opacity_is_seen_before_decoding() {
        for (name, transparent) in [
            ("transparent.png", true),
            ("opaque.png", true),
            ("receipt.png", false),
            ("palette.png", false),
            ("sign.jpg", false),
        ] {
            assert_eq!(may_be_transparent(&picture(name)), transparent, "{name}");
        }
        let cut_off = &picture("transparent.png")[..20];
        assert!(!may_be_transparent(cut_off) && !may_be_transparent(b"\x89PNG\r\n\x1a\n\xff"));
    }

    #[test]
    fn transparent_pixels_are_white_and_opaque_ones_keep_their_colour() {
        let transparent = decode("transparent.png");
        assert_eq!((transparent.width(), transparent.height()), (420, 150));
        let levels = transparent.as_tensor().to_vec::<u8>().unwrap();
        assert_eq!(levels[..3], [255, 255, 255]);
        // The ink of `make.py`, as blue, green, red.
        assert!(levels.chunks_exact(3).any(|pixel| pixel == [120, 30, 10]));
        let opaque = decode("opaque.png").as_tensor().to_vec::<u8>().unwrap();
        assert_eq!(opaque[..3], [244, 240, 236]);
    }

    #[test]
    fn picture_with_an_orientation_stands_upright() {
        let picture = decode("exif_6.jpg");
        assert_eq!((picture.width(), picture.height()), (480, 320));
    }

    #[test]
    fn crop_is_turned_upright_and_a_tall_one_to_the_left() {
        // Each pixel says where it is: x in the first channel, y in the second.
        let levels: Vec<_> = (0..20u8).flat_map(|y| (0..30u8).flat_map(move |x| [x, y, 0])).collect();
        let picture = Image::from_tensor(Tensor::from_slice(&levels, &[20, 30, 3]).unwrap()).unwrap();
        let quad = |left, top, right, bottom| {
            Quad([(left, top), (right, top), (right, bottom), (left, bottom)].map(|(x, y)| Point::new(x, y)))
        };
        let wide = block_on(picture.crop(&quad(5.0, 3.0, 15.0, 7.0), 1.5)).unwrap();
        assert_eq!(wide.as_tensor().shape(), [4, 10, 3]);
        assert_eq!(wide.as_tensor().to_vec::<u8>().unwrap()[..6], [5, 3, 0, 6, 3, 0]);
        let tall = block_on(picture.crop(&quad(5.0, 3.0, 9.0, 13.0), 1.5)).unwrap();
        assert_eq!(tall.as_tensor().shape(), [4, 10, 3]);
        // The first pixel was the one at the top right.
        assert_eq!(tall.as_tensor().to_vec::<u8>().unwrap()[..6], [8, 3, 0, 8, 4, 0]);
        let turned = block_on(wide.upside_down()).unwrap();
        assert_eq!(turned.as_tensor().to_vec::<u8>().unwrap()[..3], [14, 6, 0]);
        assert!(block_on(picture.crop(&quad(5.0, 3.0, 5.0, 3.0), 1.5)).is_err());
    }

    #[test]
    fn input_of_a_model_is_planes_from_minus_1_to_1_with_zeros_to_the_right() {
        let picture = Image::from_tensor(Tensor::from_slice(&[0u8, 255, 51], &[1, 1, 3]).unwrap()).unwrap();
        let input = block_on(picture.to_nchw(2)).unwrap();
        assert_eq!(input.shape(), [1, 3, 1, 2]);
        let expected = [-1.0, 0.0, 1.0, 0.0, -0.6, 0.0];
        let levels = input.to_vec::<f32>().unwrap();
        assert!(levels.iter().zip(expected).all(|(level, expected)| (level - expected).abs() < 1e-6), "{levels:?}");
    }

    #[test]
    fn what_has_no_three_channels_is_no_picture() {
        let gray = Tensor::from_slice(&[0u8; 6], &[2, 3]).unwrap();
        let error = Image::from_tensor(gray).unwrap_err().to_string();
        assert!(error.contains("[height, width, 3]"), "{error}");
    }
}

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
        // The signature of PNG, which is the one format of the two with opacity (section 5.2 of its specification).
        if !file.starts_with(b"\x89PNG\r\n\x1a\n") {
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
        // 255 + opacity * (color - 255), and half a level up, so that the cast rounds.
        let darkness = bgr.cast(DType::Float32).await?.linear(1.0, -255.0).await?;
        let on_white = darkness.mul(&opacity).await?.linear(1.0, 255.5).await?;
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
        let planes = self.pixels.transpose(&[2, 0, 1]).await?.reshape(&[1, 3, self.height(), self.width()]).await?;
        let normalized = planes.cast(DType::Float32).await?.linear(2.0 / 255.0, -1.0).await?;
        let missing = width.saturating_sub(self.width());
        if missing == 0 {
            return Ok(normalized);
        }
        normalized.pad(&[0; 4], &[0, 0, 0, missing], PaddingMode::Constant, 0.0).await
    }
}

fn not_an_image(tensor: &Tensor) -> HostError {
    HostError::invalid(format!("{tensor:?} is no picture; it needs to be uint8 [height, width, 3]"))
}

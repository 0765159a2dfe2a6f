//! Convolutions of real networks on one image: of resnet50 and densenet121 at 224 by 224, and of PP-OCR's detector at 640
//! by 640, those with most of the work and one of each kind.

use kernels::Convolution;

/// Channels and height, filters, window, stride, groups.
type Shape = ((usize, usize), usize, usize, usize, usize);

const SHAPES: [(&str, &[Shape]); 3] = [
    (
        "resnet50",
        &[
            ((3, 224), 64, 7, 2, 1),
            ((64, 56), 64, 1, 1, 1),
            ((64, 56), 64, 3, 1, 1),
            ((64, 56), 256, 1, 1, 1),
            ((256, 56), 512, 1, 2, 1),
            ((128, 28), 128, 3, 1, 1),
            ((512, 28), 128, 1, 1, 1),
            ((256, 14), 256, 3, 1, 1),
            ((1024, 14), 256, 1, 1, 1),
            ((512, 7), 512, 3, 1, 1),
            ((2048, 7), 512, 1, 1, 1),
        ],
    ),
    (
        "densenet121",
        &[
            ((64, 56), 128, 1, 1, 1),
            ((128, 56), 32, 3, 1, 1),
            ((256, 28), 128, 1, 1, 1),
            ((128, 28), 32, 3, 1, 1),
            ((1024, 14), 512, 1, 1, 1),
            ((128, 14), 32, 3, 1, 1),
            ((128, 7), 32, 3, 1, 1),
        ],
    ),
    (
        "ppocr",
        &[
            ((3, 640), 16, 3, 2, 1),
            ((16, 320), 32, 1, 1, 1),
            ((96, 160), 24, 3, 1, 1),
            ((192, 40), 192, 1, 1, 1),
            ((384, 20), 384, 1, 1, 1),
            ((16, 320), 16, 3, 1, 16),
            ((32, 320), 32, 3, 2, 32),
            ((192, 40), 192, 5, 1, 192),
            ((384, 20), 384, 5, 1, 384),
        ],
    ),
];

/// All of them, by names that files can have.
pub(super) fn all() -> impl Iterator<Item = (String, Convolution)> {
    let shapes = SHAPES.into_iter().flat_map(|(network, shapes)| shapes.iter().map(move |shape| (network, *shape)));
    shapes.map(|(network, (input, filters, window, stride, groups))| {
        let (channels, size) = input;
        let mut name = format!("{network} {channels}x{size}x{size} {filters}x{window}x{window}");
        if stride > 1 {
            name += &format!(" by {stride}");
        }
        if groups > 1 {
            name += " depthwise";
        }
        (name, Convolution { input, filters, window, stride, groups })
    })
}

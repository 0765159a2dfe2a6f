//! Windows that slide over images: where their taps meet the elements, for convolutions and poolings.

use std::ops::Range;

use spillway_types::operator::InputOperandLayout;

use super::Check;
use crate::{RunError, Tensor};

/// Windows along one axis. They have `taps` elements, `dilation` apart, and begin `before` the first element, `stride`
/// apart. All numbers come from options of 32 bits and lengths of tensors; sums and products of them that
/// [`span`] and [`padded`] accepted fit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// How many elements the windows slide over.
    pub(super) length: usize,
    /// How many windows there are.
    pub(super) windows: usize,
    pub(super) taps: usize,
    pub(super) stride: usize,
    pub(super) dilation: usize,
    pub(super) before: usize,
}

impl Axis {
    /// The windows whose tap `tap` meets an element.
    pub(super) fn windows_at(&self, tap: usize) -> Range<usize> {
        let passed = tap * self.dilation;
        let first = self.before.saturating_sub(passed).div_ceil(self.stride).min(self.windows);
        let end = (self.before + self.length).saturating_sub(passed).div_ceil(self.stride).min(self.windows);
        first..end.max(first)
    }

    /// The taps of window `window` that meet an element.
    pub(super) fn taps_at(&self, window: usize) -> Range<usize> {
        let passed = window * self.stride;
        let first = self.before.saturating_sub(passed).div_ceil(self.dilation).min(self.taps);
        let end = (self.before + self.length).saturating_sub(passed).div_ceil(self.dilation).min(self.taps);
        first..end.max(first)
    }

    /// The element that tap `tap` of window `window` meets.
    pub(super) fn element(&self, window: usize, tap: usize) -> usize {
        window * self.stride + tap * self.dilation - self.before
    }

    /// How much one window covers.
    pub(super) fn span(&self) -> usize {
        self.taps.saturating_sub(1).saturating_mul(self.dilation).saturating_add(1)
    }
}

/// Windows of two axes, counted row by row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Windows {
    pub(super) vertical: Axis,
    pub(super) horizontal: Axis,
}

/// Neighbouring windows of one row, one tap of which meets elements `step` apart.
pub(super) struct Run {
    /// The first window, counted from the first that was asked for.
    pub(super) window: usize,
    /// The element that it meets, counted row by row.
    pub(super) element: usize,
    /// How many windows.
    pub(super) length: usize,
}

impl Windows {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.vertical.windows * self.horizontal.windows
    }

    /// How many elements they slide over.
    pub(super) fn elements(&self) -> usize {
        self.vertical.length * self.horizontal.length
    }

    pub(super) fn taps(&self) -> usize {
        self.vertical.taps * self.horizontal.taps
    }

    /// Whether a window has at most so many taps; windows of poolings, of which nothing need exist, can have any number.
    pub(super) fn taps_are_at_most(&self, most: usize) -> bool {
        self.vertical.taps.checked_mul(self.horizontal.taps).is_some_and(|taps| taps <= most)
    }

    /// The runs of `windows` in which tap `(row, column)` meets elements.
    pub(super) fn each_run(&self, (row, column): (usize, usize), windows: Range<usize>, mut found: impl FnMut(Run)) {
        let (vertical, horizontal) = (&self.vertical, &self.horizontal);
        let (width, rows, columns) = (horizontal.windows, vertical.windows_at(row), horizontal.windows_at(column));
        if columns.is_empty() || windows.is_empty() {
            return;
        }
        for y in rows.start.max(windows.start / width)..rows.end.min(windows.end.div_ceil(width)) {
            let start = (y * width + columns.start).max(windows.start);
            let end = (y * width + columns.end).min(windows.end);
            if start < end {
                let element =
                    vertical.element(y, row) * horizontal.length + horizontal.element(start - y * width, column);
                found(Run { window: start - windows.start, element, length: end - start });
            }
        }
    }
}

/// Pairs of heights and widths as `usize`.
pub(super) fn pair((height, width): (u32, u32)) -> [usize; 2] {
    [height as usize, width as usize]
}

/// Refuses strides and dilations of 0.
pub(super) fn at_least_one(check: Check, name: &str, pair: (u32, u32)) -> Result<[usize; 2], RunError> {
    check.that(pair.0 >= 1 && pair.1 >= 1, || format!("`{name}` must be 1 or more, are {} and {}", pair.0, pair.1))?;
    Ok([pair.0 as usize, pair.1 as usize])
}

/// Batch, channels, height and width of an image.
pub(super) fn image_axes(check: Check, image: &Tensor, layout: InputOperandLayout) -> Result<[usize; 4], RunError> {
    let &[a, b, c, d] = image.shape() else {
        return check.refuse(format!("the image must have four axes, has {:?}; reshape it", image.shape()));
    };
    Ok(match layout {
        InputOperandLayout::Nchw => [a, b, c, d],
        InputOperandLayout::Nhwc => [a, d, b, c],
    })
}

/// The shape of an image.
pub(super) fn image_shape(layout: InputOperandLayout, [batch, channels, height, width]: [usize; 4]) -> Vec<usize> {
    match layout {
        InputOperandLayout::Nchw => vec![batch, channels, height, width],
        InputOperandLayout::Nhwc => vec![batch, height, width, channels],
    }
}

/// How far windows can slide beyond the first one: along `axis`, whose `windows` do not matter, padded with `after` behind
/// it.
pub(super) fn slide(check: Check, what: &str, axis: &Axis, after: usize) -> Result<usize, RunError> {
    let padded = axis.length.saturating_add(axis.before).saturating_add(after);
    let span = axis.span();
    check.that(axis.taps >= 1, || format!("the window has no {what}"))?;
    padded.checked_sub(span).ok_or(()).or_else(|()| {
        check.refuse(format!("a window of {what} {span}, dilation included, does not fit the padded image's {padded}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_meet_the_elements_that_counting_says() {
        for (length, taps, stride, dilation, before) in
            [(5, 3, 1, 1, 1), (5, 3, 2, 1, 1), (7, 2, 3, 4, 2), (1, 3, 1, 2, 2), (4, 2, 3, 1, 9), (3, 1, 2, 1, 0)]
        {
            let axis = Axis { length, windows: 6, taps, stride, dilation, before };
            let meets = |window: usize, tap: usize| {
                let place = (window * stride + tap * dilation).checked_sub(before);
                place.is_some_and(|place| place < length)
            };
            for tap in 0..taps {
                let counted: Vec<_> = (0..6).filter(|&window| meets(window, tap)).collect();
                assert_eq!(axis.windows_at(tap).collect::<Vec<_>>(), counted, "{axis:?}");
            }
            for window in 0..6 {
                let counted: Vec<_> = (0..taps).filter(|&tap| meets(window, tap)).collect();
                assert_eq!(axis.taps_at(window).collect::<Vec<_>>(), counted, "{axis:?}");
            }
        }
    }
}

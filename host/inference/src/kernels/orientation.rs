//! Which way up a picture was taken, by EXIF.

/// EXIF's tag `Orientation` (CIPA DC-008, 4.6.4): 1 is upright, 2 to 8 are turned or mirrored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Orientation(u16);

const TAG: u16 = 0x0112;
/// A whole number of 16 bits.
const SHORT: u16 = 3;

impl Orientation {
    pub(super) const UPRIGHT: Self = Self(1);

    /// From an EXIF block: TIFF's header, and its first directory. Anything amiss is upright, as in other readers.
    pub(super) fn from_exif(exif: &[u8]) -> Self {
        Self::read(exif.strip_prefix(b"Exif\0\0").unwrap_or(exif)).unwrap_or(Self::UPRIGHT)
    }

    fn read(tiff: &[u8]) -> Option<Self> {
        let is_little = match tiff.get(..4)? {
            b"II*\0" => true,
            b"MM\0*" => false,
            _ => return None,
        };
        let short = |at: usize| {
            let bytes = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
            Some(if is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
        };
        let long = |at: usize| {
            let bytes = tiff.get(at..at.checked_add(4)?)?.try_into().ok()?;
            Some(if is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
        };
        let directory = usize::try_from(long(4)?).ok()?;
        let entries = usize::from(short(directory)?);
        let at = |entry: usize| directory.checked_add(2 + entry * 12);
        let entry = (0..entries).map_while(at).find(|&entry| short(entry) == Some(TAG))?;
        let value = short(entry + 8)?;
        (short(entry + 2)? == SHORT && (1..=8).contains(&value)).then_some(Self(value))
    }

    /// Whether upright the picture is as wide as it is high in the file.
    pub(super) fn swaps_axes(self) -> bool {
        self.0 >= 5
    }

    /// Where in the file, of `height` rows and `width` columns, the upright picture's pixel stands.
    pub(super) fn source(self, row: usize, column: usize, height: usize, width: usize) -> (usize, usize) {
        match self.0 {
            2 => (row, width - 1 - column),
            3 => (height - 1 - row, width - 1 - column),
            4 => (height - 1 - row, column),
            5 => (column, row),
            6 => (height - 1 - column, row),
            7 => (height - 1 - column, width - 1 - row),
            8 => (column, width - 1 - row),
            _ => (row, column),
        }
    }
}

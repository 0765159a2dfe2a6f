//! Sizes of bodies that are alike enough to be told one time.

use serde::{Deserialize, Serialize};

/// The sizes of request bodies that share one histogram: none, up to 1 KiB, up to 4 KiB and so on in powers of 4 up to
/// 256 MiB, and all above.
///
/// Powers of 4 tell a thumbnail from a photograph and leave few enough buckets for each to see calls.
/// On the wire it is its largest size in bytes; `null` for the last, which has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Option<u64>", into = "Option<u64>")]
pub struct SizeBucket(u8);

/// The largest size of bucket 1.
const FIRST_BYTES: u64 = 1024;

impl SizeBucket {
    /// How many there are.
    pub const COUNT: usize = 12;

    const LAST: u8 = Self::COUNT as u8 - 1;

    /// The bucket of a body.
    pub fn of(body_bytes: u64) -> Self {
        let last = Self(Self::LAST);
        Self::all().find(|bucket| bucket.up_to_bytes().is_none_or(|most| body_bytes <= most)).unwrap_or(last)
    }

    /// All of them, smallest first.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> {
        (0..=Self::LAST).map(Self)
    }

    /// The largest size in it; `None` for the last.
    pub fn up_to_bytes(self) -> Option<u64> {
        match self.0 {
            0 => Some(0),
            Self::LAST => None,
            step => Some(FIRST_BYTES << (2 * (step - 1))),
        }
    }

    pub(super) fn index(self) -> usize {
        self.0.into()
    }
}

impl From<Option<u64>> for SizeBucket {
    fn from(up_to_bytes: Option<u64>) -> Self {
        up_to_bytes.map_or(Self(Self::LAST), Self::of)
    }
}

impl From<SizeBucket> for Option<u64> {
    fn from(bucket: SizeBucket) -> Self {
        bucket.up_to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_has_the_smallest_bucket_that_holds_it() {
        let most: Vec<_> = SizeBucket::all().filter_map(SizeBucket::up_to_bytes).collect();
        assert_eq!(most.len(), SizeBucket::COUNT - 1);
        assert_eq!((most[0], most[1], most[2], most[10]), (0, 1 << 10, 4 << 10, 256 << 20));
        for (bucket, most) in SizeBucket::all().zip(&most) {
            assert_eq!(SizeBucket::of(*most), bucket);
            assert_eq!(SizeBucket::of(most + 1).index(), bucket.index() + 1);
        }
        assert_eq!(SizeBucket::of(u64::MAX).up_to_bytes(), None);
    }

    #[test]
    fn a_bucket_reads_what_it_writes() {
        for bucket in SizeBucket::all() {
            let text = serde_json::to_string(&bucket).unwrap();
            assert_eq!(serde_json::from_str::<SizeBucket>(&text).unwrap(), bucket, "{text}");
        }
    }
}

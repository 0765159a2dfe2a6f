use super::*;

fn texts(lengths: &[usize]) -> Vec<Vec<u32>> {
    lengths.iter().map(|&length| vec![7; length]).collect()
}

#[test]
fn texts_of_like_length_share_a_bucket_and_no_row_is_a_step_too_long() {
    let batch = texts(&[3, 40, 16, 17, 256, 2, 33]);
    let bucket = |length, members: &[usize]| Bucket { length, members: members.to_vec() };
    let expected = [bucket(16, &[0, 2, 5]), bucket(32, &[3]), bucket(48, &[1, 6]), bucket(256, &[4])];
    assert_eq!(layout(&batch), expected);
    assert_eq!(layout(&[]), []);
}

#[test]
fn no_bucket_has_more_tokens_than_go_at_once_and_each_text_is_in_one() {
    let batch = texts(&(0..2048).map(|index| 2 + index * 7 % 255).collect::<Vec<_>>());
    let buckets = layout(&batch);
    let mut members: Vec<_> = buckets.iter().flat_map(|bucket| bucket.members.clone()).collect();
    members.sort_unstable();
    assert_eq!(members, (0..2048).collect::<Vec<_>>());
    for bucket in buckets {
        assert!(bucket.rows() * bucket.length <= TOKENS_AT_ONCE, "{bucket:?}");
        for member in bucket.members {
            assert!((bucket.length - STEP + 1..=bucket.length).contains(&batch[member].len()), "{member}");
        }
    }
}

#[test]
fn rows_are_filled_up() {
    let batch = vec![vec![1, 2, 3], vec![4, 5]];
    let bucket = Bucket { length: 4, members: vec![1, 0] };
    assert_eq!(bucket.fill(&batch, |ids, index| ids[index], 0), [4, 5, 0, 0, 1, 2, 3, 0]);
    let bucket = Bucket { length: 3, members: vec![0, 1, 0] };
    let filled = bucket.fill(&batch, |ids, index| ids[index], 0);
    assert_eq!(filled, [1, 2, 3, 4, 5, 0, 1, 2, 3, 0, 0, 0], "and the batch to a power of two");
}

//! The index: vectors, and the texts that they are of, in one safetensors file that the node has loaded.

use minilm::DIMENSIONS;
use spillway_sdk::{DType, Error, HostError, Model, Result, Tensor};

/// The vectors, `float32 [rows, DIMENSIONS]`, each of length 1.
pub(crate) const VECTORS: &str = "vectors";
/// The texts one after another, in UTF-8, `uint8 [bytes]`.
pub(crate) const TEXTS: &str = "texts";
/// Where each text ends, `int32 [rows]`.
pub(crate) const ENDS: &str = "ends";

/// Handles of its tensors, whose elements stay in the node.
pub(crate) struct Index {
    vectors: Tensor,
    texts: Tensor,
    ends: Tensor,
}

impl Index {
    /// # Errors
    /// 500: the model `index` has not the tensors that an index has.
    pub(crate) async fn open() -> Result<Self> {
        let model = Model::open("index").await?;
        let weight = async |name| model.weight(name).await;
        let index = Self { vectors: weight(VECTORS).await?, texts: weight(TEXTS).await?, ends: weight(ENDS).await? };
        let rows = index.len();
        let fits = index.vectors.dtype() == DType::Float32
            && index.vectors.shape() == [rows, DIMENSIONS]
            && index.texts.dtype() == DType::Uint8
            && index.ends.dtype() == DType::Int32
            && rows > 0;
        if fits {
            return Ok(index);
        }
        let (vectors, ends) = (&index.vectors, &index.ends);
        Err(Error::internal(format!(
            "the model `index` has vectors {:?} {:?} and ends {:?} {:?}, which POST /similar/index does not make",
            vectors.dtype(),
            vectors.shape(),
            ends.dtype(),
            ends.shape(),
        )))
    }

    /// How many texts it has.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The rows whose vectors are nearest to one of length 1, the nearest first, with the cosine of the angle between.
    pub(crate) async fn nearest(&self, vector: &[f32], count: usize) -> Result<Vec<(usize, f32)>, HostError> {
        let vector = Tensor::from_slice(vector, &[DIMENSIONS, 1])?;
        let scores = self.vectors.matmul(&vector).await?.to_vec::<f32>()?;
        Ok(greatest(&scores, count))
    }

    /// The text of a row.
    ///
    /// # Errors
    /// The row's text is not UTF-8, or does not lie within the texts.
    pub(crate) fn text(&self, row: usize) -> Result<String> {
        let ends = self.ends.to_vec_range::<i32>(row.saturating_sub(1)..row + 1)?;
        let begin = if row == 0 { 0 } else { ends[0] };
        let end = ends[ends.len() - 1];
        let range = usize::try_from(begin).ok().zip(usize::try_from(end).ok());
        let range = range.filter(|(begin, end)| begin <= end && *end <= self.texts.len());
        let (begin, end) =
            range.ok_or_else(|| Error::internal(format!("text {row} of the index is from {begin} to {end}")))?;
        let bytes = self.texts.to_vec_range::<u8>(begin..end)?;
        String::from_utf8(bytes).map_err(Error::internal)
    }
}

/// The indices of the greatest values with those, the greatest first, and of the same the first.
fn greatest(values: &[f32], count: usize) -> Vec<(usize, f32)> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    let before = |one: &usize, other: &usize| values[*other].total_cmp(&values[*one]).then(one.cmp(other));
    if count < order.len() {
        order.select_nth_unstable_by(count, before);
        order.truncate(count);
    }
    order.sort_unstable_by(before);
    order.into_iter().map(|index| (index, values[index])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_come_first_and_of_equals_the_first() {
        let values = [0.1, 0.9, -1.0, 0.9, 0.5];
        assert_eq!(greatest(&values, 3), [(1, 0.9), (3, 0.9), (4, 0.5)]);
        assert_eq!(greatest(&values, 1), [(1, 0.9)]);
        assert_eq!(greatest(&values, 5).len(), 5);
        assert_eq!(greatest(&values, 9).len(), 5);
    }
}

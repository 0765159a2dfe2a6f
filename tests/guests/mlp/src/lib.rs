//! The small network behind HTTP: 64 little-endian `float32` in, 10 out. For the benchmark of what a call adds.

use spillway_sdk::{Bytes, DType, Model, Result, Tensor, function};

#[function]
async fn handle(body: Bytes) -> Result<Vec<u8>> {
    let model = Model::open("mlp").await?;
    let input = Tensor::from_bytes(DType::Float32, &body, &[1, 64])?;
    Ok(model.run([("x", &input)]).await?[0].to_bytes())
}

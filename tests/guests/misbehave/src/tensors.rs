//! Guests that ask too much of the host's tensors.

use spillway_sdk::{Bytes, ColorMode, DType, Graph, HostError, IntoResponse, Response, Result, Tensor, log};

/// As the issue of a guest that leaks: no guest needs so many.
const MANY: usize = 100_000;

/// A tensor that takes so many bytes of the host, and none of the guest.
pub(crate) async fn of_bytes(bytes: usize) -> Result<Tensor, HostError> {
    Tensor::from_slice(&[1_u8], &[1])?.tile(&[bytes]).await
}

/// Keeps tensors of one byte until the host refuses one.
pub(crate) fn handles() -> Result<Response, HostError> {
    let mut kept = Vec::new();
    for _ in 0..MANY {
        kept.push(Tensor::from_slice(&[1_u8], &[1])?);
    }
    Ok(format!("{MANY} handles\n").into_response())
}

/// The same with views, which hold no bytes of their own.
pub(crate) async fn views() -> Result<Response, HostError> {
    let mut kept = vec![Tensor::from_slice(&[1_u8], &[1])?];
    for _ in 0..MANY {
        kept.push(kept[0].reshape(&[1, 1]).await?);
    }
    Ok(format!("{MANY} views\n").into_response())
}

/// A view of one byte that says to be 4 GiB.
async fn huge() -> Result<Tensor, HostError> {
    Tensor::from_slice(&[1_u8], &[1])?.expand(&[u32::MAX as usize]).await
}

/// Makes two of them one.
pub(crate) async fn huge_sum() -> Result<(), HostError> {
    let huge = huge().await?;
    huge.add(&huge).await.map(|_| ())
}

/// Reads one; traps.
pub(crate) async fn huge_read() -> Result<Response, HostError> {
    Ok(format!("{} bytes\n", huge().await?.to_bytes().len()).into_response())
}

/// A PNG file of 45 bytes whose header says 60,000 by 60,000 pixels.
pub(crate) async fn huge_image() -> Result<(), HostError> {
    let mut file = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    file.extend(60_000_u32.to_be_bytes());
    file.extend(60_000_u32.to_be_bytes());
    // 8 bits, RGB; its CRC by Python's zlib.crc32; then the beginning of a chunk of data.
    file.extend(b"\x08\x02\0\0\0\x0f\xb0\xe2\x15\0\0\0\x04IDAT\x78\x9c\x01\0");
    Tensor::decode_image(&file, ColorMode::Rgb).await.map(|_| ())
}

/// A shape of a million axes.
pub(crate) async fn deep_shape() -> Result<(), HostError> {
    Tensor::from_slice(&[1_u8], &[1])?.reshape(&vec![1; 1_000_000]).await.map(|_| ())
}

/// Decodes a picture, and says what became of it.
pub(crate) async fn image(file: Bytes) -> Result<Response> {
    let image = Tensor::decode_image(&file, ColorMode::Rgb).await?;
    let mean = image.cast(DType::Float32).await?.reduce(spillway_sdk::Reduction::Mean, &[0, 1]).await?;
    Ok(format!("{:?} {:?}\n", image.shape(), mean.to_vec::<f32>()?).into_response())
}

/// A graph of so many products one after another, some 0.05 ms each, dispatched so many times.
pub(crate) async fn products(count: usize, times: usize) -> Result<Response, HostError> {
    let square = Tensor::from_slice(&vec![0.01_f32; 128 * 128], &[128, 128])?;
    let graph = Graph::trace([(DType::Float32, [128, 128])], |builder, [mut x]| {
        let square = builder.constant(square);
        for _ in 0..count {
            x = x.matmul(&square);
        }
        vec![x]
    });
    let graph = graph.await?;
    log::info!("it begins");
    let x = Tensor::from_slice(&vec![0.01_f32; 128 * 128], &[128, 128])?;
    for _ in 0..times {
        graph.dispatch(&[&x]).await?;
    }
    Ok(format!("{times} times {count} products\n").into_response())
}

//! Calls to the host, natively: tensors, models, configuration, keys and values.

use spillway_sdk::testing::block_on;
use spillway_sdk::{DType, Error, HostErrorCode, Model, StatusCode, Tensor, config, keyvalue};

#[test]
fn a_tensor_gives_back_what_it_was_made_from() {
    let tensor = Tensor::from_slice(&[1i64, -2, 3, i64::MAX, 5, 6], &[2, 3]).unwrap();
    assert_eq!((tensor.dtype(), tensor.shape(), tensor.len()), (DType::Int64, &[2, 3][..], 6));
    assert_eq!(tensor.to_vec::<i64>().unwrap(), [1, -2, 3, i64::MAX, 5, 6]);
    assert_eq!(tensor.to_vec_range::<i64>(1..3).unwrap(), [-2, 3]);
    assert_eq!(tensor.to_bytes().len(), 48);
    let scalar = Tensor::from_slice(&[0.5f32], &[]).unwrap();
    assert_eq!(scalar.to_vec::<f32>().unwrap(), [0.5]);
    let flags = Tensor::from_slice(&[true, false], &[2]).unwrap();
    assert_eq!(flags.to_vec::<bool>().unwrap(), [true, false]);
    let none = Tensor::from_slice::<u8>(&[], &[0, 4]).unwrap();
    assert!(none.is_empty() && none.to_vec::<u8>().unwrap().is_empty());
}

#[test]
fn a_tensor_that_does_not_fit_is_refused_with_the_numbers() {
    for (result, words) in [
        (Tensor::from_slice(&[1.0f32; 5], &[2, 3]), "has 6 elements, not 5"),
        (Tensor::from_bytes(DType::Float16, &[0; 3], &[2]), "a float16 tensor of shape [2] has 4 bytes, not 3"),
        (Tensor::from_slice(&[1u8], &[usize::MAX, 2]), "larger than any memory"),
        (Tensor::from_bytes(DType::Float64, &[], &[usize::MAX / 4]), "larger than any memory"),
    ] {
        let error = result.unwrap_err();
        assert_eq!(error.code(), HostErrorCode::InvalidArgument);
        assert!(error.to_string().contains(words), "{error}");
    }
    let tensor = Tensor::from_slice(&[1.0f32, 2.0], &[2]).unwrap();
    assert_eq!(tensor.to_vec::<f64>().unwrap_err().to_string(), "the tensor is float32, not float64");
    assert!(tensor.to_vec_range::<f32>(1..3).unwrap_err().to_string().contains("1..3"));
}

#[test]
fn a_model_that_the_manifest_does_not_grant_says_what_to_add() {
    let error = block_on(Model::open("resnet")).unwrap_err();
    assert_eq!(error.code(), HostErrorCode::NotGranted);
    assert!(error.to_string().contains("[models.resnet]"), "{error}");
    let error = block_on(Model::open("absent")).unwrap_err();
    assert!(error.to_string().contains("tests/absent.onnx"), "{error}");
}

#[test]
fn config_comes_from_the_manifest() {
    assert_eq!(config::get("greeting").unwrap().as_deref(), Some("Hello"));
    assert_eq!(config::get("farewell").unwrap(), None);
}

#[test]
fn a_bucket_keeps_what_is_put_into_it() {
    let bucket = keyvalue::open("default").unwrap();
    bucket.set("b", [1, 2]).unwrap();
    bucket.set("a", "text").unwrap();
    assert_eq!(bucket.get("a").unwrap().as_deref(), Some(&b"text"[..]));
    assert_eq!((bucket.increment("n", 2).unwrap(), bucket.increment("n", 3).unwrap()), (2, 5));
    assert_eq!(bucket.keys().unwrap(), ["a", "b", "n"]);
    bucket.delete("a").unwrap();
    bucket.delete("a").unwrap();
    assert!(!bucket.exists("a").unwrap() && bucket.exists("b").unwrap());
    assert!(bucket.increment("b", 1).is_err());
    assert!(keyvalue::open("other").unwrap_err().to_string().contains("[capabilities]"));
}

#[test]
fn a_host_error_in_a_handler_tells_the_caller_nothing_of_the_inside() {
    let error: Error = keyvalue::open("other").unwrap_err().into();
    assert_eq!(error.status_code(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(error.detail(), Some("the function failed; its log says why"));
}

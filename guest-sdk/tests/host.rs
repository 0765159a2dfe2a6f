//! Calls to the host, natively: tensors, models, configuration, keys and values.

use spillway_sdk::testing::block_on;
use spillway_sdk::{DType, Error, Graph, GraphBuilder, HostErrorCode, Model, StatusCode, Tensor, config, keyvalue};

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

#[test]
fn operators_on_tensors_are_computed_when_awaited() {
    block_on(async {
        let (a, b) = (Tensor::from_slice(&[1.0f32, -0.0, 6.0], &[3]).unwrap(), Tensor::scalar(4.0f32).unwrap());
        let floats = async |pending: spillway_sdk::Pending<'_>| pending.await.unwrap().to_vec::<f32>().unwrap();
        assert_eq!(floats(&a + &b).await, [5.0, 4.0, 10.0]);
        assert_eq!(floats(&b - &a).await, [3.0, 4.0, -2.0]);
        assert_eq!((floats(&a - 1.0).await, floats(1.0 - &a).await), (vec![0.0, -1.0, 5.0], vec![0.0, 1.0, -5.0]));
        // To the bit: a zero keeps its sign, and a quotient is no product.
        assert_eq!(floats(&a * 2.0).await.map_bits(), [2.0f32, -0.0, 12.0].map(f32::to_bits));
        assert_eq!(floats(&a / 10.0).await.map_bits(), [1.0f32 / 10.0, -0.0, 6.0 / 10.0].map(f32::to_bits));
        assert_eq!(floats(3.0 / &b).await, [0.75]);
        assert_eq!(floats(-&b).await, [-4.0]);
        let integers = Tensor::from_slice(&[7i32, -7], &[2]).unwrap();
        assert_eq!((&integers / 2.0).await.unwrap().to_vec::<i32>().unwrap(), [3, -3]);
        assert_eq!((1.0 + &integers).await.unwrap().to_vec::<i32>().unwrap(), [8, -6]);
        let error = (&integers + 0.5).await.unwrap_err();
        assert!(error.to_string().contains("0.5 is no int32; cast the tensor first"), "{error}");
        let halves = a.cast(DType::Float16).await.unwrap();
        let third = (&halves / 3.0).await.unwrap();
        assert_eq!((third.dtype(), third.to_bytes()[..2].to_vec()), (DType::Float16, vec![0x55, 0x35]));
    });
}

trait MapBits {
    fn map_bits(self) -> Vec<u32>;
}

impl MapBits for Vec<f32> {
    fn map_bits(self) -> Vec<u32> {
        self.into_iter().map(f32::to_bits).collect()
    }
}

#[test]
fn expressions_on_tensors_go_on_from_what_is_not_awaited_yet() {
    block_on(async {
        let of = |numbers: [f32; 2]| Tensor::from_slice(&numbers, &[2]).unwrap();
        let (a, b) = (of([1.0, 6.0]), of([2.0, 4.0]));
        let floats = async |pending: spillway_sdk::Pending<'_>| pending.await.unwrap().to_vec::<f32>().unwrap();
        assert_eq!(floats((&a - &b) / &b).await, [-0.5, 0.5]);
        assert_eq!(floats(&a - (&b - 1.0) * 2.0).await, [-1.0, 0.0]);
        assert_eq!(floats(0.5 * (&a + &b) + 0.5 * &a).await, [2.0, 8.0]);
        assert_eq!(floats(-(&a * &a) / (1.0 - &b)).await, [1.0, 12.0]);
        // Tensors that are given away, on either side.
        assert_eq!(floats(of([3.0, 5.0]) + &a).await, [4.0, 11.0]);
        assert_eq!(floats(&a * of([3.0, 5.0])).await, [3.0, 30.0]);
        assert_eq!(floats(2.0 / of([4.0, 8.0]) - of([1.0, 1.0])).await, [-0.5, -0.75]);
        assert_eq!(floats(-of([1.0, 2.0]) * 3.0 + of([0.0, 1.0]) * (&a + 1.0)).await, [-3.0, 1.0]);
        // What is wrong within is said, and nothing after it is computed.
        let three = Tensor::from_slice(&[0.0f32; 3], &[3]).unwrap();
        let error = ((&a + &three) * 2.0 - &b).await.unwrap_err();
        assert!(error.to_string().starts_with("add: ") && error.to_string().contains("[2]"), "{error}");
    });
}

#[test]
fn other_shapes_of_the_same_elements_and_tensors_of_one_number() {
    block_on(async {
        let x = Tensor::from_slice(&[1i32, 2, 3, 4, 5, 6], &[2, 3]).unwrap();
        let shape = |tensor: &Tensor| tensor.shape().to_vec();
        for (axis, expected) in [(0, [1, 2, 3]), (1, [2, 1, 3]), (2, [2, 3, 1])] {
            let wide = x.unsqueeze(axis).await.unwrap();
            assert_eq!(shape(&wide), expected);
            assert_eq!(shape(&wide.squeeze(axis).await.unwrap()), [2, 3]);
        }
        assert_eq!(shape(&x.flatten(0).await.unwrap()), [6]);
        assert_eq!(shape(&x.unsqueeze(0).await.unwrap().flatten(1).await.unwrap()), [1, 6]);
        assert_eq!(shape(&x.flatten(2).await.unwrap()), [2, 3, 1]);
        let turned = x.swap_axes(0, 1).await.unwrap();
        assert_eq!((shape(&turned), turned.to_vec::<i32>().unwrap()), (vec![3, 2], vec![1, 4, 2, 5, 3, 6]));
        let zeros = Tensor::zeros(DType::Int32, &[2, 3]).await.unwrap();
        let stacked = Tensor::stack(&[&x, &zeros], 1).await.unwrap();
        let expected = [1, 2, 3, 0, 0, 0, 4, 5, 6, 0, 0, 0];
        assert_eq!((shape(&stacked), stacked.to_vec::<i32>().unwrap()), (vec![2, 2, 3], expected.to_vec()));
        let halves = Tensor::full(&[2, 2], 0.5f64).await.unwrap();
        assert_eq!(halves.to_vec::<f64>().unwrap(), [0.5; 4]);
        for (error, words) in [
            (x.unsqueeze(3).await, "unsqueeze: `axis` 3 is none of the 2 of [2, 3]"),
            (x.squeeze(0).await, "squeeze: axis 0 of [2, 3] has length 2, not 1"),
            (x.swap_axes(0, 2).await, "swap_axes: `axis` 2 is none of the 2"),
            (x.flatten(3).await, "flatten: `axis` 3 is none"),
            (Tensor::stack(&[&x, &turned], 0).await, "concat: "),
        ] {
            let error = error.unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    });
}

#[test]
fn shapes_in_graphs_are_those_of_tensors_and_what_is_wrong_names_its_line() {
    block_on(async {
        let graph = Graph::trace([(DType::Float32, [2, 3])], |_, [x]| {
            let wide = x.unsqueeze(1).squeeze(1).swap_axes(0, 1);
            vec![wide.flatten(0), spillway_sdk::Operand::stack(&[&x, &x], 2)]
        });
        let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]).unwrap();
        let outputs = graph.await.unwrap().dispatch(&[&x]).await.unwrap();
        assert_eq!(outputs[0].to_vec::<f32>().unwrap(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        assert_eq!(
            (outputs[1].shape(), outputs[1].to_vec_range::<f32>(0..4).unwrap()),
            (&[2, 3, 2][..], vec![1.0, 1.0, 2.0, 2.0])
        );
        // The first thing that is wrong is said, and what follows from it passed over.
        let line = line!() + 1;
        let wrong = Graph::trace([(DType::Float32, [2, 3])], |_, [x]| vec![x.squeeze(1).flatten(9).unsqueeze(0)]);
        let error = wrong.await.unwrap_err().to_string();
        assert!(error.contains(&format!("host.rs:{line}:")) && error.contains("squeeze: axis 1 of [2, 3]"), "{error}");
    });
}

#[test]
fn operators_on_operands_mean_the_same_and_an_output_of_another_graph_is_refused() {
    block_on(async {
        let graph = Graph::trace([(DType::Int32, &[2]), (DType::Float32, &[2])], |_, [integers, floats]| {
            vec![(10.0 - &integers) * integers.clone() + 1.0, -(1.0 / (floats.clone() / 10.0)), floats.sum(&[0])]
        });
        let inputs = [Tensor::from_slice(&[3i32, 4], &[2]).unwrap(), Tensor::from_slice(&[2.0f32, 5.0], &[2]).unwrap()];
        let outputs = graph.await.unwrap().dispatch(&[&inputs[0], &inputs[1]]).await.unwrap();
        assert_eq!(outputs[0].to_vec::<i32>().unwrap(), [22, 25]);
        assert_eq!(outputs[1].to_vec::<f32>().unwrap(), [-5.0, -2.0]);
        assert_eq!(outputs[2].to_vec::<f32>().unwrap(), [7.0]);
        let (own, other) = (GraphBuilder::new(), GraphBuilder::new());
        let own_sum = own.input(DType::Float32, &[2]) + 1.0;
        let other_sum = other.input(DType::Float32, &[2]) + 1.0;
        let error = own.build(&[&own_sum, &other_sum]).await.unwrap_err();
        assert!(error.to_string().contains("output 1 belongs to another graph"), "{error}");
    });
}

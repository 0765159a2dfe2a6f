//! ONNX files made by hand, for sizes that no file in a repository should have.

/// One node.
#[must_use]
pub fn node(operator: &str, name: &str, inputs: &[&str], outputs: &[&str]) -> Vec<u8> {
    let mut node = Vec::new();
    inputs.iter().for_each(|input| node.extend(field(1, input.as_bytes())));
    outputs.iter().for_each(|output| node.extend(field(2, output.as_bytes())));
    node.extend(field(3, name.as_bytes()));
    node.extend(field(4, operator.as_bytes()));
    node
}

/// A file whose graph has these nodes, from the input `x` to the output `y`, both `float32` of the length that `length`
/// names. `more` are further fields of the model.
#[must_use]
pub fn model(nodes: &[Vec<u8>], length: &str, more: &[Vec<u8>]) -> Vec<u8> {
    let mut graph: Vec<u8> = nodes.iter().flat_map(|node| field(1, node)).collect();
    graph.extend(field(2, b"g"));
    graph.extend(field(11, &value("x", 1, length)));
    graph.extend(field(12, &value("y", 1, length)));
    let operators = [field(1, b""), vec![2 << 3, 17]].concat();
    [[vec![1 << 3, 8], field(7, &graph), field(8, &operators)].concat(), more.concat()].concat()
}

/// One field of protobuf whose data has a length ("Encoding", wire type 2).
#[must_use]
pub fn field(number: u8, data: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = data.len();
    while length > 127 {
        field.push(length as u8 | 128);
        length >>= 7;
    }
    field.push(length as u8);
    field.extend(data);
    field
}

/// The declaration of an input or output of one axis; `data_type` by ONNX's number.
fn value(name: &str, data_type: u8, length: &str) -> Vec<u8> {
    let axis = field(1, &field(2, length.as_bytes()));
    let tensor = [vec![1 << 3, data_type], field(2, &axis)].concat();
    [field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat()
}

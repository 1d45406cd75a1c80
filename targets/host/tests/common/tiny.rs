//! Tiny ONNX files of element-wise operators, written byte by byte: protobuf needs no more than two kinds of field.

/// The number of elements of every tensor.
pub const ELEMENTS: usize = 4_096;
/// Its length in bytes.
pub const BYTES: u64 = 16_384;

/// An operator with its inputs and its output.
pub type Node<'a> = (&'a str, &'a [&'a str], &'a str);

fn varint(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
}

fn number(field: usize, value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    varint(field << 3, &mut out);
    varint(value, &mut out);
    out
}

fn message(field: usize, parts: &[Vec<u8>]) -> Vec<u8> {
    let body = parts.concat();
    let mut out = Vec::new();
    varint(field << 3 | 2, &mut out);
    varint(body.len(), &mut out);
    out.extend(body);
    out
}

fn text(field: usize, text: &str) -> Vec<u8> {
    message(field, &[text.into()])
}

/// `ValueInfoProto`: an f32 tensor of shape [1, ELEMENTS].
fn value(field: usize, name: &str) -> Vec<u8> {
    let sides = [1, ELEMENTS].map(|side| message(1, &[number(1, side)]));
    let tensor = message(1, &[number(1, 1), message(2, &sides)]);
    message(field, &[text(1, name), message(2, &[tensor])])
}

/// `ModelProto` for operator set 13.
pub fn model(inputs: &[&str], nodes: &[Node<'_>], outputs: &[&str]) -> Vec<u8> {
    let node = |(operator, inputs, output): &Node<'_>| {
        let inputs = inputs.iter().map(|name| text(1, name));
        message(1, &inputs.chain([text(2, output), text(4, operator)]).collect::<Vec<_>>())
    };
    let mut graph: Vec<_> = nodes.iter().map(node).collect();
    graph.push(text(2, "tiny"));
    graph.extend(inputs.iter().map(|name| value(11, name)));
    graph.extend(outputs.iter().map(|name| value(12, name)));
    [number(1, 8), message(7, &graph), message(8, &[text(1, ""), number(2, 13)])].concat()
}

//! Small graphs, and the real ones.

use aegis_codegen::fetch::Kind;
use aegis_codegen::onnx::proto::tensor_shape_proto::{Dimension, dimension};
use aegis_codegen::onnx::proto::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    type_proto,
};
use aegis_codegen::onnx::shapes::Dimensions;
use aegis_codegen::onnx::{Checked, Model, decode};
use aegis_tests::fetched::{classics, reference_file};
use prost::Message as _;
use std::path::{Path, PathBuf};

pub(crate) fn node(operator: &str, name: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    NodeProto {
        op_type: Some(operator.to_owned()),
        name: Some(name.to_owned()),
        input: owned(inputs),
        output: owned(outputs),
        ..NodeProto::default()
    }
}

/// A tensor value; a dimension below 0 is symbolic under the name `dN`.
pub(crate) fn value(name: &str, element: i32, shape: &[i64]) -> ValueInfoProto {
    let dim = |side: &i64| Dimension {
        value: Some(match side {
            0.. => dimension::Value::DimValue(*side),
            _ => dimension::Value::DimParam(format!("d{}", -side)),
        }),
        denotation: None,
    };
    let shape = TensorShapeProto { dim: shape.iter().map(dim).collect() };
    let tensor = type_proto::Tensor { elem_type: Some(element), shape: Some(shape) };
    let of = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), denotation: None };
    ValueInfoProto { name: Some(name.to_owned()), r#type: Some(of), ..ValueInfoProto::default() }
}

/// A tensor of floats, all 1.
pub(crate) fn ones(name: &str, dims: &[i64]) -> TensorProto {
    let count = usize::try_from(dims.iter().product::<i64>()).unwrap();
    TensorProto {
        name: Some(name.to_owned()),
        dims: dims.to_vec(),
        data_type: Some(1),
        float_data: vec![1.0; count],
        ..TensorProto::default()
    }
}

/// `x -> Relu -> Add w -> y`, all of shape [2, 3].
pub(crate) fn small() -> ModelProto {
    let graph = GraphProto {
        name: Some("small".to_owned()),
        node: vec![node("Relu", "first", &["x"], &["a"]), node("Add", "second", &["a", "w"], &["y"])],
        initializer: vec![ones("w", &[2, 3])],
        input: vec![value("x", 1, &[2, 3])],
        output: vec![value("y", 1, &[2, 3])],
        value_info: vec![value("a", 1, &[2, 3])],
        ..GraphProto::default()
    };
    ModelProto {
        ir_version: Some(8),
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(17) }],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

/// The small model after a change to its graph.
pub(crate) fn changed(change: impl FnOnce(&mut GraphProto)) -> ModelProto {
    let mut model = small();
    change(model.graph.as_mut().unwrap());
    model
}

pub(crate) fn check(model: &ModelProto) -> Checked<Model> {
    decode("small.onnx", Path::new("."), &model.encode_to_vec())
}

/// A real model: its name, its file, and the dimensions that it leaves open.
pub(crate) struct Real {
    pub(crate) name: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) dimensions: Dimensions,
}

/// The reference vehicle's models and the classics, as far as they can be fetched.
pub(crate) fn real() -> Vec<Real> {
    let dimensions = [("orientation", "x=1,3,224,224"), ("signs", "x=1,3,320,320")];
    let of = |name| dimensions.iter().filter(|(of, _)| *of == name).map(|(_, text)| *text).collect::<Vec<_>>();
    let own = ["face", "lines", "orientation", "signs", "voice"].into_iter();
    let own = own.filter_map(|name| Some((name, reference_file(Kind::Model, name)?)));
    let all = own.chain(classics().into_iter().flatten().cloned());
    all.map(|(name, path)| Real { name, path, dimensions: Dimensions::parse(&of(name)).unwrap() }).collect()
}

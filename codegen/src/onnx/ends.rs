//! What a model takes and gives, as its file says it, with the dimensions that it leaves open.

use super::element::Element;
use super::proto::ValueInfoProto;
use super::read::Model;
use super::shapes::{show, side, tensor_type};

/// An input or an output.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct End {
    /// Its name.
    pub name: String,
    /// Its element type; `None` where it is no tensor, or of a type that is not known.
    pub element: Option<Element>,
    /// Its dimensions as the file writes them, such as `[batch, 3, ?, 224]`; `None` where it has none.
    pub shape: Option<String>,
    /// Whether a dimension is left open, or all are.
    pub is_open: bool,
}

/// The inputs that a caller must give, in order.
#[must_use]
pub fn inputs(model: &Model) -> Vec<End> {
    model.inputs().map(end).collect()
}

/// The outputs, in order.
#[must_use]
pub fn outputs(model: &Model) -> Vec<End> {
    model.graph().output.iter().map(end).collect()
}

fn end(info: &ValueInfoProto) -> End {
    let tensor = tensor_type(info);
    let shape = tensor.and_then(|tensor| tensor.shape.as_ref());
    End {
        name: info.name().to_owned(),
        element: tensor.and_then(|tensor| Element::from_number(tensor.elem_type())),
        shape: shape.map(show),
        is_open: shape.is_none_or(|shape| shape.dim.iter().any(|dimension| side(dimension).is_none())),
    }
}

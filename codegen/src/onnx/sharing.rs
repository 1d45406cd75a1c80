//! Which operators give an output in the memory of an input.

use super::proto::NodeProto;

/// How a node's first output can lie in an input's memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sharing {
    /// Always: the output has the bytes of the input at this position under another shape or name.
    View(usize),
    /// Where the input is not used any more: each element of the output is computed from the element at the same place.
    /// The inputs at these positions come into question, the first one that fits is taken.
    InPlace(Vec<usize>),
    /// Never.
    No,
}

/// Operators that give their first input under another shape or name.
const VIEWS: &[&str] = &["Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"];

/// Operators that compute each element of their output from the element of their first input at the same place (of a
/// normalization, after its sums were taken).
const UNARY: &[&str] = &[
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "BatchNormalization",
    "BiasGelu",
    "BitShift",
    "BitwiseNot",
    "Cast",
    "CastLike",
    "Ceil",
    "Celu",
    "Clip",
    "Cos",
    "Cosh",
    "CumSum",
    "Elu",
    "Erf",
    "Exp",
    "FastGelu",
    "Floor",
    "Gelu",
    "GroupNormalization",
    "HardSigmoid",
    "HardSwish",
    "Hardmax",
    "InstanceNormalization",
    "IsNaN",
    "LRN",
    "LayerNormalization",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "LpNormalization",
    "MeanVarianceNormalization",
    "Mish",
    "Neg",
    "Not",
    "QuickGelu",
    "RMSNormalization",
    "Reciprocal",
    "Relu",
    "Round",
    "ScatterElements",
    "ScatterND",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "SimplifiedLayerNormalization",
    "Sin",
    "Sinh",
    "Softmax",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tan",
    "Tanh",
    "TensorScatter",
    "ThresholdedRelu",
    "Trilu",
];

/// The same, of any input that has the shape of the output.
const ANY_INPUT: &[&str] = &[
    "Add",
    "And",
    "BitwiseAnd",
    "BitwiseOr",
    "BitwiseXor",
    "Div",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Max",
    "Mean",
    "Min",
    "Mod",
    "Mul",
    "Or",
    "PRelu",
    "Pow",
    "SkipLayerNormalization",
    "Sub",
    "Sum",
    "Where",
    "Xor",
];

/// How a node's first output can lie in the memory of an input, by what its operator computes.
///
/// A convolution fused with an addition (`FusedConv`, and `Conv` of ONNX Runtime's blocked layout) adds its fourth input
/// into its output, which may be that input's memory.
#[must_use]
pub fn of(node: &NodeProto) -> Sharing {
    let operator = node.op_type();
    let is_view = VIEWS.contains(&operator)
        // Without its mask a Dropout is one of inference, which changes nothing.
        || operator == "Dropout" && node.output.iter().skip(1).all(String::is_empty);
    let fused = operator == "FusedConv" || operator == "Conv" && node.domain() == "com.microsoft.nchwc";
    if is_view {
        Sharing::View(0)
    } else if UNARY.contains(&operator) {
        Sharing::InPlace(vec![0])
    } else if ANY_INPUT.contains(&operator) {
        Sharing::InPlace((0..node.input.len()).collect())
    } else if fused && node.input.len() > 3 {
        Sharing::InPlace(vec![3])
    } else {
        Sharing::No
    }
}

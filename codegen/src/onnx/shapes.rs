//! The element types, shapes and sizes of values: what the file states, what follows from the inputs' dimensions, and
//! what the runtime measured. Never a guess.

use super::element::{Element, count, show_shape};
use super::graph::{is_constant, outputs};
use super::measured::Matched;
use super::proto::tensor_shape_proto::{Dimension, dimension};
use super::proto::{NodeProto, TensorProto, TensorShapeProto, ValueInfoProto, type_proto};
use super::read::Model;
use super::{Checked, findings, tensors};
use crate::finding::Finding;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The dimensions that a caller fixes, by input.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Dimensions(BTreeMap<String, Vec<u64>>);

impl Dimensions {
    /// Reads texts such as `x=1,3,224,224`, one an input.
    ///
    /// # Errors
    /// What is wrong with the first text that cannot be read.
    pub fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Self, String> {
        let mut all = BTreeMap::new();
        for text in texts.iter().map(AsRef::as_ref) {
            // The last equals sign: the names of inputs may have some.
            let (input, sides) = text.rsplit_once('=').ok_or_else(|| format!("`{text}` is not INPUT=1,3,224,224"))?;
            let sides: Result<Vec<u64>, _> = match sides.trim() {
                "" => Ok(Vec::new()),
                sides => sides.split(',').map(|side| side.trim().parse()).collect(),
            };
            let sides = sides.map_err(|_| format!("the dimensions in `{text}` are not whole numbers from 0 on"))?;
            if all.insert(input.to_owned(), sides).is_some() {
                return Err(format!("input `{input}` is given twice"));
            }
        }
        Ok(Self(all))
    }
}

/// What is known of a value.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Known {
    /// Its element type; absent where it is not a tensor or not known.
    pub element: Option<Element>,
    /// Its shape, every dimension fixed; absent where it is not known.
    pub shape: Option<Vec<u64>>,
}

impl Known {
    /// The size in bytes; absent where the shape or type is not known, or is of strings.
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        self.element?.bytes(count(self.shape.as_ref()?)?)
    }
}

/// What is known of the values of a graph, by name. Values inside subgraphs are not listed.
#[derive(Clone, Debug, Default)]
pub struct Shapes {
    values: HashMap<String, Known>,
}

impl Shapes {
    /// Gathers what the file states and what the runtime measured of it, with the inputs' dimensions as given.
    ///
    /// A symbolic dimension stands for one number in a whole graph, so fixing one at an input fixes it everywhere.
    ///
    /// # Errors
    /// Every open dimension, every given one that does not fit, and every measured shape that contradicts the file.
    pub fn of(model: &Model, dimensions: &Dimensions, measured: Option<&Matched>) -> Checked<Self> {
        let mut found = Vec::new();
        let mut shapes = Self::default();
        let symbols = shapes.add_inputs(model, dimensions, &mut found);
        let graph = model.graph();
        for tensor in graph.initializer.iter().filter(|tensor| !tensor.name().is_empty()) {
            shapes.values.insert(tensor.name().to_owned(), of_tensor(tensor));
        }
        for info in graph.value_info.iter().chain(&graph.output) {
            shapes.add(info.name(), declared(info, &symbols));
        }
        for node in graph.node.iter().filter(|node| is_constant(node)) {
            if let (Some(name), Some(known)) = (outputs(node).next(), of_constant(node)) {
                shapes.values.insert(name.to_owned(), known);
            }
        }
        if let Some(measured) = measured {
            shapes.add_measured(model, measured, &mut found);
        }
        if found.is_empty() { Ok(shapes) } else { Err(found) }
    }

    /// What is known of a value; all fields empty where nothing is.
    #[must_use]
    pub fn get(&self, name: &str) -> Known {
        self.values.get(name).cloned().unwrap_or_default()
    }

    /// Adds what is not known yet.
    fn add(&mut self, name: &str, known: Known) {
        let value = self.values.entry(name.to_owned()).or_default();
        value.element = value.element.or(known.element);
        if value.shape.is_none() {
            value.shape = known.shape;
        }
    }

    /// Adds the inputs with their fixed dimensions, and returns what each symbolic dimension stands for.
    fn add_inputs(&mut self, model: &Model, dimensions: &Dimensions, found: &mut Vec<Finding>) -> HashMap<String, u64> {
        let file = model.file();
        let mut symbols: BTreeMap<String, (u64, String)> = BTreeMap::new();
        let mut left: BTreeSet<&String> = dimensions.0.keys().collect();
        for input in model.inputs() {
            let given = dimensions.0.get(input.name());
            left.retain(|name| name.as_str() != input.name());
            let Some(tensor) = tensor_type(input) else {
                if given.is_some() {
                    let message = format!("dimensions are given for input `{}`, which is no tensor", input.name());
                    found.push(findings::dimensions(file, message, "leave them out"));
                }
                continue;
            };
            let element = Element::from_number(tensor.elem_type());
            let shape = match (&tensor.shape, given) {
                (None, None) => {
                    found.push(findings::no_shape(file, input.name()));
                    None
                }
                (None, Some(given)) => Some(given.clone()),
                (Some(shape), given) => fixed(file, input.name(), shape, given, &mut symbols, found),
            };
            self.add(input.name(), Known { element, shape });
        }
        for name in left {
            let inputs: Vec<&str> = model.inputs().map(|input| input.name()).collect();
            let message = format!("dimensions are given for `{name}`, which is no input of `{file}`");
            found.push(findings::dimensions(file, message, format!("its inputs are {}", findings::list(&inputs))));
        }
        symbols.into_iter().map(|(symbol, (side, _))| (symbol, side)).collect()
    }

    fn add_measured(&mut self, model: &Model, measured: &Matched, found: &mut Vec<Finding>) {
        for (position, node) in model.graph().node.iter().enumerate() {
            let Some(measure) = measured.node(position) else { continue };
            let names: Vec<&str> = outputs(node).collect();
            // Outputs that are no tensors are not in the profile, so only a full list says which is which.
            if names.len() != measure.outputs.len() {
                continue;
            }
            for (name, (element, shape)) in names.into_iter().zip(&measure.outputs) {
                let before = self.get(name);
                if let Some(declared) = before.shape.filter(|declared| declared != shape) {
                    let (declared, shape) = (show_shape(&declared), show_shape(shape));
                    let what = format!("value `{name}` has shape {declared} by the file and the given dimensions");
                    found.push(findings::profile(measured.file(), format!("{what}, but {shape} in the profile")));
                }
                self.add(name, Known { element: *element, shape: Some(shape.clone()) });
            }
        }
    }
}

/// An input's shape with the given dimensions, or findings for what is open or contradicts.
fn fixed(
    file: &str,
    input: &str,
    shape: &TensorShapeProto,
    given: Option<&Vec<u64>>,
    symbols: &mut BTreeMap<String, (u64, String)>,
    found: &mut Vec<Finding>,
) -> Option<Vec<u64>> {
    if let Some(given) = given.filter(|given| given.len() != shape.dim.len()) {
        let (have, need, written) = (given.len(), shape.dim.len(), show(shape));
        let message = format!("input `{input}` has {need} dimensions, {written}, but {have} are given");
        found.push(findings::dimensions(file, message, "give all dimensions, also those that the file fixes"));
        return None;
    }
    let mut all = Some(Vec::new());
    for (index, dimension) in shape.dim.iter().enumerate() {
        let given = given.and_then(|given| given.get(index)).copied();
        let side = match (side(dimension), given) {
            (Some(side), Some(given)) if side != given => {
                let message =
                    format!("dimension {index} of input `{input}` is {side} in the file, but {given} is given");
                let help =
                    "a fixed dimension cannot be changed: give the file's, or export the model for another shape";
                found.push(findings::dimensions(file, message, help));
                None
            }
            (Some(side), _) => Some(side),
            (None, Some(given)) => {
                if let Some(symbol) = symbol(dimension) {
                    let (side, first) = symbols.entry(symbol.to_owned()).or_insert((given, input.to_owned()));
                    if *side != given {
                        let message = format!(
                            "symbolic dimension `{symbol}` is {side} at input `{first}` and {given} at input `{input}`"
                        );
                        found.push(findings::dimensions(file, message, "it stands for one number in the whole graph"));
                    }
                }
                Some(given)
            }
            (None, None) => {
                found.push(findings::open(file, input, index, symbol(dimension).unwrap_or_default(), &show(shape)));
                None
            }
        };
        all = all.zip(side).map(|(mut all, side)| {
            all.push(side);
            all
        });
    }
    all
}

/// A dimension's number; negative ones stand for open.
pub(super) fn side(dimension: &Dimension) -> Option<u64> {
    match dimension.value {
        Some(dimension::Value::DimValue(side)) => u64::try_from(side).ok(),
        _ => None,
    }
}

/// A dimension's symbolic name.
fn symbol(dimension: &Dimension) -> Option<&str> {
    match &dimension.value {
        Some(dimension::Value::DimParam(symbol)) if !symbol.is_empty() => Some(symbol),
        _ => None,
    }
}

/// A shape as the file has it: `[batch, 3, ?, 224]`.
pub(super) fn show(shape: &TensorShapeProto) -> String {
    let side = |dimension| match (side(dimension), symbol(dimension)) {
        (Some(side), _) => side.to_string(),
        (None, Some(symbol)) => symbol.to_owned(),
        (None, None) => "?".to_owned(),
    };
    format!("[{}]", shape.dim.iter().map(side).collect::<Vec<_>>().join(", "))
}

/// The type of a value that is a dense tensor.
pub(super) fn tensor_type(info: &ValueInfoProto) -> Option<&type_proto::Tensor> {
    match info.r#type.as_ref()?.value.as_ref()? {
        type_proto::Value::TensorType(tensor) => Some(tensor),
        _ => None,
    }
}

fn declared(info: &ValueInfoProto, symbols: &HashMap<String, u64>) -> Known {
    let Some(tensor) = tensor_type(info) else { return Known::default() };
    let resolve = |dimension| side(dimension).or_else(|| symbols.get(symbol(dimension)?).copied());
    let shape = tensor.shape.as_ref().and_then(|shape| shape.dim.iter().map(resolve).collect());
    Known { element: Element::from_number(tensor.elem_type()), shape }
}

fn of_tensor(tensor: &TensorProto) -> Known {
    Known { element: tensors::element(tensor), shape: tensors::shape(tensor) }
}

/// What a Constant node says of its output.
fn of_constant(node: &NodeProto) -> Option<Known> {
    let attribute = node.attribute.first()?;
    let of = |element, shape| Some(Known { element: Some(element), shape: Some(shape) });
    let length = |length: usize| u64::try_from(length).ok().map(|length| vec![length]);
    match attribute.name() {
        "value" => attribute.t.as_ref().map(of_tensor),
        "value_float" => of(Element::Float, Vec::new()),
        "value_int" => of(Element::Int64, Vec::new()),
        "value_string" => of(Element::String, Vec::new()),
        "value_floats" => of(Element::Float, length(attribute.floats.len())?),
        "value_ints" => of(Element::Int64, length(attribute.ints.len())?),
        "value_strings" => of(Element::String, length(attribute.strings.len())?),
        _ => None,
    }
}

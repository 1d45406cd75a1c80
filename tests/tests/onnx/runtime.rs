//! ONNX Runtime beside the room: runs models, profiles them, saves the graphs that it executes.

// The library's telemetry switch is an environment variable.
#![allow(unsafe_code)]

use crate::build::Real;
use aegis_codegen::fetch::Kind;
use aegis_codegen::onnx::measured::{Matched, RuntimeProfile};
use aegis_codegen::onnx::shapes::Shapes;
use aegis_codegen::onnx::{Model, read};
use aegis_tests::fetched::reference_file;
use ort::environment::Environment;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Outlet, Tensor, TensorElementType, ValueType};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The one environment of this process.
fn environment() -> Option<&'static Environment> {
    static ENVIRONMENT: OnceLock<Option<Environment>> = OnceLock::new();
    let open = || {
        let library = reference_file(Kind::Library, "onnxruntime")?;
        // SAFETY: the tests read no environment variable of this name, and set none while another thread does.
        unsafe { std::env::set_var("ORT_DISABLE_TELEMETRY", "1") };
        Some(ort::init_from(library).unwrap().with_name("tests").with_telemetry(false).build().unwrap())
    };
    ENVIRONMENT.get_or_init(open).as_ref()
}

/// Named values.
pub(crate) type Values = HashMap<String, DynValue>;

/// How a model is opened.
#[derive(Clone, Default)]
pub(crate) struct How {
    /// Whether the runtime may change the graph.
    pub(crate) optimized: bool,
    /// Where the profile is written: a path's beginning.
    pub(crate) profile: Option<PathBuf>,
    /// Where the executed graph is written.
    pub(crate) save: Option<PathBuf>,
}

/// A loaded model, or `None` where there is no runtime.
pub(crate) fn open(file: &Path, how: &How) -> Option<Session> {
    let environment = environment()?;
    let level = if how.optimized { GraphOptimizationLevel::All } else { GraphOptimizationLevel::Disable };
    let mut builder = Session::builder(environment).unwrap().with_intra_threads(1).unwrap();
    builder = builder.with_optimization_level(level).unwrap();
    builder = builder.with_log_level(ort::logging::LogLevel::Error).unwrap();
    if let Some(path) = &how.profile {
        builder = builder.with_profiling(path).unwrap();
    }
    if let Some(path) = &how.save {
        builder = builder.with_optimized_model_path(path).unwrap();
    }
    let session = builder.commit_from_file(file);
    Some(session.unwrap_or_else(|error| panic!("{}: {error}", file.display())))
}

/// Runs a model once. Inputs that `inputs` does not have are zeros: where the runtime folds a weight of an early file
/// away, the graph that it saves keeps the weight's input, and nothing uses it.
pub(crate) fn run(session: &mut Session, inputs: &Values) -> Values {
    let missing = session.inputs().iter().filter(|input| !inputs.contains_key(input.name()));
    let missing: Values = missing.map(|input| (input.name().to_owned(), zeros(input))).collect();
    let names: Vec<String> = session.inputs().iter().map(|input| input.name().to_owned()).collect();
    let value = |name: &String| SessionInputValue::from(inputs.get(name).or_else(|| missing.get(name)).unwrap());
    let given: Vec<(Cow<'_, str>, SessionInputValue<'_>)> =
        names.iter().map(|name| (Cow::Owned(name.clone()), value(name))).collect();
    let outputs = session.run(given).unwrap();
    outputs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn zeros(outlet: &Outlet) -> DynValue {
    let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else { panic!("{} is no tensor", outlet.name()) };
    let (shape, count) = (shape.to_vec(), usize::try_from(shape.iter().product::<i64>()).unwrap());
    match ty {
        TensorElementType::Float32 => Tensor::from_array((shape, vec![0.0_f32; count])).unwrap().into_dyn(),
        _ => Tensor::from_array((shape, vec![0_i64; count])).unwrap().into_dyn(),
    }
}

/// Random inputs of a model; open dimensions are those of `shapes`, or 1.
pub(crate) fn inputs(session: &Session, shapes: &HashMap<String, Vec<u64>>, seed: u64) -> Values {
    let mut random = fastrand::Rng::with_seed(seed);
    let of = |outlet: &Outlet| {
        let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else { panic!("{} is no tensor", outlet.name()) };
        let shape: Vec<i64> = match shapes.get(outlet.name()) {
            Some(shape) => shape.iter().map(|side| i64::try_from(*side).unwrap()).collect(),
            None => shape.iter().map(|side| (*side).max(1)).collect(),
        };
        let count = usize::try_from(shape.iter().product::<i64>()).unwrap();
        assert_eq!(*ty, TensorElementType::Float32, "{}", outlet.name());
        let data: Vec<f32> = (0..count).map(|_| random.f32()).collect();
        (outlet.name().to_owned(), Tensor::from_array((shape, data)).unwrap().into_dyn())
    };
    session.inputs().iter().map(of).collect()
}

/// A value's shape and bits, of the element types that the models' outputs have.
pub(crate) fn bits(value: &DynValue) -> (Vec<i64>, Vec<u64>) {
    if let Ok((shape, data)) = value.try_extract_tensor::<f32>() {
        return (shape.to_vec(), data.iter().map(|number| u64::from(number.to_bits())).collect());
    }
    let (shape, data) = value.try_extract_tensor::<i64>().unwrap();
    (shape.to_vec(), data.iter().map(|number| number.cast_unsigned()).collect())
}

/// How many of two values' numbers differ by more than 1e-4 of the largest number (at least 1), and of how many.
pub(crate) fn differing(one: &DynValue, other: &DynValue) -> (usize, usize) {
    let (shape, one) = one.try_extract_tensor::<f32>().unwrap();
    let (other_shape, other) = other.try_extract_tensor::<f32>().unwrap();
    assert_eq!(shape, other_shape);
    let largest = one.iter().fold(1.0_f32, |largest, number| largest.max(number.abs()));
    (one.iter().zip(other).filter(|(one, other)| (*one - *other).abs() > 1e-4 * largest).count(), one.len())
}

/// The graph that the runtime executes of a model, with the profile of some runs of random inputs, kept in `folder`.
pub(crate) fn executed(real: &Real, optimized: bool, folder: &Path) -> Option<(Model, Matched, Values)> {
    let saved = folder.join(format!("{}-{optimized}.onnx", real.name));
    let profile = folder.join(format!("{}-{optimized}", real.name));
    let how = How { optimized, profile: Some(profile), save: Some(saved.clone()) };
    let mut session = open(&real.path, &how)?;
    let model = read(&real.path).unwrap().unwrap();
    let shapes = Shapes::of(&model, &real.dimensions, None).unwrap();
    let shape = |input: &str| Some((input.to_owned(), shapes.get(input).shape?));
    let shapes = model.inputs().filter_map(|input| shape(input.name())).collect();
    let values = inputs(&session, &shapes, 1);
    for _ in 0..3 {
        run(&mut session, &values);
    }
    let profile = session.end_profiling().unwrap();
    let text = std::fs::read(&profile).unwrap();
    let model = read(&saved).unwrap().unwrap();
    let matched = RuntimeProfile::parse(&profile, &text).unwrap().of(&model).unwrap();
    Some((model, matched, values))
}

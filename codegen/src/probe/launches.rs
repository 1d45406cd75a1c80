//! What is asked of a model of kernels.

use crate::launches::{Form, Kernels, Launch};
use serde::Serialize;

/// The launches of a model of kernels.
#[derive(Clone, Debug, Serialize)]
pub struct KernelsRequest {
    /// Its inputs.
    pub inputs: Vec<FormRequest>,
    /// Its outputs.
    pub outputs: Vec<FormRequest>,
    /// The requests of one run.
    pub run: Vec<i64>,
    /// In order.
    pub launches: Vec<Launch>,
    /// Of all that; not asked, but noted in the profile.
    #[serde(skip)]
    pub digest: String,
}

/// An input or output of a model of kernels.
#[derive(Clone, Debug, Serialize)]
pub struct FormRequest {
    /// Its name.
    pub name: String,
    /// Its element type.
    pub dtype: &'static str,
    /// Its dimensions.
    pub shape: Vec<u32>,
}

impl KernelsRequest {
    /// What is asked of a model of kernels, with the digest that its profile is to have.
    #[must_use]
    pub fn of(kernels: &Kernels, digest: String) -> Self {
        let form = |form: &Form| FormRequest {
            name: form.name.clone(),
            dtype: form.element.name(),
            shape: form.shape.clone(),
        };
        Self {
            inputs: kernels.inputs.iter().map(form).collect(),
            outputs: kernels.outputs.iter().map(form).collect(),
            run: kernels.events(),
            launches: kernels.launches.clone(),
            digest,
        }
    }
}

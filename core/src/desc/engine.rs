//! Engines: what TensorRT builds of a model's files for one device, before the vehicle starts.

use crate::units::Bytes;

/// The library that builds and runs a model's engines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EngineLibrary {
    /// TensorRT, by the provider that ONNX Runtime has for it.
    TensorRt,
    /// TensorRT-RTX, by NVIDIA's provider, a plug-in of ONNX Runtime.
    TensorRtRtx,
}

impl EngineLibrary {
    /// Every library.
    pub const ALL: [Self; 2] = [Self::TensorRt, Self::TensorRtRtx];

    /// The name in manifests, locks, profiles and reports: that of the provider.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TensorRt => "tensorrt",
            Self::TensorRtRtx => "tensorrt-rtx",
        }
    }

    /// The file name of the provider's library, which lies beside ONNX Runtime's.
    #[must_use]
    pub const fn provider_file(self) -> &'static str {
        match self {
            Self::TensorRt => "libonnxruntime_providers_tensorrt.so",
            Self::TensorRtRtx => "libonnxruntime_providers_nv_tensorrt_rtx.so",
        }
    }
}

/// In what numbers an engine may compute, where its model has 32-bit ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Precision {
    /// As the model says.
    Model,
    /// Also in 16-bit IEEE 754 numbers.
    Half,
    /// Also in bfloat16.
    BFloat16,
}

impl Precision {
    /// Every precision.
    pub const ALL: [Self; 3] = [Self::Model, Self::Half, Self::BFloat16];

    /// The name in manifests, locks and profiles.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Half => "fp16",
            Self::BFloat16 => "bf16",
        }
    }
}

/// How the engines of a model's segments were built. A vehicle builds none: it loads these.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EngineDesc {
    /// What built them, and runs them.
    pub library: EngineLibrary,
    /// Its version, such as `10.14.1`: another one does not load them.
    pub version: &'static str,
    /// In what numbers they may compute.
    pub precision: Precision,
    /// The most device memory that the kernels of one of them may use as workspace; counted among the model's weights, once for
    /// each segment.
    pub workspace: Bytes,
}

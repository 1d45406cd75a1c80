//! What is asked of a model of kernels: its inputs and outputs, the requests of a run, and its launches.

use crate::backend::Port;
use crate::kernels::{Argument, Launch, Program};
use aegis_core::desc::ElementType;
use aegis_cuda::Shape;
use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
pub(super) struct KernelsRequest {
    inputs: Vec<FormRequest>,
    outputs: Vec<FormRequest>,
    run: Vec<i64>,
    launches: Vec<LaunchRequest>,
}

#[derive(Clone, Debug, Deserialize)]
struct FormRequest {
    name: String,
    dtype: String,
    shape: Vec<i64>,
}

#[derive(Clone, Debug, Deserialize)]
struct LaunchRequest {
    kernel: String,
    grid: [u32; 3],
    block: [u32; 3],
    shared: u32,
    arguments: Vec<(Kind, i64)>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Tensor,
    Buffer,
    Word,
    Long,
}

impl KernelsRequest {
    /// The program that is asked for, or what of it is none.
    pub(super) fn program(&self) -> Result<Program, String> {
        Ok(Program {
            inputs: self.inputs.iter().map(FormRequest::port).collect::<Result<_, _>>()?,
            outputs: self.outputs.iter().map(FormRequest::port).collect::<Result<_, _>>()?,
            run: self.run.clone(),
            launches: self.launches.iter().map(LaunchRequest::launch).collect::<Result<_, _>>()?,
        })
    }
}

impl FormRequest {
    fn port(&self) -> Result<Port, String> {
        let all = [ElementType::F32, ElementType::I64, ElementType::I32, ElementType::U8];
        let element = all.into_iter().find(|element| element.name() == self.dtype);
        let element =
            element.ok_or_else(|| format!("\"{}\" has the unknown element type \"{}\"", self.name, self.dtype))?;
        Ok(Port { name: self.name.clone(), element, shape: self.shape.clone() })
    }
}

impl LaunchRequest {
    fn launch(&self) -> Result<Launch, String> {
        let argument = |(kind, number): &(Kind, i64)| {
            let value = match kind {
                Kind::Tensor => usize::try_from(*number).ok().map(Argument::Tensor),
                Kind::Buffer => usize::try_from(*number).ok().map(Argument::Buffer),
                Kind::Word => u32::try_from(*number).ok().map(Argument::Word),
                Kind::Long => Some(Argument::Long(number.cast_unsigned())),
            };
            value.ok_or_else(|| format!("kernel \"{}\" has an argument of {number}", self.kernel))
        };
        Ok(Launch {
            kernel: self.kernel.clone(),
            shape: Shape { grid: self.grid, block: self.block, shared: self.shared },
            arguments: self.arguments.iter().map(argument).collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::KernelsRequest;
    use crate::kernels::Argument;
    use serde_json::{Value, json};

    fn asked(dtype: &str, arguments: &Value) -> Result<crate::kernels::Program, String> {
        let form = json!({ "name": "x", "dtype": dtype, "shape": [2, 3] });
        let launch =
            json!({ "kernel": "a", "grid": [4, 1, 1], "block": [32, 1, 1], "shared": 7, "arguments": arguments });
        let request = json!({ "inputs": [form], "outputs": [], "run": [64, -1], "launches": [launch] });
        serde_json::from_value::<KernelsRequest>(request).map_err(|error| error.to_string())?.program()
    }

    #[test]
    fn launches_are_read_as_they_are_asked_and_refused_where_they_are_none() {
        let arguments = json!([["tensor", 0], ["buffer", 0], ["word", 0xffff_ffff_u32], ["long", -1]]);
        let program = asked("i32", &arguments).unwrap();
        let expected = [Argument::Tensor(0), Argument::Buffer(0), Argument::Word(u32::MAX), Argument::Long(u64::MAX)];
        assert_eq!(program.launches[0].arguments, expected);
        assert_eq!(
            (program.inputs[0].shape.as_slice(), program.run.as_slice()),
            ([2, 3].as_slice(), [64, -1].as_slice())
        );
        assert_eq!(program.launches[0].shape.shared, 7);
        assert!(asked("f16", &json!([])).unwrap_err().contains("f16"));
        for wrong in [json!([["tensor", -1]]), json!([["word", 1_u64 << 32]]), json!([["float", 1]])] {
            assert!(asked("f32", &wrong).is_err(), "{wrong}");
        }
    }
}

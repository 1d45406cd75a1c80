//! What a model of kernels does in one run, as its manifest lists it: launches with their arguments, in order.
//!
//! ```text
//!  launch 0 ─▶ launch 1 ─▶ launch 2
//!  ├─ buffer 0 ──┤                     a buffer is requested for the first launch that is given it
//!              ├─ buffer 1 ─┤          and given back after the last: the model's one recording
//! ```

use aegis_core::desc::ElementType;
use aegis_core::units::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// One launch, as locks and the probe's requests have it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Launch {
    /// The kernel's name in the file.
    pub kernel: String,
    /// Blocks in each direction.
    pub grid: [u32; 3],
    /// Threads of a block in each direction.
    pub block: [u32; 3],
    /// Shared memory of a block that the kernel does not declare itself, in bytes.
    pub shared: u64,
    /// One for each parameter.
    pub arguments: Vec<Argument>,
}

/// What a kernel is given: what it is, and its number, such as `["tensor", 0]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Argument(pub ArgumentKind, pub i64);

/// What an argument's number is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArgumentKind {
    /// The position of an input, or, counted on from the inputs, of an output: its address.
    Tensor,
    /// The position of a buffer in the order of their first use: its address.
    Buffer,
    /// 32 bits.
    Word,
    /// 64 bits, as a number with a sign.
    Long,
}

/// An input or output of a model of kernels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Form {
    /// Its name.
    pub name: String,
    /// Its element type.
    pub element: ElementType,
    /// Its dimensions, each more than zero.
    pub shape: Vec<u32>,
    /// Its length.
    pub size: Bytes,
}

/// All that a model of kernels is besides its file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kernels {
    /// Its inputs.
    pub inputs: Vec<Form>,
    /// Its outputs.
    pub outputs: Vec<Form>,
    /// The sizes of its buffers, in the order of their first use.
    pub buffers: Vec<Bytes>,
    /// Its launches, at least one.
    pub launches: Vec<Launch>,
}

impl Kernels {
    /// The requests of one run, as recordings have them: a buffer's size, or −k where the k-th, from 1, is given back.
    #[must_use]
    pub fn events(&self) -> Vec<i64> {
        let is_given = |launch: &Launch, buffer: usize| {
            let of =
                |argument: &Argument| argument.0 == ArgumentKind::Buffer && usize::try_from(argument.1) == Ok(buffer);
            launch.arguments.iter().any(of)
        };
        let mut events = Vec::new();
        for (number, launch) in self.launches.iter().enumerate() {
            let uses = |buffer: usize| self.launches.iter().position(|launch| is_given(launch, buffer));
            let last = |buffer: usize| self.launches.iter().rposition(|launch| is_given(launch, buffer));
            let now = |buffer: &usize| is_given(launch, *buffer);
            for (buffer, size) in self.buffers.iter().enumerate().filter(|(buffer, _)| now(buffer)) {
                if uses(buffer) == Some(number) {
                    events.push(i64::try_from(size.0).unwrap_or(i64::MAX));
                }
            }
            for buffer in (0..self.buffers.len()).filter(now) {
                if last(buffer) == Some(number) {
                    events.push(i64::try_from(buffer).unwrap_or(i64::MAX).saturating_add(1).saturating_neg());
                }
            }
        }
        events
    }

    /// All of it as text, of which profiles have a digest. Names of buffers are not in it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        for (what, forms) in [("input", &self.inputs), ("output", &self.outputs)] {
            for Form { name, element, shape, .. } in forms {
                let _ = writeln!(text, "{what} {name:?} {} {shape:?}", element.name());
            }
        }
        for size in &self.buffers {
            let _ = writeln!(text, "buffer {}", size.0);
        }
        for Launch { kernel, grid, block, shared, arguments } in &self.launches {
            let _ = writeln!(text, "launch {kernel:?} {grid:?} {block:?} {shared}");
            for Argument(kind, number) in arguments {
                let _ = writeln!(text, "  {kind:?} {number}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{Argument, ArgumentKind, Form, Kernels, Launch};
    use aegis_core::desc::ElementType;
    use aegis_core::units::Bytes;

    fn launch(kernel: &str, buffers: &[i64]) -> Launch {
        let arguments = buffers.iter().map(|buffer| Argument(ArgumentKind::Buffer, *buffer)).collect();
        Launch { kernel: kernel.into(), grid: [1; 3], block: [32, 1, 1], shared: 0, arguments }
    }

    fn kernels(launches: Vec<Launch>) -> Kernels {
        let form = |name: &str| Form { name: name.into(), element: ElementType::F32, shape: vec![4], size: Bytes(16) };
        let buffers = vec![Bytes(64), Bytes(100), Bytes(200)];
        Kernels { inputs: vec![form("x")], outputs: vec![form("y")], buffers, launches }
    }

    #[test]
    fn a_buffer_is_requested_for_its_first_launch_and_given_back_after_its_last() {
        let launches = vec![launch("a", &[0, 0]), launch("b", &[1, 0]), launch("c", &[]), launch("d", &[2, 1, 2])];
        assert_eq!(kernels(launches).events(), [64, 100, -1, 200, -2, -3]);
        assert_eq!(kernels(vec![launch("a", &[0])]).events(), [64, -1], "what no launch uses is not requested");
    }

    #[test]
    fn the_text_is_of_all_that_changes_what_runs() {
        let own = kernels(vec![launch("a", &[0, 1, 2])]);
        let mut others = vec![own.clone(); 10];
        others[0].inputs[0].name = "z".into();
        others[1].inputs[0].shape = vec![2, 2];
        others[2].outputs[0].element = ElementType::I32;
        others[3].buffers[2] = Bytes(201);
        others[4].launches[0].kernel = "b".into();
        others[5].launches[0].grid = [1, 2, 1];
        others[6].launches[0].block = [1, 1, 32];
        others[7].launches[0].shared = 4;
        others[8].launches[0].arguments[0] = Argument(ArgumentKind::Word, 0);
        others[9].launches.push(launch("a", &[]));
        assert_eq!(own.text(), own.clone().text());
        for (number, other) in others.iter().enumerate() {
            assert_ne!(own.text(), other.text(), "{number}");
        }
    }
}

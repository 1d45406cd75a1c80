//! What needs no device: where arguments point, and what is refused. The addresses are the CPU's.

use super::{Placed, Program, Value, mismatch, place};
use crate::arena::{Arena, BoundTensor};
use crate::backend::{BackendError, Port, Region, Sequence};
use crate::first_fit::replayable;
use crate::kernels::{Argument, Launch};
use aegis_core::desc::{ALIGNMENT, ElementType};
use aegis_cuda::Shape;
use std::sync::Arc;

fn port(name: &str) -> Port {
    Port { name: name.into(), element: ElementType::F32, shape: vec![4] }
}

/// `a(x, 0, 7)`, `b(0, 1, y)`: two buffers that are live at once.
fn program() -> Program {
    let launch = |kernel: &str, arguments| {
        let shape = Shape { grid: [1; 3], block: [32, 1, 1], shared: 0 };
        Launch { kernel: kernel.into(), shape, arguments }
    };
    Program {
        inputs: vec![port("x")],
        outputs: vec![port("y")],
        run: vec![100, 64, -1, -2],
        launches: vec![
            launch("a", vec![Argument::Tensor(0), Argument::Buffer(0), Argument::Word(7)]),
            launch("b", vec![Argument::Buffer(0), Argument::Buffer(1), Argument::Tensor(1), Argument::Long(9)]),
        ],
    }
}

struct Memory {
    arena: Arc<Arena>,
    inputs: Vec<BoundTensor>,
    outputs: Vec<BoundTensor>,
}

impl Memory {
    fn new() -> Self {
        let arena = Arena::map(4_096, true).unwrap();
        let tensor = |name: &str, at| {
            let span = arena.span(at, 16).unwrap();
            BoundTensor { name: name.into(), element: ElementType::F32, shape: vec![4], span, host: None }
        };
        Self { inputs: vec![tensor("x", 0)], outputs: vec![tensor("y", 64)], arena }
    }

    fn place(&self, program: &Program, bytes: u64, sequence: Sequence) -> Result<Placed, BackendError> {
        let scratch = Region { span: self.arena.span(1_024, bytes).unwrap(), sequence };
        place(program, (&self.inputs, &self.outputs), &scratch)
    }

    fn address(&self, at: u64) -> Value {
        Value::Address(u64::try_from(self.arena.span(at, 1).unwrap().base().addr()).unwrap())
    }
}

fn planned(run: &[i64], length: u64) -> Sequence {
    Sequence::Planned { runs: vec![replayable(run, length, ALIGNMENT).unwrap()].leak(), owns_region: true }
}

#[test]
fn arguments_are_the_addresses_of_tensors_and_buffers_and_the_bits_of_numbers() {
    let memory = Memory::new();
    let ways = [Sequence::Recorded, Sequence::Free, planned(&program().run, 192)];
    for placed in ways.map(|sequence| memory.place(&program(), 192, sequence).unwrap()) {
        let [first, second] = placed.launches.as_slice() else { panic!("there are two launches") };
        assert_eq!(first.1, [memory.address(0), memory.address(1_024), Value::U32(7)]);
        assert_eq!(second.1, [memory.address(1_024), memory.address(1_152), memory.address(64), Value::U64(9)]);
        assert_eq!(placed.height, 192);
    }
}

#[test]
fn what_needs_more_than_its_region_or_is_not_what_was_planned_is_refused() {
    let memory = Memory::new();
    let error = |program: &Program, bytes, sequence| memory.place(program, bytes, sequence).unwrap_err().to_string();
    let own = program();
    assert!(error(&own, 128, Sequence::Recorded).ends_with("its buffers do not fit their region of 128 bytes"));
    let small = error(&own, 128, planned(&own.run, 192));
    assert!(small.ends_with("its buffers need 192 bytes, and its region has 128"), "{small}");
    let other = error(&own, 192, planned(&[100, 63, -1, -2], 192));
    assert!(other.ends_with("its launches request other buffers"), "{other}");
    for sequence in [Sequence::Heap, Sequence::Load(&[]), Sequence::Planned { runs: &[], owns_region: true }] {
        assert!(error(&own, 192, sequence).ends_with("buffers of launches have one recording"));
    }
}

#[test]
fn tensors_that_are_not_the_programs_cannot_be_bound() {
    let other_shape = |memory: &mut Memory| memory.inputs[0].shape = vec![5];
    let other_name = |memory: &mut Memory| memory.outputs[0].name = "z".into();
    let other_element = |memory: &mut Memory| memory.inputs[0].element = ElementType::I32;
    let one_too_few = |memory: &mut Memory| memory.outputs.clear();
    let changes: [&dyn Fn(&mut Memory); 4] = [&other_shape, &other_name, &other_element, &one_too_few];
    for change in changes {
        let mut memory = Memory::new();
        change(&mut memory);
        let result = memory.place(&program(), 192, Sequence::Free);
        assert!(matches!(result, Err(BackendError::Bind { .. })), "{result:?}");
    }
    let mut beyond = program();
    beyond.launches[0].arguments[0] = Argument::Tensor(2);
    assert!(matches!(Memory::new().place(&beyond, 192, Sequence::Free), Err(BackendError::Bind { .. })));
    beyond.launches[0].arguments[0] = Argument::Buffer(2);
    assert!(matches!(Memory::new().place(&beyond, 192, Sequence::Free), Err(BackendError::Bind { .. })));
}

#[test]
fn parameters_are_compared_by_number_and_length() {
    assert_eq!(mismatch(&[8, 8, 4], &[8, 8, 4]), None);
    let expected = "takes parameters of [8, 4] bytes, and is given arguments of [8, 8] bytes";
    assert_eq!(mismatch(&[8, 4], &[8, 8]).as_deref(), Some(expected));
    assert!(mismatch(&[8], &[]).is_some());
}

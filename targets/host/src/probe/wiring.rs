//! Which tensors a model's segments share, found by their names.
//!
//! ```text
//!  a segment reads a name that …   an earlier one writes   it is carried
//!                                  no earlier one writes   it is the model's input
//!  a segment writes a name that …  the files declare       it is the model's output
//!                                  a later one reads       it is carried
//!                                  no later one reads      it is the model's output
//! ```
//!
//! `aegis model cut` declares the whole model's inputs and outputs in each file, so that they keep their order, and an output
//! that a later segment reads stays one.

use super::protocol::InputRequest;
use crate::backend::{Declared, Port};
use aegis_core::desc::ElementType;

/// A tensor's form, without a place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) element: ElementType,
    pub(super) shape: Vec<i64>,
    pub(super) bytes: u64,
}

impl Tensor {
    /// A port with a shape that is known.
    pub(super) fn of(port: &Port, shape: Vec<i64>) -> Result<Self, String> {
        let count = shape.iter().try_fold(1_u64, |product, side| product.checked_mul(u64::try_from(*side).ok()?));
        let bytes = count.and_then(|count| count.checked_mul(port.element.size().0)).filter(|bytes| *bytes > 0);
        let bytes = bytes.ok_or_else(|| format!("\"{}\" has the shape {shape:?}, which must be given", port.name))?;
        Ok(Self { name: port.name.clone(), element: port.element, shape, bytes })
    }
}

/// A tensor, and which segments have it.
#[derive(Clone, Debug)]
struct Known {
    tensor: Tensor,
    /// The file that has it first, as it was asked for.
    file: String,
    /// The segment that writes it; `None` where it is an input of the model.
    written_by: Option<usize>,
    /// Whether a later segment reads it.
    carried: bool,
}

/// The names that one segment reads and writes, in its file's order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Wires {
    pub(super) reads: Vec<String>,
    pub(super) writes: Vec<String>,
}

/// Finds out, segment by segment in their order, where each tensor comes from.
#[derive(Debug)]
pub(super) struct Wiring<'a> {
    asked: &'a [InputRequest],
    known: Vec<Known>,
    segments: Vec<Wires>,
    declared: Declared,
}

/// What became of it: every tensor once, each list in the declared order, or that in which its names were met.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wired {
    pub(super) inputs: Vec<Tensor>,
    pub(super) outputs: Vec<Tensor>,
    pub(super) carried: Vec<Tensor>,
    pub(super) segments: Vec<Wires>,
}

impl<'a> Wiring<'a> {
    /// No segment is known yet; `asked` are the shapes that were asked for inputs of the model.
    pub(super) const fn new(asked: &'a [InputRequest]) -> Self {
        Self {
            asked,
            known: Vec::new(),
            segments: Vec::new(),
            declared: Declared { inputs: Vec::new(), outputs: Vec::new() },
        }
    }

    /// Notes what a file declares of the whole model.
    pub(super) fn declare(&mut self, declared: Declared) {
        self.declared = declared;
    }

    /// Adds the next segment with what it reads, and says which tensors these are.
    pub(super) fn read(&mut self, file: &str, ports: &[Port]) -> Result<Vec<Tensor>, String> {
        let tensors = ports.iter().map(|port| self.source(file, port)).collect::<Result<Vec<_>, _>>()?;
        let reads = ports.iter().map(|port| port.name.clone()).collect();
        self.segments.push(Wires { reads, writes: Vec::new() });
        Ok(tensors)
    }

    /// The tensor that a segment reads under a name.
    fn source(&mut self, file: &str, port: &Port) -> Result<Tensor, String> {
        // The first of this name: an input that a segment only passes on is the model's input for every later one too.
        if let Some(known) = self.known.iter_mut().find(|known| known.tensor.name == port.name) {
            let Tensor { name, element, shape, .. } = &known.tensor;
            if *element != port.element || !agrees(shape, &port.shape) {
                let (here, there, own) = (port.element.name(), element.name(), &port.shape);
                let first = &known.file;
                return Err(format!(
                    "\"{name}\" is {there} {shape:?} in {first}, but {here} {own:?} in {file} (-1: any)"
                ));
            }
            known.carried = known.written_by.is_some();
            return Ok(known.tensor.clone());
        }
        let given = self.asked.iter().find(|input| input.name == port.name);
        let shape = given.map_or_else(|| port.shape.clone(), |input| input.shape.clone());
        if !agrees(&shape, &port.shape) {
            let (name, own) = (&port.name, &port.shape);
            return Err(format!("input \"{name}\" was asked with shape {shape:?}, the model has {own:?} (-1: any)"));
        }
        let tensor = Tensor::of(port, shape)?;
        self.known.push(Known { tensor: tensor.clone(), file: file.to_owned(), written_by: None, carried: false });
        Ok(tensor)
    }

    /// Whether every asked name is an input of the model, once all segments were read.
    pub(super) fn check_asked(&self) -> Result<(), String> {
        let inputs = self.known.iter().filter(|known| known.written_by.is_none());
        let names: Vec<_> = inputs.map(|known| known.tensor.name.as_str()).collect();
        match self.asked.iter().find(|given| !names.contains(&given.name.as_str())) {
            Some(given) => Err(format!("there is no input \"{}\"; the model has: {}", given.name, names.join(", "))),
            None => Ok(()),
        }
    }

    /// Adds what the segment that was read last writes.
    pub(super) fn write(&mut self, file: &str, tensors: &[Tensor]) -> Result<(), String> {
        let own = self.segments.len().saturating_sub(1);
        for tensor in tensors {
            let name = &tensor.name;
            let mut same = self.known.iter().filter(|known| known.tensor.name == *name);
            if let Some(writer) = same.clone().find(|known| known.written_by.is_some()) {
                return Err(format!("\"{name}\" is written by {} and by {file}", writer.file));
            }
            let earlier = self.segments.get(..own).unwrap_or_default();
            if let Some(input) = same.next().filter(|_| earlier.iter().any(|wires| wires.reads.contains(name))) {
                return Err(format!("\"{name}\" is read by {}, but only the later {file} writes it", input.file));
            }
            let file = file.to_owned();
            self.known.push(Known { tensor: tensor.clone(), file, written_by: Some(own), carried: false });
        }
        if let Some(wires) = self.segments.last_mut() {
            wires.writes.extend(tensors.iter().map(|tensor| tensor.name.clone()));
        }
        Ok(())
    }

    /// All segments were added.
    pub(super) fn close(self) -> Wired {
        let Self { known, segments, declared, .. } = self;
        let (written, mut inputs): (Vec<_>, Vec<_>) = known.into_iter().partition(|known| known.written_by.is_some());
        let is_carried = |known: &Known| known.carried && !declared.outputs.contains(&known.tensor.name);
        let (carried, mut outputs): (Vec<_>, Vec<_>) = written.into_iter().partition(is_carried);
        // Stable: what is not declared comes last, as it was met.
        let place = |names: &[String], known: &Known| {
            names.iter().position(|name| *name == known.tensor.name).unwrap_or(usize::MAX)
        };
        inputs.sort_by_key(|known| place(&declared.inputs, known));
        outputs.sort_by_key(|known| place(&declared.outputs, known));
        let tensors = |known: Vec<Known>| known.into_iter().map(|known| known.tensor).collect();
        Wired { inputs: tensors(inputs), outputs: tensors(outputs), carried: tensors(carried), segments }
    }
}

/// Whether a shape is one that a file allows.
fn agrees(shape: &[i64], allowed: &[i64]) -> bool {
    shape.len() == allowed.len() && shape.iter().zip(allowed).all(|(side, allowed)| *allowed < 0 || side == allowed)
}

#[cfg(test)]
mod tests {
    use super::{Tensor, Wired, Wires, Wiring};
    use crate::backend::Port;
    use crate::probe::protocol::InputRequest;
    use aegis_core::desc::ElementType;

    fn port(name: &str, shape: &[i64]) -> Port {
        Port { name: name.into(), element: ElementType::F32, shape: shape.into() }
    }

    /// Ports of one shape by their names.
    fn ports(names: &str) -> Vec<Port> {
        names.split_whitespace().map(|name| port(name, &[1, 4])).collect()
    }

    /// One segment: its file, what it reads, what it writes.
    type Segment<'a> = (&'a str, Vec<Port>, Vec<Port>);

    fn wire(asked: &[InputRequest], segments: &[Segment<'_>]) -> Result<Wired, String> {
        let mut wiring = Wiring::new(asked);
        for (file, reads, writes) in segments {
            wiring.read(file, reads)?;
            let writes: Result<Vec<_>, _> = writes.iter().map(|port| Tensor::of(port, port.shape.clone())).collect();
            wiring.write(file, &writes?)?;
        }
        wiring.check_asked()?;
        Ok(wiring.close())
    }

    fn names(tensors: &[Tensor]) -> String {
        tensors.iter().map(|tensor| tensor.name.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_a_later_segment_reads_is_carried_and_the_rest_is_the_models() {
        let second = [vec![port("h", &[-1, 4])], ports("z x")].concat();
        let segments = [("a", ports("x"), ports("h s")), ("b", second, ports("g")), ("c", ports("g h"), ports("y"))];
        let wired = wire(&[], &segments).unwrap();
        let all = [&wired.inputs, &wired.outputs, &wired.carried].map(|tensors| names(tensors));
        assert_eq!(all, ["x z", "s y", "h g"]);
        let words = |names: &str| names.split_whitespace().map(str::to_owned).collect();
        let wires = |reads, writes| Wires { reads: words(reads), writes: words(writes) };
        assert_eq!(wired.segments, [wires("x", "h s"), wires("h z x", "g"), wires("g h", "y")]);
        assert_eq!((wired.carried[0].bytes, &wired.carried[0].shape), (16, &vec![1, 4]));
        // One file is one segment, also where it passes an input on; a later one then reads the input.
        for more in [None, Some(("b", ports("x"), ports("y")))] {
            let segments: Vec<_> = [("a", ports("x z"), ports("z x"))].into_iter().chain(more.clone()).collect();
            let wired = wire(&[], &segments).unwrap();
            let outputs = if more.is_some() { "z x y" } else { "z x" };
            assert_eq!((names(&wired.inputs).as_str(), names(&wired.outputs).as_str()), ("x z", outputs));
            assert!(wired.carried.is_empty());
        }
    }

    #[test]
    fn declared_inputs_and_outputs_keep_their_order_and_stay_what_they_are() {
        let mut wiring = Wiring::new(&[]);
        let words = |names: &str| names.split_whitespace().map(str::to_owned).collect::<Vec<String>>();
        for (reads, writes) in [("x", "h s"), ("z h s", "y")] {
            wiring.read("a", &ports(reads)).unwrap();
            wiring.declare(super::Declared { inputs: words("z x"), outputs: words("y s") });
            let writes: Vec<Tensor> = ports(writes).iter().map(|p| Tensor::of(p, p.shape.clone()).unwrap()).collect();
            wiring.write("a", &writes).unwrap();
        }
        let wired = wiring.close();
        let all = [&wired.inputs, &wired.outputs, &wired.carried].map(|tensors| names(tensors));
        assert_eq!(all, ["z x", "y s", "h"]);
    }

    #[test]
    fn an_asked_shape_is_that_of_an_input_of_the_model_only() {
        let asked = |name: &str, shape: &[i64]| [InputRequest { name: name.into(), shape: shape.into() }];
        let segments = [("a", vec![port("x", &[-1, 4])], ports("h")), ("b", ports("h x"), ports("y"))];
        let wired = wire(&asked("x", &[1, 4]), &segments).unwrap();
        assert_eq!(wired.inputs[0].shape, [1, 4]);
        let error = |asked: &[InputRequest]| wire(asked, &segments).unwrap_err();
        assert_eq!(error(&[]), "\"x\" has the shape [-1, 4], which must be given");
        assert_eq!(
            error(&asked("x", &[2, 5])),
            "input \"x\" was asked with shape [2, 5], the model has [-1, 4] (-1: any)"
        );
        assert_eq!(error(&asked("x", &[2, 4])), "\"x\" is f32 [2, 4] in a, but f32 [1, 4] in b (-1: any)");
        let both = [asked("x", &[1, 4]), asked("h", &[1, 4])].concat();
        assert_eq!(error(&both), "there is no input \"h\"; the model has: x");
    }

    #[test]
    fn what_does_not_fit_together_names_both_files() {
        let error = |reads, writes| wire(&[], &[("a", ports("x"), ports("h")), ("b", reads, writes)]).unwrap_err();
        let other_shape = error(vec![port("h", &[1, 5])], ports("y"));
        assert_eq!(other_shape, "\"h\" is f32 [1, 4] in a, but f32 [1, 5] in b (-1: any)");
        let other_element = error(vec![Port { element: ElementType::I64, ..port("h", &[1, 4]) }], ports("y"));
        assert_eq!(other_element, "\"h\" is f32 [1, 4] in a, but i64 [1, 4] in b (-1: any)");
        assert_eq!(error(ports(""), ports("h")), "\"h\" is written by a and by b");
        assert_eq!(error(ports("h"), ports("h")), "\"h\" is written by a and by b");
        assert_eq!(error(ports("h"), ports("x")), "\"x\" is read by a, but only the later b writes it");
        let twice = wire(&[], &[("a", ports(""), ports("h h"))]).unwrap_err();
        assert_eq!(twice, "\"h\" is written by a and by a");
    }
}

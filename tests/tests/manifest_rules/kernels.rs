//! What a model of kernels means.

use crate::{parse_checked, valid_kernels};
use aegis_codegen::launches::{Argument, ArgumentKind, Kernels};
use aegis_core::desc::{Backend, ElementType};
use aegis_core::units::Bytes;

fn kernels(text: &str) -> Kernels {
    let manifest = parse_checked("valid-kernels.toml", text).0.unwrap();
    assert_eq!(manifest.models[0].backend, Backend::Kernels);
    manifest.models[0].kernels.clone().unwrap()
}

#[test]
fn names_are_positions_and_numbers_are_bits_of_their_type() {
    let kernels = kernels(&valid_kernels());
    assert_eq!((kernels.inputs[0].name.as_str(), kernels.inputs[0].size), ("picture", Bytes(200_704)));
    assert_eq!(
        (kernels.outputs[0].element, kernels.outputs[0].shape.as_slice()),
        (ElementType::U8, [224, 224].as_slice())
    );
    assert_eq!(kernels.buffers, [Bytes(65_536)]);
    let [blur, edge] = kernels.launches.as_slice() else { panic!("two launches in order") };
    assert_eq!((blur.kernel.as_str(), blur.grid, blur.block, blur.shared), ("blur", [28, 28, 1], [8, 8, 1], 1_024));
    assert_eq!(edge.shared, 0);
    let word = |bits| Argument(ArgumentKind::Word, bits);
    let (tensor, buffer) = (|at| Argument(ArgumentKind::Tensor, at), Argument(ArgumentKind::Buffer, 0));
    assert_eq!(blur.arguments, [tensor(0), buffer, word(224)]);
    assert_eq!(edge.arguments, [buffer, tensor(1), word(0x3fc0_0000), Argument(ArgumentKind::Long, -1)]);
    assert_eq!(kernels.events(), [65_536, -1]);
}

#[test]
fn each_type_of_number_has_its_bits() {
    let (word, long) = (ArgumentKind::Word, ArgumentKind::Long);
    for (given, kind, bits) in [
        ("{ u32 = 4294967295 }", word, 0xffff_ffff),
        ("{ u32 = 0x10 }", word, 16),
        ("{ i32 = -1 }", word, 0xffff_ffff),
        ("{ i32 = -2147483648 }", word, 0x8000_0000),
        ("{ f32 = -2 }", word, 0xc000_0000),
        ("{ f32 = 1e-3 }", word, 0x3a83_126f),
        ("{ u64 = 18446744073709551615 }", long, -1),
        ("{ i64 = -7 }", long, -7),
        ("{ f64 = 1.5 }", long, 0x3ff8_0000_0000_0000),
    ] {
        let kernels = kernels(&valid_kernels().replace("{ u32 = 224 }", given));
        assert_eq!(kernels.launches[0].arguments[2], Argument(kind, bits), "{given}");
    }
}

#[test]
fn buffers_are_numbered_in_the_order_of_their_first_use() {
    let text = valid_kernels().replace("{ partial = \"64KiB\" }", "{ late = \"1KiB\", partial = \"64KiB\" }");
    let kernels = kernels(&text.replace("[\"partial\", \"edges\"", "[\"late\", \"partial\", \"edges\""));
    assert_eq!(kernels.buffers, [Bytes(65_536), Bytes(1_024)]);
    let late = [Argument(ArgumentKind::Buffer, 1), Argument(ArgumentKind::Buffer, 0)];
    assert_eq!(kernels.launches[1].arguments[..2], late);
    assert_eq!(kernels.events(), [65_536, 1_024, -1, -2]);
}

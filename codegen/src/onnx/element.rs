//! The element types of tensors, under the numbers and names that ONNX and its runtime use.

/// Declares [`Element`] from its table: number in `TensorProto.DataType`, the runtime's name, and bits (0: no fixed size).
macro_rules! elements {
    ($($variant:ident = $number:literal, $name:literal, $bits:literal;)*) => {
        /// An element type, as `TensorProto.DataType` numbers them.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Element {
            $(
                #[doc = concat!("`", $name, "`, number ", $number, ".")]
                $variant,
            )*
        }

        impl Element {
            /// Every element type, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The number in `TensorProto.DataType`.
            #[must_use]
            pub const fn number(self) -> i32 {
                match self { $(Self::$variant => $number,)* }
            }

            /// The name that ONNX Runtime writes, such as `float` or `int64`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            const fn raw_bits(self) -> u64 {
                match self { $(Self::$variant => $bits,)* }
            }
        }
    };
}

elements! {
    Float = 1, "float", 32;
    Uint8 = 2, "uint8", 8;
    Int8 = 3, "int8", 8;
    Uint16 = 4, "uint16", 16;
    Int16 = 5, "int16", 16;
    Int32 = 6, "int32", 32;
    Int64 = 7, "int64", 64;
    String = 8, "string", 0;
    Bool = 9, "bool", 8;
    Float16 = 10, "float16", 16;
    Double = 11, "double", 64;
    Uint32 = 12, "uint32", 32;
    Uint64 = 13, "uint64", 64;
    Complex64 = 14, "complex64", 64;
    Complex128 = 15, "complex128", 128;
    Bfloat16 = 16, "bfloat16", 16;
    Float8E4M3Fn = 17, "float8e4m3fn", 8;
    Float8E4M3Fnuz = 18, "float8e4m3fnuz", 8;
    Float8E5M2 = 19, "float8e5m2", 8;
    Float8E5M2Fnuz = 20, "float8e5m2fnuz", 8;
    Uint4 = 21, "uint4", 4;
    Int4 = 22, "int4", 4;
    Float4E2M1 = 23, "float4e2m1", 4;
    Float8E8M0 = 24, "float8e8m0", 8;
    Uint2 = 25, "uint2", 2;
    Int2 = 26, "int2", 2;
    Float6E2M3 = 27, "float6e2m3", 6;
    Float6E3M2 = 28, "float6e3m2", 6;
}

impl Element {
    /// The element type with a number of `TensorProto.DataType`; `None` for 0 (undefined) and what ONNX 1.23 does not have.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.iter().copied().find(|element| element.number() == number)
    }

    /// The element type that ONNX Runtime calls `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|element| element.name() == name)
    }

    /// The size of one element in bits, 2 to 128; `None` for strings.
    #[must_use]
    pub const fn bits(self) -> Option<u64> {
        match self.raw_bits() {
            0 => None,
            bits => Some(bits),
        }
    }

    /// The size of `count` elements in bytes, the last byte filled up; `None` for strings and beyond 2^64 - 1.
    #[must_use]
    pub fn bytes(self, count: u64) -> Option<u64> {
        Some(self.bits()?.checked_mul(count)?.div_ceil(8))
    }
}

impl std::fmt::Display for Element {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.name())
    }
}

/// The number of elements of a tensor; `None` beyond 2^64 - 1.
#[must_use]
pub fn count(shape: &[u64]) -> Option<u64> {
    // A side of 0 makes the tensor empty, however long the others are.
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1_u64, |product, side| product.checked_mul(*side))
}

/// A shape as people write it: `[1, 3, 224, 224]`.
#[must_use]
pub fn show_shape(shape: &[u64]) -> String {
    let sides: Vec<String> = shape.iter().map(u64::to_string).collect();
    format!("[{}]", sides.join(", "))
}

#[cfg(test)]
mod tests {
    use super::{Element, count};

    #[test]
    fn numbers_and_names_are_unique_and_without_gaps() {
        for (position, element) in Element::ALL.iter().enumerate() {
            assert_eq!(usize::try_from(element.number()).unwrap(), position + 1);
            assert_eq!(Element::from_number(element.number()), Some(*element));
            assert_eq!(Element::from_name(element.name()), Some(*element));
        }
        assert_eq!((Element::from_number(0), Element::from_number(29), Element::from_number(-1)), (None, None, None));
    }

    #[test]
    fn small_elements_fill_the_last_byte_and_large_counts_do_not_wrap() {
        assert_eq!(Element::Int4.bytes(3), Some(2));
        assert_eq!(Element::Float.bytes(3), Some(12));
        assert_eq!(Element::String.bytes(3), None);
        assert_eq!(Element::Double.bytes(u64::MAX), None);
        assert_eq!(count(&[u64::MAX, 2]), None);
        assert_eq!(count(&[u64::MAX, 2, 0]), Some(0));
        assert_eq!(count(&[]), Some(1));
    }
}

//! What makes the codes' type out of their table.

/// Declares the type `Code` from its table: a name, an identifier, a title and an explanation each.
macro_rules! codes {
    ($($name:ident = $id:literal, $title:literal, $explanation:literal;)*) => {
        /// A rule that a finding reports as broken.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Code {
            $(
                #[doc = concat!($id, ": ", $title, ".")]
                $name,
            )*
        }

        impl Code {
            /// Every code, in the order of their identifiers.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The stable identifier, such as `AEG001`.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }

            /// What is wrong, in a few words.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// Why it is a fault and how it is mended, in a paragraph.
            #[must_use]
            pub const fn explain(self) -> &'static str {
                match self { $(Self::$name => $explanation,)* }
            }
        }
    };
}

pub(super) use codes;

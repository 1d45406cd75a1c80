//! How a thread waits.

/// How a thread learns of what it waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiting {
    /// It looks again and again: the least delay, and a core that does nothing else.
    Polling,
    /// The system or the driver wakes it.
    Blocking,
}

impl Waiting {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Polling, Self::Blocking];

    /// The name in manifests and locks.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::Blocking => "blocking",
        }
    }
}

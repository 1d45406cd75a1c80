//! What the caller of something that was refused can do.

/// The class of an error: whether the same call can succeed later, never, or nothing can.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorClass {
    /// The call is right and came at a wrong time: the same one can succeed later, and the error tells from when on or what has to
    /// happen first, as far as that is known. The caller repeats it then, or does without. A full queue is an example.
    Transient,
    /// The call is wrong for this plan and never succeeds: nothing has changed and the run goes on, so the caller goes on without,
    /// and its code or the manifest is to be mended. A task that the plan does not have is an example.
    Permanent,
    /// The run cannot go on, whatever is called: the process ends, and whoever supervises it starts a new one. A lost device is an
    /// example.
    Fatal,
}

impl ErrorClass {
    /// The name in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Permanent => "permanent",
            Self::Fatal => "fatal",
        }
    }
}

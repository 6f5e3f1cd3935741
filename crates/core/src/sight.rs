//! What a look at the world gave: a value, or the reason why there is none.

/// The outcome of one look. A failed look is an observation too: unknown is not zero, not empty, not healthy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Sight<T> {
    /// It was seen.
    Seen(T),
    /// It could not be seen, and why, in words for a person.
    Unseen(Blindness),
}

/// Why something could not be seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Blindness {
    /// The kind of trouble.
    pub kind: BlindnessKind,
    /// The words for a person.
    pub message: String,
}

/// Kinds of trouble that lead to different advice.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum BlindnessKind {
    /// Nothing answered.
    Unreachable,
    /// It answered that the key is missing or wrong.
    Unauthorized,
    /// It answered that this server cannot do it.
    Unsupported,
    /// It answered with something else that is no answer.
    Failed,
}

impl<T> Sight<T> {
    /// Nothing was seen because of this.
    pub fn unseen(kind: BlindnessKind, message: impl Into<String>) -> Self {
        Self::Unseen(Blindness { kind, message: message.into() })
    }

    /// The value, if it was seen.
    pub fn seen(&self) -> Option<&T> {
        match self {
            Self::Seen(value) => Some(value),
            Self::Unseen(_) => None,
        }
    }

    /// Why nothing was seen.
    pub fn blindness(&self) -> Option<&Blindness> {
        match self {
            Self::Seen(_) => None,
            Self::Unseen(blindness) => Some(blindness),
        }
    }

    /// The same look at a part of the value.
    pub fn map<U>(self, part: impl FnOnce(T) -> U) -> Sight<U> {
        match self {
            Self::Seen(value) => Sight::Seen(part(value)),
            Self::Unseen(blindness) => Sight::Unseen(blindness),
        }
    }
}

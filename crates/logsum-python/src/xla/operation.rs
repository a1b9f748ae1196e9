//! What XLA can ask for.

/// A function of rows along the last axis of the first array.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// The log-sum-exp of each row.
    Logsumexp,
    /// Softmax of each row.
    Softmax,
    /// Log-softmax of each row.
    LogSoftmax,
    /// The cross-entropy of each row with its class, the second argument. The attributes are those of
    /// [`Options`](super::frame::Options).
    Losses,
    /// These losses and their gradients.
    LossesWithGradient,
}

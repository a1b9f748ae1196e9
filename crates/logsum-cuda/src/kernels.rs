//! The kernels as PTX, and their names.

use flate2::read::GzDecoder;
use std::io::Read;
use std::sync::OnceLock;

/// What `crates/logsum-cuda/build-kernels` made of `logsum-gpu`.
pub(crate) static PTX_GZ: &[u8] = include_bytes!("kernels.ptx.gz");

/// A number format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// IEEE's of 16 bits.
    F16,
    /// The upper half of an f32.
    BF16,
    /// IEEE's of 32 bits.
    F32,
    /// IEEE's of 64 bits.
    F64,
}

impl Format {
    /// Bytes of a number.
    pub(crate) fn bytes(self) -> u64 {
        match self {
            Self::F16 | Self::BF16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }
}

/// A kernel, by the first part of its name. `SettleInFixedPoint` there is for f64 alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kernel {
    Logsumexp,
    LogsumexpOfColumns,
    LogsumexpByParts,
    Settle,
    SettleInFixedPoint,
    Softmax,
    SoftmaxOfColumns,
    LogSoftmax,
    LogSoftmaxOfColumns,
    SettleShares,
    Losses,
    LossesOfColumns,
    LossesKeeping,
    LossesByParts,
    LossesKeepingByParts,
    SettleLosses,
    LossGradients,
    LossGradientsOfColumns,
    LossGradientsOfKept,
    SettleLossGradients,
}

impl Kernel {
    pub(crate) fn name(self, format: Format) -> String {
        let operation = match self {
            Self::Logsumexp => "logsumexp",
            Self::LogsumexpOfColumns => "logsumexp_of_columns",
            Self::LogsumexpByParts => "logsumexp_by_parts",
            Self::Settle => "settle",
            Self::SettleInFixedPoint => "settle_in_fixed_point",
            Self::Softmax => "softmax",
            Self::SoftmaxOfColumns => "softmax_of_columns",
            Self::LogSoftmax => "log_softmax",
            Self::LogSoftmaxOfColumns => "log_softmax_of_columns",
            Self::SettleShares => "settle_shares",
            Self::Losses => "losses",
            Self::LossesOfColumns => "losses_of_columns",
            Self::LossesKeeping => "losses_keeping",
            Self::LossesByParts => "losses_by_parts",
            Self::LossesKeepingByParts => "losses_keeping_by_parts",
            Self::SettleLosses => "settle_losses",
            Self::LossGradients => "loss_gradients",
            Self::LossGradientsOfColumns => "loss_gradients_of_columns",
            Self::LossGradientsOfKept => "loss_gradients_of_kept",
            Self::SettleLossGradients => "settle_loss_gradients",
        };
        format!("{operation}_{}", format.name())
    }
}

/// A module with this kernel alone: the driver takes seconds to compile all of them.
pub(crate) fn module(name: &str) -> Option<String> {
    static PTX: OnceLock<String> = OnceLock::new();
    let ptx = PTX.get_or_init(|| {
        let mut text = String::new();
        // What is compiled in can be read: a test does.
        let _ = GzDecoder::new(PTX_GZ).read_to_string(&mut text);
        text
    });
    const ENTRY: &str = ".visible .entry ";
    let head = &ptx[..ptx.find(ENTRY)?];
    let start = ptx.find(&format!("{ENTRY}{name}("))?;
    let body = &ptx[start..];
    let end = body[ENTRY.len()..].find(ENTRY).map_or(body.len(), |end| ENTRY.len() + end);
    Some(format!("{head}{}\0", &body[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kernel_is_there() {
        use Format::{BF16, F16, F32, F64};
        use Kernel::*;
        let of_losses = [
            Losses,
            LossesKeeping,
            LossesByParts,
            LossesKeepingByParts,
            SettleLosses,
            LossGradients,
            LossGradientsOfKept,
            SettleLossGradients,
        ];
        let mut kernels = vec![(SettleInFixedPoint, F64)];
        let of_columns = [
            LogsumexpOfColumns,
            SoftmaxOfColumns,
            LogSoftmaxOfColumns,
            LossesOfColumns,
            LossGradientsOfColumns,
        ];
        for kernel in [Logsumexp, LogsumexpByParts, Settle, Softmax, LogSoftmax, SettleShares]
            .into_iter()
            .chain(of_losses)
            .chain(of_columns)
        {
            kernels.extend([F16, BF16, F32, F64].map(|format| (kernel, format)));
        }
        for (kernel, format) in kernels {
            let name = kernel.name(format);
            let module = module(&name).expect("it is there");
            assert_eq!(module.matches(".entry").count(), 1, "{name}");
            assert!(module.starts_with("// sources") && module.ends_with("}\n\0"), "{name}");
            assert!(
                module.contains(".version") && module.contains(".shared") && module.contains(".global"),
                "{name}"
            );
        }
        assert_eq!(module("logsumexp_f8"), None);
    }
}

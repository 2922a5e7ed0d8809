//! Number formats of the networks.

use candle_core::{DType, Device};
use serde::{Deserialize, Serialize};

use super::cpu::{Arithmetic, Bf16Instructions};
use super::device::ComputeDevice;
use super::error::ModelError;

/// The number format in which the transformer and, on a CPU, the decoder multiply. Sums on a CPU, sampling and the encoder use
/// f32.
///
/// The same request gives the same tokens in the same precision on the same kind of device. Between precisions, and in bf16
/// between a processor with AMX and one without, tokens may differ where codes are nearly equally probable, and then all later
/// ones of that image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Gives the same tokens on a GPU and a CPU, except for near ties.
    #[default]
    F32,
    /// 8 bits of precision; faster on a GPU with tensor cores, and on a CPU with AMX or AVX512-BF16.
    Bf16,
    /// 11 bits of precision and values up to 65,504; on a GPU only.
    F16,
}

impl Precision {
    /// Parses `f32`, `bf16` or `f16`.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::F32, Self::Bf16, Self::F16].into_iter().find(|precision| precision.name() == name)
    }

    /// `f32`, `bf16` or `f16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }

    /// The precisions in which a device can compute, the fastest last.
    pub fn available(device: impl Into<ComputeDevice>) -> Vec<Self> {
        match device.into() {
            #[cfg(feature = "gpu")]
            ComputeDevice::Gpu(_) => vec![Self::F32],
            ComputeDevice::Candle(Device::Cpu) => [Self::F32, Self::Bf16]
                .into_iter()
                .filter(|precision| precision.arithmetic(Bf16Instructions::detect()).is_ok())
                .collect(),
            ComputeDevice::Candle(_) => vec![Self::F32, Self::Bf16, Self::F16],
        }
    }

    /// How a CPU, with instructions for bf16 or without, computes in this precision.
    ///
    /// # Errors
    /// [`ModelError::Precision`] if it can't.
    pub(super) fn arithmetic(self, bf16: Option<Bf16Instructions>) -> Result<Arithmetic, ModelError> {
        let error = |reason| Err(ModelError::Precision { requested: self.name(), reason });
        match (self, bf16) {
            (Self::F32, _) => Ok(Arithmetic::F32),
            (Self::Bf16, Some(instructions)) => Ok(Arithmetic::Bf16(instructions)),
            (Self::Bf16, None) => error("this processor has no AVX512-BF16; use f32 or auto"),
            (Self::F16, _) => error("it is available on a GPU only; use f32 or auto"),
        }
    }

    /// # Errors
    /// [`ModelError::Precision`] if the kernels of `gpu` can't compute in this precision.
    #[cfg(feature = "gpu")]
    pub(super) fn check_gpu(self) -> Result<(), ModelError> {
        match self {
            Self::F32 => Ok(()),
            _ => Err(ModelError::Precision {
                requested: self.name(),
                reason: "--device gpu computes in f32; use f32 or auto",
            }),
        }
    }

    pub(super) fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_refuses_precisions_that_it_lacks() {
        let text =
            |precision: Precision, bf16| precision.arithmetic(bf16).map(drop).map_err(|e| e.to_string());
        assert_eq!(text(Precision::F32, None), Ok(()));
        assert_eq!(
            text(Precision::Bf16, None),
            Err("precision bf16: this processor has no AVX512-BF16; use f32 or auto".into())
        );
        let f16 = "precision f16: it is available on a GPU only; use f32 or auto".to_owned();
        assert_eq!(text(Precision::F16, Bf16Instructions::detect()), Err(f16));
    }
}

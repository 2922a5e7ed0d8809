//! Compute devices.

#[cfg(feature = "gpu")]
use std::sync::Arc;

use candle_core::{Device, DeviceLocation};

use super::error::ModelError;
#[cfg(feature = "gpu")]
use super::gpu::{self, Gpu};

/// A device that models can be loaded onto.
#[derive(Clone)]
pub enum ComputeDevice {
    /// The CPU, or a GPU on which candle computes (CUDA).
    Candle(Device),
    /// A GPU through Vulkan, Metal or Direct3D 12.
    #[cfg(feature = "gpu")]
    Gpu(Arc<Gpu>),
}

impl ComputeDevice {
    /// Whether it is the CPU, with the networks optimized for it.
    pub fn is_cpu(&self) -> bool {
        matches!(self, Self::Candle(Device::Cpu))
    }

    /// Its name: `cpu`, `cuda:N` or `gpu:N`.
    pub fn name(&self) -> String {
        match self {
            Self::Candle(device) => match device.location() {
                DeviceLocation::Cpu => "cpu".into(),
                DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
                DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
            },
            #[cfg(feature = "gpu")]
            Self::Gpu(gpu) => gpu.name(),
        }
    }
}

impl From<&ComputeDevice> for ComputeDevice {
    fn from(device: &ComputeDevice) -> Self {
        device.clone()
    }
}

impl From<&Device> for ComputeDevice {
    fn from(device: &Device) -> Self {
        Self::Candle(device.clone())
    }
}

/// Opens a device: `auto` (a GPU if there is one and the program was built for it, otherwise the CPU), `cpu`, `cuda` or
/// `cuda:N` (an NVIDIA GPU by candle), `gpu` or `gpu:N` (any GPU through Vulkan, Metal or Direct3D 12). Call it on the thread
/// that will use the device.
///
/// `auto` prefers CUDA, and never chooses a program that stands in for a GPU. `gpu` is the best one, and such a program only
/// where there is no other. `rdpm devices` lists the numbers.
///
/// # Errors
/// [`ModelError::Device`] if the name is none of these or the device isn't available.
pub fn open_device(name: &str) -> Result<ComputeDevice, ModelError> {
    let error = |reason: String| ModelError::Device { requested: name.into(), reason };
    match name.split_once(':') {
        None => match name {
            "cpu" => Ok(ComputeDevice::Candle(Device::Cpu)),
            "auto" => Ok(auto()),
            "cuda" => cuda(0).map_err(error),
            "gpu" => open_gpu(None).map_err(error),
            _ => Err(error(ALLOWED.into())),
        },
        Some((kind, number)) => match (kind, number.parse()) {
            ("cuda", Ok(number)) => cuda(number).map_err(error),
            ("gpu", Ok(number)) => open_gpu(Some(number)).map_err(error),
            _ => Err(error(ALLOWED.into())),
        },
    }
}

const ALLOWED: &str = "allowed are auto, cpu, cuda, cuda:N, gpu and gpu:N";

/// CUDA, or another GPU, or the CPU.
fn auto() -> ComputeDevice {
    let no_cuda = match cuda(0) {
        Ok(device) => return device,
        Err(reason) => reason,
    };
    match real_gpu() {
        Ok(device) => device,
        Err(no_gpu) => {
            tracing::info!(cuda = no_cuda, gpu = no_gpu, "no GPU; using the CPU");
            ComputeDevice::Candle(Device::Cpu)
        }
    }
}

fn cuda(ordinal: usize) -> Result<ComputeDevice, String> {
    if !cfg!(feature = "cuda") {
        return Err("this program was built without CUDA (cargo build --features cuda)".into());
    }
    // cudarc panics if the driver's library is missing.
    match std::panic::catch_unwind(|| Device::new_cuda(ordinal)) {
        Ok(Ok(device)) => Ok(ComputeDevice::Candle(device)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the CUDA driver can't be loaded".into()),
    }
}

/// The GPU of this number, or the best one.
#[cfg(feature = "gpu")]
fn open_gpu(index: Option<usize>) -> Result<ComputeDevice, String> {
    let opened = index.map_or_else(gpu::open_best, gpu::open);
    opened.map(ComputeDevice::Gpu).map_err(|error| error.to_string())
}

#[cfg(feature = "gpu")]
fn real_gpu() -> Result<ComputeDevice, String> {
    gpu::open_real().map(ComputeDevice::Gpu).map_err(|error| error.to_string())
}

#[cfg(not(feature = "gpu"))]
fn open_gpu(_: Option<usize>) -> Result<ComputeDevice, String> {
    real_gpu()
}

#[cfg(not(feature = "gpu"))]
fn real_gpu() -> Result<ComputeDevice, String> {
    Err("this program was built without GPU support (cargo build --features gpu)".into())
}

//! Compute devices.

use candle_core::{Device, DeviceLocation};

use super::error::ModelError;

/// Opens a device: `auto` (CUDA if available, otherwise the CPU), `cpu`, `cuda` or `cuda:N`. Call it on the thread that
/// will use the device.
///
/// # Errors
/// [`ModelError::Device`] if the name is none of these or the device isn't available.
pub fn open_device(name: &str) -> Result<Device, ModelError> {
    let error = |reason: String| ModelError::Device { requested: name.into(), reason };
    match name {
        "cpu" => Ok(Device::Cpu),
        // Built without CUDA, or with CUDA on a machine without a GPU.
        "auto" => Ok(cuda(0).unwrap_or_else(|reason| {
            tracing::info!(reason, "no CUDA device; using the CPU");
            Device::Cpu
        })),
        "cuda" => cuda(0).map_err(error),
        _ => match name.strip_prefix("cuda:").map(str::parse) {
            Some(Ok(ordinal)) => cuda(ordinal).map_err(error),
            _ => Err(error("allowed are auto, cpu, cuda and cuda:N".into())),
        },
    }
}

/// Name of a device: `cpu` or `cuda:N`.
pub fn device_name(device: &Device) -> String {
    match device.location() {
        DeviceLocation::Cpu => "cpu".into(),
        DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
    }
}

fn cuda(ordinal: usize) -> Result<Device, String> {
    if !cfg!(feature = "cuda") {
        return Err("this program was built without CUDA (cargo build --features cuda)".into());
    }
    // cudarc panics if the driver's library is missing.
    match std::panic::catch_unwind(|| Device::new_cuda(ordinal)) {
        Ok(Ok(device)) => Ok(device),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the CUDA driver can't be loaded".into()),
    }
}

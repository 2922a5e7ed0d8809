//! The GPUs of this machine, and opening one.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use serde::Serialize;

use super::context::{Context, GpuError, Result};
use super::kernels::Kernels;

/// What an adapter is, the best kind first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AdapterKind {
    Discrete,
    Integrated,
    /// A GPU of a virtual machine.
    Virtual,
    Other,
    /// A program that runs on the CPU, such as Mesa's lavapipe.
    Software,
}

impl AdapterKind {
    /// Whether it is a GPU of this machine, which `auto` uses.
    pub fn is_real(self) -> bool {
        matches!(self, Self::Discrete | Self::Integrated)
    }

    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Discrete => "discrete",
            Self::Integrated => "integrated",
            Self::Virtual => "virtual",
            Self::Other => "other",
            Self::Software => "software",
        }
    }
}

/// A GPU as the driver describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Adapter {
    /// The name for `--device`: `gpu:0`, `gpu:1`, …
    pub device: String,
    pub name: String,
    pub kind: AdapterKind,
    /// `vulkan`, `metal` or `dx12`.
    pub backend: String,
    pub driver: String,
    pub driver_info: String,
    /// The most bytes of a buffer, and of the part of one that a kernel uses. Drivers report no more of the memory.
    pub max_buffer_bytes: u64,
    pub max_binding_bytes: u64,
    /// Memory that the threads of a workgroup share, in bytes, and their number.
    pub max_workgroup_bytes: u32,
    pub max_workgroup_threads: u32,
    /// Whether kernels could compute in 16 bits. The present ones don't.
    pub shader_f16: bool,
}

/// An open GPU with its compiled kernels. Models on the same GPU share it.
pub struct Gpu {
    pub(super) context: Context,
    pub(super) kernels: Kernels,
    index: usize,
}

impl Gpu {
    /// Its name: `gpu:0`, `gpu:1`, …
    pub fn name(&self) -> String {
        device_name(self.index)
    }

    /// Destroys the device, as a driver reset does.
    #[cfg(test)]
    pub fn destroy(&self) {
        self.context.destroy();
    }
}

fn device_name(index: usize) -> String {
    format!("gpu:{index}")
}

/// wgpu's adapters of this machine, in the order of [`adapters`].
pub(super) fn enumerate() -> Vec<wgpu::Adapter> {
    let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let descriptor =
        wgpu::InstanceDescriptor { backends, ..wgpu::InstanceDescriptor::new_without_display_handle() };
    pollster::block_on(wgpu::Instance::new(descriptor).enumerate_adapters(backends))
}

fn kind(adapter: &wgpu::Adapter) -> AdapterKind {
    match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => AdapterKind::Discrete,
        wgpu::DeviceType::IntegratedGpu => AdapterKind::Integrated,
        wgpu::DeviceType::VirtualGpu => AdapterKind::Virtual,
        wgpu::DeviceType::Cpu => AdapterKind::Software,
        wgpu::DeviceType::Other => AdapterKind::Other,
    }
}

/// Describes the GPUs of this machine, and the programs that stand in for one. Empty without a driver.
pub fn adapters() -> Vec<Adapter> {
    let describe = |(index, adapter): (usize, &wgpu::Adapter)| {
        let (info, limits) = (adapter.get_info(), adapter.limits());
        Adapter {
            device: device_name(index),
            name: info.name,
            kind: kind(adapter),
            backend: info.backend.to_str().into(),
            driver: info.driver,
            driver_info: info.driver_info,
            max_buffer_bytes: limits.max_buffer_size,
            max_binding_bytes: limits.max_storage_buffer_binding_size,
            max_workgroup_bytes: limits.max_compute_workgroup_storage_size,
            max_workgroup_threads: limits.max_compute_invocations_per_workgroup,
            shader_f16: adapter.features().contains(wgpu::Features::SHADER_F16),
        }
    };
    enumerate().iter().enumerate().map(describe).collect()
}

/// Opens the best GPU, or if there is none a program that stands in for one, with a warning.
///
/// # Errors
/// If there is neither, or it can't be opened.
pub fn open_best() -> Result<Arc<Gpu>> {
    let adapters = enumerate();
    let best = (0..adapters.len()).min_by_key(|&index| (kind(&adapters[index]), index));
    let Some(index) = best else { return Err(missing()) };
    if kind(&adapters[index]) == AdapterKind::Software {
        let adapter = adapters[index].get_info().name;
        tracing::warn!(adapter, "this GPU is a program that runs on the CPU: --device cpu is much faster");
    }
    open_adapter(&adapters, index)
}

/// Opens the best discrete or integrated GPU.
///
/// # Errors
/// If there is none, or it can't be opened.
pub fn open_real() -> Result<Arc<Gpu>> {
    let adapters = enumerate();
    let real = (0..adapters.len()).filter(|&index| kind(&adapters[index]).is_real());
    match real.min_by_key(|&index| (kind(&adapters[index]), index)) {
        Some(index) => open_adapter(&adapters, index),
        None => Err(GpuError::Other("there is no discrete or integrated GPU with a driver".into())),
    }
}

/// Opens the GPU of this number, whatever it is.
///
/// # Errors
/// If there is none of this number, or it can't be opened.
pub fn open(index: usize) -> Result<Arc<Gpu>> {
    open_adapter(&enumerate(), index)
}

fn missing() -> GpuError {
    GpuError::Other(
        "no GPU found; install its driver for Vulkan (on Debian mesa-vulkan-drivers for AMD, Intel, and for none at all)"
            .into(),
    )
}

/// Opens an adapter, or returns the device that is open already.
fn open_adapter(adapters: &[wgpu::Adapter], index: usize) -> Result<Arc<Gpu>> {
    static OPEN: OnceLock<Mutex<Vec<Weak<Gpu>>>> = OnceLock::new();
    if adapters.is_empty() {
        return Err(missing());
    }
    let Some(adapter) = adapters.get(index) else {
        let error = format!("there is no {}; `rdpm devices` lists {}", device_name(index), adapters.len());
        return Err(GpuError::Other(error));
    };
    let mut open = OPEN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    // A device that has failed stays in use until its models are dropped.
    open.retain(|gpu| gpu.upgrade().is_some_and(|gpu| !gpu.context.has_failed()));
    if let Some(gpu) = open.iter().filter_map(Weak::upgrade).find(|gpu| gpu.index == index) {
        return Ok(gpu);
    }
    let context = Context::open(adapter)?;
    let kernels = Kernels::compile(&context)?;
    let gpu = Arc::new(Gpu { context, kernels, index });
    open.push(Arc::downgrade(&gpu));
    Ok(gpu)
}

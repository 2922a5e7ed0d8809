//! A GPU that is opened through wgpu: device, queue, buffers, and the errors that the driver reports.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use wgpu::util::DeviceExt;

/// An error of a GPU.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GpuError {
    /// The device is lost for good: a driver reset, a removed device. It has to be opened again.
    #[error("GPU device lost: {0}")]
    Lost(String),
    /// The same operation may succeed with fewer images.
    #[error("GPU out of memory: {0}")]
    OutOfMemory(String),
    #[error("GPU: {0}")]
    Other(String),
}

pub type Result<T> = std::result::Result<T, GpuError>;

/// What the driver has reported since the last [`Context::check`].
#[derive(Default)]
struct Reports {
    /// Stays set.
    lost: Option<String>,
    out_of_memory: Option<String>,
    other: Option<String>,
}

/// An open device. Buffers and kernels belong to it.
pub struct Context {
    device: wgpu::Device,
    queue: wgpu::Queue,
    reports: Arc<Mutex<Reports>>,
    /// Whether anything but a lack of memory has failed.
    has_failed: AtomicBool,
    /// Whether it is a program on the CPU.
    is_software: bool,
}

/// How a kernel uses a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Uniform,
    Read,
    Write,
}

/// A compiled kernel.
pub struct Kernel {
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
}

/// One call of a kernel with its buffers.
pub struct Dispatch<'a> {
    pub kernel: &'a Kernel,
    pub buffers: &'a wgpu::BindGroup,
    /// Number of workgroups in each dimension.
    pub workgroups: [u32; 3],
}

impl Context {
    /// Opens a device on an adapter, with wgpu's default limits, which nearly every GPU reaches.
    pub fn open(adapter: &wgpu::Adapter) -> Result<Self> {
        let descriptor = wgpu::DeviceDescriptor { label: Some("rdpm"), ..Default::default() };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))
            .map_err(|error| GpuError::Other(error.to_string()))?;
        let reports = Arc::new(Mutex::new(Reports::default()));
        let own = Arc::clone(&reports);
        device.set_device_lost_callback(move |reason, message| {
            let text = if message.is_empty() { format!("{reason:?}") } else { message };
            own.lock().unwrap_or_else(PoisonError::into_inner).lost.get_or_insert(text);
        });
        let own = Arc::clone(&reports);
        // Without a handler, wgpu panics.
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let mut reports = own.lock().unwrap_or_else(PoisonError::into_inner);
            match error {
                wgpu::Error::OutOfMemory { source } => {
                    reports.out_of_memory.get_or_insert(source.to_string())
                }
                error => reports.other.get_or_insert(error.to_string()),
            };
        }));
        let is_software = adapter.get_info().device_type == wgpu::DeviceType::Cpu;
        Ok(Self { device, queue, reports, has_failed: AtomicBool::new(false), is_software })
    }

    /// Whether the device is a program on the CPU.
    pub fn is_software(&self) -> bool {
        self.is_software
    }

    /// Whether anything but a lack of memory has failed. The device should then be opened again.
    pub fn has_failed(&self) -> bool {
        let is_lost = || self.reports.lock().unwrap_or_else(PoisonError::into_inner).lost.is_some();
        self.has_failed.load(Ordering::Relaxed) || is_lost()
    }

    /// # Errors
    /// What the driver has reported since the last call.
    pub fn check(&self) -> Result<()> {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        let (out_of_memory, other) = (reports.out_of_memory.take(), reports.other.take());
        match (&reports.lost, out_of_memory, other) {
            (Some(reason), ..) => Err(self.fail(GpuError::Lost(reason.clone()))),
            (None, Some(reason), _) => Err(GpuError::OutOfMemory(reason)),
            (None, None, Some(reason)) => Err(self.fail(GpuError::Other(reason))),
            (None, None, None) => Ok(()),
        }
    }

    fn fail(&self, error: GpuError) -> GpuError {
        self.has_failed.store(true, Ordering::Relaxed);
        error
    }

    /// The most bytes that a kernel can use of one buffer.
    pub fn max_buffer_bytes(&self) -> u64 {
        self.device.limits().max_storage_buffer_binding_size
    }

    /// Compiles a kernel: the entry point `main` of WGSL source, with these bindings in group 0.
    pub fn kernel(&self, label: &str, source: &str, bindings: &[Access]) -> Result<Kernel> {
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(label),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let entry = |(binding, access): (u32, &Access)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: match access {
                    Access::Uniform => wgpu::BufferBindingType::Uniform,
                    access => wgpu::BufferBindingType::Storage { read_only: *access == Access::Read },
                },
                has_dynamic_offset: false,
                min_binding_size: None::<NonZeroU64>,
            },
            count: None,
        };
        let entries: Vec<_> = (0..).zip(bindings).map(entry).collect();
        let layout = self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(label),
            entries: &entries,
        });
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(label),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(label),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                // All kernels write workgroup memory before they read it.
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        self.check()?;
        Ok(Kernel { pipeline, layout })
    }

    /// Binds buffers to a kernel, in the order of its bindings.
    pub fn bind(&self, kernel: &Kernel, buffers: &[&wgpu::Buffer]) -> wgpu::BindGroup {
        let entries: Vec<_> = (0..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &kernel.layout,
            entries: &entries,
        })
    }

    /// A buffer with these numbers, which kernels read.
    pub fn upload<T: bytemuck::NoUninit>(&self, label: &str, numbers: &[T]) -> Result<wgpu::Buffer> {
        let buffer = self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some(label),
            contents: bytemuck::cast_slice(numbers),
            usage: wgpu::BufferUsages::STORAGE,
        });
        self.check()?;
        Ok(buffer)
    }

    /// A uniform buffer with these numbers.
    pub fn uniform(&self, label: &str, numbers: &[u32]) -> Result<wgpu::Buffer> {
        let buffer = self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some(label),
            contents: bytemuck::cast_slice(numbers),
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        });
        self.check()?;
        Ok(buffer)
    }

    /// A buffer for this many f32 or u32, which kernels read and write, and the host writes and copies.
    pub fn buffer(&self, label: &str, numbers: usize) -> Result<wgpu::Buffer> {
        use wgpu::BufferUsages as Usage;
        self.allocate(label, numbers, Usage::STORAGE | Usage::COPY_DST | Usage::COPY_SRC)
    }

    /// A buffer for this many f32 or u32, which the host reads.
    pub fn readback(&self, label: &str, numbers: usize) -> Result<wgpu::Buffer> {
        self.allocate(label, numbers, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST)
    }

    fn allocate(&self, label: &str, numbers: usize, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        let descriptor = wgpu::BufferDescriptor {
            label: Some(label),
            size: 4 * numbers.max(4) as u64,
            usage,
            mapped_at_creation: false,
        };
        let buffer = self.device.create_buffer(&descriptor);
        self.check()?;
        Ok(buffer)
    }

    /// Writes numbers to the start of a buffer before the next submission.
    pub fn write<T: bytemuck::NoUninit>(&self, buffer: &wgpu::Buffer, numbers: &[T]) {
        self.queue.write_buffer(buffer, 0, bytemuck::cast_slice(numbers));
    }

    /// Runs calls one after the other in one submission, then copies parts of buffers to the host: `reads` has the buffer,
    /// a readback buffer and a number of f32 or u32 for each. Waits for the end.
    pub fn run<'a>(
        &self,
        dispatches: impl IntoIterator<Item = Dispatch<'a>>,
        reads: &[(&wgpu::Buffer, &wgpu::Buffer, usize)],
    ) -> Result<Vec<Vec<u32>>> {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            for Dispatch { kernel, buffers, workgroups: [x, y, z] } in dispatches {
                pass.set_pipeline(&kernel.pipeline);
                pass.set_bind_group(0, buffers, &[]);
                pass.dispatch_workgroups(x, y, z);
            }
        }
        for (buffer, readback, numbers) in reads {
            encoder.copy_buffer_to_buffer(buffer, 0, readback, 0, 4 * *numbers as u64);
        }
        self.queue.submit([encoder.finish()]);
        // Mapping a buffer that a failed submission left unused would succeed.
        self.check()?;
        let (sender, mapped) = mpsc::channel();
        for (_, readback, numbers) in reads {
            let sender = sender.clone();
            readback.map_async(wgpu::MapMode::Read, ..4 * *numbers as u64, move |result| {
                // The receiver lives until all have answered or the device is lost.
                let _ = sender.send(result);
            });
        }
        drop(sender);
        let polled = self.device.poll(wgpu::PollType::wait_indefinitely());
        self.check()?;
        polled.map_err(|error| self.fail(GpuError::Other(error.to_string())))?;
        for result in mapped {
            result.map_err(|error| self.fail(GpuError::Other(error.to_string())))?;
        }
        let read = |(_, readback, numbers): &(&wgpu::Buffer, &wgpu::Buffer, usize)| {
            let view = readback.get_mapped_range(..4 * *numbers as u64);
            let view = view.map_err(|error| GpuError::Other(error.to_string()))?;
            let copied = bytemuck::pod_collect_to_vec(&view);
            drop(view);
            readback.unmap();
            Ok(copied)
        };
        reads.iter().map(read).collect()
    }

    /// Destroys the device, as a driver reset does: everything that uses it fails from now on.
    #[cfg(test)]
    pub fn destroy(&self) {
        self.device.destroy();
    }
}

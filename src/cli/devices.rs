//! `rdpm devices`: lists what models can be computed on.

use std::fmt::Write;

use clap::Args;
#[cfg(feature = "gpu")]
use rdpm::model::gpu::{Adapter, adapters};
use rdpm::model::{open_device, processor_features, processor_name};
use serde::Serialize;

use super::escape::Escaped;
use super::output::print;

#[derive(Debug, Args)]
pub struct Devices {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The processor, the GPUs, and what `--device auto` chooses of them.
#[derive(Debug, Serialize)]
struct List {
    /// What `--device auto` opens: `cpu`, `cuda:N` or `gpu:N`.
    auto: String,
    cpu: Processor,
    /// Whether the program was built with `--features gpu`.
    has_gpu_support: bool,
    /// Whether the program was built with `--features cuda`.
    has_cuda_support: bool,
    gpus: Vec<Gpu>,
}

#[derive(Debug, Serialize)]
struct Processor {
    name: String,
    /// Instruction sets that matter for matrix products.
    features: Vec<String>,
    threads: usize,
}

#[cfg(feature = "gpu")]
type Gpu = Adapter;
/// Without GPU support there is none.
#[cfg(not(feature = "gpu"))]
type Gpu = ();

impl Devices {
    pub fn run(self) -> anyhow::Result<()> {
        let list = List {
            auto: open_device("auto")?.name(),
            cpu: Processor {
                name: processor_name(),
                features: processor_features().split_whitespace().map(str::to_owned).collect(),
                threads: std::thread::available_parallelism().map_or(1, usize::from),
            },
            has_gpu_support: cfg!(feature = "gpu"),
            has_cuda_support: cfg!(feature = "cuda"),
            #[cfg(feature = "gpu")]
            gpus: adapters(),
            #[cfg(not(feature = "gpu"))]
            gpus: Vec::new(),
        };
        match self.json {
            true => print(format!("{}\n", serde_json::to_string_pretty(&list)?)),
            false => print(list.text()?),
        }
    }
}

impl List {
    fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        writeln!(text, "auto        {}", self.auto)?;
        let Processor { name, features, threads } = &self.cpu;
        writeln!(text, "cpu         {}; {threads} threads; {}", Escaped(name), features.join(" "))?;
        let built = |has: bool, feature: &str| match has {
            true => "the program was built with support for it".into(),
            false => format!("the program was built without it (cargo build --features {feature})"),
        };
        writeln!(text, "cuda        {}", built(self.has_cuda_support, "cuda"))?;
        match self.gpus.as_slice() {
            [] if self.has_gpu_support => writeln!(
                text,
                "gpu         none found; a GPU needs a driver for Vulkan (on Debian: mesa-vulkan-drivers, or NVIDIA's)"
            )?,
            [] => writeln!(text, "gpu         {}", built(false, "gpu"))?,
            gpus => {
                for gpu in gpus {
                    describe(&mut text, gpu)?;
                }
            }
        }
        Ok(text)
    }
}

#[cfg(feature = "gpu")]
fn describe(text: &mut String, gpu: &Gpu) -> std::fmt::Result {
    let mib = |bytes: u64| bytes >> 20;
    writeln!(text, "\n{:<11} {}", gpu.device, Escaped(&gpu.name))?;
    let note = match gpu.kind {
        rdpm::model::gpu::AdapterKind::Software => " (runs on the CPU; --device cpu is much faster)",
        _ => "",
    };
    writeln!(text, "  type      {}{note}", gpu.kind.name())?;
    writeln!(text, "  backend   {}", gpu.backend)?;
    writeln!(text, "  driver    {}; {}", Escaped(&gpu.driver), Escaped(&gpu.driver_info))?;
    writeln!(
        text,
        "  buffers   {} MiB, {} MiB bound",
        mib(gpu.max_buffer_bytes),
        mib(gpu.max_binding_bytes)
    )?;
    writeln!(
        text,
        "  workgroup {} threads, {} KiB",
        gpu.max_workgroup_threads,
        gpu.max_workgroup_bytes >> 10
    )?;
    writeln!(text, "  f16       {}", if gpu.shader_f16 { "yes (not used)" } else { "no" })
}

#[cfg(not(feature = "gpu"))]
fn describe(_: &mut String, (): &Gpu) -> std::fmt::Result {
    Ok(())
}

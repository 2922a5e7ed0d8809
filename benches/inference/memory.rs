//! What the kernel says of a process's memory.

use anyhow::Context;

/// Most that this process held since [`forget_peak`], in bytes.
pub fn own_peak() -> anyhow::Result<u64> {
    peak(std::process::id())
}

/// Starts the kernel's record of this process's peak anew.
pub fn forget_peak() -> anyhow::Result<()> {
    Ok(std::fs::write("/proc/self/clear_refs", "5")?)
}

/// Most memory that was resident.
pub fn peak(process: u32) -> anyhow::Result<u64> {
    status(process, "VmHWM:")
}

/// Memory that is resident.
pub fn resident(process: u32) -> anyhow::Result<u64> {
    status(process, "VmRSS:")
}

fn status(process: u32, name: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("the kernel doesn't say")?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(1024 * kilobytes)
}

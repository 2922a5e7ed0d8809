//! Memory of a process, as Linux reports it.

use anyhow::Context;

/// Peak resident memory of this process since [`reset_peak`], in bytes.
pub fn peak_since_reset() -> anyhow::Result<u64> {
    peak(std::process::id())
}

/// Resets the kernel's record of this process's peak memory.
pub fn reset_peak() -> anyhow::Result<()> {
    Ok(std::fs::write("/proc/self/clear_refs", "5")?)
}

/// Peak resident memory of a process, in bytes.
pub fn peak(process: u32) -> anyhow::Result<u64> {
    status(process, "VmHWM:")
}

/// Resident memory of a process, in bytes.
pub fn resident(process: u32) -> anyhow::Result<u64> {
    status(process, "VmRSS:")
}

fn status(process: u32, name: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .with_context(|| format!("no {name} in /proc/{process}/status"))?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(1024 * kilobytes)
}

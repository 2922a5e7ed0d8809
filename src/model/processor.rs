//! What Linux says of the processor.

/// Instruction sets that matter for matrix products, as Linux names them.
const FEATURES: [&str; 10] = [
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "avx_vnni",
    "amx_bf16",
    "amx_int8",
];

/// Name of the processor; the architecture if the operating system doesn't report it.
pub fn processor_name() -> String {
    field("model name").unwrap_or_else(|| std::env::consts::ARCH.into())
}

/// The processor's instruction sets, of those that matter for matrix products. Empty if the operating system doesn't report
/// them.
pub fn processor_features() -> String {
    let flags = field("flags").unwrap_or_default();
    let has = |feature: &&str| flags.split_whitespace().any(|flag| flag == *feature);
    FEATURES.into_iter().filter(has).collect::<Vec<_>>().join(" ")
}

/// A field of the first processor in Linux's list.
fn field(name: &str) -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let (_, value) =
        text.lines().filter_map(|line| line.split_once(':')).find(|(field, _)| field.trim() == name)?;
    Some(value.trim().into())
}

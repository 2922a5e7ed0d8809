# Container images of RDPM.
#
#     docker build -t rdpm .                                  for the CPU
#     docker build -t rdpm:cuda --target cuda .               for NVIDIA GPUs
#     docker build -t rdpm:vulkan --target vulkan .           for AMD, Intel and NVIDIA GPUs, through Vulkan
#
#     docker run --read-only -p 3000:3000 rdpm
#     docker run --read-only -p 3000:3000 --gpus all rdpm:cuda
#     docker run --read-only -p 3000:3000 --device /dev/dri --group-add "$(stat -c %g /dev/dri/renderD128)" rdpm:vulkan
#
# The image contains the shipped weights; mount other weights at /weights. The container runs without root; it writes
# to a store only, where RDPM_STORE names one: /store belongs to its user.
# Set options by environment variables (RDPM_…), or mount a configuration file and set RDPM_CONFIG to its path.

# Base images are pinned by version, so that a new build gets the security updates of that version. For the same image in each
# build, add the digest that `docker buildx imagetools inspect IMAGE:TAG` prints. The Rust version must be the one in
# rust-toolchain.toml.

# ---- CPU: build

FROM rust:1.95.0-bookworm AS rust
FROM rust AS build
WORKDIR /source
COPY . .
# The caches keep compiled crates between builds. Only the program is copied into the image.
RUN --mount=type=cache,id=rdpm-crates,target=/usr/local/cargo/registry \
    --mount=type=cache,id=rdpm-cpu,target=/source/target \
    cargo build --locked --release && cp target/release/rdpm /rdpm

# ---- CUDA: build

FROM nvidia/cuda:12.8.1-devel-ubuntu24.04 AS cuda-build
# The image above fixes the release, and security updates of its packages are welcome.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential ca-certificates \
    && rm -rf /var/lib/apt/lists/*
# The toolchain of the Rust image runs here too, because Ubuntu's C library is newer.
COPY --from=rust /usr/local/rustup /usr/local/rustup
COPY --from=rust /usr/local/cargo /usr/local/cargo
ENV RUSTUP_HOME=/usr/local/rustup CARGO_HOME=/usr/local/cargo PATH=/usr/local/cargo/bin:$PATH
# The GPU's compute capability without the dot: 80 for A100, 86 for RTX 30, 89 for RTX 40 and L4, 90 for H100. The program
# also runs on later GPUs.
ARG CUDA_COMPUTE_CAP=80
ENV CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP}
WORKDIR /source
COPY . .
RUN --mount=type=cache,id=rdpm-cuda-crates,target=/usr/local/cargo/registry \
    --mount=type=cache,id=rdpm-cuda,target=/source/target \
    cargo build --locked --release --features cuda && cp target/release/rdpm /rdpm

# ---- CUDA: the image

FROM nvidia/cuda:12.8.1-runtime-ubuntu24.04 AS cuda
COPY --from=cuda-build /rdpm /usr/local/bin/rdpm
# Web hooks and queues with TLS need the authorities.
COPY --from=cuda-build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY weights /weights
RUN install --directory --owner=65532 --group=65532 /store
ENV RDPM_HOST=0.0.0.0 RDPM_PORT=3000 RDPM_WEIGHTS=/weights RDPM_DEVICE=cuda
USER 65532:65532
EXPOSE 3000
# The program checks its own health, so the image needs neither a shell nor curl.
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s CMD ["rdpm", "health"]
# No shell in between: SIGTERM must reach the server, so that it shuts down gracefully.
ENTRYPOINT ["rdpm"]
CMD ["serve"]

# ---- Vulkan: build

FROM rust AS vulkan-build
WORKDIR /source
COPY . .
RUN --mount=type=cache,id=rdpm-crates,target=/usr/local/cargo/registry \
    --mount=type=cache,id=rdpm-vulkan,target=/source/target \
    cargo build --locked --release --features gpu && cp target/release/rdpm /rdpm

# ---- Vulkan: the image. NVIDIA's driver is mounted by its container toolkit, with NVIDIA_DRIVER_CAPABILITIES below.

FROM debian:12-slim AS vulkan
# The image above fixes the release, and security updates of its packages are welcome.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libvulkan1 mesa-vulkan-drivers \
    && rm -rf /var/lib/apt/lists/*
COPY --from=vulkan-build /rdpm /usr/local/bin/rdpm
# Web hooks and queues with TLS need the authorities.
COPY --from=vulkan-build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY weights /weights
RUN install --directory --owner=65532 --group=65532 /store
# Without the last two, Mesa writes messages about folders that it doesn't need.
ENV RDPM_HOST=0.0.0.0 RDPM_PORT=3000 RDPM_WEIGHTS=/weights RDPM_DEVICE=gpu \
    NVIDIA_DRIVER_CAPABILITIES=compute,graphics,utility \
    XDG_RUNTIME_DIR=/tmp MESA_SHADER_CACHE_DISABLE=true
USER 65532:65532
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s CMD ["rdpm", "health"]
ENTRYPOINT ["rdpm"]
CMD ["serve"]

# ---- CPU: the image. Keep it last: `docker build` builds the last stage by default.

FROM debian:12-slim AS cpu
COPY --from=build /rdpm /usr/local/bin/rdpm
# Web hooks and queues with TLS need the authorities.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY weights /weights
RUN install --directory --owner=65532 --group=65532 /store
ENV RDPM_HOST=0.0.0.0 RDPM_PORT=3000 RDPM_WEIGHTS=/weights RDPM_DEVICE=cpu
USER 65532:65532
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s CMD ["rdpm", "health"]
ENTRYPOINT ["rdpm"]
CMD ["serve"]

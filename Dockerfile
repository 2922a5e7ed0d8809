# RDPM as a container.
#
#     docker build -t rdpm .                                  for the CPU
#     docker build -t rdpm:cuda --target cuda .               for NVIDIA GPUs
#
#     docker run --read-only -p 3000:3000 rdpm
#     docker run --read-only -p 3000:3000 --gpus all rdpm:cuda
#
# The image has the weights that ship with the source; mount others at /weights. It runs as an ordinary user, writes no
# file, and takes all settings from the environment (RDPM_…) or from a file that RDPM_CONFIG names.

# ---- CPU: build

FROM rust:1-bookworm AS build
WORKDIR /source
COPY . .
# The caches keep what was compiled between builds; the image gets the program alone.
RUN --mount=type=cache,id=rdpm-crates,target=/usr/local/cargo/registry \
    --mount=type=cache,id=rdpm-cpu,target=/source/target \
    cargo build --locked --release && cp target/release/rdpm /rdpm

# ---- CUDA: build

FROM nvidia/cuda:12.8.1-devel-ubuntu24.04 AS cuda-build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal
ENV PATH=/root/.cargo/bin:$PATH
# The GPU's compute capability without its dot: 80 for A100, 86 for RTX 30, 89 for RTX 40 and L4, 90 for H100. Later
# GPUs run it too.
ARG CUDA_COMPUTE_CAP=80
ENV CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP}
WORKDIR /source
COPY . .
RUN --mount=type=cache,id=rdpm-cuda-crates,target=/root/.cargo/registry \
    --mount=type=cache,id=rdpm-cuda,target=/source/target \
    cargo build --locked --release --features cuda && cp target/release/rdpm /rdpm

# ---- CUDA: the image

FROM nvidia/cuda:12.8.1-runtime-ubuntu24.04 AS cuda
COPY --from=cuda-build /rdpm /usr/local/bin/rdpm
COPY weights /weights
ENV RDPM_HOST=0.0.0.0 RDPM_PORT=3000 RDPM_WEIGHTS=/weights RDPM_DEVICE=cuda
USER 65532:65532
EXPOSE 3000
# The binary asks itself, so that the image needs neither a shell nor curl.
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s CMD ["rdpm", "health"]
# Without a shell between, so that SIGTERM arrives and the server ends in order.
ENTRYPOINT ["rdpm"]
CMD ["serve"]

# ---- CPU: the image. The last stage is what `docker build` makes.

FROM debian:bookworm-slim AS cpu
COPY --from=build /rdpm /usr/local/bin/rdpm
COPY weights /weights
ENV RDPM_HOST=0.0.0.0 RDPM_PORT=3000 RDPM_WEIGHTS=/weights RDPM_DEVICE=cpu
USER 65532:65532
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s CMD ["rdpm", "health"]
ENTRYPOINT ["rdpm"]
CMD ["serve"]

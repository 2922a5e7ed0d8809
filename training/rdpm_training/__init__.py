"""Training for RDPM, the Recurrent Diffusion Probabilistic Model (arXiv 2412.18390).

Each stage has a module (`tokenizer_stage`, `codebook_stage`, `denoiser_stage`, `export`, `evaluate`, ...), each network
another (`tokenizer`, `denoiser`); `trajectory` and `sampler` hold the mathematics. `results` evaluates the method and
compares it with a baseline (`maskgit`). `training/README.md` explains how to train.

Notation: `v` a standardized latent (b, n, c); `eps` standard Gaussian noise of the same shape;
`T` steps; `x_t = alpha_t v + beta_t eps`; codebook `e` (V, c); code grids `C_t` (b, n); `z_t` the running latent.
"""

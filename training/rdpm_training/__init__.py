"""Training for RDPM, the Recurrent Diffusion Probabilistic Model (arXiv 2412.18390).

One module a stage (`tokenizer_stage`, `codebook_stage`, `denoiser_stage`, `export`, `evaluate`), one a
network (`tokenizer`, `denoiser`), and the mathematics both sides share (`trajectory`, `sampler`).
`results` measures what the method is worth, beside a reference (`maskgit`).

Letters, used everywhere: `v` a standardized latent (b, n, c); `eps` standard Gaussian noise of the same shape;
`T` steps; `x_t = alpha_t v + beta_t eps`; codebook `e` (V, c); code grids `C_t` (b, n); `z_t` the running latent.
"""

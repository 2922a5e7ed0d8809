"""The denoiser: a bidirectional transformer that predicts the next step's codes.

Its inputs are z_{t-1}, the timestep t and the condition y; its outputs are logits (n, V) for C_t. The condition is a
class and, if the denoiser was trained with them, a drawing style and words. A denoiser of stage `distillation` also
gets the guidance scale w, and its logits are already guided. eps must not be an input: z_{t-1} and eps together
determine v, so the training loss would be excellent and samples would be incoherent.

Parameter names are the tensor names in the weights file, except that `export` folds the output table into one matrix.
`src/model/denoiser.rs` uses the same names.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .conditions import Condition

MODULATIONS = 6  # shift, scale and gate, for attention and for the MLP


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Layer norm without learned parameters, then the condition's scale and shift: (b, n, d), (b, 1, d), (b, 1, d)."""
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention over all positions; q, k and v are (b, heads, n, d / heads)."""
    if q.requires_grad and q.dtype == torch.bfloat16 and q.device.type == "cpu":
        # The backward pass of PyTorch 2.11's fused kernel takes five times as long (n = 49, one core with AMX).
        return ((q * q.shape[-1] ** -0.5) @ k.mT).softmax(-1) @ v
    return F.scaled_dot_product_attention(q, k, v)


class Block(nn.Module):
    """Pre-norm transformer block with adaptive layer norm (DiT, arXiv 2212.09748): (b, n, d) to (b, n, d)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        # This layer's offset to the shared modulation (adaLN-single, PixArt-alpha, arXiv 2310.00426).
        self.offset = nn.Parameter(torch.zeros(MODULATIONS * width))

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = (
            (modulation + self.offset).unsqueeze(1).chunk(MODULATIONS, dim=-1)
        )
        qkv = self.qkv(modulate(x, shift1, scale1)).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (b, heads, n, d / heads)
        attended = attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + gate1 * self.proj(attended)
        return x + gate2 * self.down(F.silu(self.up(modulate(x, shift2, scale2))))


class Denoiser(nn.Module):
    """Predicts logits of the next step's codes."""

    codebook: Tensor
    input_scale: Tensor

    def __init__(
        self,
        codebook: Tensor,
        schedule: list[float],
        positions: int,
        classes: int,
        width: int,
        layers: int,
        heads: int,
        noise: float = 1.0,
        styles: int = 0,
        words: int = 0,
        max_guidance: int = 0,
    ) -> None:
        super().__init__()
        codes, channels = codebook.shape
        self.null_class, self.null_style, self.padding_word = classes, styles, words
        # Buffers computed from the codebook and the schedule; neither learned nor saved.
        s = torch.tensor(schedule)
        # x_t has variance alpha^2 + beta^2 noise^2; inputs are scaled to unit variance at every step (or are zero).
        variance = s.square() + (noise * (1 - s)).square()
        self.register_buffer("input_scale", variance.where(variance > 0, 1.0).rsqrt(), persistent=False)
        self.register_buffer("codebook", codebook / codebook.std(), persistent=False)

        self.input = nn.Linear(channels, width)
        self.position = nn.Parameter(0.02 * torch.randn(positions, width))
        self.timestep = nn.Embedding(len(schedule) - 1, width)
        self.label = nn.Embedding(classes + 1, width)  # the last row is the null class of classifier-free guidance
        if words:
            self.style = nn.Embedding(styles + 1, width)  # the last row is the null style
            self.word = nn.Embedding(words + 1, width, padding_idx=words)
            self.words_in = nn.Linear(width, width)
            self.words_out = nn.Linear(width, width)
        if max_guidance:
            # Row w of guidance scale w; between whole numbers, their rows are interpolated linearly.
            self.guidance = nn.Embedding(max_guidance + 1, width)
            nn.init.zeros_(self.guidance.weight)
        self.max_guidance = max_guidance
        self.condition = nn.Linear(width, width)
        self.modulation = nn.Linear(width, MODULATIONS * width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.final = nn.Linear(width, 2 * width)
        # The output matrix is a function of the codebook plus a free table, so that similar codes share statistics.
        self.code_in = nn.Linear(channels, width)
        self.code_out = nn.Linear(width, width)
        self.code_free = nn.Parameter(0.02 * torch.randn(codes, width))
        self.register_parameter("output", None)  # the folded output matrix; see `fold`
        self.bias = nn.Parameter(torch.zeros(codes))

        for embedding in (self.timestep, self.label):
            nn.init.normal_(embedding.weight, std=0.5)
        zero_layers = [self.modulation, self.final]
        if words:
            # Zero, so that a denoiser trained on classes alone gives the same logits until training changes these.
            nn.init.zeros_(self.style.weight)
            nn.init.normal_(self.word.weight[:-1], std=0.5)
            zero_layers.append(self.words_out)
        for layer in zero_layers:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def output_weight(self) -> Tensor:
        """The output matrix (V, d), with mean zero over the codes.

        A vector added to all rows changes no probability. Its gradient is rounding error, which Adam scales up to full
        steps; without centring it grows until bf16 can no longer tell logits apart.
        """
        if self.output is not None:
            return self.output
        table = self.codebook_projection() + self.code_free
        return table - table.mean(0)

    def codebook_projection(self) -> Tensor:
        """(V, d): the part of the output matrix that is computed from the codebook."""
        return self.code_out(F.silu(self.code_in(self.codebook)))

    def fold(self) -> Denoiser:
        """Replaces the output function by its value, as in exported weights. In bf16 the function would be rounded."""
        if self.output is None:
            self.output = nn.Parameter(self.output_weight().detach().clone())
            del self.code_in, self.code_out, self.code_free
        return self

    @torch.no_grad()
    def load_folded(self, folded: dict[str, Tensor]) -> None:
        """Loads the state of a folded denoiser into this unfolded one, so that it can be trained.

        The free table becomes the folded output matrix minus the codebook's part.
        """
        table = folded["output"] - self.codebook_projection()
        # Parameters that the state lacks (embeddings of styles and words) keep their values.
        missing = {name: tensor for name, tensor in self.state_dict().items() if name not in folded}
        self.load_state_dict(
            missing | {name: tensor for name, tensor in folded.items() if name != "output"} | {"code_free": table}
        )

    def null_condition(self, y: Tensor | Condition) -> Tensor | Condition:
        """The null condition, with the shape of y."""
        if isinstance(y, Condition):
            null = (self.null_class, self.null_style, self.padding_word)
            return Condition(*(torch.full_like(part, value) for part, value in zip(y, null, strict=True)))
        return torch.full_like(y, self.null_class)

    def embed_condition(self, y: Tensor | Condition) -> Tensor:
        """Embedding (b, d) of the condition."""
        if not isinstance(y, Condition):
            if not self.padding_word:
                return self.label(y)
            y = Condition(y, torch.full_like(y, self.null_style), torch.full_like(y, self.padding_word)[:, None])
        # Dividing the sum by the square root of the number of words keeps its norm independent of that number.
        count = (y.words != self.padding_word).sum(1, keepdim=True).clamp(min=1)
        pooled = self.word(y.words).sum(1) * count.rsqrt()
        return self.label(y.label) + self.style(y.style) + self.words_out(F.silu(self.words_in(pooled)))

    def embed_guidance(self, w: Tensor) -> Tensor:
        """Embedding (b, d) of the guidance scales w (b,) in 0..max_guidance."""
        lower = w.floor().clamp(max=self.max_guidance - 1)
        row = lower.long()
        return torch.lerp(self.guidance(row), self.guidance(row + 1), (w - lower)[:, None])

    def forward(self, z: Tensor, t: Tensor, y: Tensor | Condition, w: Tensor | None = None) -> Tensor:
        """z = z_{t-1} (b, n, c), t (b,) in 1..T, y classes (b,) or conditions: logits (b, n, V).

        The guidance scales w (b,) are for a denoiser with `max_guidance` only, which needs them.
        """
        return self.logits_from_embeddings(self.input(z * self.input_scale[t - 1][:, None, None]), t, y, w)

    def logits_from_embeddings(self, x: Tensor, t: Tensor, y: Tensor | Condition, w: Tensor | None = None) -> Tensor:
        """From position embeddings (b, n, d) to logits (b, n, V)."""
        x = x + self.position
        embedding = self.timestep(t - 1) + self.embed_condition(y)
        if w is not None:
            embedding = embedding + self.embed_guidance(w)
        condition = F.silu(self.condition(embedding))  # (b, d)
        modulation = self.modulation(condition)
        for block in self.blocks:
            x = block(x, modulation)
        shift, scale = self.final(condition).unsqueeze(1).chunk(2, dim=-1)
        return F.linear(modulate(x, shift, scale), self.output_weight(), self.bias)

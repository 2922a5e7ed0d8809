"""The denoiser: a bidirectional transformer that predicts the next step's codes.

It sees z_{t-1}, the timestep t and the condition y, and gives logits (n, V) for C_t. The condition is a class and,
where the denoiser was trained with them, a drawing style and words. It must not see eps beside z_{t-1}: the two
together determine v, so training would look perfect and sampling would be incoherent.

Module names are the weight file's names, except that the output table is folded into one matrix by `export`;
`src/model/denoiser.rs` mirrors them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .conditions import Condition

CHUNKS = 6  # shift, scale and gate, for attention and for the MLP


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Layer norm without own parameters, then the condition's scale and shift: (b, n, d), (b, 1, d), (b, 1, d)."""
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention over all positions: (b, heads, n, d / heads) each."""
    if q.requires_grad and q.dtype == torch.bfloat16 and q.device.type == "cpu":
        # The backward pass of PyTorch 2.11's fused kernel takes five times as long here (n = 49, one core with AMX).
        return ((q * q.shape[-1] ** -0.5) @ k.mT).softmax(-1) @ v
    return F.scaled_dot_product_attention(q, k, v)


class Block(nn.Module):
    """Pre-norm transformer block with adaptive layer norm (DiT, arXiv 2212.09748). (b, n, d) kept."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        # What this layer adds to the shared modulation (adaLN-single, PixArt-alpha, arXiv 2310.00426).
        self.offset = nn.Parameter(torch.zeros(CHUNKS * width))

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = (modulation + self.offset).unsqueeze(1).chunk(CHUNKS, dim=-1)
        qkv = self.qkv(modulate(x, shift1, scale1)).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (b, heads, n, d / heads)
        attended = attend(q, k, v).transpose(1, 2).flatten(2)
        x = x + gate1 * self.proj(attended)
        return x + gate2 * self.down(F.silu(self.up(modulate(x, shift2, scale2))))


class Denoiser(nn.Module):
    """Logits of the next step's codes."""

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
    ) -> None:
        super().__init__()
        codes, channels = codebook.shape
        self.null_class, self.null_style, self.padding = classes, styles, words
        # Buffers that follow from the codebook and the schedule; not learned, not saved.
        s = torch.tensor(schedule)
        # x_t has variance alpha^2 + beta^2 noise^2; the network sees unit variance at every step (or zeros).
        variance = s.square() + (noise * (1 - s)).square()
        self.register_buffer("input_scale", variance.where(variance > 0, 1.0).rsqrt(), persistent=False)
        self.register_buffer("codebook", codebook / codebook.std(), persistent=False)

        self.input = nn.Linear(channels, width)
        self.position = nn.Parameter(0.02 * torch.randn(positions, width))
        self.timestep = nn.Embedding(len(schedule) - 1, width)
        self.label = nn.Embedding(classes + 1, width)  # the last is the null class of classifier-free guidance
        if words:
            self.style = nn.Embedding(styles + 1, width)  # the last is the null style
            self.word = nn.Embedding(words + 1, width, padding_idx=words)
            self.words_in = nn.Linear(width, width)
            self.words_out = nn.Linear(width, width)
        self.condition = nn.Linear(width, width)
        self.modulation = nn.Linear(width, CHUNKS * width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.final = nn.Linear(width, 2 * width)
        # The output matrix is a function of the codebook's vectors plus a free table: near codes share evidence.
        self.code_in = nn.Linear(channels, width)
        self.code_out = nn.Linear(width, width)
        self.code_free = nn.Parameter(0.02 * torch.randn(codes, width))
        self.register_parameter("output", None)  # that matrix itself, once it is folded
        self.bias = nn.Parameter(torch.zeros(codes))

        for embedding in (self.timestep, self.label):
            nn.init.normal_(embedding.weight, std=0.5)
        zeros = [self.modulation, self.final]
        if words:
            # A denoiser that knows classes only goes on as before until it has learned what these say.
            nn.init.zeros_(self.style.weight)
            nn.init.normal_(self.word.weight[:-1], std=0.5)
            zeros.append(self.words_out)
        for zero in zeros:
            nn.init.zeros_(zero.weight)
            nn.init.zeros_(zero.bias)

    def output_weight(self) -> Tensor:
        """(V, d), the codes' mean zero.

        What all codes share changes no probability and has no gradient but rounding errors, which Adam scales up to
        full steps: left in, it grows until the logits are too large for bf16 to tell one from another.
        """
        if self.output is not None:
            return self.output
        table = self.of_codebook() + self.code_free
        return table - table.mean(0)

    def of_codebook(self) -> Tensor:
        """(V, d): what the output matrix has from the codebook's vectors."""
        return self.code_out(F.silu(self.code_in(self.codebook)))

    def fold(self) -> Denoiser:
        """Puts the output matrix in its function's place, as it is exported. In bf16 the function would be rounded."""
        if self.output is None:
            self.output = nn.Parameter(self.output_weight().detach().clone())
            del self.code_in, self.code_out, self.code_free
        return self

    @torch.no_grad()
    def adopt(self, folded: dict[str, Tensor]) -> None:
        """Becomes a folded denoiser, not folded itself: the free table makes up for what is of the codebook."""
        table = folded["output"] - self.of_codebook()
        # What only this denoiser has (embeddings of styles and words) stays as it is.
        kept = {name: tensor for name, tensor in self.state_dict().items() if name not in folded}
        self.load_state_dict(
            kept | {name: tensor for name, tensor in folded.items() if name != "output"} | {"code_free": table}
        )

    def null(self, y: Tensor | Condition) -> Tensor | Condition:
        """The condition that says nothing, of the shape of y."""
        if isinstance(y, Condition):
            nothing = (self.null_class, self.null_style, self.padding)
            return Condition(*(torch.full_like(part, value) for part, value in zip(y, nothing, strict=True)))
        return torch.full_like(y, self.null_class)

    def embedded(self, y: Tensor | Condition) -> Tensor:
        """(b, d): what is known of each image."""
        if not isinstance(y, Condition):
            if not self.padding:
                return self.label(y)
            y = Condition(y, torch.full_like(y, self.null_style), torch.full_like(y, self.padding)[:, None])
        # Words add up; divided by the root of their number, the sum is as long for many as for one.
        count = (y.words != self.padding).sum(1, keepdim=True).clamp(min=1)
        pooled = self.word(y.words).sum(1) * count.rsqrt()
        return self.label(y.label) + self.style(y.style) + self.words_out(F.silu(self.words_in(pooled)))

    def forward(self, z: Tensor, t: Tensor, y: Tensor | Condition) -> Tensor:
        """z = z_{t-1} (b, n, c), t (b,) in 1..T, y classes (b,) or conditions (or `null`'s): logits (b, n, V)."""
        return self.transform(self.input(z * self.input_scale[t - 1][:, None, None]), t, y)

    def transform(self, x: Tensor, t: Tensor, y: Tensor | Condition) -> Tensor:
        """From embedded positions (b, n, d) to logits."""
        x = x + self.position
        condition = F.silu(self.condition(self.timestep(t - 1) + self.embedded(y)))  # (b, d)
        modulation = self.modulation(condition)
        for block in self.blocks:
            x = block(x, modulation)
        shift, scale = self.final(condition).unsqueeze(1).chunk(2, dim=-1)
        return F.linear(modulate(x, shift, scale), self.output_weight(), self.bias)

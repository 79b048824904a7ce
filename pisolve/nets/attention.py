"""What transformers on images share: attention of several heads, to oneself and to another, and the layer around."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from pisolve import _check


def check_heads(width, heads) -> tuple[int, int]:
    """(width, heads), checked: whole numbers, one a multiple of the other."""
    width, heads = _check.integer("width", width, low=1), _check.integer("heads", heads, low=1)
    if width % heads:
        raise ValueError(f"width must be a multiple of heads, got {width} channels for {heads} heads")
    return width, heads


def begin(network: nn.Module, last: nn.Module) -> None:
    """Weights to begin with: linear layers normal of deviation 0.02 without bias, and 0 for the `last` layer.

    So the network is the identity at first. With torch's own weights a small SwinMR spent 200 steps on undoing them.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
    for weight in last.parameters():
        nn.init.zeros_(weight)


class Attention(nn.Module):
    """softmax(Q K^T / sqrt(d) + b) V of tokens (..., n, width), for each head, put together by a linear layer.

    Args:
        width: features of a token.
        heads: number of heads; each has d = width / heads features.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        width, self.heads = check_heads(width, heads)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """Tokens (..., n, width) -> the same shape; `bias` is added to the scores (..., head, n, n)."""
        q, k, v = self._heads(x)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.proj(out.transpose(-3, -2).flatten(-2))

    def weights(self, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """softmax(Q K^T / sqrt(d) + b), the mean of all heads (..., n, n): who looks at whom; for `rollout`."""
        q, k, _ = self._heads(x)
        score = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        return (score if bias is None else score + bias).softmax(-1).mean(-3)

    def _heads(self, x):
        """Q, K and V (..., head, n, width / heads)."""
        return self.qkv(x).unflatten(-1, (3, self.heads, -1)).movedim(-3, 0).transpose(-3, -2).unbind(0)


class CrossAttention(Attention):
    """Attention of tokens to those of another task: Q of the one, K and V of the other."""

    def forward(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Tokens (..., n, width) and (..., m, width) -> (..., n, width)."""
        q, (_, k, v) = self._heads(x)[0], self._heads(other)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(-3, -2).flatten(-2))


class Layer(nn.Module):
    """x <- x + attention(norm(x)), x <- x + mlp(norm(x)): one layer of a transformer.

    Args:
        width: features of a token.
        attention: an `Attention`, or what is called as one.
        ratio: hidden features of the mlp, in units of `width`.
    """

    def __init__(self, width: int, attention: nn.Module, ratio: float):
        super().__init__()
        hidden = max(1, round(_check.number("ratio", ratio, low=0, strict=True) * width))
        self.norm1, self.attention, self.norm2 = nn.LayerNorm(width), attention, nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x: torch.Tensor, *rest) -> torch.Tensor:
        """Tokens (..., n, width) -> the same shape; `rest` goes to the attention."""
        x = x + self.attention(self.norm1(x), *rest)
        return x + self.mlp(self.norm2(x))

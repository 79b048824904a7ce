"""Linear operators on torch tensors, differentiable any number of times."""

from __future__ import annotations

from functools import cache
from typing import Any

from pisolve import backend
from pisolve._check import array, is_array, is_torch, linop
from pisolve._types import Array, ArrayLike


@cache
def _function():
    """The autograd Function, defined on first use so that importing pisolve does not need torch."""
    import torch

    class Apply(torch.autograd.Function):
        """A x, whose backward is A^H g and whose forward derivative is A t, both by `Apply` again, so that derivatives
        of derivatives work, and those of `torch.func`.
        """

        @staticmethod
        def forward(x, A):
            return _on_tensor(A, x.detach())

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.A = inputs[1]

        @staticmethod
        def backward(ctx, g):
            return Apply.apply(g, ctx.A.H), None

        @staticmethod
        def jvp(ctx, t, _):
            return Apply.apply(t, ctx.A)

        @staticmethod
        def vmap(info, in_dims, x, A):
            return torch.stack([Apply.apply(one, A) for one in x.movedim(in_dims[0], 0)]), 0

    return Apply


def _on_tensor(A, x):
    """A x without derivatives: by torch's kernels where `x` is theirs, else by numpy's, which share its memory.

    Of a tensor that is torch's own, what `A` has no torch for (`host`, SigPy's own operators) goes through the CPU.
    """
    if not backend.native(x):
        return backend.to_torch(A(backend.from_torch(x))).to(x.device)
    if getattr(A, "host", True):
        known = _SIGPYS.get(type(A).__name__) if type(A).__module__ == "sigpy.linop" else None
        return backend.like(A(backend.to_numpy(x)), x) if known is None else known(A, x)
    A.check_place(x)
    return A._apply(x)


def _composed(A, x):
    for one in reversed(A.linops):
        x = _on_tensor(one, x)
    return x


def _multiplied(A, x):
    mult = backend.like(A.mult, x) if is_array(A.mult) else A.mult
    return x * (mult if not A.conj else mult.conj() if is_array(mult) else mult.conjugate())


_SIGPYS = {  # by their names, what SigPy composes operators of, and their adjoints
    "Compose": _composed, "Multiply": _multiplied, "Add": lambda A, x: sum(_on_tensor(one, x) for one in A.linops),
    "Sum": lambda A, x: x.sum(tuple(A.axes)) if len(A.axes) else x, "Reshape": lambda A, x: x.reshape(tuple(A.oshape)),
    "Identity": lambda A, x: x.clone()}


class TorchLinop:
    """What `as_torch` returns: the operator on torch tensors, with the same `.H`, `.N` and shapes."""

    ishape: Any
    oshape: Any

    def __init__(self, A: Any):
        self.A = A
        self.ishape, self.oshape = tuple(A.ishape), tuple(A.oshape)

    @property
    def H(self) -> TorchLinop:
        """The adjoint, on torch tensors."""
        return TorchLinop(self.A.H)

    @property
    def N(self) -> TorchLinop:
        """The normal operator, on torch tensors."""
        return TorchLinop(self.A.N)

    def __call__(self, x: ArrayLike) -> Array:
        if not is_torch(x):
            raise TypeError(f"this operator takes torch tensors, got {type(x).__name__}")
        if tuple(x.shape) != self.ishape:
            raise ValueError(f"{self.A.repr_str} takes shape {self.ishape}, got {tuple(x.shape)}")
        x = array("x", x, finite=False)
        own = getattr(self.A, "of_tensor", lambda x: None)(x)
        return _function().apply(x, self.A) if own is None else own

    def __repr__(self) -> str:
        return f"as_torch({self.A!r})"


def as_torch(A: Any) -> TorchLinop:
    """`A` as a differentiable function of native complex torch tensors; `.H` and `.N` likewise.

    The vector-Jacobian product of y = A x is A^H g (torch's convention for complex gradients); it is taken through the
    same function, so second derivatives work too, and so do `torch.func.grad`, `jvp`, `vjp`, `jacrev`, `jacfwd` and
    `vmap`, which applies A to one after another. On the CPU memory is shared, not copied.

    Args:
        A: any `sigpy.linop.Linop`, pisolve's own or not.
    """
    return A if isinstance(A, TorchLinop) else TorchLinop(linop("A", A))


def apply(A: Any, x: Any) -> Array:
    """A x for whatever kind of array x is: torch goes through `as_torch`."""
    return as_torch(A)(x) if is_torch(x) else A(x)

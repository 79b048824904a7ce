"""The base of pisolve's own operators: a `sigpy.linop.Linop` with honest shape checks that also takes torch tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pisolve import backend
from pisolve._check import array, is_array, is_cupy, is_torch
from pisolve._check import axes as check_axes
from pisolve._check import shape as check_shape
from pisolve._types import Array, ArrayLike, Axes
from pisolve.backend._sigpy import sigpy

if TYPE_CHECKING:
    class Base:
        """What a checker is told of SigPy's class, which has no types."""

        oshape: Sequence[int]
        ishape: Sequence[int]
        repr_str: str | None

        def __init__(self, oshape: Sequence[int], ishape: Sequence[int], repr_str: str | None = None) -> None: ...
        @property
        def H(self) -> Linop: ...
        @property
        def N(self) -> Linop: ...
        def __call__(self, input: Any) -> Any: ...
        def __mul__(self, input: Any) -> Any: ...
        def __rmul__(self, input: Any) -> Any: ...
        def __add__(self, input: Any) -> Any: ...
        def __sub__(self, input: Any) -> Any: ...
        def __neg__(self) -> Any: ...
else:
    Base = sigpy.linop.Linop


class Linop(Base):
    """A linear operator A: ishape -> oshape with adjoint `A.H` and normal operator `A.N` = A^H A.

    Differs from SigPy's base in three ways: the number of dimensions is checked too, errors come out as the
    `ValueError` or `TypeError` they are, and a torch tensor may be applied (differentiably, see `as_torch`).
    Subclasses implement `_apply`, `_adjoint_linop` and, where A^H A is cheaper than A^H after A, `_normal_linop`; they
    call `super().__init__(oshape, ishape)`, the shape of A x first and that of x second, as in SigPy.

    Attributes:
        unitary: A^H A = A A^H = I, so that a prior behind A has a closed-form prox.
        coil_axis: which axis of A x is that of the coils, counted from the end; None where there is none.
        iaxes, oaxes: the names of the axes of x and of A x, None where they have none.
        row_energy: the mean squared length of a sample's row, over the coils together, where the samples lie denser in
            one place than in another: then A^H A says nothing of it. None elsewhere.
        tensor: what of A itself is a torch tensor that gets a gradient, such as coordinates; None: nothing is.
        host: whether `_apply` takes numpy arrays only, as one has to assume: then tensors on a GPU go through the CPU's
            memory. Where it takes tensors, too, say `host = False`.
    """

    unitary: bool
    host: bool

    unitary, host = False, True
    row_energy = tensor = coil_axis = None
    iaxes = oaxes = None

    def of_tensor(self, x: Any, adjoint: bool = False) -> Any:
        """A x, or A^H x, of a torch tensor by a way of its own, or None: then `as_torch` makes it differentiable."""
        return None

    def norm_bound(self) -> float | None:
        """An upper bound of the operator norm that is guaranteed, or None where none is known in closed form."""
        return 1.0 if self.unitary else None

    def _normal_linop(self):
        return Identity(self.ishape) if self.unitary else self.H * self

    def apply(self, input: Any) -> Array:
        """A x for an array `x` of shape `ishape`; the result shares no memory with it."""
        if is_torch(input):
            from pisolve.linops.autograd import as_torch

            return as_torch(self)(input)
        if tuple(input.shape) != tuple(self.ishape):
            raise ValueError(f"{self.repr_str} takes shape {tuple(self.ishape)}, got {tuple(input.shape)}")
        self.check_place(input)
        plain = input.dtype.char in "fdFD" and input.dtype.isnative
        return self._apply(input if plain else array("x", input, finite=False))

    def check_place(self, x: ArrayLike) -> None:
        """Refuse an array that is not where the operator's maps are.

        Raises:
            TypeError: numpy's against those on a GPU, or torch's against cupy's.
        """
        held = getattr(getattr(self, "parent", self), "mps", None)
        if held is None or type(held) is type(x) or self.host:
            return
        kinds = [(is_cupy(a), is_torch(a)) for a in (held, x)]
        if kinds[0] != kinds[1]:
            here, there = ("the GPU" if any(kind) else "the CPU" for kind in kinds)
            here, there = ("cupy's", "torch's")[::1 if kinds[0][0] else -1] if here == there else (here, there)
            raise TypeError(f"{self.repr_str} was made of maps on {here}, x is on {there}: make it of maps that are "
                            "where x is")

    def __call__(self, input: Any) -> Any:
        if isinstance(input, sigpy.linop.Linop):
            return self * input
        if not is_array(input):
            raise TypeError(f"{self.repr_str} takes an array or an operator, got {type(input).__name__}")
        return self.apply(input)


class Adjoint(Linop):
    """A^H, given by the parent's `_apply_adjoint`: one class holds both directions."""

    def __init__(self, parent: Linop):
        self.parent = parent
        self.unitary, self.host = parent.unitary, parent.host
        super().__init__(parent.ishape, parent.oshape, repr_str=f"{parent.repr_str}.H")

    def of_tensor(self, x, adjoint: bool = False):
        return self.parent.of_tensor(x, not adjoint)

    def norm_bound(self):
        return self.parent.norm_bound()

    def _apply(self, input):
        return self.parent._apply_adjoint(input)

    def _adjoint_linop(self):
        return self.parent


class SelfAdjoint(Linop):
    """A square operator B = B^H given by a function: what `_normal_linop` returns."""

    function: Any
    host: bool

    def __init__(self, shape: Sequence[int], function: Any, repr_str: str, *, host: bool | None = None):
        made_by = getattr(function, "__self__", getattr(function, "A", None))
        self.function, self.host = function, getattr(made_by, "host", True) if host is None else host
        super().__init__(shape, shape, repr_str=repr_str)

    def _apply(self, input):
        return self.function(input)

    def _adjoint_linop(self):
        return self


class Identity(Linop):
    """x -> x, as a copy (SigPy's returns its input, which then is changed in place)."""

    unitary: bool
    host: bool

    unitary, host = True, False

    def __init__(self, shape: Sequence[int]):
        shape = check_shape("shape", shape)
        super().__init__(shape, shape)

    def _apply(self, input):
        return backend.copy(input)

    def _adjoint_linop(self):
        return self


class Transform(Linop):
    """Base of the unitary transforms over some axes, with `_apply` and `_apply_adjoint`."""

    unitary: bool
    host: bool

    unitary, host = True, False

    axes: tuple[int, ...]

    def __init__(self, shape: Sequence[int], axes: Axes = (-2, -1)):
        shape = check_shape("shape", shape)
        self.axes = check_axes("axes", axes, len(shape))
        super().__init__(shape, shape)

    def _adjoint_linop(self):
        return Adjoint(self)


def identity(shape: Sequence[int]) -> Identity:
    """The identity on arrays of `shape`."""
    return Identity(shape)

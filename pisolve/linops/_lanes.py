"""Complex numbers side by side in vector registers, for kernels compiled by numba.

A `Lanes` value holds 16 neighbouring complex64 samples (8 of complex128) as two vectors, the real and the imaginary
parts. A kernel written with it reads as for one complex number and surely runs on all lanes at once. (LLVM's own search
for such loops gives up at the many pointers of an FFT pass, which then runs ten times slower: measured.)

`get` and `put` reach private buffers, whose rows keep the real parts of the lanes first, then the imaginary ones;
`load` and `store` reach ordinary complex arrays. Arrays are flat, indices are not checked.

Numba's cache looks at a kernel's own file only: after an edit here, touch the files with kernels, too.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from pisolve.linops._fft import BYTES

_FLAGS = ("contract", "nsz")  # a * b + c may be one instruction


class Lanes(types.Type):
    """numba's type of `BYTES` of complex numbers."""

    def __init__(self, dtype):
        self.dtype = dtype
        self.real = dtype.underlying_float
        self.size = BYTES // (dtype.bitwidth // 8)
        super().__init__(name=f"Lanes({dtype})")

    @property
    def vector(self):
        return ir.VectorType(ir.FloatType() if self.real == types.float32 else ir.DoubleType(), self.size)


@register_model(Lanes)
class _Model(models.StructModel):
    def __init__(self, dmm, fe_type):
        part = Part(fe_type)
        super().__init__(dmm, fe_type, [("real", part), ("imag", part)])


class Part(types.Type):
    """The real or imaginary parts of `Lanes`."""

    def __init__(self, lanes):
        self.lanes = lanes
        super().__init__(name=f"Part({lanes.name})")


@register_model(Part)
class _PartModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, fe_type.lanes.vector)


def _pack(context, builder, lanes, re, im):
    value = cgutils.create_struct_proxy(lanes)(context, builder)
    value.real, value.imag = re, im
    return value._getvalue()


def _unpack(context, builder, lanes, value):
    proxy = cgutils.create_struct_proxy(lanes)(context, builder, value)
    return proxy.real, proxy.imag


def _spread(builder, lanes, scalar):
    """One number in every lane."""
    none = ir.Constant(lanes.vector, ir.Undefined)
    first = builder.insert_element(none, scalar, ir.IntType(32)(0))
    return builder.shuffle_vector(first, none, _order([0] * lanes.size))


def _order(indices):
    return ir.Constant(ir.VectorType(ir.IntType(32), len(indices)), list(indices))


@infer_global(operator.add)
@infer_global(operator.sub)
class _Sum(AbstractTemplate):
    def generic(self, args, kws):
        if len(args) == 2 and isinstance(args[0], Lanes) and args[0] == args[1]:
            return signature(args[0], *args)


@infer_global(operator.mul)
class _Product(AbstractTemplate):
    def generic(self, args, kws):
        if len(args) == 2 and isinstance(args[1], Lanes) and isinstance(args[0], types.Float | types.Complex | Lanes):
            return signature(args[1], *args)


def _sum(name):
    def lower(context, builder, sig, args):
        lanes = sig.return_type
        a, b = (_unpack(context, builder, lanes, v) for v in args)
        op = getattr(builder, name)
        return _pack(context, builder, lanes, *(op(p, q, flags=_FLAGS) for p, q in zip(a, b)))
    return lower


lower_builtin(operator.add, Lanes, Lanes)(_sum("fadd"))
lower_builtin(operator.sub, Lanes, Lanes)(_sum("fsub"))


@lower_builtin(operator.mul, types.Float, Lanes)
def _scaled(context, builder, sig, args):
    lanes = sig.return_type
    s = _spread(builder, lanes, context.cast(builder, args[0], sig.args[0], lanes.real))
    parts = _unpack(context, builder, lanes, args[1])
    return _pack(context, builder, lanes, *(builder.fmul(s, p, flags=_FLAGS) for p in parts))


@lower_builtin(operator.mul, types.Complex, Lanes)
@lower_builtin(operator.mul, Lanes, Lanes)
def _product(context, builder, sig, args):
    lanes = sig.return_type
    if isinstance(sig.args[0], Lanes):
        ar, ai = _unpack(context, builder, lanes, args[0])
    else:
        z = context.make_complex(builder, sig.args[0], args[0])
        ar, ai = _spread(builder, lanes, z.real), _spread(builder, lanes, z.imag)
    br, bi = _unpack(context, builder, lanes, args[1])
    mul = lambda p, q: builder.fmul(p, q, flags=_FLAGS)  # noqa: E731
    re = builder.fsub(mul(ar, br), mul(ai, bi), flags=_FLAGS)
    im = builder.fadd(mul(ar, bi), mul(ai, br), flags=_FLAGS)
    return _pack(context, builder, lanes, re, im)


def _pointer(context, builder, sig, args, lanes, count):
    array = context.make_array(sig.args[0])(context, builder, args[0])
    start = builder.gep(array.data, [args[1]])
    return builder.bitcast(start, ir.VectorType(lanes.vector.element, count).as_pointer())


@intrinsic
def load(typingctx, array, index):
    """The lanes that start at array[index], a flat complex array."""
    lanes = Lanes(array.dtype)

    def codegen(context, builder, sig, args):
        both = builder.load(_pointer(context, builder, sig, args, lanes, 2 * lanes.size), align=4)
        parts = (builder.shuffle_vector(both, both, _order(range(s, 2 * lanes.size, 2))) for s in (0, 1))
        return _pack(context, builder, lanes, *parts)

    return lanes(array, types.intp), codegen


@intrinsic
def store(typingctx, array, index, value):
    """array[index : index + size] = value."""
    def codegen(context, builder, sig, args):
        n = value.size
        re, im = _unpack(context, builder, value, args[2])
        both = builder.shuffle_vector(re, im, _order([k // 2 + n * (k % 2) for k in range(2 * n)]))
        builder.store(both, _pointer(context, builder, sig, args, value, 2 * n), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), codegen


def _rows(context, builder, sig, args, lanes):
    """Pointers to the two vectors of a row of a planar buffer."""
    pointer = _pointer(context, builder, sig, args, lanes, lanes.size)
    return pointer, builder.gep(pointer, [ir.IntType(32)(1)])


@intrinsic
def get(typingctx, buffer, index):
    """As `load`, from a buffer that holds the real parts of the lanes first, then the imaginary ones."""
    lanes = Lanes(buffer.dtype)

    def codegen(context, builder, sig, args):
        index = builder.mul(args[1], context.get_constant(types.intp, lanes.size))
        rows = _rows(context, builder, sig, (args[0], index), lanes)
        return _pack(context, builder, lanes, *(builder.load(p, align=4) for p in rows))

    return lanes(buffer, types.intp), codegen


@intrinsic
def put(typingctx, buffer, index, value):
    """As `store`, into such a buffer."""
    def codegen(context, builder, sig, args):
        index = builder.mul(args[1], context.get_constant(types.intp, value.size))
        rows = _rows(context, builder, sig, (args[0], index), value)
        for pointer, part in zip(rows, _unpack(context, builder, value, args[2])):
            builder.store(part, pointer, align=4)
        return context.get_dummy_value()

    return types.void(buffer, types.intp, value), codegen


@intrinsic
def swap(typingctx, value):
    """Real and imaginary part exchanged: i conj(value)."""
    def codegen(context, builder, sig, args):
        return _pack(context, builder, value, *reversed(_unpack(context, builder, value, args[0])))

    return value(value), codegen


@intrinsic
def quarter(typingctx, value):
    """-i times the value."""
    def codegen(context, builder, sig, args):
        re, im = _unpack(context, builder, value, args[0])
        return _pack(context, builder, value, im, builder.fneg(re, flags=_FLAGS))

    return value(value), codegen


@intrinsic
def weigh(typingctx, weights, index, value):
    """The value times one real weight for each lane, those that start at weights[index]."""
    def codegen(context, builder, sig, args):
        w = builder.load(_pointer(context, builder, sig, args, value, value.size), align=4)
        return _pack(context, builder, value, *(builder.fmul(w, p, flags=_FLAGS)
                                                for p in _unpack(context, builder, value, args[2])))

    return value(weights, types.intp, value), codegen


@intrinsic
def transpose(typingctx, source, i, target, k):
    """Write the transpose of the square tile of `size` rows from row i of buffer `source` to row k of `target`."""
    kind = Lanes(source.dtype)

    def codegen(context, builder, sig, args):
        size = kind.size

        def row(array, number, start, n):
            index = builder.add(start, context.get_constant(types.intp, n))
            index = builder.mul(index, context.get_constant(types.intp, size))
            return _rows(context, builder, sig.replace(args=(sig.args[number],)), (array, index), kind)

        rows = [[builder.load(p, align=4) for p in row(args[0], 0, args[1], n)] for n in range(size)]
        for part in (0, 1):
            tile = [r[part] for r in rows]
            h = size // 2
            while h:  # exchange the off-diagonal quarters of ever smaller squares (Eklundh, 1972)
                upper = _order([n if not n & h else n - h + size for n in range(size)])
                lower = _order([n + h if not n & h else n + size for n in range(size)])
                for n in range(size):
                    if not n & h:
                        a, b = tile[n], tile[n + h]
                        tile[n] = builder.shuffle_vector(a, b, upper)
                        tile[n + h] = builder.shuffle_vector(a, b, lower)
                h //= 2
            for n in range(size):
                builder.store(tile[n], row(args[2], 2, args[3], n)[part], align=4)
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp), codegen

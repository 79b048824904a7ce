"""The prox of a norm behind an operator, by its dual."""

from __future__ import annotations

from pisolve import backend
from pisolve.backend import real
from pisolve.linops import apply, opnorm


def dual_prox(f, G, x, step: float, *, max_iter: int = 5000):
    """argmin_u 1/2 ||u - x||^2 + step f(G u) for a norm f: accelerated projected gradient on the dual.

    u = x - G^H q with q in the dual ball of radius `step`; iterates until the duality gap, which bounds
    1/2 ||u - u*||^2, is below what the precision can tell (Beck and Teboulle, IEEE Trans Image Process 18 (2009) 2419).
    """
    bound = opnorm(G, like=None if hasattr(x, "detach") and not backend.native(x) else x) ** 2
    q = p = backend.zeros_like(apply(G, x))
    t, scale = 1.0, squared_norm(x)
    tiny = 1e-12 if "128" in str(x.dtype) or "float64" in str(x.dtype) else 1e-7
    for k in range(max_iter):
        v = p + apply(G, x - apply(G.H, p)) / bound
        new = v - f.prox(v, step)  # Moreau: the projection onto the dual ball of radius step
        if real(backend.dot(p - new, new - q)) > 0:  # adaptive restart
            t = 1.0
        t_new = (1 + (1 + 4 * t * t) ** 0.5) / 2
        p, q, t = new + (t - 1) / t_new * (new - q), new, t_new
        if k % 10 == 9:
            Gu = apply(G, x - apply(G.H, q))
            if step * f.value(Gu) - real(backend.dot(Gu, q)) <= tiny * scale:
                break
    return x - apply(G.H, q)


def squared_norm(x) -> float:
    """||x||^2 as a float."""
    return real(backend.dot(x, x))

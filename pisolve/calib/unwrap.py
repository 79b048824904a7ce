"""Phases without jumps: along the edges where they are sure, over any number of axes."""

from __future__ import annotations

import numpy as np

from pisolve import _check
from pisolve._types import ArrayLike

_TURN = 2 * np.pi


def unwrap(phase: ArrayLike, weights: ArrayLike | None = None) -> np.ndarray:
    """The phase plus the whole turns that make it smooth, over all axes.

        p(r) + 2 pi n(r),    n by going from pixel to pixel along the edges of the largest weight

    Neighbours are tied by edges of the weight min(w, w'), and the tree of the heaviest edges takes the way around what
    is noisy. In every piece that hangs together the turns are those whose weighted median is nearest to 0.

    Args:
        phase: real, in radians, of any number of axes.
        weights: real, >= 0, of its shape, such as the squared magnitude; 0: the pixel is left as it is. None: all
            alike.

    Returns:
        float64 of the shape of `phase`.

    Raises:
        TypeError, ValueError: no real phase, not finite, weights of another shape or negative.

    Reference:
        Herraez et al., Appl Opt 41 (2002) 7437 (the order by reliability); Prim, Bell Syst Tech J 36 (1957) 1389.
    """
    phase = np.asarray(_check.array("phase", phase, complex_=False))
    if phase.dtype.kind == "c":
        raise TypeError("phase is complex: give its angle, numpy.angle(image)")
    phase = phase.astype(np.float64)
    w = np.ones(phase.shape) if weights is None else np.asarray(_check.array("weights", weights, complex_=False), float)
    if w.shape != phase.shape or (w < 0).any():
        raise ValueError(f"weights has shape {w.shape}, down to {w.min():.3g}, and phase {phase.shape}: give one "
                         "number >= 0 for each")
    at, flat = _parents(w), phase.reshape(-1)
    jumps = np.rint((flat[at] - flat) / _TURN)
    # the turns of a pixel are the sum of the jumps on its way to the root, which is its own parent
    while (at[at] != at).any():
        jumps += jumps[at]
        at = at[at]
    found, w = flat + _TURN * jumps, w.reshape(-1)
    by_root = np.argsort(at, kind="stable")
    for piece in np.split(by_root, np.flatnonzero(np.diff(at[by_root])) + 1):
        if len(piece) > 1:
            found[piece] -= _TURN * np.rint(_median(found[piece], w[piece]) / _TURN)
    return found.reshape(phase.shape)


def _parents(w):
    """The pixel before each one in the trees of the heaviest edges; roots and pixels without weight have themselves."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree

    number, flat, n = np.arange(w.size).reshape(w.shape), w.reshape(-1), w.size
    ends = [np.stack([np.take(number, range(m - 1), a).ravel(), np.take(number, range(1, m), a).ravel()])
            for a, m in enumerate(w.shape)]
    edges = np.concatenate(ends, 1)
    least = np.minimum(flat[edges[0]], flat[edges[1]])
    edges, least = edges[:, least > 0], least[least > 0]
    cost = np.empty(len(least))
    cost[np.argsort(-least, kind="stable")] = 1 + np.arange(len(least))  # only their order counts
    tree = minimum_spanning_tree(coo_array((cost, tuple(edges)), shape=(n, n)).tocsr()).tocoo()
    pieces = connected_components(tree, directed=False)[1]
    roots = np.unique(pieces, return_index=True)[1]
    rows = np.concatenate([tree.row, np.full(len(roots), n)])  # one node more ties the trees together
    columns = np.concatenate([tree.col, roots])
    whole = coo_array((np.ones(len(rows)), (rows, columns)), shape=(n + 1, n + 1)).tocsr()
    before = breadth_first_order(whole, n, directed=False)[1][:n]
    return np.where(before == n, np.arange(n), before)


def _median(values, weights):
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return values[order][np.searchsorted(total, total[-1] / 2)] if total[-1] > 0 else 0.0

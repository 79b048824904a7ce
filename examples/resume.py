"""Stop a run, save its state, go on in another process: the same bits as without the interruption.

    python examples/resume.py
"""

import tempfile
from pathlib import Path

import numpy as np

import pisolve as pi
from pisolve.solvers import load_state, save_state

brain = pi.phantom.brain((96, 96), 6, noise=0.02)
mask = pi.masks.random((96, 96), 3, seed=1)
A, y, prior = pi.linops.sense(brain.mps, mask), brain.kspace * mask, 0.02 * pi.TV()

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "state.h5"

    def checkpoint(problem, state):
        """Save every tenth state; a callback that returns False stops the run."""
        if state.k % 10 == 0:
            save_state(path, state)
        return state.k < 23

    first = pi.solve(A, y, prior, pi.ADMM(), max_iter=60, tol=0, callbacks=[checkpoint])
    print(first)
    again = pi.solve(A, y, prior, pi.ADMM(), state=load_state(path), max_iter=60, tol=0)
    print(f"went on at {load_state(path).k}: {again}")
whole = pi.solve(A, y, prior, pi.ADMM(), max_iter=60, tol=0)
print("same bits:", np.array_equal(again.x, whole.x))

"""Compilation by numba, which loads at the first kernel."""


def jit(function):
    """Compile `function` at its first call; it runs without the interpreter's lock, as `parallel` needs it.

    The code is kept in the package's `__pycache__`, else in the user's cache folder, else in memory only. Numba takes
    half a second to load: kernels stand in files of their own, which are imported by the function that runs them.
    """
    import numba

    options = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(function, cache=True, **options)
    except RuntimeError:  # no folder can be written
        return numba.njit(function, **options)

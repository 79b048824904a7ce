"""The word `doctor`: what is installed, what this machine offers, and a self-test that compares with known values."""

from pisolve.cli.parser import add_word
from pisolve.cli.say import table

TESTING = ("test", "bench", "peers", "docs")  # extras of who works on pisolve: told only where they are asked for


def add(words) -> None:
    """The word, for the parser's list."""
    add_word(words, run, "say what is installed and what this machine offers, and test the installation", _options)


def _options(new) -> None:
    new.add_argument("--no-test", action="store_true", help="leave the self-test out, which takes a few seconds")
    new.add_argument("--all", action="store_true", help="also the extras for tests, benchmarks and documentation")


def run(a) -> int:
    """Print the report; exit code 1 where a required package is missing or a test failed."""
    missing, rows = packages()
    table([*about(), *rows, *extras(a.all), *machine(), *kept()])
    if a.no_test:
        return int(bool(missing))
    from pisolve.cli.selftest import TESTS, judge

    failed = 0
    for name in TESTS:
        ok, text = judge(name)
        failed += not ok
        table([("self-test", f"{name:24}{text}")])
    table([("verdict", "everything works" if not failed and not missing else
            f"{failed} of {len(TESTS)} tests failed" if failed else f"missing: {', '.join(missing)}")])
    return int(bool(failed or missing))


def about() -> list:
    """Rows on pisolve, Python and the system."""
    import platform
    from pathlib import Path

    import pisolve

    return [("pisolve", f"{pisolve.__version__} in {Path(pisolve.__file__).parent}"),
            ("python", f"{platform.python_version()}, {platform.system()} {platform.machine()}")]


def requirements() -> dict[str, dict[str, str]]:
    """{extra, "" for what is always needed: {package: the version it must have at least}}, as pisolve was installed."""
    import re
    from importlib import metadata

    found: dict[str, dict[str, str]] = {}
    try:
        lines = metadata.requires("pisolve") or []
    except metadata.PackageNotFoundError:
        return {}
    for line in lines:
        name, least, extra = re.match(r"([\w.-]+)(?:>=([\w.]+))?(?:.*extra == [\"'](\w+)[\"'])?", line).groups()
        found.setdefault(extra or "", {})[name] = least or "0"
    return found


def state(name: str, least: str) -> tuple[bool, str]:
    """(whether a package is there and new enough, "name version")."""
    from importlib import metadata

    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return False, f"{name} is missing"
    good = numbers(version) >= numbers(least)
    return good, f"{name} {version}" + ("" if good else f" is older than {least}")


def numbers(version: str) -> tuple[int, ...]:
    """A version's leading numbers: "2.13.0+cpu" is (2, 13, 0)."""
    import itertools

    digits = itertools.takewhile(str.isdigit, version.partition("+")[0].split("."))
    return tuple(map(int, digits))


def packages() -> tuple[list[str], list]:
    """(what is missing of the packages that are always needed, rows)."""
    found = [state(*one) for one in requirements().get("", {}).items()]
    if not found:
        return [], [("packages", "not known: pisolve runs from a folder and is not installed (pip install .)")]
    return [text for good, text in found if not good], [("packages", ", ".join(text for _, text in found))]


def extras(every: bool) -> list:
    """A row for each extra: installed, or what is missing and how to get it."""
    rows = []
    for name, needed in sorted(requirements().items()):
        if not name or (name in TESTING and not every):
            continue
        found = [state(*one) for one in needed.items()]
        bad = [text for good, text in found if not good]
        told = f"{', '.join(bad)}: pip install 'pisolve[{name}]'" if bad else ", ".join(text for _, text in found)
        rows.append(("extra", f"{name:13}{told}"))
    return rows


def machine() -> list:
    """Rows on cores, threads, memory and GPU."""
    import os

    from pisolve import backend

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    told = ", ".join(f"{n}={os.environ[n]}" for n in ("PISOLVE_THREADS", "OMP_NUM_THREADS") if n in os.environ)
    return [("threads", f"{backend.threads()} of {cores} cores ({told or 'PISOLVE_THREADS changes it'})"),
            ("memory", memory()), ("GPU", gpu())]


def memory() -> str:
    """The machine's memory in words."""
    import os

    try:
        page, pages = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return "not known"
    return f"{page * pages / 2**30:.1f} GiB; a file may declare half of it (max_bytes)"


def gpu() -> str:
    """Which GPU `device="auto"` takes, or why it takes none."""
    from importlib.util import find_spec

    from pisolve import backend

    if find_spec("torch") is None:
        return "not used: torch is not installed (pip install torch)"
    try:
        found = backend.find_gpu("auto")
    except Exception as error:  # a driver may fail in any way: a report says so and goes on
        return f"not used: {' '.join(str(error).split())}"
    return "none that CUDA can use" if found is None else str(found)


def kept() -> list:
    """Rows on what is kept on disk: compiled kernels, and networks that ship."""
    import os
    from pathlib import Path

    import pisolve

    root = Path(pisolve.__file__).parent
    files = list(root.rglob("__pycache__/*.nb[ci]"))
    size = sum(f.stat().st_size for f in files) / 2**20
    place = "in the package" if os.access(root, os.W_OK) else "in the user's cache folder"
    weights = sorted(path.stem for path in (root / "nets" / "weights").glob("*.safetensors"))
    return [("kernels", f"{len(files)} files of compiled code, {size:.1f} MiB; new ones are kept {place}"),
            ("networks", ", ".join(weights) or "none: this installation has no weights")]

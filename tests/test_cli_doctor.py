"""`pisolve doctor` tells what is there and tests it; `pisolve completion` completes what the parser knows."""

import shutil
import subprocess

import pytest

from pisolve import nets
from pisolve.cli import completion, doctor, selftest
from pisolve.cli.main import WORDS
from pisolve.cli.parser import parser

shipped = pytest.mark.skipif("denoiser-fast" not in nets.available(), reason="the shipped denoiser is not there")


@shipped
def test_all_is_well(run):
    code, out, err = run("doctor")
    assert (code, err) == (0, "")
    assert out.count("self-test") == len(selftest.TESTS) == out.count("  ok")
    for word in ("pisolve", "python", "packages", "threads", "memory", "GPU", "kernels", "networks"):
        assert f"\n{word}" in f"\n{out}"
    assert "everything works" in out


@pytest.mark.parametrize("name", [n for n in selftest.TESTS if n != "network as prior"])
def test_a_wrong_number_is_told(monkeypatch, name):
    """Each test fails where what it measures is off by ten margins, and where it raises an error."""
    value, wanted, margin, unit = selftest.TESTS[name]()
    assert abs(value - wanted) <= margin
    monkeypatch.setitem(selftest.TESTS, name, lambda: (wanted + 10 * (margin or 1), wanted, margin, unit))
    assert selftest.judge(name)[0] is False
    monkeypatch.setitem(selftest.TESTS, name, lambda: 1 / 0)
    assert selftest.judge(name) == (False, "failed: ZeroDivisionError: division by zero")


def test_a_failure_has_an_exit_code(run, monkeypatch):
    monkeypatch.setattr(selftest, "TESTS", {"broken": lambda: (1.0, 0, 0.5, " dB")})
    code, out, _ = run("doctor")
    assert code == 1
    assert "WRONG 1 dB, must be at most 0.5 dB" in out
    assert "1 of 1 tests failed" in out


def test_what_is_missing_is_told_with_what_to_type(run, monkeypatch):
    needed = {"": {"numpy": "1.26", "nothing-such": "1"}, "report": {"jinja2": "3.1"}, "odd": {"no-such-thing": "2"},
              "old": {"numpy": "99"}, "test": {"pytest": "8"}}
    monkeypatch.setattr(doctor, "requirements", lambda: needed)
    code, out, _ = run("doctor", "--no-test")
    assert code == 1
    assert "nothing-such is missing" in out
    assert "no-such-thing is missing: pip install 'pisolve[odd]'" in out
    assert "is older than 99" in out
    assert "extra           report       jinja2 3." in out
    assert "extra           test" not in out
    assert "extra           test" in run("doctor", "--no-test", "--all")[1]


def test_requirements_are_those_of_the_package(monkeypatch):
    from importlib import metadata

    lines = ["numpy>=1.26", "sigpy>=0.1.27", 'jinja2>=3.1; extra == "report"', "nibabel>=5; extra == 'nifti'"]
    monkeypatch.setattr(metadata, "requires", lambda name: lines)
    assert doctor.requirements() == {"": {"numpy": "1.26", "sigpy": "0.1.27"}, "report": {"jinja2": "3.1"},
                                     "nifti": {"nibabel": "5"}}


@pytest.mark.parametrize(("version", "wanted"), [("2.13.0+cpu", (2, 13, 0)), ("1.3.0.post0", (1, 3, 0)), ("8", (8,))])
def test_versions_are_numbers(version, wanted):
    assert doctor.numbers(version) == wanted


@pytest.mark.parametrize(("words", "wanted", "absent"), [
    (["reco"], {"recon"}, {"report"}),
    ([""], {"recon", "doctor", "compare"}, {"--prior"}),
    (["recon", "--pri"], {"--prior"}, {"--solver"}),
    (["recon", "x.h5", "--solver", "p"], {"pogm", "pdhg"}, {"cg", "--prior"}),
    (["compare", "--tune", ""], {"holdout", "none"}, {"scan"}),
    (["recon", "scan"], set(), {"scan"}),
])
def test_bash_completes(words, wanted, absent):
    """The script runs in bash itself; where there is nothing to offer, bash offers files."""
    bash = shutil.which("bash") or pytest.skip("no bash")
    script = completion.bash(completion.known(parser(WORDS)))
    line = " ".join(f"'{w}'" for w in ["pisolve", *words])
    call = f'{script}\nCOMP_WORDS=({line}); COMP_CWORD={len(words)}; _pisolve; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run([bash, "--norc", "-c", call], capture_output=True, text=True, check=True)
    found = set(done.stdout.split())
    assert wanted <= found
    assert not absent & found
    assert bool(found) == bool(wanted)


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_every_word_and_option_is_in_the_script(run, shell):
    code, out, _ = run("completion", shell)
    assert code == 0
    for word, (_, options) in completion.known(parser(WORDS)).items():
        assert word in out
        for option, values in options.items():
            assert option.lstrip("-") in out
            assert all(v in out for v in values)

"""The fuzz command: it finds nothing now, and would find something."""

import pytest

from espnet2_caresep.bin import fuzz
from espnet2_caresep.bin.fuzz_files import KINDS, Seeds, make_file


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    fuzz.prepare(folder)
    return Seeds.of(folder)


@pytest.mark.parametrize("first", range(len(KINDS)), ids=lambda i: f"{i}-{KINDS[i]}")
def test_damaged_files_are_refused_or_used(seeds, first):
    for seed in range(first, first + 5 * len(KINDS), len(KINDS)):
        outcome = fuzz.try_seed(seed, seeds)
        assert not fuzz.is_finding(outcome), f"seed {seed}: {outcome}"


def test_a_seed_makes_one_file(seeds, tmp_path):
    for seed in range(len(KINDS)):
        contents = []
        for name in ("a", "b"):
            folder = tmp_path / f"{seed}{name}"
            folder.mkdir()
            make_file(seed, seeds, folder)
            contents.append([path.read_bytes() for path in folder.iterdir()])
        # Zip members carry the time at which they were made.
        assert contents[0] == contents[1] or KINDS[seed] == "config"


@pytest.mark.parametrize("error", [TypeError("bug"), RuntimeError("bug")])
def test_a_traceback_would_be_found(seeds, monkeypatch, error):
    def broken(args):
        raise error

    monkeypatch.setattr("espnet2_caresep.cli.separate.run", broken)
    outcome = fuzz.try_seed(0, seeds)
    assert fuzz.is_finding(outcome) and "Traceback" in outcome


def test_a_wrong_exit_would_be_found(seeds, monkeypatch):
    monkeypatch.setattr("espnet2_caresep.cli.separate.run", lambda args: 0)
    assert fuzz.is_finding(fuzz.try_seed(0, seeds))


def test_a_crash_would_be_found_and_passed(monkeypatch, tmp_path):
    """A worker that dies at seed 2 of 4."""
    worker = tmp_path / "worker"
    worker.write_text(
        "#!/bin/sh\n"
        "first=$6 count=$8\n"
        "for seed in $(seq $first $((first + count - 1))); do\n"
        '  [ "$seed" = 2 ] && kill -SEGV $$\n'
        '  printf "%s\\tused\\n" "$seed"\n'
        "done\n"
    )
    worker.chmod(0o755)
    monkeypatch.setattr(fuzz.sys, "executable", str(worker))
    outcomes = dict(fuzz.run(range(4), tmp_path))
    assert outcomes.pop(2) == "the process died (status -11)"
    assert outcomes == {0: "used", 1: "used", 3: "used"}


def test_the_command(capsys):
    assert fuzz.main(["--count", "12"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("12 files: ") and out.endswith(
        " 0 tracebacks or other findings\n"
    )

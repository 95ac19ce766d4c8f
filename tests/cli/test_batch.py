"""Many files at a time: progress, failures that stay their own, stopping."""

import threading
import time

import pytest

from espnet2_caresep.cli import batch
from espnet2_caresep.cli.batch import Progress, Stopped, treat_all


@pytest.mark.parametrize("jobs", [1, 3])
def test_each_item_has_its_own_result(jobs):
    def work(item):
        if item % 3 == 0:
            raise ValueError(f"no {item}")
        return item * item

    results = dict(treat_all(range(7), work, jobs, lambda: None))
    assert sorted(results) == list(range(7))
    for item, result in results.items():
        if item % 3:
            assert result == item * item
        else:
            assert isinstance(result, ValueError) and str(result) == f"no {item}"


def test_as_many_at_a_time_as_asked():
    together, most, lock = 0, 0, threading.Lock()

    def work(item):
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        time.sleep(0.02)
        with lock:
            together -= 1

    assert len(list(treat_all(range(9), work, 3, lambda: None))) == 9
    assert most == 3


def test_who_goes_away_waits_for_the_work_to_end():
    stopped, ended = threading.Event(), []

    def work(item):
        stopped.wait(10)
        ended.append(item)

    results = treat_all([0, 1, 2, 3], lambda i: work(i) if i else None, 2, stopped.set)
    assert next(results) == (0, None)
    results.close()
    # What was under way has ended, what was not has not begun.
    assert sorted(ended) == [1] or sorted(ended) == [1, 2]


def test_stopped_work_ends_at_its_next_block():
    progress = Progress(10, quiet=True)
    progress.advance(1)
    progress.stop()
    with pytest.raises(Stopped):
        progress.advance(1)


def test_lines_in_a_log_file(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(batch.time, "monotonic", lambda: now[0])
    progress = Progress(100, quiet=False)
    for _ in range(40):
        now[0] += 2
        progress.advance(2.5)
    progress.close()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 8
    assert lines[0] == " 12 % of 100 s of audio, 01:10 left"
    assert lines[-1] == "100 % of 100 s of audio, 00:00 left"


def test_quiet_says_nothing(capsys, monkeypatch):
    monkeypatch.setattr(batch, "EVERY", 0)
    for seconds in (10, 20):
        Progress(10, quiet=True).advance(seconds)
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(batch.sys.stderr, "isatty", lambda: True, raising=False)
    progress = Progress(10, quiet=False)
    progress.say("a line")
    progress.advance(99)  # a header may have promised less
    progress.close()
    out, err = capsys.readouterr()
    assert out == "a line\n" and "10/10 s of audio" in err and "left" in err

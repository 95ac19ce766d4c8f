"""Many files: one after the other or side by side, with progress, and stoppable."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")


EVERY = 10.0  # seconds between lines of progress in a log file


class Stopped(Exception):
    """Work that was told to end; not an error of its own."""


class Progress:
    """Shows how much of some seconds of audio is done and the time that is left.

    A bar on a terminal; elsewhere a line every ten seconds; nothing when quiet. It may
    be told from several threads.

    Args:
        seconds: Seconds of audio in all.
        quiet: Whether to show nothing.
    """

    def __init__(self, seconds: float, quiet: bool):
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._quiet = quiet
        self._live = sys.stderr.isatty() and not quiet
        self._bar = tqdm(
            total=seconds,
            disable=not self._live,
            bar_format="{percentage:3.0f}% |{bar:20}| {n:.0f}/{total:.0f} s of audio, "
            "{remaining} left",
        )
        self._done, self._all = 0.0, seconds
        self._start = self._told = time.monotonic()

    def advance(self, seconds: float) -> None:
        """Adds seconds that are done.

        Raises:
            Stopped: If the work is to end.
        """
        if self._stop.is_set():
            raise Stopped
        with self._lock:
            # Rounding, or a header that is wrong, must not lead beyond the end.
            seconds = min(seconds, self._all - self._done)
            self._done += seconds
            self._bar.update(seconds)
            if not (self._live or self._quiet):
                self._tell()

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._told < EVERY or not self._done:
            return
        self._told = now
        left = (now - self._start) * (self._all / self._done - 1)
        print(
            f"{100 * self._done / self._all:3.0f} % of {self._all:.0f} s of audio, "
            f"{tqdm.format_interval(left)} left",
            file=sys.stderr,
            flush=True,
        )

    def say(self, line: str, file=None) -> None:
        """Prints a line, above the bar where there is one; on stdout by default."""
        with self._lock:
            if self._live:
                self._bar.write(line, file=file or sys.stdout)
            else:
                print(line, file=file or sys.stdout, flush=True)

    def stop(self) -> None:
        """Makes the next :meth:`advance` of every thread raise."""
        self._stop.set()

    def close(self) -> None:
        """Ends the bar."""
        self._bar.close()


@contextmanager
def progress_of(seconds: float, quiet: bool) -> Iterator[Progress]:
    """A :class:`Progress` that is closed at the end."""
    progress = Progress(seconds, quiet)
    try:
        yield progress
    finally:
        progress.close()


def treat_all(
    items: Sequence[Item],
    work: Callable[[Item], Result],
    jobs: int,
    stop: Callable[[], None],
) -> Iterator[tuple[Item, Result | Exception]]:
    """Treats items on ``jobs`` threads; yields each as it is done.

    What one item raises is its result: the others go on. If the caller is interrupted
    or goes away, the work under way is told to stop and waited for, so that it can
    clean up after itself.

    Args:
        items: What to treat.
        work: Treats one item.
        jobs: Items at a time.
        stop: Makes work under way raise.
    """
    waiting = list(items)[::-1]
    with ThreadPoolExecutor(jobs) as pool:
        running: dict[Future, Item] = {}
        try:
            while True:
                while waiting and len(running) < jobs:
                    item = waiting.pop()
                    running[pool.submit(work, item)] = item
                if not running:
                    return
                # A timeout lets an interrupt through on every platform.
                done, _ = wait(running, 1.0, return_when=FIRST_COMPLETED)
                for future in done:
                    item = running.pop(future)
                    error = future.exception()
                    yield item, future.result() if error is None else error
        except BaseException:
            stop()
            raise

"""Many files: one after the other or side by side, with progress, and stoppable."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")


class Stopped(Exception):
    """Work that was told to end; not an error of its own."""


class Progress:
    """A bar of the seconds of audio that are done and the time that is left.

    It is shown on a terminal at once, in a log file when the work takes longer than ten
    seconds, and never when quiet. It may be told from several threads.

    Args:
        seconds: Seconds of audio in all.
        quiet: Whether to show nothing.
    """

    def __init__(self, seconds: float, quiet: bool):
        self._live = live = sys.stderr.isatty() and not quiet
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._bar = tqdm(
            total=seconds,
            unit="s",
            disable=quiet,
            delay=0 if live else 10,
            mininterval=0.1 if live else 10,
            bar_format=(
                "{percentage:3.0f}% |{bar:20}| {n:.0f}/{total:.0f} s of audio, "
                "{remaining} left"
            ),
        )

    def advance(self, seconds: float) -> None:
        """Adds seconds that are done.

        Raises:
            Stopped: If the work is to end.
        """
        if self._stop.is_set():
            raise Stopped
        with self._lock:
            # Rounding must not lead beyond the end.
            self._bar.update(min(seconds, self._bar.total - self._bar.n))

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

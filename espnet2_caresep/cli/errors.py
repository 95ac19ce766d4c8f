"""Which errors are the user's, and what one line says of them."""

from __future__ import annotations

NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")


def one_line(error: BaseException) -> str | None:
    """The line that says what to put right; None if the error is a bug of ours."""
    if isinstance(error, RuntimeError):
        # Torch reports a full GPU, or a full machine, as a RuntimeError.
        if not any(text in str(error) for text in NO_MEMORY):
            return None
        return "there is not enough memory; try --device cpu, or fewer --jobs"
    if not isinstance(error, (ValueError, OSError, MemoryError)):
        return None
    return " ".join(str(error).split()) or type(error).__name__

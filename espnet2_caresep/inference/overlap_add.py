"""Long audio through a network that sees one segment at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from espnet2_caresep.network.level import MARGIN

OVERLAP = 0.95  # by default; docs/separate.md says what it costs and gives
TOKEN = 4  # frames that networks join into one token, at least
TURN = 1.25  # frames by which each segment is further on in its tokens than the last


def hop_between(segment: int, frame: int, overlap: float = OVERLAP) -> int:
    """Samples from one segment to the next.

    A sound lies at some phase of the frames of a segment's STFT, and of the tokens into
    which networks join frames. Segments with the same phases share their errors. The
    hop is such that phases take turns: then errors average out (docs/separate.md has by
    how much).

    Args:
        segment: Samples of a segment.
        frame: Samples from one frame of its STFT to the next.
        overlap: Share of a segment that overlaps the next one, 0 to 0.95; but for 0
            it is met within two frames.

    Raises:
        ValueError: If ``overlap`` lies outside 0..0.95.
    """
    if not 0 <= overlap <= 0.95:
        raise ValueError(f"overlap must lie in 0..0.95, not {overlap}")
    if not overlap:
        return segment
    frames = segment * (1 - overlap) / frame
    tokens = round((frames - TURN) / TOKEN)
    return min(segment, round((max(tokens, 0) * TOKEN + TURN) * frame))


class OverlapAdd:
    """Processes a stream in overlapping segments and cross-fades their outputs.

    Where two segments meet, one fades out as a cosine while the next fades in as a sine.
    Where they overlap by one half or more, the window is half a sine wave and more than
    two segments are averaged. The weights are divided by their sum, so what is the same
    in all of them passes unchanged and there is no seam. (A Hann window, or one without
    a segment's ends, gave 0.1 to 0.2 dB less SDR: the ends are not worse than the
    middle, and the more the segments that count, the better their mean.)

    Segments lie on a fixed grid that begins with the audio: the blocks in which it
    comes here change nothing. Audio that fits one segment is processed whole. The last
    segment ends with the audio and overlaps its predecessor by as much as that takes: a
    short tail would leave the network without context. Segments that begin within half
    of one are processed together, with half a segment before and after them, as far as
    there is audio. Output lags input by less than three segments.

    Args:
        process: Audio (batch, n) and slices of it, all as long and at most a segment ->
            for each slice (out, its samples); ``out`` may differ from ``batch``.
        segment: Longest slice in samples.
        hop: Samples from the beginning of one segment to that of the next, at most a
            segment.

    Raises:
        ValueError: If ``hop`` or ``segment`` is out of range.
    """

    def __init__(
        self,
        process: Callable[[Tensor, Sequence[slice]], Iterable[Tensor]],
        segment: int,
        hop: int,
    ):
        if segment < 2 or not 1 <= hop <= segment:
            raise ValueError(
                "segment must be at least 2 samples and hop 1 to segment, not "
                f"{segment} and {hop}"
            )
        self.process = process
        self.segment = segment
        self.margin = int(segment * MARGIN)
        self.hop = hop
        self.group = 1 + segment // 2 // self.hop
        fade = min(segment - self.hop, segment // 2)
        phase = (torch.arange(fade) + 0.5) / max(fade, 1)
        self._window = torch.ones(segment)
        self._window[:fade] = torch.sin(phase * torch.pi / 2)
        self._window[segment - fade :] = self._window[:fade].flip(0)
        # Samples are counted from the beginning of the audio. Blocks hold what is still
        # needed, from the origin on; the sums begin with the last segment of the grid.
        self._blocks: list[Tensor] = []
        self._origin = self._given = 0
        self._last = self._next = 0
        self._sums: Tensor | None = None
        self._weights: Tensor | None = None

    def push(self, block: Tensor) -> Tensor | None:
        """Takes the next (batch, n); returns what is finished, (out, m), or None."""
        self._blocks.append(block)
        self._given += block.shape[-1]
        return self._add_before(self._given - self.margin)

    def finish(self) -> Tensor:
        """Processes the end; returns what is left, (out, m).

        Raises:
            ValueError: If there was no audio.
        """
        if not self._given:
            raise ValueError("there is no audio to process")
        if self._given <= self.segment:
            (whole,) = self.process(self._joined(), [slice(0, self._given)])
            return whole
        done = [self._add_before(self._given)]
        last = self._given - self.segment
        done += [self._add([*range(self._next, last, self.hop), last])]
        done += [self._sums / self._weights]
        return torch.cat([part for part in done if part is not None], -1)

    def _add_before(self, end: int) -> Tensor | None:
        """Adds the groups that end before a sample, and so without the last segment;
        returns what is final then, if anything."""
        done, length = [], self.group * self.hop
        while self._next + length - self.hop + self.segment < end:
            done.append(self._add(range(self._next, self._next + length, self.hop)))
            self._next += length
        return torch.cat(done, -1) if done else None

    def _add(self, starts: Sequence[int]) -> Tensor:
        """Adds segments; returns all before the last one of them, which is final."""
        first = max(0, starts[0] - self.margin)
        audio = self._joined()[:, first - self._origin :]
        self._blocks, self._origin = [audio], first
        inner = [slice(s - first, s - first + self.segment) for s in starts]
        parts = self.process(audio[:, : inner[-1].stop + self.margin], inner)
        return torch.cat([self._fade_in(*both) for both in zip(starts, parts)], -1)

    def _fade_in(self, start: int, part: Tensor) -> Tensor:
        """Adds a segment's output to the sums; returns all before it."""
        window = self._window.to(part.device)
        if self._sums is None:
            self._sums = part.new_zeros(len(part), self.segment)
            self._weights = part.new_zeros(self.segment)
        forward, self._last = start - self._last, start
        done = self._sums[:, :forward] / self._weights[:forward]
        grow = (0, forward)
        self._sums = torch.nn.functional.pad(self._sums[:, forward:], grow)
        self._weights = torch.nn.functional.pad(self._weights[forward:], grow)
        self._sums += window * part
        self._weights += window
        return done

    def _joined(self) -> Tensor:
        if len(self._blocks) > 1:
            self._blocks = [torch.cat(self._blocks, -1)]
        return self._blocks[0]


def overlap_add(
    process: Callable[[Tensor, Sequence[slice]], Iterable[Tensor]],
    audio: Tensor,
    segment: int,
    hop: int,
) -> Tensor:
    """Processes audio (batch, samples) at once; see :class:`OverlapAdd`.

    Returns:
        (out, samples).
    """
    stream = OverlapAdd(process, segment, hop)
    done = stream.push(audio)
    rest = stream.finish()
    return rest if done is None else torch.cat([done, rest], -1)

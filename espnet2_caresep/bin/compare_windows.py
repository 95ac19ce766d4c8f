"""What a corpus gives for free, by STFT window: masks that need no learning.

    python -m espnet2_caresep.bin.compare_windows --mix_dir dump/raw/valid_mix

For each window and hop it prints the mean mixture-SDR, in dB, of the static mask of the
query, of the same after the frames' activations (what ``query_spectrum`` starts from),
both with the target's own clip and with another clip of its class, and of the oracle
that bounds them, the ideal ratio mask. Choose ``n_fft`` and ``hop_length`` by it before
any training.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet2_caresep.data.command import run_command
from espnet2_caresep.data.mixture_pairs import read_mixture_pairs

BANDS, RATE = 64, 32000  # of the default recipe
WINDOWS = ["1024/320", "2048/648", "3072/648", "4096/648"]
HEADER = [
    "window/hop",
    "static mask, own",
    "static mask, other",
    "with activations, own",
    "with activations, other",
    "ideal ratio mask",
]


def get_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description="Score masks that need no learning by STFT window",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--mix_dir", type=Path, required=True, help="fixed mixtures of stage 3"
    )
    parser.add_argument(
        "--windows", nargs="+", default=WINDOWS, help="window/hop in samples"
    )
    parser.add_argument("--num_threads", type=int, default=1, help="CPU threads")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command; see :func:`run_command`."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> None:
    """Scores and prints a table.

    Raises:
        ValueError: If a window has no meaning or a file is missing.
    """
    import numpy as np
    import torch

    from espnet2_caresep.network.query import QuerySpectrum
    from espnet2_caresep.network.stft import STFT
    from espnet2_caresep.scoring.markdown import table

    torch.set_num_threads(args.num_threads)
    windows = {}
    for name in args.windows:
        stft = STFT(*_numbers(name))
        windows[name] = stft, QuerySpectrum(stft.num_bins, BANDS, RATE).eval()
    scores: dict[str, list[list[float]]] = {name: [] for name in windows}
    for item in _items(args.mix_dir):
        for name, window in windows.items():
            scores[name].append(_score(*window, *item))
    rows = [
        [name, *(f"{mean:.2f}" for mean in np.mean(values, 0))]
        for name, values in scores.items()
    ]
    count = len(next(iter(scores.values())))
    print(table(HEADER, rows) + f"\n{count} items of {args.mix_dir}, dB, means.")


def _numbers(window: str) -> tuple[int, int]:
    parts = window.split("/")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise ValueError(f"--windows takes window/hop such as 1024/320, not {window}")
    return int(parts[0]), int(parts[1])


def _items(folder: Path):
    """Mixture, target, own query and other query of each item, tensors (samples,)."""
    import torch

    from espnet2_caresep.inference.audio.recording import read_audio

    for pair in read_mixture_pairs(folder).values():
        for source in pair.sources:
            paths = (pair.mixture, source.audio, source.own, source.other)
            yield [torch.from_numpy(read_audio(path).samples[0]) for path in paths]


def _score(stft, prior, mixture, target, own, other) -> list[float]:
    from espnet2_caresep.scoring import baselines
    from espnet2_caresep.scoring.metrics import sdr

    estimates = [
        baselines.static_mask(mixture, own, stft),
        baselines.static_mask(mixture, other, stft),
        _with_activations(mixture, own, stft, prior),
        _with_activations(mixture, other, stft, prior),
        baselines.ideal_ratio_mask(mixture, target, stft),
    ]
    return [float(sdr(target, estimate)) for estimate in estimates]


def _with_activations(mixture, query, stft, prior):
    """The untrained prior of the network (:class:`QuerySpectrum`) as the mask."""
    import torch

    from espnet2_caresep.network.level import at_unit_level

    spectra = [stft(audio[None]) for audio in (mixture, query)]
    heard, wanted = (
        at_unit_level(x, torch.tensor([x.shape[1]]), x.shape[1]) for x in spectra
    )
    with torch.no_grad():
        logits, _ = prior(wanted.log_mean, heard)
    return stft.inverse(logits.sigmoid() * spectra[0], len(mixture))[0]


if __name__ == "__main__":
    main()

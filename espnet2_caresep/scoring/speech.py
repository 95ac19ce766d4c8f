"""What separation did to speech, apart from recognition: a hint why words are lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from espnet2_caresep.data.files import read_table
from espnet2_caresep.inference.audio.recording import read_audio
from espnet2_caresep.scoring.metrics import sdr


def separated_speech(data_dir: str | Path, separated: str | Path) -> dict[str, float]:
    """Means over the items of a set of :mod:`~espnet2_caresep.bin.mix_speech`.

    Args:
        data_dir: Has ``wav.scp`` (mixtures) and ``spk1.scp`` (the speech in them).
        separated: List of what was separated.

    Returns:
        ``mixture_sdr`` and ``separated_sdr`` in dB, ``improved`` (share of items whose
        SDR separation raised), and ``kept_db`` (level of the speech in the output
        against the speech put in: 10 log10 of a squared, a = <s^, s> / |s|^2; 0 if all
        of it is kept).

    Raises:
        ValueError: If a file cannot be read.
    """
    mixtures, speech = (
        read_table(Path(data_dir, name)) for name in ("wav.scp", "spk1.scp")
    )
    estimates = read_table(separated)
    rows = []
    for uid, path in speech.items():
        clean, mixture, estimate = (
            read_audio(file).samples[0].astype(np.float64)
            for file in (path, mixtures[uid], estimates[uid])
        )
        share = np.dot(estimate, clean) / np.dot(clean, clean)
        kept = 10 * np.log10(max(share, 1e-5) ** 2)
        rows.append((sdr(clean, mixture), sdr(clean, estimate), kept))
    before, after, kept = np.array(rows).T
    return {
        "mixture_sdr": float(before.mean()),
        "separated_sdr": float(after.mean()),
        "improved": float((after > before).mean()),
        "kept_db": float(kept.mean()),
    }

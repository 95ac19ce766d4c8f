"""The command that measures segment borders: right where the answer is known."""

from itertools import cycle

import numpy as np
import pytest
import soundfile

from espnet2_caresep.bin import borders
from espnet2_caresep.inference import CaRESeparator


def test_a_constant_mask_knows_no_borders(tiny_model, sound, monkeypatch):
    separator = CaRESeparator.from_pretrained(tiny_model, "cpu")
    network = separator.network
    half = separator.network.mask

    def constant(*given):
        return 0.5 + 0 * half(*given)

    monkeypatch.setattr(network, "mask", constant)
    query = separator.query(sound(1), 32000)
    blocks, shift, seams, seconds = borders.measure(separator, sound(0, 6)[0], query)
    assert blocks == np.inf and shift > 100 and abs(seams) < 0.01 and seconds > 0


def test_the_random_model_shows_a_difference(tiny_model, sound):
    separator = CaRESeparator.from_pretrained(tiny_model, "cpu")
    query = separator.query(sound(1), 32000)
    blocks, shift, seams, _ = borders.measure(separator, sound(0, 6)[0], query)
    assert blocks == np.inf and 0 < shift < 100 and abs(seams) < 3


def test_the_command(tiny_model, sound, tmp_path, capsys):
    for name, seconds in (("mix.wav", 5), ("short.wav", 1)):
        soundfile.write(tmp_path / name, sound(0, seconds)[0], 32000)
    options = ["--model", str(tiny_model), "--query", str(tmp_path / "short.wav")]
    borders.main([str(tmp_path / "mix.wav"), *options, "--overlap", "0.25", "0.5"])
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("overlap  blocks, dB") and len(rows) == 2
    with pytest.raises(SystemExit) as end:
        borders.main([str(tmp_path / "short.wav"), *options])
    assert end.value.code == 2 and "are needed" in capsys.readouterr().err


def test_a_step_at_every_border_is_a_seam(tiny_model, sound, monkeypatch):
    separator = CaRESeparator.from_pretrained(tiny_model, "cpu", overlap=0)
    gains = cycle([0.2, 0.9])
    mask = separator.network.mask

    def uneven(*given):
        return next(gains) + 0 * mask(*given)

    monkeypatch.setattr(separator.network, "mask", uneven)
    query = separator.query(sound(1), 32000)
    tone = np.cos(np.arange(6 * 32000) / 300).astype(np.float32)
    assert borders.measure(separator, tone, query)[2] > 10

"""The command that measures what overlap is worth: its mixtures and its table."""

import numpy as np
import pytest
import soundfile

from espnet2_caresep.bin import overlap
from espnet2_caresep.cli.separate_options import add_arguments
from espnet2_caresep.inference import CaRESeparator
from espnet2_caresep.inference.overlap_add import OVERLAP


@pytest.fixture(scope="module")
def data(tmp_path_factory, sound):
    """Four clips of each of two classes."""
    folder = tmp_path_factory.mktemp("data")
    names = [f"{kind}{i}" for kind in "ab" for i in range(4)]
    for seed, name in enumerate(names):
        soundfile.write(folder / f"{name}.wav", sound(seed, 0.8)[0], 32000)
    rows = "".join(f"{name} {folder / name}.wav\n" for name in names)
    (folder / "wav.scp").write_text(rows)
    rows = "".join(f"{name} class_{name[0]}\n" for name in names)
    (folder / "utt2class").write_text(rows)
    return folder


def test_mixtures_are_of_two_classes_at_equal_power(data):
    items = overlap.draw(data, 3, 5.0, 32000)
    again = overlap.draw(data, 3, 5.0, 32000)
    for item, same in zip(items, again, strict=True):
        assert len(item.mixture) == len(item.target) == 5 * 32000
        rest = item.mixture - item.target
        powers = [np.square(x).mean() for x in (item.target, rest)]
        assert powers[0] == pytest.approx(powers[1], rel=1e-4)
        assert np.array_equal(item.mixture, same.mixture)
        # The other clip is none of those in the target.
        pieces = item.target[:76800].reshape(3, -1)
        scale = np.linalg.norm(pieces, axis=1) * np.linalg.norm(item.other)
        assert (np.abs(pieces @ item.other[:25600]) < 0.999 * scale).all()


def test_what_is_measured(data, tiny_model, monkeypatch):
    separator = CaRESeparator.from_pretrained(tiny_model, "cpu", overlap=0.25)
    network = separator.network
    mask = network.mask
    monkeypatch.setattr(network, "mask", lambda *given: 0.5 + 0 * mask(*given))
    items = overlap.draw(data, 1, 4.0, 32000)
    own, other, shift, lowest, seconds = overlap.measure(separator, items)
    # Half of a mixture of two equal sounds: the error is half of each.
    assert own == pytest.approx(other) == pytest.approx(3.01, abs=0.3)
    assert min(shift, lowest) > 100 and seconds > 0


def test_the_command(data, tiny_model, capsys):
    given = ["--model", str(tiny_model), "--data_dir", str(data), "--count", "1"]
    overlap.main([*given, "--seconds", "4", "--overlap", "0", "0.5"])
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("overlap  own") and len(rows) == 2
    for wrong in (["--seconds", "2"], ["--count", "0"], ["--data_dir", "none"]):
        with pytest.raises(SystemExit) as end:
            overlap.main([*given, *wrong])
        assert end.value.code == 2 and capsys.readouterr().err.count("\n") == 1


def test_the_command_line_has_the_default_of_python():
    import argparse

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert parser.parse_args(["mix.wav"]).overlap == OVERLAP

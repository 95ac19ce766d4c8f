"""The command that measures what fading does, and the mixtures that it reads."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import yaml

from espnet2_caresep.bin import fading
from espnet2_caresep.data.mixture_pairs import read_mixture_pairs
from espnet2_caresep.inference import CaRESeparator
from espnet2_caresep.scoring.metrics import sdr

RATE, SIZE = 32000, 19200


def _read(path):
    return soundfile.read(path, dtype="float32")[0]


def test_pairs_are_read_as_they_were_written(pairs, tmp_path):
    found = read_mixture_pairs(pairs)
    assert list(found) == [f"pair{i}" for i in range(7)]
    one = found["pair3"]
    assert one.labels == {"class7", "class8"}
    assert one.sources[1].labels == {"class8"}
    assert one.mixture == str(pairs / "3_wav.wav")
    source = one.sources[1]
    names = [
        path.rsplit("/", 1)[1] for path in (source.audio, source.own, source.other)
    ]
    assert names == ["3_spk2.wav", "3_enroll_spk2.wav", "3_other_spk2.wav"]
    for path in pairs.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "label_spk2").unlink()
    (tmp_path / "label_spk2").write_text("pair0 class2\n")
    with pytest.raises(ValueError, match="pair1 lacks"):
        read_mixture_pairs(tmp_path)


def test_recordings_are_what_the_text_says(pairs):
    table = list(read_mixture_pairs(pairs).values())
    found = list(fading.recordings(table, 2))
    kinds = [one.kind for one in found]
    # Two begin with the first and the third pair: two items of each kind, one stranger
    assert kinds == 2 * (2 * ["throughout"] + 2 * ["in passing"] + ["absent"])
    sources = [[_read(pairs / f"{i}_spk{n}.wav") for i in range(7)] for n in (1, 2)]
    always, _, passing, _, absent, *_ = found
    assert np.array_equal(always.target, np.tile(sources[0][0], 5))
    others = np.concatenate(sources[1][:5])
    assert np.allclose(always.mixture, always.target + others, atol=1e-7)
    row = np.concatenate([_read(pairs / f"{i}_wav.wav") for i in range(5)])
    assert np.array_equal(passing.mixture, row) and np.array_equal(absent.mixture, row)
    assert passing.part == slice(2 * SIZE, 3 * SIZE)
    assert np.array_equal(passing.target[passing.part], sources[0][2])
    assert np.count_nonzero(passing.target) <= SIZE and not absent.target.any()
    assert absent.wanted == table[5].sources[0]


def test_no_other_sound_has_the_class(pairs):
    table = list(read_mixture_pairs(pairs).values())
    # The second source of the fourth pair is of the class of the very first one
    first, second = table[3].sources
    alike = replace(second, labels=table[0].sources[0].labels)
    table[3] = replace(table[3], sources=(first, alike))
    wanted = [
        one.wanted for one in fading.recordings(table[:5], 1) if one.kind != "absent"
    ]
    assert wanted == [table[0].sources[1], *table[2].sources]


@pytest.fixture(scope="module")
def doubting(tiny_model, tmp_path_factory):
    """The tiny model with a rule by which nothing is sure."""
    folder = tmp_path_factory.mktemp("doubting")
    config = yaml.safe_load((tiny_model / "config.yaml").read_text())
    rule = {"bias": 0.0, "share_weight": 0.1, "threshold": 1.0, "absent": 0.01}
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"presence": rule}))
    weights = "valid.mixture_sdr.best.pth"
    (folder / weights).symlink_to(tiny_model / weights)
    return folder


def test_figures_are_what_a_person_would_measure(pairs, doubting):
    separator = CaRESeparator.from_pretrained(doubting, "cpu", overlap=0.25)
    table = list(read_mixture_pairs(pairs).values())
    _, _, passing, _, absent, *_ = fading.recordings(table, 7)
    figures = fading.measure(separator, passing, "own")
    found = separator.separate(passing.mixture, str(pairs / "2_spk1.wav"), RATE)
    for i, stem in enumerate((found.target, found.faded().target)):
        here, there, others = figures[i::2]
        assert here == pytest.approx(sdr(passing.target, stem))
        part = passing.part
        assert there == pytest.approx(sdr(passing.target[part], stem[part]))
        level, whole = (
            np.delete(x, np.r_[part]).astype(np.float64)
            for x in (stem, passing.mixture)
        )
        expected = 10 * np.log10(np.square(level).sum() / np.square(whole).sum())
        assert others == pytest.approx(expected, abs=1e-4)
    assert figures[5] < figures[4] - 1  # faded
    figures = fading.measure(separator, absent, "other")
    assert np.isnan(figures[:4]).all() and figures[5] < figures[4]


def test_the_command(pairs, doubting, capsys):
    given = ["--model", str(doubting), "--overlap", "0.25", "--data_dir"]
    fading.main([*given, str(pairs), "--every", "7"])
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["sound", "query", "items"]
    found = [tuple(row[:24].rsplit(None, 2)) for row in rows]
    assert found == [
        (kind, query, "2" if kind != "absent" else "1")
        for kind in ("throughout", "in passing", "absent")
        for query in ("own", "other")
    ]
    assert all(len(row) == len(head) for row in rows)
    for wrong in ([str(pairs), "--every", "0"], ["none"]):
        with pytest.raises(SystemExit) as end:
            fading.main([*given, *wrong])
        assert end.value.code == 2 and capsys.readouterr().err.count("\n") == 1

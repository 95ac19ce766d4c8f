"""The command that compares STFT windows without any training."""

import numpy as np
import pytest
import soundfile

from espnet2_caresep.bin.compare_windows import main
from espnet2_caresep.data.files import write_table

RATE = 32000


@pytest.fixture
def mix_dir(tmp_path):
    """One pair: tones 30 Hz apart, which only a long window tells apart."""
    times = np.arange(RATE) / RATE
    low, high = (np.sin(2 * np.pi * f * times) / 4 for f in (1000, 1030))
    noise = np.random.default_rng(0).standard_normal(RATE) / 4
    audio = {
        "wav": low + high,
        "spk1": low,
        "spk2": high,
        "enroll_spk1": low,
        "enroll_spk2": high,
        "other_spk1": noise,
        "other_spk2": noise,
    }
    for name, samples in audio.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, RATE, "FLOAT")
        write_table(tmp_path / f"{name}.scp", {"pair": tmp_path / f"{name}.wav"})
    for n in (1, 2):
        write_table(tmp_path / f"label_spk{n}", {"pair": f"tone{n}"})
    return tmp_path


def test_longer_windows_tell_close_tones_apart(mix_dir, capsys):
    main(["--mix_dir", str(mix_dir), "--windows", "512/128", "4096/512"])
    lines = capsys.readouterr().out.splitlines()
    short, long = ([float(x) for x in line.split("|")[2:-1]] for line in lines[2:4])
    own, other, moving, _, oracle = long
    assert own > short[0] + 10 and oracle > short[4] + 10
    assert own > 15 and own > other + 10
    # The first trust in a mask is below 1, and tones have nothing to follow
    assert 3 < moving <= own
    assert lines[-1].startswith("2 items")


@pytest.mark.parametrize("window", ["1024", "a/b", "1024/-1"])
def test_a_window_without_meaning_is_refused(mix_dir, capsys, window):
    with pytest.raises(SystemExit) as stop:
        main(["--mix_dir", str(mix_dir), "--windows", window])
    assert stop.value.code == 2
    assert f"not {window}" in capsys.readouterr().err

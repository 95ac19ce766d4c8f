"""Reading, writing and converting audio."""

import numpy as np
import pytest
import soundfile

from espnet2_caresep.inference.audio import (
    AudioError,
    check_output,
    read_audio,
    resample,
    write_audio,
)


@pytest.mark.parametrize(
    "name, subtype, step",
    [
        ("a.wav", "float", 0),
        ("a.wav", "pcm16", 2**-15),
        ("a.wav", "pcm24", 2**-23),
        ("a.flac", "pcm16", 2**-15),
        ("a.FLAC", "pcm24", 2**-23),
    ],
)
def test_round_trip(tmp_path, sound, name, subtype, step):
    samples = sound(0, channels=2, rate=44100)
    write_audio(tmp_path / name, samples, 44100, subtype, comment="made by a test")
    audio = read_audio(tmp_path / name)
    assert audio.sample_rate == 44100 and audio.samples.shape == samples.shape
    assert np.abs(audio.samples - samples).max() <= step
    assert soundfile.SoundFile(tmp_path / name).comment == "made by a test"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_integers_clip_and_do_not_wrap(tmp_path):
    write_audio(tmp_path / "a.wav", np.float32([-3, -1, 0, 1, 3]), 8000, "pcm16")
    samples = read_audio(tmp_path / "a.wav").samples[0]
    assert np.allclose(samples, [-1, -1, 0, 1, 1], atol=1e-4)


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.flac"
    write_audio(path, np.ones((1, 10), np.float32), 8000, "pcm16")
    before = path.read_bytes()
    with pytest.raises(AudioError, match="cannot be written"):
        write_audio(path, np.ones((9, 10), np.float32), 8000, "pcm16")
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_unreadable_files(tmp_path):
    (tmp_path / "text.wav").write_text("not audio")
    (tmp_path / "zero.wav").touch()
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 8000)
    soundfile.write(tmp_path / "nan.wav", np.float32([0, np.nan]), 8000, "FLOAT")
    (tmp_path / "folder.wav").mkdir()
    reasons = {
        "text.wav": "cannot be read as audio",
        "zero.wav": "cannot be read as audio",
        "empty.wav": "is empty",
        "nan.wav": "NaN or infinite",
        "folder.wav": "is a directory",
        "none.wav": "no such file",
    }
    for name, reason in reasons.items():
        with pytest.raises(AudioError, match=reason) as caught:
            read_audio(tmp_path / name)
        assert "\n" not in str(caught.value) and name in str(caught.value)


def test_output_rules(tmp_path):
    assert check_output(tmp_path / "a.wav") == "float"
    assert check_output(tmp_path / "a.flac") == "pcm24"
    assert check_output(tmp_path / "a.wav", "pcm16") == "pcm16"
    (tmp_path / "there.wav").touch()
    assert check_output(tmp_path / "there.wav", overwrite=True) == "float"
    for path, subtype, reason in (
        ("there.wav", None, "--overwrite"),
        ("a.xyz", None, "must end in .wav or .flac"),
        ("a", None, "must end in"),
        ("a.flac", "float", "choose pcm16 or pcm24"),
        ("no/a.wav", None, "no such folder"),
    ):
        with pytest.raises(AudioError, match=reason):
            check_output(tmp_path / path, subtype)


def test_resampling_keeps_a_tone_and_the_duration():
    time = np.arange(44100) / 44100
    tone = np.sin(2 * np.pi * 1000 * time).astype(np.float32)[None]
    there = resample(tone, 44100, 32000)
    assert there.shape == (1, 32000)
    expected = np.sin(2 * np.pi * 1000 * np.arange(32000) / 32000)
    assert np.abs(there[0, 3000:-3000] - expected[3000:-3000]).max() < 1e-4
    back = resample(there, 32000, 44100)
    assert np.abs(back - tone)[0, 3000:-3000].max() < 1e-4

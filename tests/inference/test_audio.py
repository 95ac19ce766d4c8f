"""Reading, writing and converting audio."""

import os
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_caresep.inference.audio.reader import AudioError, AudioReader
from espnet2_caresep.inference.audio.recording import read_audio, write_audio
from espnet2_caresep.inference.audio.resampling import Resampler, resample
from espnet2_caresep.inference.audio.writer import (
    check_output,
    round_to,
    to_integers,
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


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.flac"
    write_audio(path, np.ones((1, 10), np.float32), 8000, "pcm16")
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    with pytest.raises(AudioError, match="at most 8 channels"):
        write_audio(path, np.ones((9, 10), np.float32), 8000, "pcm16")
    monkeypatch.setattr(soundfile.SoundFile, "write", full)
    with pytest.raises(AudioError, match="a.flac: cannot be written .No space left"):
        write_audio(path, np.zeros((1, 10), np.float32), 8000, "pcm16")
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3"])
def test_lossy_formats_keep_the_sound_and_the_length(tmp_path, sound, name):
    samples = sound(0, seconds=2, rate=32000, channels=2)
    samples -= samples.mean()
    write_audio(tmp_path / name, samples, 32000, None)
    audio = read_audio(tmp_path / name)
    assert audio.samples.shape == samples.shape
    assert np.corrcoef(audio.samples.ravel(), samples.ravel())[0, 1] > 0.8


@pytest.mark.parametrize(
    "name, rate, channels, reason",
    [
        ("a.mp3", 44100, 3, "at most 2 channels"),
        ("a.mp3", 96000, 1, "write .wav"),
        ("a.ogg", 384000, 1, "up to 200000 Hz"),
        ("a.flac", 700000, 1, "up to 655350"),
    ],
)
def test_what_a_format_cannot_hold_is_said_before(
    tmp_path, name, rate, channels, reason
):
    with pytest.raises(AudioError, match=reason):
        write_audio(tmp_path / name, np.zeros((channels, 9), np.float32), rate, None)
    assert not list(tmp_path.iterdir())


@settings(deadline=None)
@given(st.lists(st.integers(-(2**23), 2**23 - 1), min_size=1, max_size=50))
def test_integers_survive_exactly(values):
    samples = np.float32(values)[None] / 2**23
    assert np.array_equal(to_integers(samples, 24)[0] >> 8, values)
    assert np.array_equal(round_to(samples, "pcm24"), samples)
    short = np.round(samples * 2**15)
    expected = np.clip(short, -(2**15), 2**15 - 1)
    assert np.array_equal(to_integers(samples, 16), expected)
    assert np.array_equal(round_to(samples, "pcm16"), short / 2**15)


def test_blocks_are_the_file(tmp_path, sound):
    samples = sound(0, seconds=3, rate=44100, channels=5)
    write_audio(tmp_path / "a.wav", samples, 44100)
    reader = AudioReader(tmp_path / "a.wav")
    assert (reader.channels, reader.frames) == samples.shape
    blocks = list(reader.blocks())
    assert len(blocks) > 1 and np.array_equal(np.concatenate(blocks, 1), samples)
    part = np.concatenate(list(reader.blocks(70000, 130000)), 1)
    assert np.array_equal(part, samples[:, 70000:130000])


def test_conversion_in_blocks_equals_conversion_at_once(sound):
    samples = sound(0, seconds=2, rate=44100, channels=2)
    for rate in (32000, 48000, 44100):
        converter = Resampler(44100, rate, 2)
        cuts = [0, 1, 2, 5000, 5001, 40000, samples.shape[1]]
        parts = [converter.push(samples[:, a:b]) for a, b in pairwise(cuts)]
        joined = np.concatenate([*parts, converter.finish()], 1)
        expected = resample(samples, 44100, rate)
        assert np.array_equal(joined[:, : expected.shape[1]], expected)
        assert abs(joined.shape[1] - expected.shape[1]) <= 1


def test_unreadable_files(tmp_path):
    (tmp_path / "text.wav").write_text("not audio")
    (tmp_path / "zero.wav").touch()
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 8000)
    soundfile.write(tmp_path / "nan.wav", np.float32([0, np.nan]), 8000, "FLOAT")
    (tmp_path / "folder.wav").mkdir()
    os.mkfifo(tmp_path / "pipe.wav")
    tone = np.sin(np.arange(30000) / 9)
    for name in ("cut.wav", "cut.flac", "cut.mp3"):
        soundfile.write(tmp_path / name, tone, 8000)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
    soundfile.write(tmp_path / "slow.wav", tone, 3)
    reasons = {
        "pipe.wav": "not a regular file",
        "cut.wav": "is cut short, only",
        "cut.flac": "cannot be read as audio|is cut short",
        "cut.mp3": "is cut short",
        "slow.wav": "sample rate of 3 Hz",
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


def test_a_recording_whose_size_was_never_written_is_read(tmp_path):
    soundfile.write(tmp_path / "pipe.wav", np.zeros(500), 8000)
    content = bytearray((tmp_path / "pipe.wav").read_bytes())
    content[4:8] = content[40:44] = b"\xff" * 4
    (tmp_path / "pipe.wav").write_bytes(content)
    assert read_audio(tmp_path / "pipe.wav").samples.shape == (1, 500)


def test_a_wrong_suffix_does_not_matter(tmp_path, sound):
    soundfile.write(tmp_path / "a.wav", sound(0)[0], 32000, format="FLAC")
    assert read_audio(tmp_path / "a.wav").samples.shape == sound(0).shape


def test_output_rules(tmp_path):
    assert check_output(tmp_path / "a.wav") == "float"
    assert check_output(tmp_path / "a.flac") == "pcm24"
    assert check_output(tmp_path / "a.wav", "pcm16") == "pcm16"
    (tmp_path / "there.wav").touch()
    assert check_output(tmp_path / "there.wav", overwrite=True) == "float"
    for path, subtype, reason in (
        ("there.wav", None, "--overwrite"),
        ("a.xyz", None, "must end in one of .wav, .flac"),
        ("a", None, "must end in"),
        ("a.flac", "float", "choose pcm16 or pcm24"),
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

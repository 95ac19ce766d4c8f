"""Copies of recordings are found; different recordings are not taken for copies."""

import csv
import sys

import numpy as np
import pytest
import soundfile
import soxr
from places import DEBSOUNDS

sys.path.insert(0, str(DEBSOUNDS / "local"))
import find_copies
from corpus_table import read_clips

RATE = 32000
COLUMNS = "uid kind class label split group seconds start sources recipe package"


def bursts(seed, seconds=2.0):
    """Coloured noise in bursts, as steps or shots are."""
    draw = np.random.default_rng(seed)
    audio = np.zeros(round(RATE * seconds))
    for begin in np.arange(0.1, seconds - 0.3, 0.4) + draw.uniform(0, 0.1):
        size = round(RATE * 0.3)
        decay = np.exp(-np.arange(size) / RATE / draw.uniform(0.02, 0.08))
        kernel = draw.normal(size=draw.integers(4, 40))
        burst = np.convolve(draw.normal(size=size), kernel, "same") * decay
        at = round(RATE * begin)
        audio[at : at + size] += burst / np.abs(burst).max()
    return 0.8 * audio / np.abs(audio).max()


@pytest.fixture
def look(tmp_path, monkeypatch, capsys):
    """Writes recordings and tables, runs the command; returns the uids of copies."""

    def write_table(name, rows):
        with open(tmp_path / name, "w", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerow(COLUMNS.split())
            for uid, split, sources in rows:
                values = ["file", "x", "x", split, uid, "2.00", "0.00", sources, "-"]
                writer.writerow([uid, *values, "pack"])

    def look(used, new, *options):
        """used: uid to audio. new: uid to (audio, rate, subtype), or names of files."""
        folder = tmp_path / "pack"
        folder.mkdir()
        for uid, audio in used.items():
            soundfile.write(folder / f"{uid}.wav", audio, RATE)
        rows = []
        for uid, item in new.items():
            if isinstance(item, tuple):
                audio, rate, subtype = item
                suffix = "ogg" if subtype == "VORBIS" else "wav"
                soundfile.write(folder / f"{uid}.{suffix}", audio, rate, subtype)
                item = f"pack/{uid}.{suffix}"
            rows.append((uid, "train", item))
        write_table("used.tsv", [(uid, "test", f"pack/{uid}.wav") for uid in used])
        write_table("new.tsv", rows)
        command = ["find_copies", "--unpacked_dir", tmp_path, *options]
        command += ["--table", tmp_path / "new.tsv", "--used", tmp_path / "used.tsv"]
        command += ["--output", tmp_path / "kept.tsv"]
        monkeypatch.setattr(sys, "argv", [str(word) for word in command])
        find_copies.main()
        lines = capsys.readouterr().out.splitlines()
        copies = [line.split()[1] for line in lines if line.startswith("copy: ")]
        kept = [clip.uid for clip in read_clips(tmp_path / "kept.tsv")]
        assert kept == [uid for uid in new if uid not in copies]
        return copies

    return look


def test_copies_are_found_and_other_recordings_are_not(look):
    used = {f"used{seed}": bursts(seed) for seed in range(6)}
    rough = np.round(0.5 * soxr.resample(bursts(1), RATE, 11025) * 127) / 127
    new = {
        "rough": (rough[1000:-4000], 11025, "PCM_U8"),
        "coded": (0.5 * soxr.resample(bursts(2), RATE, 22050)[3000:], 22050, "VORBIS"),
        "same": "pack/used3.wav",
        "hits": "pack/other9.wav|pack/coded.ogg",
    }
    others = {
        f"other{seed}": (bursts(seed), 22050 if seed % 2 else RATE, "PCM_16")
        for seed in range(6, 18)
    }
    assert look(used, {**others, **new}, "--least", "0.8") == list(new)


def test_tones_of_one_pitch_are_no_copies(look):
    time = np.arange(RATE) / RATE
    used, new = (
        sum(level * np.sin(2 * np.pi * 220 * n * time) for n, level in levels)
        for levels in ([(1, 0.4), (2, 0.3)], [(1, 0.4), (2, 0.2), (3, 0.1)])
    )
    fade = np.minimum(1, 20 * time) * np.minimum(1, 20 * time[::-1])
    assert look({"used": used * fade}, {"new": (new * fade, RATE, "PCM_16")}) == []


def test_the_first_of_copies_among_new_clips_stays(look):
    new = {
        "first": (bursts(1), RATE, "PCM_16"),
        "second": (0.3 * bursts(1)[4000:], RATE, "PCM_16"),
        "third": (bursts(2), RATE, "PCM_16"),
    }
    assert look({"used": bursts(0)}, new, "--within") == ["second"]


def test_nothing_to_compare_with_is_said(look):
    with pytest.raises(ValueError, match="nothing to compare with"):
        look({"used": bursts(0)}, {}, "--splits", "tests")

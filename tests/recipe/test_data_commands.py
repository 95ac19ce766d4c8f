"""Formatting, mixing and the small files under them."""

import numpy as np
import pytest
import soundfile
import soxr
from places import AUDIO

from espnet2_caresep.bin import format_data, make_mixtures
from espnet2_caresep.data.files import (
    keyed_directory,
    read_table,
    write_table,
    write_whole,
)


def data_dir(folder, clips, cuts=None):
    folder.mkdir()
    write_table(folder / "wav.scp", clips)
    write_table(folder / "labels", dict.fromkeys(clips, "sound"))
    if cuts:
        write_table(folder / "cuts", cuts)
    return folder


def format_clips(tmp_path, *options):
    output = tmp_path / "out"
    arguments = ["--data_dir", str(tmp_path / "in"), "--output_dir", str(output)]
    format_data.main([*arguments, "--nj", "1", *options])
    return output


def test_clips_become_mono_at_the_rate(tmp_path):
    path = AUDIO / "loop_breakbeat.flac"
    data_dir(tmp_path / "in", {"a": path, "b": path}, {"b": "0.5 1.0"})
    output = format_clips(tmp_path, "--fs", "32000")
    stereo, rate = soundfile.read(path, dtype="float32")
    wavs = read_table(output / "wav.scp")
    whole = soundfile.read(wavs["a"])[0]
    expected = soxr.resample(stereo.mean(axis=1), rate, 32000)
    np.testing.assert_allclose(whole, expected, atol=1 / 32768)
    cut = soundfile.read(wavs["b"])[0]
    assert len(cut) == 32000 == int(read_table(output / "utt2num_samples")["b"])
    # Away from the edges of the cut, resampling a part is resampling the whole
    np.testing.assert_allclose(cut[500:-500], whole[16500:47500], atol=1e-3)


@pytest.mark.parametrize("kind, subtype", [("wav", "PCM_16"), ("wav.float", "FLOAT")])
def test_formats(tmp_path, kind, subtype):
    data_dir(tmp_path / "in", {"a": AUDIO / "misc_crow.flac"})
    output = format_clips(tmp_path, "--audio_format", kind)
    path = read_table(output / "wav.scp")["a"]
    assert path.endswith("/a.wav") and soundfile.info(path).subtype == subtype


def test_flac(tmp_path):
    data_dir(tmp_path / "in", {"a": AUDIO / "misc_crow.flac"})
    path = read_table(format_clips(tmp_path, "--audio_format", "flac") / "wav.scp")["a"]
    assert path.endswith("/a.flac") and soundfile.info(path).format == "FLAC"


def test_what_overshoots_in_resampling_is_not_clipped(tmp_path):
    square = np.sign(np.sin(np.arange(44100) * 0.1)).astype(np.float32)
    soundfile.write(tmp_path / "square.wav", square, 44100, subtype="FLOAT")
    data_dir(tmp_path / "in", {"a": tmp_path / "square.wav"})
    output = format_clips(tmp_path, "--audio_format", "wav.float")
    audio = soundfile.read(read_table(output / "wav.scp")["a"])[0]
    assert np.abs(audio).max() == pytest.approx(1.0)
    assert (np.abs(audio) > 0.9999).sum() < 10


def bad_clips(tmp_path):
    rate, shape = 16000, (8000,)
    files = {
        "silent": np.zeros(shape),
        "nan": np.full(shape, np.nan),
        "empty": np.zeros(0),
    }
    clips = {}
    for name, audio in files.items():
        clips[name] = tmp_path / f"{name}.wav"
        soundfile.write(clips[name], audio, rate, subtype="FLOAT")
    clips["missing"] = tmp_path / "missing.wav"
    (tmp_path / "corrupt.wav").write_bytes(b"RIFF\0\0\0\0WAVEfmt ")
    return {**clips, "corrupt": tmp_path / "corrupt.wav"}


def test_clips_that_cannot_be_used_are_counted_and_named(tmp_path, capsys):
    data_dir(tmp_path / "in", {"good": AUDIO / "misc_crow.flac", **bad_clips(tmp_path)})
    output = format_clips(tmp_path, "--max_skip_share", "0.9")
    assert list(read_table(output / "wav.scp")) == ["good"]
    assert list(read_table(output / "labels")) == ["good"]
    reasons = {"silent", "empty", "unreadable", "not finite"}
    assert set(read_table(output / "skipped").values()) == reasons
    assert "skipped 5 of 6 clips" in capsys.readouterr().out


def test_too_many_of_them_stop_the_stage(tmp_path, capsys):
    data_dir(tmp_path / "in", {"good": AUDIO / "misc_crow.flac", **bad_clips(tmp_path)})
    with pytest.raises(SystemExit) as error:
        format_clips(tmp_path)
    assert error.value.code == 2
    assert "5 of 6 clips" in capsys.readouterr().err
    assert not (tmp_path / "out/wav.scp").exists()


def test_whole_files_of_an_interrupted_run_are_kept(tmp_path):
    clips = {"a": AUDIO / "misc_crow.flac", "b": AUDIO / "elec_chime.flac"}
    data_dir(tmp_path / "in", clips)
    output = format_clips(tmp_path)
    first = (output / "data/a.wav").stat().st_mtime_ns
    (output / "data/b.wav").unlink()
    (output / "wav.scp").unlink()
    format_clips(tmp_path)
    assert (output / "data/b.wav").exists()
    assert (output / "data/a.wav").stat().st_mtime_ns == first
    format_clips(tmp_path, "--fs", "16000")
    assert soundfile.info(output / "data/a.wav").samplerate == 16000


@pytest.mark.parametrize(
    "name, text, words",
    [
        ("wav.scp", "", "holds no clip"),
        ("wav.scp", "a\n", "needs 'key value'"),
        ("wav.scp", "a x\na y\n", "a comes twice"),
        ("labels", "b sound\n", "misses 1 clips of wav.scp, a the first"),
    ],
)
def test_lists_that_do_not_fit_are_one_line(tmp_path, capsys, name, text, words):
    data_dir(tmp_path / "in", {"a": AUDIO / "misc_crow.flac"})
    (tmp_path / "in" / name).write_text(text)
    with pytest.raises(SystemExit) as error:
        format_clips(tmp_path)
    message = capsys.readouterr().err
    assert error.value.code == 2 and words in message and message.count("\n") == 1


COLUMNS = (
    "pair source1 start1 source2 start2 other1 other1_start other2 other2_start seconds"
)


def mix(tmp_path, *rows, options=()):
    lines = [COLUMNS, *rows]
    (tmp_path / "list.tsv").write_text("\n".join(lines).replace(" ", "\t") + "\n")
    arguments = ["--data_dir", str(tmp_path / "out"), "--output_dir"]
    arguments += [str(tmp_path / "mix"), "--list", str(tmp_path / "list.tsv")]
    make_mixtures.main([*arguments, *options])


@pytest.fixture
def clips(tmp_path):
    names = ("misc_crow", "elec_chime", "tabla_ghe5")
    data_dir(tmp_path / "in", {name: AUDIO / f"{name}.flac" for name in names})
    return format_clips(tmp_path)


GOOD = "p{} elec_chime 0 tabla_ghe5 0.5 elec_chime 0.25 tabla_ghe5 1 1.0"
GONE = "q{} elec_chime 0 gone 0 elec_chime 0 gone 0 1.0"


def test_mixtures_are_float_and_unclipped(tmp_path, clips):
    mix(tmp_path, GOOD.format(1))
    audio = {}
    for name in ("wav", "spk1", "spk2", "enroll_spk1", "other_spk1"):
        path = read_table(tmp_path / f"mix/{name}.scp")["p1"]
        assert soundfile.info(path).subtype == "FLOAT"
        audio[name] = soundfile.read(path, dtype="float32")[0]
        assert len(audio[name]) == 32000
    np.testing.assert_array_equal(audio["wav"], audio["spk1"] + audio["spk2"])
    source = soundfile.read(read_table(clips / "wav.scp")["elec_chime"])[0]
    np.testing.assert_allclose(audio["spk1"], source[:32000], atol=1e-7)
    np.testing.assert_allclose(audio["other_spk1"], source[8000:40000], atol=1e-7)


def test_a_clip_that_is_not_there_skips_its_pairs_by_name(tmp_path, clips, capsys):
    mix(tmp_path, GOOD.format(1), GOOD.format(2), GONE.format(1))
    assert list(read_table(tmp_path / "mix/wav.scp")) == ["p1", "p2"]
    text = capsys.readouterr().out
    assert "skipped 1 of 3 pairs: 1 clips of the list are not there (gone)" in text


@pytest.mark.parametrize(
    "rows, words",
    [
        ([GOOD.format(1), GONE.format(1)], "more than the share 0.4"),
        ([], "holds no pair"),
        (["p1 elec_chime 0"], "has missing columns"),
        ([GOOD.format(1).replace("0.5", "half")], "could not convert"),
        ([GOOD.format(1).replace("tabla_ghe5 0.5", "tabla_ghe5 60")], "is silent"),
    ],
)
def test_lists_that_cannot_serve_are_one_line(tmp_path, clips, capsys, rows, words):
    with pytest.raises(SystemExit) as error:
        mix(tmp_path, *rows)
    message = capsys.readouterr().err
    assert error.value.code == 2 and words in message and message.count("\n") == 1
    assert not (tmp_path / "mix/wav.scp").exists()


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "file.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), write_whole(target) as part:
        part.write_text("half of the n")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_tables_are_sorted_by_bytes(tmp_path):
    write_table(tmp_path / "t", {"b": 1, "B": 2, "a-": 3, "a": 4})
    assert (tmp_path / "t").read_text() == "B 2\na 4\na- 3\nb 1\n"


def test_a_directory_of_another_origin_is_left_alone(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match="another origin"):
        keyed_directory(mine, "key")
    assert (mine / "thesis.txt").read_text() == "precious"


def test_a_directory_is_emptied_when_its_key_changes(tmp_path):
    folder = keyed_directory(tmp_path / "d", "one")
    (folder / "x").write_text("1")
    (folder / "sub").mkdir()
    assert (keyed_directory(folder, "one") / "x").exists()
    assert {path.name for path in keyed_directory(folder, "two").iterdir()} == {
        ".made_with"
    }

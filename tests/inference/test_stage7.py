"""Stage 7: a data directory of good and bad items, twice."""

import logging
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from espnet2_caresep.bin import inference
from espnet2_caresep.inference import CaRESeparator

WEIGHTS = "valid.mixture_sdr.best.pth"


@pytest.fixture
def data(tmp_path, sound):
    """Three good items, and one of each kind that must be skipped."""
    rate = 32000
    for i in range(3):
        soundfile.write(tmp_path / f"mix{i}.wav", sound(i)[0], rate, "FLOAT")
        soundfile.write(tmp_path / f"query{i}.wav", sound(9 + i)[0], rate, "FLOAT")
    soundfile.write(tmp_path / "silent.wav", np.zeros(9000), rate)
    soundfile.write(tmp_path / "short.wav", np.ones(100), rate)
    soundfile.write(tmp_path / "nan.wav", np.full(9000, np.nan), rate, "FLOAT")
    (tmp_path / "text.wav").write_text("no audio")
    mixtures = {f"good{i}": f"mix{i}" for i in range(3)}
    mixtures |= {"m_nan": "nan", "m_none": "none", "m_short": "short"}
    mixtures |= {"m_text": "text", "q_none": "mix0", "q_silent": "mix0"}
    queries = {f"good{i}": f"query{i}" for i in range(3)}
    queries |= {uid: "query0" for uid in mixtures if uid.startswith("m_")}
    queries |= {"q_silent": "silent"}
    for name, table in (("wav.scp", mixtures), ("enroll_spk1.scp", queries)):
        lines = [f"{uid} {tmp_path / value}.wav\n" for uid, value in table.items()]
        (tmp_path / name).write_text("".join(lines))
    return tmp_path


def _options(data, model, *more):
    return [
        *("--train_config", f"{model / 'config.yaml'}"),
        *("--model_file", f"{model / WEIGHTS}"),
        *("--data_path_and_name_and_type", f"{data / 'wav.scp'},speech_mix,sound"),
        *("--output_dir", f"{data / 'out'}"),
        *more,
    ]


def _separation(data, model, *more):
    query = f"{data / 'enroll_spk1.scp'},enroll_ref1,sound"
    more = "--data_path_and_name_and_type", query, *more
    return _options(data, model, *more)


def _table(path):
    return dict(line.split(" ", 1) for line in path.read_text().splitlines())


def test_separates_skips_and_resumes(data, tiny_model, caplog):
    caplog.set_level(logging.INFO, "inference")
    inference.main(_separation(data, tiny_model))
    outputs = _table(data / "out" / "spk1.scp")
    assert sorted(outputs) == ["good0", "good1", "good2"]
    separator = CaRESeparator.from_pretrained(tiny_model, "cpu")
    for i in range(3):
        result, rate = soundfile.read(outputs[f"good{i}"], dtype="float32")
        expected = separator.separate(data / f"mix{i}.wav", data / f"query{i}.wav")
        assert rate == 32000 and np.allclose(result, expected.target, atol=1e-6)
    skipped = _table(data / "out" / "skipped")
    assert sorted(skipped) == [
        *("m_nan", "m_none", "m_short", "m_text", "q_none", "q_silent"),
    ]
    for uid, reason in {
        "m_nan": "NaN",
        "m_none": "no such file",
        "m_short": "shorter than",
        "m_text": "cannot be read",
        "q_none": "query's scp",
        "q_silent": "silent",
    }.items():
        assert reason in skipped[uid]
        assert f"skipped {uid}" in caplog.text
    assert "3 of 9 items done, 6 skipped" in caplog.text

    # Killed and started again: what is whole stays, the rest is made.
    times = {uid: (data / path).stat().st_mtime_ns for uid, path in outputs.items()}
    (data / "out" / "wavs" / "good1.wav").write_bytes(b"RIFF half a file")
    (data / "out" / "spk1.scp").unlink()
    inference.main(_separation(data, tiny_model))
    assert "2 outputs were there already" in caplog.text
    again = {uid: (data / path).stat().st_mtime_ns for uid, path in outputs.items()}
    assert {uid for uid in times if times[uid] != again[uid]} == {"good1"}
    assert _table(data / "out" / "spk1.scp") == outputs


def test_other_weights_make_new_outputs(data, tiny_model, tmp_path, caplog):
    import torch

    caplog.set_level(logging.INFO, "inference")
    keys = tmp_path / "keys"
    keys.write_text("good2 whatever\n")
    options = _separation(data, tiny_model, "--key_file", str(keys))
    inference.main(options)
    assert list(_table(data / "out" / "spk1.scp")) == ["good2"]
    before = soundfile.read(data / "out" / "wavs" / "good2.wav")[0]
    state = torch.load(tiny_model / WEIGHTS)
    state = {
        k: v + 0.1 * v.float().std() if v.dim() > 1 else v for k, v in state.items()
    }
    torch.save(state, tmp_path / "other.pth")
    options[options.index("--model_file") + 1] = str(tmp_path / "other.pth")
    inference.main(options)
    assert "0 outputs were there already" in caplog.text
    after = soundfile.read(data / "out" / "wavs" / "good2.wav")[0]
    assert np.abs(before - after).max() > 1e-4


def test_tags(data, tiny_model):
    inference.main(_options(data, tiny_model, "--task", "tag"))
    header, *rows = (data / "out" / "tags.tsv").read_text().splitlines()
    assert header.split("\t") == ["uid", "bell", "dog", "rain"]
    table = {row.split("\t")[0]: row.split("\t")[1:] for row in rows}
    assert sorted(table) == ["good0", "good1", "good2", "q_none", "q_silent"]
    separator = CaRESeparator.from_pretrained(tiny_model, "cpu")
    expected = separator.tag(data / "mix1.wav").probabilities
    assert np.allclose([float(p) for p in table["good1"]], expected, atol=1e-5)


@pytest.mark.parametrize(
    "change, reason",
    [
        (("--model_file", "none.pth"), "none.pth: cannot be read"),
        (("--ngpu", "3"), "--ngpu must be 0 or 1"),
        (("--key_file", "none"), "none: cannot be read"),
        (("--data_path_and_name_and_type", "a.scp,enroll_ref1"), "SCP,NAME,sound"),
        (("--data_path_and_name_and_type", "a.scp,x,sound"), "a.scp: cannot be read"),
        ((), "enroll_ref1 is not given"),
    ],
)
def test_bad_configuration_is_one_line(data, tiny_model, capsys, change, reason):
    with pytest.raises(SystemExit) as end:
        inference.main((_separation if change else _options)(data, tiny_model, *change))
    error = capsys.readouterr().err
    assert end.value.code == 2 and reason in error and error.count("\n") == 1


def test_no_usable_item_at_all_fails(data, tiny_model, capsys):
    (data / "keys").write_text("m_nan\nm_short\n")
    with pytest.raises(SystemExit) as end:
        inference.main(_separation(data, tiny_model, "--key_file", f"{data / 'keys'}"))
    assert end.value.code == 2
    assert "none of the 2 items could be used" in capsys.readouterr().err


def test_module_runs(data, tiny_model):
    (data / "keys").write_text("good0\n")
    options = _separation(data, tiny_model, "--key_file", f"{data / 'keys'}")
    command = [sys.executable, "-m", "espnet2_caresep.bin.inference", *options]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "1 of 1 items done, 0 skipped" in done.stderr

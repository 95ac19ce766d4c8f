"""Recognition behind separation: rates, models of all origins, the command."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from espnet2_caresep.asr import Recogniser, separate_and_transcribe
from espnet2_caresep.bin import separate_and_transcribe as command
from espnet2_caresep.inference import CaRESeparator

SEARCH = {"beam_size": 2, "maxlenratio": 0.2}


class Listener:
    """In place of a Speech2Text: keeps what it hears."""

    def __call__(self, samples):
        self.samples = samples
        return [("words", [], [], None)]


@pytest.fixture
def separator(tiny_model):
    return CaRESeparator.from_pretrained(tiny_model, "cpu")


def test_the_recogniser_hears_the_target_at_its_rate(separator, sound):
    mixture = sound(0, seconds=1.5, rate=44100, channels=2)
    query = sound(1, rate=32000)
    recogniser = Recogniser(Listener(), 16000)
    result = separate_and_transcribe(
        mixture, query, separator, recogniser, 44100, 32000
    )
    assert result.text == "words"
    heard = recogniser.speech2text.samples
    assert heard.dtype == np.float32 and heard.shape == (24000,)
    target = separator.separate(mixture, query, 44100, 32000).target
    np.testing.assert_array_equal(result.target.samples, target)

    import soxr

    wanted = soxr.resample(target.mean(0), 44100, 16000, "VHQ")
    np.testing.assert_allclose(heard, wanted[:24000], atol=1e-4)


def test_observation_adding(separator, sound):
    mixture, query = sound(0), sound(1)
    recogniser = Recogniser(Listener(), 32000)
    plain = separate_and_transcribe(mixture, query, separator, recogniser, 32000)
    added = separate_and_transcribe(
        mixture, query, separator, recogniser, 32000, observation=0.5
    )
    np.testing.assert_array_equal(plain.heard.samples, plain.target.samples)
    np.testing.assert_allclose(
        recogniser.speech2text.samples, plain.target.samples[0] + 0.5 * mixture[0]
    )
    np.testing.assert_array_equal(added.target.samples, plain.target.samples)
    with pytest.raises(ValueError, match="observation must be at least 0"):
        separate_and_transcribe(
            mixture, query, separator, recogniser, 32000, observation=-1
        )


@pytest.fixture(scope="module")
def zipped(recogniser, tmp_path_factory):
    """The recogniser as ESPnet packs it."""
    from espnet2.bin.pack import main as pack

    path = tmp_path_factory.mktemp("asr_zoo") / "asr.zip"
    config, weights = recogniser / "config.yaml", recogniser / "valid.acc.ave.pth"
    pack(
        ["asr", "--asr_train_config", str(config), "--asr_model_file", str(weights)]
        + ["--outpath", str(path)]
    )
    return path


def test_models_of_all_origins_say_the_same(
    recogniser, zipped, sound, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))  # the zoo's cache lies there
    speech = sound(0, seconds=1.0)
    texts = set()
    for source in (
        [recogniser],
        [str(zipped)],
        [recogniser / "config.yaml", recogniser / "valid.acc.ave.pth"],
    ):
        loaded = Recogniser.from_pretrained(*source, **SEARCH)
        assert loaded.sample_rate == 16000
        texts.add(loaded.transcribe(speech, 32000))
    import soxr

    converted = soxr.resample(speech[0], 32000, 16000, "VHQ")
    ((text, *_),) = loaded.speech2text(converted)
    assert texts == {text} and text


def test_a_tag_of_the_zoo(zipped, recogniser, reached, sound, monkeypatch):
    with zipfile.ZipFile(zipped) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    reached.repos["espnet/tiny_asr"] = [files]  # as repositories of the zoo look
    wanted = Recogniser.from_pretrained(recogniser, **SEARCH)
    text = wanted.transcribe(sound(0), 32000)
    loaded = Recogniser.from_pretrained("espnet/tiny_asr", **SEARCH)
    assert loaded.transcribe(sound(0), 32000) == text
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    again = Recogniser.from_pretrained("espnet/tiny_asr", **SEARCH)
    assert again.transcribe(sound(0), 32000) == text
    with pytest.raises(ValueError, match="espnet/other: is no model of the zoo"):
        Recogniser.from_pretrained("espnet/other")


def test_a_recogniser_of_ones_own(tmp_path, monkeypatch, sound):
    """The one of docs/espnet.md, as it stands there."""
    page = (Path(__file__).parents[2] / "docs/espnet.md").read_text()
    (code,) = re.findall(
        r"<!-- file: my_asr.py -->\n```\w+\n(.*?)```\n", page, re.DOTALL
    )
    (tmp_path / "my_asr.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    recogniser = Recogniser.from_pretrained("my_asr:load", beam_size=3)
    text = recogniser.transcribe(sound(0, seconds=0.5), 32000)
    assert text == "0.5 seconds of speech"
    for name in ("my_asr:save", "no_such_module:load"):
        with pytest.raises(ValueError, match=f"{name}: not found"):
            Recogniser.from_pretrained(name)


def test_files_named_relative_to_a_recipe_are_found(recogniser, tmp_path):
    """Where the training's statistics lie in the recipe's folder, not in this one."""
    folder = tmp_path / "recipe/exp/asr"
    folder.mkdir(parents=True)
    config = yaml.safe_load((recogniser / "config.yaml").read_text())
    config["normalize"] = "global_mvn"
    config["normalize_conf"] = {"stats_file": "exp/asr_stats/feats_stats.npz"}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "valid.acc.ave.pth").symlink_to(recogniser / "valid.acc.ave.pth")
    with pytest.raises(ValueError, match="cannot be loaded .*feats_stats.npz"):
        Recogniser.from_pretrained(folder)
    stats = tmp_path / "recipe/exp/asr_stats/feats_stats.npz"
    stats.parent.mkdir()
    np.savez(stats, count=4, sum=np.zeros(20), sum_square=4 * np.ones(20))
    model = Recogniser.from_pretrained(folder).speech2text.asr_model
    assert np.allclose(model.normalize.std, 1)


def test_what_cannot_be_recognised(recogniser, tmp_path, sound):
    loaded = Recogniser.from_pretrained(recogniser, **SEARCH)
    with pytest.raises(ValueError, match="speech: too short to recognise"):
        loaded.transcribe(sound(0, seconds=0.02), 32000)
    with pytest.raises(ValueError, match="holds no weights"):
        Recogniser.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="config.yaml: cannot be read"):
        Recogniser.from_pretrained(tmp_path / "config.yaml", tmp_path / "w.pth")
    with pytest.raises(ValueError, match="asr.zip: no such file"):
        Recogniser.from_pretrained(tmp_path / "asr.zip")


def test_a_separator_is_no_recogniser(tiny_zip, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ValueError, match="is no model of ESPnet's asr task"):
        Recogniser.from_pretrained(tiny_zip)


def test_the_command_prints_what_python_returns(
    recogniser, tiny_model, separator, speech, capsys
):
    mix, query = speech / "item1_wav.wav", speech / "item0_spk1.wav"
    arguments = [str(mix), "--query", str(query), "--model", str(tiny_model)]
    arguments += ["--asr", str(recogniser), "--observation", "0.2", "--beam_size", "2"]
    command.main(arguments)
    loaded = Recogniser.from_pretrained(recogniser, beam_size=2, ctc_weight=0.5)
    wanted = separate_and_transcribe(mix, query, separator, loaded, observation=0.2)
    printed = capsys.readouterr().out
    assert printed == wanted.text + "\n"
    difference = wanted.heard.samples - wanted.target.samples
    samples, _ = soundfile.read(mix, dtype="float32")
    np.testing.assert_allclose(difference[0], 0.2 * samples, atol=1e-6)


def test_mistakes_of_the_command_are_one_line(tiny_model, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "espnet2_caresep.bin.separate_and_transcribe"]
        + [str(tmp_path / "none.wav"), "--query", "q.wav", "--asr", "user/model"]
        + ["--model", str(tiny_model)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "none.wav: no such file" in done.stderr

"""Mixing with speech and decoding, on tiny data and a tiny recogniser."""

import numpy as np
import pytest
import soundfile

from espnet2_caresep.asr import Recogniser
from espnet2_caresep.bin import asr_decode, mix_speech
from espnet2_caresep.data.files import read_table, write_table


@pytest.fixture
def mixed(tmp_path):
    """Two utterances of 16 kHz and two sounds, mixed at 0 and -5 dB."""
    rng = np.random.default_rng(0)
    tables = {"speech": {}, "queries": {}, "noise": {}}
    for name, kind, rate, seconds in (
        ("hello", "speech", 16000, 1.0),
        ("again", "speech", 16000, 1.5),
        ("other", "queries", 16000, 0.5),
        ("bell", "noise", 32000, 0.4),
        ("voice", "noise", 32000, 3.0),
    ):
        path = tmp_path / f"{name}.wav"
        audio = 0.1 * rng.standard_normal(round(seconds * rate))
        soundfile.write(path, audio, rate, subtype="FLOAT")
        tables[kind][name] = path
    for kind, table in tables.items():
        (tmp_path / kind).mkdir()
        write_table(tmp_path / kind / "wav.scp", table)
    write_table(tmp_path / "speech/text", {"hello": "a b", "again": "c"})
    write_table(tmp_path / "noise/labels", {"bell": "bell", "voice": "speech"})
    mix_speech.main(
        ["--speech_dir", str(tmp_path / "speech"), "--snrs", "0", "-5"]
        + ["--query_dir", str(tmp_path / "queries")]
        + ["--noise_dir", str(tmp_path / "noise")]
        + ["--output_prefix", str(tmp_path / "asr")]
    )
    return tmp_path


def test_mixtures_have_the_ratio_and_only_sounds_as_noise(mixed):
    for snr in (0, -5):
        folder = mixed / f"asr_{snr}dB"
        mixtures, speech = (read_table(folder / f"{n}.scp") for n in ("wav", "spk1"))
        assert list(mixtures) == ["again", "hello"]
        for uid, samples in (("again", 48000), ("hello", 32000)):
            mixture, rate = soundfile.read(mixtures[uid])
            clean, _ = soundfile.read(speech[uid])
            assert rate == 32000 and mixture.shape == clean.shape == (samples,)
            noise = mixture - clean
            ratio = 10 * np.log10(np.mean(clean**2) / np.mean(noise**2))
            assert ratio == pytest.approx(snr, abs=0.01)
            period = round(0.4 * 32000)  # the short sound is repeated
            np.testing.assert_allclose(noise[:-period], noise[period:], atol=1e-5)
        assert set(read_table(folder / "noise").values()) == {"bell"}
        queries = read_table(folder / "enroll_spk1.scp")
        assert {path.rsplit("/")[-1] for path in queries.values()} == {"other.wav"}
        assert read_table(folder / "text")["hello"] == "a b"


def test_mistakes_in_mixing_are_one_line(mixed, capsys):
    arguments = ["--speech_dir", str(mixed / "speech")]
    arguments += ["--query_dir", str(mixed / "queries")]
    arguments += ["--noise_dir", str(mixed / "noise")]
    arguments += ["--output_prefix", str(mixed / "more")]
    with pytest.raises(SystemExit) as end:
        mix_speech.main([*arguments, "--exclude", "bell", "speech"])
    assert end.value.code == 2
    assert "all clips have a label of --exclude" in capsys.readouterr().err
    write_table(mixed / "queries/wav.scp", {"hello": "x.wav"})
    with pytest.raises(SystemExit):
        mix_speech.main(arguments)
    assert "has no utterance but hello itself" in capsys.readouterr().err


def test_every_condition_is_recognised(mixed, recogniser, monkeypatch, capsys):
    heard = []

    def transcribe(self, audio):
        heard.append(audio)
        return f"text {len(heard)}"

    monkeypatch.setattr(Recogniser, "transcribe", transcribe)
    folder = mixed / "asr_0dB"
    speech = read_table(folder / "spk1.scp")
    write_table(mixed / "separated.scp", {"hello": speech["hello"]})
    (mixed / "keys").write_text("hello\n")
    arguments = ["--asr", str(recogniser), "--data_dir", str(folder)]
    arguments += ["--separated", str(mixed / "separated.scp")]
    arguments += ["--output_dir", str(mixed / "out"), "--observations", "0.5"]
    asr_decode.main([*arguments, "--key_file", str(mixed / "keys")])
    rows = (mixed / "out/hyp.tsv").read_text().splitlines()
    assert rows == [
        "utterance\tcondition\ttext",
        "hello\tmixture\ttext 1",
        "hello\tclean\ttext 2",
        "hello\tseparated\ttext 3",
        "hello\tseparated+0.5\ttext 4",
    ]
    mixture, clean, target, added = (audio.samples for audio in heard)
    np.testing.assert_array_equal(clean, target)
    np.testing.assert_allclose(added, target + 0.5 * mixture)
    with pytest.raises(SystemExit):
        asr_decode.main(arguments)
    assert "separated.scp: lacks 1, first again" in capsys.readouterr().err

"""``caresep separate``: what is written, what is refused, what is left behind."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet2_caresep.cli.main import main
from espnet2_caresep.inference import CaRESeparator, file_separation


@pytest.fixture
def files(tmp_path, sound, monkeypatch):
    """In the current folder: stereo mixtures of 16 bits, and queries."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(["mix.wav", "more/street.wav", "more/deep/park.flac"]):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        audio = sound(seed, 1.5, 44100, channels=2)
        soundfile.write(path, audio.T, 44100, "PCM_16")
    for seed, name in enumerate(["dog.wav", "bell.flac"]):
        soundfile.write(tmp_path / name, sound(7 + seed)[0], 32000)
    return tmp_path


@pytest.fixture
def separate(files, tiny_zip):
    """Runs the command; returns its exit code."""

    def run(*args):
        return main(["separate", *map(str, args), "--model", str(tiny_zip)])

    return run


def _read(path):
    return soundfile.read(path, dtype="float32", always_2d=True)[0].T


def _below(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.*"))


def test_one_line_gives_one_stem(separate, files, tiny_zip, capsys):
    assert separate("mix.wav", "--query", "dog.wav") == 0
    out, err = capsys.readouterr()
    assert out.startswith("separated/mix/dog.wav") and "presence" in out
    assert "error" not in err
    target = _read("separated/mix/dog.wav")
    expected = CaRESeparator.from_pretrained(tiny_zip, "cpu").separate(
        "mix.wav", "dog.wav"
    )
    assert np.array_equal(target, expected.target)
    info = soundfile.info("separated/mix/dog.wav")
    assert (info.samplerate, info.subtype) == (44100, "FLOAT")
    # A second run refuses to overwrite what the first one made, unless told to.
    before = os.stat("separated/mix/dog.wav").st_mtime_ns
    assert separate("mix.wav", "--query", "dog.wav") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert os.stat("separated/mix/dog.wav").st_mtime_ns == before
    assert separate("mix.wav", "--query", "dog.wav", "--overwrite", "-q") == 0
    assert capsys.readouterr().out == ""
    assert os.stat("separated/mix/dog.wav").st_mtime_ns > before


@pytest.mark.parametrize("subtype", ["float", "pcm24", "pcm16"])
@pytest.mark.parametrize("partition", [(), ("--partition",)])
def test_files_add_up_to_the_mixture(separate, subtype, partition):
    queries = ("--query", "a=dog.wav,bell.flac", "--query", "bell.flac")
    options = (*queries, "--residual", "--subtype", subtype, *partition)
    assert separate("mix.wav", *options) == 0
    names = ("a", "bell", "residual")
    parts = [_read(f"separated/mix/{name}.wav") for name in names]
    assert np.array_equal(sum(parts), _read("mix.wav"))
    assert all(np.abs(part).max() > 0.001 for part in parts)


def test_a_file_as_output(separate, files):
    options = ("--query", "dog.wav", "--residual", "--json", "-o", "out/only.flac")
    assert separate("mix.wav", *options) == 0
    assert _below(files / "out") == ["only.flac", "only.json", "only.residual.flac"]
    assert soundfile.info("out/only.flac").subtype == "PCM_24"
    total = _read("out/only.flac") + _read("out/only.residual.flac")
    assert np.array_equal(total, _read("mix.wav"))


def test_folders_patterns_and_templates(separate, files, capsys):
    query = ("--query", "x=*.flac", "--format", "ogg")
    assert separate("more", "mi*.wav", "mix.wav", *query, "-o", "more/out") == 0
    expected = ["deep/park/x.ogg", "mix/x.ogg", "street/x.ogg"]
    assert _below(files / "more/out") == expected
    # Outputs below a folder of inputs are not taken for inputs.
    assert separate("more", *query, "-o", "more/out", "--dry-run") == 2
    assert capsys.readouterr().err.count("exists") == 2
    name = "{query}_of_{track}_{trackext}.{ext}"
    options = ("-o", "flat", "--filename", name, "--query", "dog.wav")
    assert separate("more/deep", "more/street.wav", *options) == 0
    assert _below(files / "flat") == ["dog_of_park_flac.wav", "dog_of_street_wav.wav"]


def test_dry_run_writes_nothing(separate, files, capsys):
    before = _below(files)
    assert separate("more", "none.wav", "--query", "dog.wav", "--dry-run") == 2
    out, err = capsys.readouterr()
    assert "street.wav (1.50 s, 44100 Hz, 2 ch) -> separated/street/dog.wav" in out
    assert "none.wav: no such file" in err and _below(files) == before


def test_part_of_a_clip_as_query(separate, files, tiny_zip):
    part = ("--query-start", "0.2", "--query-end", "0.4")
    assert separate("mix.wav", "--query", "x=mix.wav", *part) == 0
    model = CaRESeparator.from_pretrained(tiny_zip, "cpu")
    mixture = _read("mix.wav")
    # The clip's resampling has no part's borders to see.
    expected = model.separate(mixture, mixture[:, 8820:17640], 44100).target
    assert np.allclose(_read("separated/mix/x.wav"), expected, atol=1e-6)


def test_bank_as_query(separate, files, tiny_zip, capsys, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(files / "data"))
    model = ["--model", str(tiny_zip)]
    assert main(["bank", "add", "pets", "dog.wav", "bell.flac", *model]) == 0
    assert (
        separate("mix.wav", "--query", "@pets", "--query", "y=dog.wav,bell.flac") == 0
    )
    one, two = _read("separated/mix/pets.wav"), _read("separated/mix/y.wav")
    assert np.allclose(one, two, atol=1e-6)
    assert separate("mix.wav", "--query", "@cats", "-o", "no") == 2
    assert "no such bank" in capsys.readouterr().err


def test_names_that_are_no_text(separate, files, capsys):
    name = os.fsdecode(b"caf\xe9.wav")
    os.rename("mix.wav", name)
    assert separate(name, "more", "--query", "dog.wav", "--json", "--residual") == 0
    assert "caf\\udce9/dog.wav" in capsys.readouterr().out
    assert len(_below(files / "separated")) == 9
    assert separate("x" * 300 + ".wav", "mix.wav", "--query", "dog.wav") == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_sidecar(separate, tiny_zip):
    assert separate("mix.wav", "--query", "dog.wav", "--json", "--residual") == 0
    with open("separated/mix/separation.json") as file:
        report = json.load(file)
    assert (report["samples"], report["channels"]) == (66150, 2)
    stem, rest = report["outputs"]
    assert stem["path"] == "separated/mix/dog.wav" and 0 <= stem["presence"] <= 1
    assert stem["peak"] == pytest.approx(np.abs(_read(stem["path"])).max())
    assert rest["query"] is None and rest["written"]
    power = np.mean(np.square(_read(rest["path"]), dtype=np.float64))
    assert rest["level_db"] == pytest.approx(10 * np.log10(power), abs=0.01)


def test_unwanted_sounds_stay_in_the_residual(separate, tiny_model):
    options = ("--query", "dog.wav", "--not", "bell.flac", "--residual", "--json")
    assert separate("mix.wav", *options, "--not", "x=dog.wav,bell.flac") == 0
    stem, rest = (_read(f"separated/mix/{name}.wav") for name in ("dog", "residual"))
    separator = CaRESeparator.from_pretrained(tiny_model, "cpu")
    expected = separator.separate(
        "mix.wav", "dog.wav", unwanted=["bell.flac", ["dog.wav", "bell.flac"]]
    )
    assert np.array_equal(stem, expected.target)
    assert np.array_equal(stem + rest, _read("mix.wav"))
    report = json.loads(Path("separated/mix/separation.json").read_text())
    assert report["unwanted"] == ["bell.flac", "x=dog.wav,bell.flac"]
    names = {path.name for path in Path("separated/mix").iterdir()}
    assert names == {"dog.wav", "residual.wav", "separation.json"}


@pytest.fixture
def loud(files, sound):
    """A float file with peaks far beyond full scale."""
    soundfile.write("loud.wav", 8 * sound(3)[0], 32000, "FLOAT")


def test_clip_modes(separate, loud, capsys):
    def stem(mode, *more):
        options = ("--query", "dog.wav", "--clip", mode, "-o", mode, *more)
        code = separate("loud.wav", *options, "--residual")
        return code, capsys.readouterr().err

    assert stem("none") == (0, "")
    free = _read("none/loud/dog.wav"), _read("none/loud/residual.wav")
    assert np.abs(free[0]).max() > 1
    assert stem("clamp")[0] == 0
    assert np.array_equal(_read("clamp/loud/dog.wav"), np.clip(free[0], -1, 1))
    assert stem("rescale", "--subtype", "pcm16")[0] == 0
    parts = _read("rescale/loud/dog.wav"), _read("rescale/loud/residual.wav")
    gain = (1 - 2**-15) / max(np.abs(part).max() for part in free)
    for part, full in zip(parts, free):
        assert np.abs(part).max() < 1 and np.allclose(part, gain * full, atol=1e-4)
    assert stem("error")[0] == 2 and not os.path.exists("error")
    code, err = stem("none", "--subtype", "pcm16", "--overwrite")
    assert code == 0 and "are clipped" in err


def test_absent_sounds(separate, files, tiny_model, tmp_path, capsys):
    """With a threshold that nothing reaches, stored with the model."""
    model = _with_rule(tiny_model, tmp_path / "strict", "threshold: 1.0")
    command = ["separate", "mix.wav", "--query", "dog.wav", "--residual"]
    command += ["--model", model]
    assert main(command) == 0
    assert "judged absent" in capsys.readouterr().err
    assert main([*command, "--require-presence", "-o", "out", "--json"]) == 3
    assert "is left out" in capsys.readouterr().err
    assert _below(files / "out") == ["mix/residual.wav", "mix/separation.json"]
    # Nothing was taken out, so all is left.
    assert np.array_equal(_read("out/mix/residual.wav"), _read("mix.wav"))


def test_a_doubtful_stem_is_told(separate, files, tiny_model, tmp_path, capsys):
    command = ["separate", "mix.wav", "--query", "dog.wav", "--json", "--overwrite"]
    for name, certain in (("sure", 0.0), ("doubt", 1.0)):
        rule = f"threshold: 0.0, certain: {certain}"
        model = _with_rule(tiny_model, tmp_path / name, rule)
        assert main([*command, "--residual", "-o", name, "--model", model]) == 0
        stem, rest = capsys.readouterr().out.splitlines()
        assert stem.endswith("(in doubt)") == (name == "doubt")
        assert "presence" in stem and "presence" not in rest
        outputs = json.loads((files / name / "mix/separation.json").read_text())
        found = [output["certain"] for output in outputs["outputs"]]
        assert found == [name == "sure", None]


def test_stems_of_sounds_that_are_judged_absent_are_faded(
    separate, files, tiny_model, tmp_path, capsys
):
    rule = "threshold: 1.0, absent: 1.0"
    model = _with_rule(tiny_model, tmp_path / "strict", rule)
    command = ["separate", "mix.wav", "--query", "dog.wav", "--residual", "--json"]
    command += ["--subtype", "float", "--model", model]
    assert main([*command, "--keep-absent", "-o", "kept"]) == 0
    assert "may be leakage" in capsys.readouterr().err
    assert main([*command, "-o", "out"]) == 0
    assert "is faded by 40 dB (--keep-absent leaves" in capsys.readouterr().err
    kept, stem = (_read(f"{folder}/mix/dog.wav") for folder in ("kept", "out"))
    assert np.abs(kept).max() > 0.01
    assert np.allclose(stem, 0.01 * kept, rtol=1e-5, atol=1e-7)
    # What is taken off the stem is in the residual.
    assert np.array_equal(stem + _read("out/mix/residual.wav"), _read("mix.wav"))
    outputs = [
        json.loads((files / folder / "mix/separation.json").read_text())["outputs"]
        for folder in ("kept", "out")
    ]
    assert [output["fade_db"] for output in outputs[0]] == [0, 0]
    assert [output["fade_db"] for output in outputs[1]] == [-40, 0]
    loud, faint = (output[0]["level_db"] for output in outputs)
    assert faint == pytest.approx(loud - 40, abs=0.02)
    # A stem that is required to be present is left out, as ever.
    assert main([*command, "--require-presence", "-o", "none"]) == 3
    assert _below(files / "none") == ["mix/residual.wav", "mix/separation.json"]
    # Where there is doubt, some of it is left.
    score = outputs[0][0]["presence"]
    absent = score / 2
    model = _with_rule(
        tiny_model, tmp_path / "doubt", f"threshold: 1.0, absent: {absent}"
    )
    assert main([*command, "--model", model, "-o", "doubt"]) == 0
    stem = _read("doubt/mix/dog.wav")
    level = ((score - absent) / (1 - absent)) ** 2
    assert 0.05 < level < 0.95
    assert np.allclose(stem, level * kept, rtol=1e-2, atol=1e-7)
    assert np.array_equal(stem + _read("doubt/mix/residual.wav"), _read("mix.wav"))


def _with_rule(tiny_model, folder, rule):
    folder.mkdir()
    config = (tiny_model / "config.yaml").read_text()
    (folder / "config.yaml").write_text(config + f"presence: {{{rule}}}\n")
    weights = "valid.mixture_sdr.best.pth"
    (folder / weights).symlink_to(tiny_model / weights)
    return str(folder)


def _class_queries(tiny_model, folder, queries, fingerprint):
    from safetensors.numpy import save_file

    folder.mkdir()
    for name in ("config.yaml", "valid.mixture_sdr.best.pth"):
        (folder / name).symlink_to(tiny_model / name)
    metadata = {"fingerprint": fingerprint}
    save_file(queries, folder / "class_queries.safetensors", metadata)
    return str(folder)


def test_labels(separate, files, tiny_model, tmp_path, capsys):
    plain = CaRESeparator.from_pretrained(tiny_model, "cpu")
    queries, made_with = {"dog": plain.embed("dog.wav")}, plain.fingerprint
    model = _class_queries(tiny_model, tmp_path / "m", queries, made_with)
    command = ["separate", "mix.wav", "--model"]
    assert main([*command, model, "--label", "dog", "--query", "clip=dog.wav"]) == 0
    stems = [_read(f"separated/mix/{name}.wav") for name in ("dog", "clip")]
    assert np.array_equal(*stems)
    assert main([*command, model, "--label", "dig"]) == 2
    assert "no such class; known are dog" in capsys.readouterr().err
    # A model without them, or with those of other weights, does not pretend.
    stale = _class_queries(tiny_model, tmp_path / "n", queries, "0" * 16)
    for other in (str(tiny_model), stale):
        assert main([*command, other, "--label", "dog", "-o", "no"]) == 2
        assert "brings no queries" in capsys.readouterr().err
    queries = {"dog": queries["dog"][1:]}
    broken = _class_queries(tiny_model, tmp_path / "o", queries, made_with)
    assert main([*command, broken, "--label", "dog", "-o", "no"]) == 2
    assert "class queries are damaged" in capsys.readouterr().err


@pytest.fixture
def bad(files, sound):
    """Everything that can be wrong with a file, by name."""
    tone = np.sin(np.arange(32000) / 9).astype(np.float32)
    (files / "bad/folder.wav").mkdir(parents=True)
    (files / "bad/text.wav").write_text("not audio")
    (files / "bad/none.wav").touch()
    soundfile.write("bad/empty.wav", tone[:0], 32000)
    soundfile.write("bad/one.wav", tone[:1], 32000)
    soundfile.write("bad/short.wav", tone[:1000], 32000)
    nan = np.where(tone > 0.9, np.nan, tone)
    soundfile.write("bad/nan.wav", nan, 32000, "FLOAT")
    soundfile.write("bad/huge.wav", 1e30 * tone, 32000, "FLOAT")
    soundfile.write("bad/cut.wav", tone, 32000)
    content = (files / "bad/cut.wav").read_bytes()
    (files / "bad/cut.wav").write_bytes(content[:9000])
    # These are unusual, not bad.
    soundfile.write("bad/eight.wav", sound(0, channels=8).T, 32000)
    soundfile.write("bad/fast.wav", sound(0, 0.1, 384000).T, 384000)
    soundfile.write("bad/renamed.wav", tone, 32000, format="FLAC")
    return files


REASONS = {
    "folder.wav": "is a directory without audio files",
    "text.wav": "cannot be read as audio",
    "none.wav": "cannot be read as audio",
    "empty.wav": "is empty",
    "one.wav": "shorter than one analysis window (32 ms)",
    "short.wav": "shorter than one analysis window",
    "nan.wav": "NaN",
    "huge.wav": "not finite",
    "cut.wav": "is cut short",
    "missing.wav": "no such file",
}


@pytest.mark.parametrize("jobs", [1, 3])
def test_the_good_files_of_a_batch_are_done(bad, separate, capsys, jobs):
    names = [*REASONS, "eight.wav", "fast.wav", "renamed.wav"]
    files = [f"bad/{name}" for name in names]
    assert separate(*files, "--query", "dog.wav", "--jobs", jobs, "--threads", 1) == 2
    lines = [x for x in capsys.readouterr().err.splitlines() if "error" in x]
    assert len(lines) == len(REASONS)
    for name, reason in REASONS.items():
        assert [x for x in lines if f"bad/{name}" in x and reason in x], name
    expected = ["eight/dog.wav", "fast/dog.wav", "renamed/dog.wav"]
    assert _below(bad / "separated") == expected
    assert _read("separated/eight/dog.wav").shape == (8, 16000)
    assert soundfile.info("separated/fast/dog.wav").samplerate == 384000


@pytest.mark.parametrize(
    "name", ["text", "nan", "one", "missing", "cut", "folder", "huge"]
)
def test_a_bad_query_is_one_line(bad, separate, capsys, name):
    assert separate("mix.wav", "--query", f"bad/{name}.wav") == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and f"bad/{name}.wav" in err
    assert not (bad / "separated").exists()


@pytest.mark.parametrize(
    "options, reason",
    [
        ((), "nothing is asked for"),
        (("--query", "dog.wav", "--not", "x.wav"), "x.wav: no such file"),
        (("--query", "dog.wav", "--not", "x=*.xyz"), "--not: *.xyz: matches no"),
        (
            ("--query", "bell.flac", "--not=dog.wav", "-o", "dog.wav", "--overwrite"),
            "is an input",
        ),
        (("--query", "dog.wav", "--query", "dog.wav"), "two queries are called 'dog'"),
        (("--query", "residual=dog.wav"), "kept for other files"),
        (("--query", "a/b=dog.wav"), "cannot name a file"),
        (("--query", "x="), "names no file"),
        (("--query", "x=*.xyz"), "matches no file"),
        (("--query", "dog.wav", "--query-start", "3"), "lie outside its"),
        (("--query", "dog.wav", "--query-end", "0"), "enclose nothing"),
        (("--query", "dog.wav", "-o", "mix.wav", "--overwrite"), "is an input"),
        (("more", "--query", "dog.wav", "-o", "o.wav"), "names one file"),
        (("--query", "dog.wav", "-o", "o.flac", "--subtype", "float"), "integers"),
        (("--query", "dog.wav", "--format", "mp3", "--subtype", "pcm16"), "is lossy"),
        (("--query", "dog.wav", "--filename", "{q}.{ext}"), "may hold"),
        (("--query", "dog.wav", "--filename", "{query!x}.{ext}"), "may hold"),
        (("--query", "dog.wav", "--filename", "../{query}.{ext}"), "leads out"),
        (("--query", "dog.wav", "--filename", "{query}.txt"), "must end in .{ext}"),
        (("more", "--query", "dog.wav", "--filename", "{query}.{ext}"), "would be"),
        (("--query", "dog.wav", "--overlap", "1"), "--overlap must lie in"),
        (("--query", "dog.wav", "--device", "toaster"), "device must be"),
        (("--query", "dog.wav", "--model", "none.zip"), "no such model"),
    ],
)
def test_bad_options_are_one_line(files, tiny_zip, capsys, options, reason):
    model = [] if "--model" in options else ["--model", str(tiny_zip)]
    assert main(["separate", "mix.wav", *options, *model]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and reason in err
    assert not (files / "separated").exists()


def test_a_full_disk_leaves_nothing(separate, files, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    before = _below(files)
    with monkeypatch.context() as patch:
        patch.setattr(soundfile.SoundFile, "write", full)
        assert separate("mix.wav", "--query", "dog.wav", "--residual") == 2
    assert "cannot be written (No space left on device)" in capsys.readouterr().err
    assert _below(files) == before and not (files / "separated").exists()
    # The other mixtures of the batch are done.
    with monkeypatch.context() as patch:
        write = soundfile.SoundFile.write

        def full_for_one(file, data):
            (full if "street" in str(file.name) else write)(file, data)

        patch.setattr(soundfile.SoundFile, "write", full_for_one)
        name = ("--filename", "{track}_{query}.{ext}")
        assert separate("more", "mix.wav", "--query", "dog.wav", *name) == 2
    assert _below(files / "separated") == ["deep/park_dog.wav", "mix_dog.wav"]


def test_jobs_give_the_same_files(separate, files):
    options = ("--query", "dog.wav", "-q", "--threads", 1)
    assert separate("more", "mix.wav", *options) == 0
    assert separate("more", "mix.wav", *options, "--jobs", 3, "-o", "other") == 0
    names = _below(files / "separated")
    assert names == _below(files / "other") and len(names) == 3
    for name in names:
        assert np.array_equal(_read(f"separated/{name}"), _read(f"other/{name}"))


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupt_leaves_no_partial_file(
    separate, files, monkeypatch, capsys, jobs
):
    """The signal comes while mixtures are being written."""
    # A background job of a shell ignores it from the start
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    reached = threading.Barrier(jobs)
    write = file_separation._write

    def interrupted(*args):
        reached.wait(10)
        if threading.current_thread().name.endswith("_0"):
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        write(*args)

    monkeypatch.setattr(file_separation, "_write", interrupted)
    options = ("--query", "dog.wav", "--jobs", jobs, "--threads", 1)
    try:
        assert separate("mix.wav", "more", *options) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err.endswith("interrupted\n")
    assert not [p for p in files.rglob("*") if ".part" in p.name]
    for path in (files / "separated").rglob("*.wav"):
        assert _read(path).shape == (2, 66150)


def test_as_a_program(files, tiny_zip):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "espnet2_caresep.cli.main", "separate", "mix.wav"),
            *("--query", "dog.wav", "--residual", "--model", tiny_zip),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr and done.stdout.count("\n") == 2
    total = _read("separated/mix/dog.wav") + _read("separated/mix/residual.wav")
    assert np.array_equal(total, _read("mix.wav"))

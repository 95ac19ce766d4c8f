"""esc50: lists of ESC-50's public layout, and models that are put in place to score."""

import shutil
import zipfile

import pytest
import yaml
from corpora import copy_recipe, make_esc50, run_recipe

from espnet2_caresep.data.files import read_table
from espnet2_caresep.data.pairs import read_pairs


@pytest.fixture
def recipe(tmp_path):
    return copy_recipe("esc50", tmp_path)


@pytest.fixture
def corpus(tmp_path):
    return tmp_path / "ESC-50-master"


@pytest.fixture
def prepare(recipe, corpus):
    """Runs stage 1."""

    def prepare(*arguments, status=0):
        common = ["--stop_stage", "1"]
        return run_recipe(recipe, *common, *arguments, status=status, ESC50=corpus)

    return prepare


def test_lists_say_what_the_table_says(prepare, corpus, recipe):
    names = make_esc50(corpus)
    prepare()
    wavs = read_table(recipe / "data/test/wav.scp")
    assert {f"{uid}.wav" for uid in wavs} == set(names)
    labels = read_table(recipe / "data/test/labels")
    groups = read_table(recipe / "data/test/utt2group")
    for uid, path in wavs.items():
        _, recording, _, target = uid.split("-")
        assert path == str(corpus / f"audio/{uid}.wav")
        category = ["crow", "church_bells", "clapping", "door"][int(target)]
        assert (labels[uid], groups[uid]) == (category, recording)


def test_each_clip_meets_another_category_and_another_recording(
    prepare, corpus, recipe
):
    make_esc50(corpus)
    prepare()
    list_file = recipe / "data/test_mixtures.tsv"
    first = list_file.read_text()
    labels = read_table(recipe / "data/test/labels")
    groups = read_table(recipe / "data/test/utt2group")
    pairs = read_pairs(list_file)
    assert {pair.source1 for pair in pairs} == labels.keys()
    assert {pair.source2 for pair in pairs} == labels.keys()
    for pair in pairs:
        assert labels[pair.source1] != labels[pair.source2]
        assert pair.seconds == 5 and pair.start1 == pair.start2 == 0
        for uid, other in (pair.source1, pair.other1), (pair.source2, pair.other2):
            assert labels[other] == labels[uid] and groups[other] != groups[uid]
    shutil.rmtree(recipe / "data")
    prepare()
    assert list_file.read_text() == first
    prepare("--local_data_opts", "--pairs 3")
    assert list_file.read_text() == "".join(first.splitlines(keepends=True)[:4])


def test_without_esc50_it_says_how_to_get_it(recipe, corpus):
    error = run_recipe(recipe, status=2).stderr
    assert "ESC50 is not set" in error and "karolpiczak" in error
    error = run_recipe(recipe, status=2, ESC50=corpus).stderr
    assert "is not a folder" in error and "meta/" in error
    corpus.mkdir()
    error = run_recipe(recipe, status=2, ESC50=corpus).stderr
    assert "meta/esc50.csv is missing" in error and "ESC50=FOLDER" in error
    assert not (recipe / "data").exists()


def test_missing_clips_are_named_and_too_many_stop_it(prepare, corpus, recipe):
    make_esc50(corpus, leave_out=["1-100032-A-0.wav"])
    done = prepare(status=2)
    assert "1 of 16 clips are missing: 1-100032-A-0.wav" in done.stdout
    assert "holds 15 of 16 clips" in done.stderr and done.stderr.count("\n") == 1
    prepare("--local_data_opts", "--min_share 0.9")
    assert len(read_table(recipe / "data/test/wav.scp")) == 15


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "holds no clip"),
        ("filename,category\na.wav,dog\n", "clip 1 has no good src_file"),
        ("filename,category,src_file\n../a.wav,dog,1\n", "clip 1 has no good filename"),
        ("filename,category,src_file\na.wav,a dog,1\n", "clip 1 has no good category"),
    ],
)
def test_a_damaged_table_is_one_line(prepare, corpus, text, words):
    make_esc50(corpus)
    (corpus / "meta/esc50.csv").write_text(text)
    error = prepare(status=2).stderr
    assert words in error and error.count("\n") == 1


@pytest.fixture
def evaluate(recipe, corpus):
    """Runs stage 1 with a model to evaluate."""
    make_esc50(corpus)

    def evaluate(model, *arguments, status=0):
        common = ["--caresep_exp", str(model), "--stop_stage", "1"]
        return run_recipe(recipe, *common, *arguments, status=status, ESC50=corpus)

    return evaluate


@pytest.fixture
def model(tmp_path):
    """An experiment folder and a zip of it; nothing here reads the weights."""
    folder = tmp_path / "elsewhere/caresep_small"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("extractor: caresep\n")
    (folder / "valid.mixture_sdr.best.pth").write_bytes(b"weights")
    meta = {
        "files": {"model_file": "exp/a/valid.mixture_sdr.best.pth"},
        "yaml_files": {"train_config": "/exp/a/config.yaml"},
    }
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w") as archive:
        archive.writestr("meta.yaml", yaml.safe_dump(meta))
        for name in ("config.yaml", "valid.mixture_sdr.best.pth"):
            archive.write(folder / name, f"exp/a/{name}")
    return folder


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_model_is_put_in_place_and_only_read(evaluate, model, recipe, kind):
    before = {path: path.stat().st_mtime_ns for path in model.parent.rglob("*")}
    evaluate(model if kind == "folder" else model.with_suffix(".zip"))
    exp = recipe / "exp/caresep_small"
    for name in ("config.yaml", "valid.mixture_sdr.best.pth"):
        assert (exp / name).read_bytes() == (model / name).read_bytes()
    assert {path: path.stat().st_mtime_ns for path in model.parent.rglob("*")} == before


def test_two_models_of_one_name_do_not_mix(evaluate, model, recipe, tmp_path):
    evaluate(model)
    evaluate(model)
    shutil.copytree(model, tmp_path / "other/caresep_small")
    error = evaluate(tmp_path / "other/caresep_small", status=2).stderr
    assert "holds the results of another model" in error
    assert "--caresep_tag" in error and error.count("\n") == 1
    evaluate(tmp_path / "other/caresep_small", "--caresep_tag", "second")
    assert (recipe / "exp/caresep_second/config.yaml").exists()


def test_models_that_cannot_serve_are_one_line(evaluate, model, tmp_path):
    (tmp_path / "text.zip").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("meta.yaml", "files: none")
    for path, arguments, words in (
        (tmp_path / "none", (), "no such model folder or zip"),
        (tmp_path / "text.zip", (), "cannot be read as a zip"),
        (tmp_path / "other.zip", (), "is no zip of the model zoo"),
        (tmp_path, (), "has no config.yaml"),
        (model, ("--inference_model=a.pth",), "there: valid.mixture_sdr.best.pth"),
    ):
        error = evaluate(path, *arguments, status=2).stderr
        assert words in error and error.count("\n") == 1


def test_without_a_model_the_mixtures_are_made_and_it_asks_for_one(corpus, recipe):
    make_esc50(corpus)
    error = run_recipe(recipe, status=2, ESC50=corpus).stderr
    assert "--caresep_exp MODEL says which model" in error and error.count("\n") == 1
    assert len(read_table(recipe / "dump/raw/test_mix/wav.scp")) == 16
    for kind in ("mixture", "clean", "silence"):
        for query in ("own", "other"):
            items = read_table(recipe / f"dump/raw/test_{kind}_{query}/wav.scp")
            assert len(items) == 32

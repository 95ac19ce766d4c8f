"""Stage 1 of audioset, on small folders in the layouts in which AudioSet lies about."""

import shutil
import subprocess
import tarfile
from collections import Counter

import pytest
import soundfile
import yaml
from corpora import (
    CLASSES,
    CROW,
    convert,
    copy_recipe,
    make_audioset,
    run_recipe,
    write_segments,
)
from places import ROOT

from espnet2_caresep.data.files import read_table
from espnet2_caresep.data.pairs import read_pairs

SMALL = "--valid_clips 12 --valid_pairs 12 --eval_pairs 12"


@pytest.fixture
def corpus(tmp_path):
    return tmp_path / "audioset"


@pytest.fixture
def sets(corpus):
    return make_audioset(corpus)


@pytest.fixture
def recipe(tmp_path):
    return copy_recipe("audioset", tmp_path)


@pytest.fixture
def prepare(recipe, corpus):
    """Runs stage 1."""

    def prepare(*arguments, options=SMALL, status=0):
        common = ["--stop_stage", "1", "--local_data_opts", options]
        return run_recipe(recipe, *common, *arguments, status=status, AUDIOSET=corpus)

    return prepare


def place(corpus, sets, name_of, suffix=".flac", leave_out=()):
    """Lays the audio of all clips where ``name_of`` says: SET, id -> path."""
    for name, clips in sets.items():
        for uid, _, source in clips:
            if uid not in leave_out:
                target = corpus / f"{name_of(name, uid)}{suffix}"
                target.parent.mkdir(parents=True, exist_ok=True)
                if suffix == ".flac":
                    shutil.copy(source, target)
                else:
                    convert(source, target)


def usual(name, uid):
    return f"audio/{name}_segments/Y{uid}"


LAYOUTS = {
    "Y before the id": usual,
    "the id alone": lambda name, uid: f"{name}/{uid}",
    "with start": lambda name, uid: f"{name}/{uid}_30.000",
    "with start and end": lambda name, uid: f"{uid}_30.000_40.000",
    "with start in ms, in parts": lambda name, uid: f"{name}/part{uid[-2:]}/{uid}_30000",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_lists(prepare, corpus, sets, recipe, layout):
    place(corpus, sets, LAYOUTS[layout])
    prepare()
    for split, number in (("train_full", 28), ("valid", 12), ("eval", 16)):
        wavs = read_table(recipe / "data" / split / "wav.scp")
        assert len(wavs) == number
        assert all(uid[1:] in path for uid, path in wavs.items())
        assert list(wavs) == sorted(wavs, key=str.encode)
        assert read_table(recipe / f"data/{split}/labels").keys() == wavs.keys()
    evaluation = {f"Y{uid}" for uid, _, _ in sets["eval"]}
    assert read_table(recipe / "data/eval/wav.scp").keys() == evaluation


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".opus"])
def test_every_format_passes_stage_3(prepare, corpus, sets, recipe, suffix):
    place(corpus, sets, usual, suffix)
    prepare("--stop_stage", "3", "--subset", "balanced")
    wavs = read_table(recipe / "dump/raw/eval/wav.scp")
    assert len(wavs) == 16
    info = soundfile.info(next(iter(wavs.values())))
    assert (info.samplerate, info.channels, info.format) == (32000, 1, "FLAC")
    assert len(read_table(recipe / "dump/raw/eval_mixture_other/wav.scp")) == 24
    assert len(read_table(recipe / "dump/raw/valid_mix/wav.scp")) == 12


def test_the_better_of_two_files_and_no_other_one_is_taken(
    prepare, corpus, sets, recipe
):
    place(corpus, sets, usual)
    uid = sets["eval"][0][0]
    convert(CROW, corpus / f"elsewhere/{uid}.wav")
    convert(CROW, corpus / f"elsewhere/{uid}.mp3")
    for name in ("readme.wav", "YnotInTheCSVs.wav", f"{uid}_take2.wav", f"{uid}.txt"):
        (corpus / name).write_text("not a clip")
    (corpus / f"Y{sets['eval'][1][0]}.m4a").write_text("AAC")
    text = prepare().stdout
    path = read_table(recipe / "data/eval/wav.scp")[f"Y{uid}"]
    assert path.endswith(f"elsewhere/{uid}.wav")
    assert "1 clips are .m4a files, which libsndfile does not read" in text
    assert "eval: 16 of 16 clips" in text


def test_links_to_folders_are_followed_once(prepare, corpus, sets, recipe, tmp_path):
    place(tmp_path / "disk", sets, usual)
    (corpus / "audio").symlink_to(tmp_path / "disk/audio")
    (tmp_path / "disk/audio/loop").symlink_to(tmp_path / "disk")
    prepare()
    assert len(read_table(recipe / "data/eval/wav.scp")) == 16


def add_to_tar(path, sets, names):
    """A shard with clips beside what else such shards hold."""
    with tarfile.open(path, "w") as shard:
        for name in names:
            for uid, _, source in sets[name]:
                shard.add(source, f"audio/{name}/{uid}.flac")
        shard.add(CROW, "audio/YnotInTheCSVs.flac")
        shard.add(CROW, "../../outside.flac")


def test_tar_shards_are_read_once(prepare, corpus, sets, recipe):
    (corpus / "shards").mkdir()
    add_to_tar(corpus / "shards/bal_train00.tar", sets, ["balanced_train"])
    add_to_tar(corpus / "shards/eval00.tar", sets, ["eval"])
    text = prepare("--subset", "balanced").stdout
    assert "shard 1 of 2: 24 clips" in text and "shard 2 of 2: 16 clips" in text
    paths = read_table(recipe / "data/eval/wav.scp")
    assert len(paths) == 16
    for uid, _, source in sets["eval"]:
        with open(paths[f"Y{uid}"], "rb") as file:
            assert file.read() == source.read_bytes()
    unpacked = [p.name for p in recipe.rglob("downloads/**/*.flac")]
    assert len(unpacked) == 40 and "outside.flac" not in unpacked
    again = prepare("--subset", "balanced", "--force", "true").stdout
    assert "shard" not in again and "eval: 16 of 16 clips" in again


def test_a_shard_that_is_cut_off_is_named_and_read_again(prepare, corpus, sets, recipe):
    place(corpus, {**sets, "eval": []}, usual)
    shard = corpus / "eval00.tar"
    add_to_tar(shard, sets, ["eval"])
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) * 7 // 10])
    text = prepare("--subset", "balanced").stdout
    assert "eval00.tar: damaged after" in text
    assert 8 <= len(read_table(recipe / "data/eval/wav.scp")) < 16
    shard.write_bytes(whole)
    prepare("--subset", "balanced", "--force", "true")
    assert len(read_table(recipe / "data/eval/wav.scp")) == 16


def test_missing_clips_are_counted_and_named(prepare, corpus, sets, recipe):
    gone = [sets["eval"][3][0], sets["unbalanced_train"][5][0]]
    place(corpus, sets, usual, leave_out=gone)
    text = prepare().stdout
    assert "data/eval: 15 of 16 clips; the 1 without audio are named in" in text
    assert "data/train_full: 27 of 28 clips" in text
    assert (recipe / "data/missing_eval").read_text() == f"{gone[0]}\n"
    assert (recipe / "data/missing_train_full").read_text() == f"{gone[1]}\n"


def test_too_few_clips_stop_the_stage(prepare, corpus, sets, recipe):
    place(corpus, {"eval": sets["eval"]}, usual)
    done = prepare(status=2)
    assert "train_full 0 of 28, valid 0 of 12" in done.stderr
    assert "--min_share" in done.stderr and done.stderr.count("\n") == 1
    assert not (recipe / "data/train_full").exists()


def test_labels_are_names_by_index_and_the_finest_comes_first(
    prepare, corpus, sets, recipe
):
    place(corpus, sets, usual)
    prepare()
    names = (recipe / "data/labels.txt").read_text().split("\n")
    assert names[-1] == "" and len(names) - 1 == len(CLASSES)
    assert names[8:10] == ["Male_speech_man_speaking", "Dental_drill_dentists_drill"]
    labels = read_table(recipe / "data/eval/labels")
    fine = read_table(recipe / "data/eval/utt2class")
    crow, _, cymbal, _ = (f"Y{uid}" for uid, _, _ in sets["eval"][:4])
    assert (labels[crow], fine[crow]) == ("Crow Bird", "Crow")
    assert (labels[cymbal], fine[cymbal]) == ("Cymbal Percussion", "Cymbal")
    above = read_table(recipe / "data/above")
    # Across the corvids, which are no class of the list
    assert above["Crow"] == "Bird" and above["Tabla"] == "Percussion"


def test_balanced_is_the_balanced_list_with_the_same_validation(
    prepare, corpus, sets, recipe
):
    place(corpus, sets, usual)
    prepare()
    valid = read_table(recipe / "data/valid/wav.scp")
    (corpus / "unbalanced_train_segments.csv").unlink()
    prepare("--subset", "balanced")
    train = read_table(recipe / "data/train_balanced/wav.scp")
    balanced = {f"Y{uid}" for uid, _, _ in sets["balanced_train"]}
    assert read_table(recipe / "data/valid/wav.scp") == valid
    assert train.keys() | valid.keys() == balanced
    assert not train.keys() & valid.keys()


def test_a_clip_of_the_evaluation_set_is_never_trained_on(
    prepare, corpus, sets, recipe
):
    place(corpus, sets, usual)
    uid, names, _ = sets["eval"][0]
    rows = [(u, n) for u, n, _ in sets["unbalanced_train"]]
    write_segments(corpus / "unbalanced_train_segments.csv", [*rows, (uid, names)])
    prepare()
    assert f"Y{uid}" in read_table(recipe / "data/eval/wav.scp")
    assert f"Y{uid}" not in read_table(recipe / "data/train_full/wav.scp")


def test_validation_clips_are_spread_over_the_classes(prepare, corpus, sets, recipe):
    place(corpus, sets, usual)
    prepare()
    labels = read_table(recipe / "data/valid/utt2class").values()
    # Twice each of six labels, two of which a crow has, and two a cymbal
    assert Counter(labels) == {"Crow": 4, "Cymbal": 4, "Bell": 2, "Tabla": 2}


def test_lists_are_stable_and_pairs_are_what_they_should_be(
    prepare, corpus, sets, recipe
):
    place(corpus, sets, usual)
    prepare()
    files = [recipe / f"data/{name}_mixtures.tsv" for name in ("valid", "eval")]
    first = [file.read_text() for file in files]
    shutil.rmtree(recipe / "data")
    prepare()
    assert [file.read_text() for file in files] == first
    labels = {
        uid: set(names.split())
        for uid, names in read_table(recipe / "data/eval/labels").items()
    }
    fine = read_table(recipe / "data/eval/utt2class")
    pairs = read_pairs(files[1])
    assert len(pairs) == 12
    assert len({p.source1 for p in pairs}) == len({p.source2 for p in pairs}) == 12
    for pair in pairs:
        assert not labels[pair.source1] & labels[pair.source2]
        # Tabla is a percussion, though its clips do not say so
        assert {fine[pair.source1], fine[pair.source2]} != {"Tabla", "Cymbal"}
        assert pair.seconds == 10 and pair.start1 == pair.start2 == 0
        for uid, other in (pair.source1, pair.other1), (pair.source2, pair.other2):
            assert other != uid and fine[other] == fine[uid]


def test_without_audioset_it_says_how_to_get_it(recipe, corpus):
    error = run_recipe(recipe, status=2).stderr
    assert "AUDIOSET is not set" in error
    for word in ("unbalanced_train_segments.csv", "ontology.json", "AUDIOSET=FOLDER"):
        assert word in error
    error = run_recipe(recipe, status=2, AUDIOSET=corpus).stderr
    assert "is not a folder" in error and "ontology.json" in error
    corpus.mkdir()
    error = run_recipe(recipe, status=2, AUDIOSET=corpus).stderr
    assert "eval_segments.csv is missing" in error
    assert not (recipe / "data").exists()


def test_the_folder_may_stand_in_local_path_sh(prepare, recipe, corpus, sets):
    place(corpus, sets, usual)
    corpus.rename(corpus.with_name("there"))
    (recipe / "local/path.sh").write_text(f"AUDIOSET={corpus.with_name('there')}\n")
    run_recipe(recipe, "--stop_stage", "1", f"--local_data_opts={SMALL}")
    assert len(read_table(recipe / "data/eval/wav.scp")) == 16


@pytest.mark.parametrize(
    "name, text, words",
    [
        ("eval_segments.csv", "# only\n", "holds no segment"),
        ("eval_segments.csv", '# a\nshort, 0, 10, "/m/09x0r"\n', "segment 1 must be"),
        ("eval_segments.csv", "# a\n-aBc_3x0123, 0, 10\n", "segment 1 must be"),
        ("eval_segments.csv", '-aBc_3x0123, 0, 10, "/m/0"\n', "label '/m/0', which"),
        ("class_labels_indices.csv", "index,mid\n0,/m/0\n", "row 1"),
        (
            "class_labels_indices.csv",
            "index,mid,display_name\n1,/m/0,a\n",
            "1 is not 0",
        ),
        ("ontology.json", "[", "is not the ontology"),
        ("ontology.json", '[{"id": "a"}]', "is not the ontology"),
    ],
)
def test_damaged_lists_are_one_line(prepare, corpus, sets, name, text, words):
    place(corpus, sets, usual)
    (corpus / name).write_text(text)
    error = prepare(status=2).stderr
    assert words in error and error.count("\n") == 1


CONFIG = """mode: sep
extractor_conf:
  segment_frames: 128
  embed_dim: 8
  depths: [1, 1, 1, 1]
  decoder_depths: [1, 1, 1]
  heads: [1, 2, 4, 8]
"""


def test_the_model_gets_all_classes_also_those_without_a_clip(
    prepare, corpus, sets, recipe
):
    place(corpus, sets, usual)
    (recipe / "conf/train.yaml").write_text(CONFIG)
    prepare("--stop_stage", "5")
    stats = recipe / "exp/full/caresep_stats_32k"
    config = yaml.safe_load((stats / "logs/stats.1/config.yaml").read_text())
    assert config["labels"] == (recipe / "data/labels.txt").read_text().split()
    shapes = read_table(stats / "train/speech_ref1_shape")
    assert shapes.keys() == read_table(recipe / "data/train_full/wav.scp").keys()


@pytest.mark.parametrize(
    "name, option", [("audioset", "subset"), ("esc50", "caresep_exp")]
)
def test_help_needs_neither_corpus_nor_environment(tmp_path, name, option):
    done = subprocess.run(
        [ROOT / "egs2" / name / "caresep1/run.sh", "--help"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"  --{option}" in done.stdout and "--inference_nj" in done.stdout

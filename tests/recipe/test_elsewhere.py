"""--elsewhere true of debsounds: a test set of packages that no training uses."""

import sys

from packages import add_pk3, build, needs_dpkg
from places import DEBSOUNDS
from tables import ROWS, check_whole, recipe_of, row, stage_1

from espnet2_caresep.data.files import read_table

sys.path.insert(0, str(DEBSOUNDS / "local"))
from corpus_table import TABLE, read_clips

TRAINED = read_clips() + read_clips(TABLE.with_name("debsounds_more.tsv"))
ELSEWHERE = read_clips(TABLE.with_name("debsounds_elsewhere.tsv"))


def test_the_table_shares_nothing_with_what_models_were_chosen_on():
    assert len(ELSEWHERE) == 128
    assert {clip.split for clip in ELSEWHERE} == {"elsewhere"}
    for name in ("uid", "group", "package"):
        used = {getattr(clip, name) for clip in TRAINED}
        assert not used & {getattr(clip, name) for clip in ELSEWHERE}


def test_the_table_is_whole():
    check_whole(ELSEWHERE, TRAINED, shortest=0.8)


@needs_dpkg
def test_stage_1_makes_it_beside_the_other_splits(shelf, tools, tmp_path):
    crow = {"sources": "openarena-data/pk3/sound/crow.ogg"}
    clips = [
        row("x", "elsewhere", "five", "elec_chime", "bell"),
        row("y", "elsewhere", "openarena-data", "", "bird", **crow),
        row("z", "elsewhere", "five", "tabla_ghe5", kind="seq", recipe="hits=2 gap=0"),
    ]
    clips[2]["recipe"] += " jitter=0"
    build(shelf, "openarena-data", add_pk3)
    tables = {"debsounds": ROWS, "debsounds_elsewhere": clips}
    packages = ("one", "two", "five")
    recipe = recipe_of(tables, shelf, packages, tmp_path / "egs2/debsounds/caresep1")
    stage_1(recipe, tools)
    assert not (recipe / "data/elsewhere").exists()
    before = (recipe / "data/train/wav.scp").read_bytes()

    stage_1(recipe, tools, "--elsewhere", "true")
    wavs = read_table(recipe / "data/elsewhere/wav.scp")
    assert list(wavs) == ["x", "y", "z"]
    assert wavs["z"] == str(recipe / "downloads/derived_elsewhere/z.flac")
    assert (recipe / "data/train/wav.scp").read_bytes() == before

    done = stage_1(recipe, tools, "--elsewhere", "maybe", status=2)
    assert "--elsewhere must be true or false" in done.stderr

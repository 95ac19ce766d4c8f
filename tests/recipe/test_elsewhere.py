"""--elsewhere true of debsounds: a test set of packages that no training uses."""

import shutil
import subprocess
import sys

from packages import add_pk3, add_samples, build, needs_dpkg
from places import DEBSOUNDS, TEMPLATE
from test_more_clips import ROWS, row, write_rows

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
    uids = [clip.uid for clip in ELSEWHERE]
    assert uids == sorted(set(uids), key=str.encode)
    fine = {clip.fine: clip.label for clip in TRAINED}
    for clip in ELSEWHERE:
        assert not set(" \t/") & set(clip.uid) and not set(" \t") & set(clip.group)
        assert all(s.startswith(f"{clip.package}/") for s in clip.sources)
        assert fine[clip.fine] == clip.label and 0.8 <= clip.seconds <= 10


@needs_dpkg
def test_stage_1_makes_it_beside_the_other_splits(shelf, tools, tmp_path):
    recipe = tmp_path / "egs2/debsounds/caresep1"
    shutil.copytree(DEBSOUNDS / "local", recipe / "local")
    (recipe / "path.sh").symlink_to(TEMPLATE / "path.sh")
    write_rows(recipe / "local/debsounds.tsv", ROWS)
    crow = {"sources": "openarena-data/pk3/sound/crow.ogg"}
    clips = [
        row("x", "elsewhere", "five", "elec_chime", "bell"),
        row("y", "elsewhere", "openarena-data", "", "bird", **crow),
        row("z", "elsewhere", "five", "tabla_ghe5", kind="seq", recipe="hits=2 gap=0"),
    ]
    clips[2]["recipe"] += " jitter=0"
    write_rows(recipe / "local/debsounds_elsewhere.tsv", clips)
    for package in ("one", "two", "five"):
        build(shelf, package, add_samples)
    build(shelf, "openarena-data", add_pk3)
    (recipe / "downloads").mkdir()
    shelf.rename(recipe / "downloads/deb")

    def stage_1(*options):
        return subprocess.run(
            ["local/data.sh", "--nj", "1", *options],
            cwd=recipe,
            env={**tools.env, "CARESEP_PYTHON": sys.executable},
            capture_output=True,
            text=True,
            check=False,
        )

    done = stage_1()
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (recipe / "data/elsewhere").exists()
    before = (recipe / "data/train/wav.scp").read_bytes()

    done = stage_1("--elsewhere", "true")
    assert done.returncode == 0, done.stdout + done.stderr
    wavs = read_table(recipe / "data/elsewhere/wav.scp")
    assert list(wavs) == ["x", "y", "z"]
    assert wavs["z"] == str(recipe / "downloads/derived_elsewhere/z.flac")
    assert (recipe / "data/train/wav.scp").read_bytes() == before

    done = stage_1("--elsewhere", "maybe")
    assert done.returncode == 2
    assert "--elsewhere must be true or false" in done.stderr

"""docs/espnet.md: its corpus recipe works as it stands there."""

import re
import shutil

from places import AUDIO, ROOT

from espnet2_caresep.data.files import read_table

PAGE = (ROOT / "docs/espnet.md").read_text()
FILE = r"<!-- file: (\S+) -->\n```\w+\n(.*?)```\n"
FILES = dict(re.findall(FILE, PAGE, flags=re.DOTALL))


def test_a_folder_of_sounds_becomes_data_and_mixtures(recipe, run, monkeypatch):
    sounds = recipe / "my sounds"
    for split in ("train", "valid", "test"):
        for number, name in enumerate(
            ["tabla_ghe5", "loop_breakbeat", "misc_crow", "elec_chime"]
        ):
            folder = sounds / split / ("drum" if number < 2 else "other")
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(AUDIO / f"{name}.flac", folder / f"{name} {number}.flac")
    shutil.rmtree(recipe / "local")
    (recipe / "local").mkdir()
    (recipe / "local/data.sh").write_text(FILES["local/data.sh"])
    (recipe / "local/data.sh").chmod(0o755)
    error = run("--list_dir", "data", "--stop_stage", "1", status=2).stderr
    assert "SOUNDS must name a folder" in error
    monkeypatch.setenv("SOUNDS", "my sounds")
    run("--list_dir", "data", "--stop_stage", "4")
    labels = read_table(recipe / "dump/raw/train/labels")
    assert labels["drum-tabla_ghe5_0_flac"] == "drum"
    assert len(labels) == 4 and set(labels.values()) == {"drum", "other"}
    for name in ("valid_mix", "test_mixture_other"):
        assert read_table(recipe / f"dump/raw/{name}/wav.scp")

"""What the commands that measure a finished model refuse, before they load it."""

import importlib

import pytest

COMMANDS = {
    "borders": ["mix.wav", "--query", "clip.wav"],
    "calibrate_presence": ["--valid_dir", "v", "--test_dir", "t", "--output", "o"],
    "class_queries": ["--data_dir", "d", "--output", "o"],
    "fading": ["--data_dir", "d"],
    "overlap": ["--data_dir", "d"],
    "unwanted": ["--data_dir", "d"],
}


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Runs a command without its inputs; returns what it says."""
    monkeypatch.chdir(tmp_path)
    for folder in ("v", "t", "d"):
        for name in ("wav.scp", "labels", "label_spk1", "label_spk2"):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / name).write_text("a a.wav\n")

    def refused(name, *options):
        command = importlib.import_module(f"espnet2_caresep.bin.{name}")
        with pytest.raises(SystemExit) as ended:
            command.main(["--model", "absent.zip", *COMMANDS[name], *options])
        assert ended.value.code == 2
        return capsys.readouterr().err

    return refused


@pytest.mark.parametrize(
    "name, option",
    [
        ("borders", "--num_threads"),
        ("calibrate_presence", "--num_threads"),
        ("class_queries", "--max_clips"),
        ("fading", "--every"),
        ("overlap", "--count"),
        ("unwanted", "--every"),
    ],
)
def test_numbers_below_one_are_one_line(refused, name, option):
    line = refused(name, option, "0")
    assert line.count("\n") == 1 and f"{option} must be at least 1" in line

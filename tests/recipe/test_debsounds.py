"""Stage 1 of debsounds on tiny packages of the real layouts."""

import csv
import os
import shutil
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import soundfile
from places import AUDIO, DEBSOUNDS

from espnet2_caresep.data.files import read_table

LOCAL = DEBSOUNDS / "local"

# Knows the packages in SHELF as a mirror does; without fresh lists it knows none.
APT_GET = """#!/usr/bin/env bash
echo "$@" >>"${SHELF}/calls"
lists=machine
while [ $# -gt 0 ]; do
    case $1 in
        -o) case $2 in Dir::State::Lists=*) lists=${2#*=} ;; esac; shift 2 ;;
        *) break ;;
    esac
done
if [ "$1" = update ]; then
    [ -d "${lists}/partial" ] || exit 100
    touch "${lists}/fresh"
    exit 0
fi
if [ ! -e "${lists}/fresh" ] && [ ! -e "${SHELF}/machine_lists_are_fresh" ]; then
    echo "E: Unable to locate package $2" >&2
    exit 100
fi
cp "${SHELF}/$2"_*.deb . 2>/dev/null || { echo "E: No such package $2" >&2; exit 100; }
"""

needs_dpkg = pytest.mark.skipif(
    shutil.which("dpkg-deb") is None, reason="builds Debian packages"
)


def build(shelf, package, add_files):
    """Builds a package; add_files(root) fills it."""
    root = shelf / f"root-{package}"
    (root / "DEBIAN").mkdir(parents=True)
    control = f"Package: {package}\nVersion: 1\nArchitecture: all\n"
    control += "Maintainer: Nobody <nobody@example.org>\nDescription: test\n"
    (root / "DEBIAN/control").write_text(control)
    add_files(root)
    subprocess.run(
        ["dpkg-deb", "-b", "-Znone", root, shelf / f"{package}_1_all.deb"],
        check=True,
        capture_output=True,
    )


def add_samples(root):
    folder = root / "usr/share/sonic-pi/samples"
    folder.mkdir(parents=True)
    for name in ("elec_chime", "misc_crow", "tabla_ghe5", "drum_cymbal_hard"):
        shutil.copy(AUDIO / f"{name}.flac", folder)


def add_pk3(root):
    (root / "usr/share/games").mkdir(parents=True)
    with zipfile.ZipFile(root / "usr/share/games/0snd.pk3", "w") as file:
        file.write(AUDIO / "misc_crow.flac", "sound/crow.ogg")
        file.writestr("sound/readme.txt", "text")


def add_cat(root):
    """Two sounds, each behind a name, as in OpenTTD's archive."""
    sounds = []
    for seed in (0, 1):
        path = root / f"{seed}.wav"
        noise = np.random.default_rng(seed).integers(-99, 99, 100).astype(np.int16)
        soundfile.write(path, noise, 11025)
        sounds.append(path.read_bytes())
        path.unlink()
    offset, table, body = 16, b"", b""
    for sound in sounds:
        table += struct.pack("<II", (offset + len(body)) | 0x80000000, len(sound))
        body += b"\x05name\0" + sound + b"\0tail"
    (root / "usr/share/games").mkdir(parents=True)
    (root / "usr/share/games/opensfx.cat").write_bytes(table + body)


def add_g722(root):
    import av

    tone = (8000 * np.sin(np.arange(16000) * 0.05)).astype(np.int16)
    folder = root / "usr/share/asterisk/sounds"
    folder.mkdir(parents=True)
    with av.open(str(folder / "tone.g722"), "w", format="g722") as file:
        stream = file.add_stream("g722", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        frame.sample_rate = 16000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)


@pytest.fixture
def shelf(tmp_path, tools):
    folder = tmp_path / "shelf"
    folder.mkdir()
    tools("apt-get", APT_GET)
    tools("sleep", "#!/bin/sh\n")
    return folder


@pytest.fixture
def fetch(shelf, tools, tmp_path):
    def fetch(*packages, env=None):
        return subprocess.run(
            [LOCAL / "fetch_packages.sh", tmp_path / "deb", *packages],
            env=env or {**tools.env, "SHELF": str(shelf)},
            capture_output=True,
            text=True,
            check=False,
        )

    return fetch


def debs(tmp_path):
    return sorted(path.name for path in (tmp_path / "deb").glob("*.deb"))


@needs_dpkg
def test_fresh_lists_of_the_machine_are_used(shelf, fetch, tmp_path):
    build(shelf, "sonic-pi-samples", add_samples)
    (shelf / "machine_lists_are_fresh").touch()
    assert fetch("sonic-pi-samples").returncode == 0
    assert debs(tmp_path) == ["sonic-pi-samples_1_all.deb"]
    assert "update" not in (shelf / "calls").read_text()


@needs_dpkg
def test_stale_lists_are_replaced_by_lists_of_our_own(shelf, fetch, tmp_path):
    build(shelf, "sonic-pi-samples", add_samples)
    done = fetch("sonic-pi-samples", "bucklespring-data")
    assert done.returncode == 0
    assert debs(tmp_path) == ["sonic-pi-samples_1_all.deb"]
    assert "Could not be downloaded: bucklespring-data" in done.stderr
    calls = (shelf / "calls").read_text().splitlines()
    assert sum("update" in call for call in calls) == 1
    assert all("APT::Sandbox::User=" in call for call in calls)


@needs_dpkg
def test_a_package_is_fetched_once(shelf, fetch, tmp_path):
    build(shelf, "sonic-pi-samples", add_samples)
    fetch("sonic-pi-samples")
    calls = (shelf / "calls").read_text()
    assert "1 of 1 packages are here already" in fetch("sonic-pi-samples").stdout
    assert (shelf / "calls").read_text() == calls


@needs_dpkg
def test_half_a_package_is_not_taken(shelf, fetch, tmp_path):
    build(shelf, "sonic-pi-samples", add_samples)
    deb = shelf / "sonic-pi-samples_1_all.deb"
    deb.write_bytes(deb.read_bytes()[:100])
    done = fetch("sonic-pi-samples")
    assert debs(tmp_path) == []
    assert "Could not be downloaded: sonic-pi-samples" in done.stderr


def test_without_apt_the_message_says_what_to_do(fetch, tmp_path):
    binaries = tmp_path / "few"
    binaries.mkdir()
    for name in ("bash", "mkdir", "dirname", "env"):
        (binaries / name).symlink_to(shutil.which(name))
    done = fetch("sonic-pi-samples", env={"PATH": str(binaries)})
    assert done.returncode == 2
    assert "apt-get is not here" in done.stderr and "by hand" in done.stderr


def python(script, *arguments, status=0):
    done = subprocess.run(
        [sys.executable, LOCAL / script, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def unpack(shelf, tmp_path):
    def unpack(*packages, status=0):
        options = ["--deb_dir", shelf, "--output_dir", tmp_path / "unpacked"]
        return python("unpack_packages.py", *options, *packages, status=status)

    return unpack


@needs_dpkg
def test_containers_are_opened(shelf, unpack, tmp_path):
    build(shelf, "ufoai-sound", add_pk3)
    build(shelf, "openttd-opensfx", add_cat)
    build(shelf, "asterisk-core-sounds-en-g722", add_g722)
    unpack("ufoai-sound", "openttd-opensfx", "asterisk-core-sounds-en-g722", "absent")
    root = tmp_path / "unpacked"
    assert (root / "ufoai-sound/pk3/sound/crow.ogg").exists()
    assert not (root / "ufoai-sound/pk3/sound/readme.txt").exists()
    for seed in (0, 1):
        wav = root / f"openttd-opensfx/wav/{seed:02d}.wav"
        noise = np.random.default_rng(seed).integers(-99, 99, 100)
        np.testing.assert_array_equal(soundfile.read(wav, dtype="int16")[0], noise)
    tone, rate = soundfile.read(root / "asterisk-core-sounds-en-g722/wav/tone.wav")
    assert rate == 16000 and len(tone) == pytest.approx(16000, abs=100)
    spectrum = np.abs(np.fft.rfft(tone[2000:10000]))
    assert np.argmax(spectrum) * 2 * np.pi / 8000 == pytest.approx(0.05, abs=0.001)


@needs_dpkg
def test_a_damaged_package_is_removed_and_named(shelf, unpack, tmp_path):
    deb = shelf / "sonic-pi-samples_1_all.deb"
    deb.write_bytes(b"!<arch>\nnot a package")
    error = unpack("sonic-pi-samples", status=2).stderr
    assert "sonic-pi-samples_1_all.deb is damaged" in error
    assert "run stage 1 again" in error and error.count("\n") == 1
    assert not deb.exists()
    assert not (tmp_path / "unpacked/sonic-pi-samples").exists()


COLUMNS = [
    "uid",
    "kind",
    "class",
    "label",
    "split",
    "group",
    "seconds",
    "start",
    "sources",
    "recipe",
    "package",
    "licence",
    "audioset",
]
SAMPLES = "sonic-pi-samples/usr/share/sonic-pi/samples"


def row(uid, split, sources, kind="file", recipe="-", start="0.00", seconds="2.00"):
    values = [uid, kind, "fine", "coarse", split, uid, seconds, start, sources, recipe]
    return dict(zip(COLUMNS, [*values, "sonic-pi-samples", "CC0", "Sound"]))


@pytest.fixture
def prepare(shelf, unpack, tmp_path):
    """Runs the last two steps of stage 1 on a table of our own."""
    build(shelf, "sonic-pi-samples", add_samples)
    unpack("sonic-pi-samples")

    def prepare(rows, *options, status=0):
        with open(tmp_path / "table.tsv", "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, delimiter="\t")
            writer.writeheader()
            writer.writerows(rows)
        common = ["--unpacked_dir", tmp_path / "unpacked"]
        common += ["--table", tmp_path / "table.tsv"]
        derived = tmp_path / "derived"
        python("derive_clips.py", *common, "--output_dir", derived, "--nj", "1")
        common += ["--derived_dir", derived, "--output_dir", tmp_path / "data"]
        return python("write_data_dirs.py", *common, *options, status=status)

    return prepare


ROWS = [
    row("a", "train", f"{SAMPLES}/elec_chime.flac", start="0.50", seconds="1.00"),
    row("b", "valid", f"{SAMPLES}/tabla_ghe5.flac", seconds="3.56"),
    row(
        "c",
        "test",
        f"{SAMPLES}/misc_crow.flac|{SAMPLES}/drum_cymbal_hard.flac",
        kind="seq",
        recipe="hits=3 gap=0.5 jitter=0.15",
    ),
]


@needs_dpkg
def test_data_directories_say_what_the_table_says(prepare, tmp_path):
    prepare(ROWS)
    train = tmp_path / "data/train"
    assert read_table(train / "cuts") == {"a": "0.5 1"}
    assert read_table(train / "labels") == {"a": "coarse"}
    assert read_table(train / "utt2class") == {"a": "fine"}
    assert read_table(train / "utt2group") == {"a": "a"}
    assert (tmp_path / "data/valid/cuts").read_text() == ""
    for split in ("train", "valid", "test"):
        for path in read_table(tmp_path / "data" / split / "wav.scp").values():
            assert soundfile.info(path).frames > 0


@needs_dpkg
def test_a_sequence_is_the_same_on_every_machine(prepare, tmp_path):
    prepare(ROWS)
    path = tmp_path / "derived/c.flac"
    first = path.read_bytes()
    audio, rate = soundfile.read(path)
    assert rate == 32000 and np.abs(audio).max() <= 1
    # Three hits about half a second apart, the last of them at most 1.64 s long
    assert 1.4 < len(audio) / rate < 3.0
    path.unlink()
    prepare(ROWS)
    assert path.read_bytes() == first


@needs_dpkg
def test_a_file_that_moved_inside_its_package_is_found(prepare, tmp_path):
    old = tmp_path / "unpacked/sonic-pi-samples/usr/share/sonic-pi"
    old.rename(old.with_name("sonic-pi-5"))
    prepare(ROWS)
    path = read_table(tmp_path / "data/train/wav.scp")["a"]
    assert "sonic-pi-5/samples/elec_chime.flac" in path


@needs_dpkg
def test_missing_rows_are_named_and_too_many_stop_the_stage(prepare, tmp_path):
    gone = row("d", "train", f"{SAMPLES}/gone.flac")
    text = prepare([*ROWS, gone], "--min_share", "0.5").stdout
    assert "not there: d" in text and "sonic-pi-samples: 1 clips are missing" in text
    done = prepare([*ROWS, gone], status=2)
    assert "train: only 1 of 2 clips are there" in done.stderr
    assert done.stderr.count("\n") == 1


@needs_dpkg
def test_wrong_choices_and_damaged_tables_are_one_line(prepare, tmp_path):
    error = prepare(ROWS, "--labels", "coarse,cat", status=2).stderr
    assert "no clip is cat; there are coarse" in error
    error = prepare(ROWS, "sonic-pi", status=2).stderr
    assert "not in table.tsv: sonic-pi; it knows sonic-pi-samples" in error

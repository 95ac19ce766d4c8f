"""Debian packages without root: download, unpacking, the archives inside."""

import shutil
import subprocess

import numpy as np
import pytest
import soundfile
from packages import LOCAL, add_cat, add_g722, add_pk3, add_samples, build, needs_dpkg

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


@pytest.fixture
def fetch(shelf, tools, tmp_path):
    """Runs the download with a stand-in apt-get."""
    tools("apt-get", APT_GET)
    tools("sleep", "#!/bin/sh\n")

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


@needs_dpkg
def test_containers_are_opened(shelf, unpack, tmp_path):
    build(shelf, "ufoai-sound", add_pk3)
    build(shelf, "openttd-opensfx", add_cat)
    voices = [f"asterisk-core-sounds-{language}-g722" for language in ("en", "fr")]
    for voice in voices:
        build(shelf, voice, add_g722)
    unpack("ufoai-sound", "openttd-opensfx", *voices, "absent")
    root = tmp_path / "unpacked"
    assert (root / "ufoai-sound/pk3/sound/crow.ogg").exists()
    assert not (root / "ufoai-sound/pk3/sound/readme.txt").exists()
    for seed in (0, 1):
        wav = root / f"openttd-opensfx/wav/{seed:02d}.wav"
        noise = np.random.default_rng(seed).integers(-99, 99, 100)
        np.testing.assert_array_equal(soundfile.read(wav, dtype="int16")[0], noise)
    tone, rate = soundfile.read(root / voices[0] / "wav/tone.wav")
    assert (root / voices[1] / "wav/tone.wav").exists()
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

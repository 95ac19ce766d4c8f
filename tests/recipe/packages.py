"""Tiny Debian packages in the layouts of the real ones."""

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

LOCAL = DEBSOUNDS / "local"

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

"""Unpacks the downloaded Debian packages and the containers among them."""

from __future__ import annotations

import argparse
import fnmatch
import shutil
import struct
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import soundfile

from espnet2_caresep.data.command import bad_input_exits
from espnet2_caresep.data.files import write_whole

G722_RATE = 16000


def unpack(deb: Path, output_dir: Path) -> None:
    """Unpacks one package whole into ``output_dir``.

    Raises:
        ValueError: If the package is damaged; the file is removed.
    """
    part = output_dir.with_name(output_dir.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    done = subprocess.run(
        ["dpkg-deb", "-x", str(deb), str(part)],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        deb.unlink()
        raise ValueError(
            f"{deb.name} is damaged ({done.stderr.strip().splitlines()[-1]}); it was "
            "removed: run stage 1 again to download it"
        )
    for pattern, open_container in CONTAINERS.items():
        if fnmatch.fnmatchcase(output_dir.name, pattern):
            open_container(part)
    part.rename(output_dir)


def open_pk3(root: Path) -> None:
    """ufoai, openarena, warzone2100: the sounds lie in zip files -> pk3/."""
    for archive in [*root.rglob("*.pk3"), *root.rglob("*.wz")]:
        with zipfile.ZipFile(archive) as file:
            names = [n for n in file.namelist() if n.endswith((".ogg", ".wav"))]
            file.extractall(root / "pk3", names)


def open_cat(root: Path) -> None:
    """OpenTTD: a table of little-endian (offset, size) pairs -> wav/NN.wav."""
    (root / "wav").mkdir()
    for archive in root.rglob("*.cat"):
        data = archive.read_bytes()
        count = (struct.unpack_from("<I", data)[0] & 0x7FFFFFFF) // 8
        for index in range(count):
            offset = struct.unpack_from("<I", data, 8 * index)[0] & 0x7FFFFFFF
            begin = data.find(b"RIFF", offset)
            if begin < 0:
                break
            size = struct.unpack_from("<I", data, begin + 4)[0] + 8
            wav = root / "wav" / f"{index:02d}.wav"
            wav.write_bytes(data[begin : begin + size])


def open_g722(root: Path) -> None:
    """Asterisk: headerless G.722 at 16 kHz -> wav/NAME.wav."""
    import av

    (root / "wav").mkdir()
    for path in sorted(root.rglob("*.g722")):
        try:
            with av.open(str(path), format="g722") as file:
                frames = [f.to_ndarray().reshape(-1) for f in file.decode(audio=0)]
            audio = np.concatenate(frames).astype(np.int16)
        except (av.FFmpegError, ValueError) as error:
            print(f"left out: {path.name} cannot be decoded ({error})")
            continue
        with write_whole(root / "wav" / f"{path.stem}.wav") as part:
            soundfile.write(part, audio, G722_RATE)


CONTAINERS = {
    "ufoai-sound": open_pk3,
    "openarena-data": open_pk3,
    "warzone2100-data": open_pk3,
    "openttd-opensfx": open_cat,
    "asterisk-core-sounds-*-g722": open_g722,
}


def main() -> None:
    """Unpacks the packages named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deb_dir", type=Path, required=True)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("packages", nargs="+")
    args = parser.parse_args()
    args.output_dir.mkdir(parents=True, exist_ok=True)
    for package in args.packages:
        target = args.output_dir / package
        # The newest file when several versions lie there
        debs = sorted(
            args.deb_dir.glob(f"{package}_*.deb"), key=lambda p: p.stat().st_mtime
        )
        if target.exists() or not debs:
            continue
        print(f"Unpacking {package}", flush=True)
        try:
            unpack(debs[-1], target)
        except (OSError, zipfile.BadZipFile, struct.error) as error:
            raise ValueError(f"{package} cannot be unpacked: {error}") from error


if __name__ == "__main__":
    with bad_input_exits():
        main()

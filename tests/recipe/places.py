"""Where the pieces of the repository lie, and the real clips of the test recipe."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "egs2/TEMPLATE/caresep1"
DEBSOUNDS = ROOT / "egs2/debsounds/caresep1"
AUDIO = ROOT / "tests/fixtures/audio"

LABELS = {
    "drum_cymbal_hard": "cymbal",
    "elec_chime": "bell",
    "loop_breakbeat": "drum",
    "misc_crow": "bird",
    "tabla_ghe5": "drum",
}

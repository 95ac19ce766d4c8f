"""The paper's Tables 1 and 2: rows, figures, conclusions."""

from __future__ import annotations

from dataclasses import dataclass, field

# Columns of a run: name, heading, where RESULTS.json has it.
FIGURES = {
    "mixture": ("mixture-SDR", "mixture_own/sdr"),
    "other": ("mixture-SDR, other clip", "mixture_other/sdr"),
    "clean": ("clean-SDR", "clean_own/sdr"),
    "silence": ("silence-SDR", "silence_own/silence_sdr"),
    "mAP": ("mAP", None),
}


@dataclass(frozen=True)
class Row:
    """A row of the tables.

    Attributes:
        configs: Names of the configurations that train it, at the scales it has.
        title: What it is.
        table: Table of the paper, 1 or 2.
        identity: Letter in Table 2.
        flags: Grad, Init, Shared of Table 2.
        paper: The paper's figures (AudioSet): name in :data:`FIGURES` to value.
    """

    configs: tuple[str, ...]
    title: str
    table: int
    identity: str = ""
    flags: str = ""
    paper: dict[str, float] = field(default_factory=dict)


def _paper(mixture=None, clean=None, silence=None, mAP=None) -> dict[str, float]:
    figures = {"mixture": mixture, "clean": clean, "silence": silence, "mAP": mAP}
    return {name: value for name, value in figures.items() if value is not None}


_A = _paper(10.55, 27.83, 16.64)
_C = _paper(13.14, 103.16, 17.72)
_UNET = ("a", "train_ablation_a")
_SWIN = ("c", "train_caresep_768")
ROWS = [
    Row(
        ("pann_sep_probabilities", "train_pann_sep_527"),
        "PANN-SEP, class probabilities (527-d)",
        1,
        paper=_paper(7.38, 8.89, 11.00),
    ),
    Row(
        ("pann_sep_embedding", "train_pann_sep_2048"),
        "PANN-SEP, embedding (2048-d)",
        1,
        paper=_paper(9.42, 13.96, 15.89),
    ),
    Row(_UNET, "ST-SED-SEP (2048-d)", 1, paper={**_A, "mAP": 0.459}),
    Row(("cls", "train_care_cls_768"), "CaRE-CLS (768-d)", 1, paper=_paper(mAP=0.463)),
    Row(("train_care_cls_2048",), "CaRE-CLS (2048-d)", 1),
    Row(
        ("cls_sep", "train_care_cls_sep_768"),
        "CaRE-CLS+SEP (768-d)",
        1,
        paper=_paper(11.48, 97.18, 19.81, 0.446),
    ),
    Row(_SWIN, "CaRE-SEP (768-d)", 1, paper=_C),
    Row(
        ("train_caresep_2048",),
        "CaRE-SEP (2048-d)",
        1,
        paper=_paper(13.84, 96.1, 17.38),
    ),
    Row(("c_plain",), "CaRE-SEP, its query without the spectrum", 1),
    Row(("a_plain",), "ST-SED-SEP, its query without the spectrum", 1),
    Row(_UNET, "ST-SED-SEP", 2, "A", "✗ ✓ ✗", _A),
    Row(
        ("b", "train_ablation_b"),
        "ST-SED-SEP with grad",
        2,
        "B",
        "✓ ✓ ✗",
        _paper(10.77, 31.85, 13.67),
    ),
    Row(_SWIN, "CaRE-SEP", 2, "C", "✓ ✓ ✓", _C),
    Row(
        ("d", "train_ablation_d"),
        "CaRE-SEP without grad",
        2,
        "D",
        "✗ ✓ ✓",
        _paper(10.09, 78.13, 5.85),
    ),
    Row(
        ("e", "train_ablation_e"),
        "CaRE-SEP without init",
        2,
        "E",
        "✓ ✗ ✓",
        _paper(11.33, 100.89, 15.73),
    ),
    Row(
        ("f", "train_ablation_f"),
        "CaRE-SEP without grad and init",
        2,
        "F",
        "✗ ✗ ✓",
        _paper(9.14, 69.25, 11.13),
    ),
    Row(
        ("g", "train_ablation_g"),
        "CaRE-SEP without grad and shared encoder",
        2,
        "G",
        "✗ ✓ ✗",
        _paper(10.34, 56.7, 17.59),
    ),
]

# What the paper concludes from Table 2: larger row, smaller row, figure.
ORDERINGS = [
    ("C", "A", "mixture"),
    ("C", "B", "mixture"),
    ("C", "D", "mixture"),
    ("C", "E", "mixture"),
    ("C", "F", "mixture"),
    ("C", "G", "mixture"),
    ("E", "F", "mixture"),
    ("D", "F", "mixture"),
    ("C", "A", "clean"),
    ("C", "A", "silence"),
    ("C", "D", "silence"),
]

"""Draws the committed lists valid_mixtures.tsv and test_mixtures.tsv.

Every clip of the split is mixed twice, once as each source, with a partner of another
label; a valid list keeps some of these pairs. Each source also gets another clip of its
class, the query that a user would have. Segments begin where a clip is loudest.

Run it again only to define new test sets: scores on other lists do not compare.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import soundfile

from espnet2_caresep.data.command import bad_input_exits
from espnet2_caresep.data.files import read_table, write_whole
from espnet2_caresep.data.mixing import loudest_start

COLUMNS = (
    "pair source1 start1 source2 start2 other1 other1_start other2 other2_start seconds"
)
GRID = 0.01  # starts are multiples of this many seconds, whole samples at every rate


def draw_partners(
    uids: list[str], labels: dict[str, str], draw: random.Random
) -> dict[str, str]:
    """Gives each clip a partner of another label; each clip is a partner once.

    Raises:
        ValueError: If one label has more than half of the clips.
    """
    most = max(
        sum(labels[uid] == label for uid in uids) for label in set(labels.values())
    )
    if 2 * most > len(uids):
        raise ValueError("one label has more than half of the clips: no pairing exists")
    partners = uids[:]
    draw.shuffle(partners)

    def clash(place: int, partner: str) -> bool:
        return labels[uids[place]] == labels[partner]

    # Swapping a clashing partner with one that suits both sides removes a clash and
    # makes none; one exists because no label has more than half of the clips.
    for place in range(len(uids)):
        if not clash(place, partners[place]):
            continue
        places = [
            other
            for other in range(len(uids))
            if not clash(place, partners[other]) and not clash(other, partners[place])
        ]
        other = draw.choice(places)
        partners[place], partners[other] = partners[other], partners[place]
    return dict(zip(uids, partners))


def draw_other(
    uid: str,
    uids: list[str],
    tables: dict[str, dict[str, str]],
    draw: random.Random,
) -> str:
    """Draws another clip of the class: fine class first, another group first.

    Raises:
        ValueError: If the clip is the only one of its label.
    """

    def same(name: str, other: str) -> bool:
        return tables[name][uid] == tables[name][other]

    others = [o for o in uids if o != uid and same("labels", o)]
    fine = [o for o in others if same("utt2class", o)]
    for pool in (
        [o for o in fine if not same("utt2group", o)],
        fine,
        [o for o in others if not same("utt2group", o)],
        others,
    ):
        if pool:
            return draw.choice(pool)
    raise ValueError(f"{uid} is the only clip of {tables['labels'][uid]}")


def main() -> None:
    """Writes one list."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=2.55)
    parser.add_argument("--pairs", type=int, help="keep this many (default: all)")
    parser.add_argument("--exclude", nargs="*", default=["insect_frog"], help="labels")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    draw = random.Random(f"{args.seed} {args.data_dir.name}")
    names = ("labels", "utt2class", "utt2group")
    tables = {name: read_table(args.data_dir / name) for name in names}
    paths = read_table(args.data_dir / "wav.scp")
    counts = list(tables["labels"].values())
    uids = [
        uid
        for uid, label in tables["labels"].items()
        if label not in args.exclude and counts.count(label) > 1
    ]

    def start(uid: str) -> str:
        audio, rate = soundfile.read(paths[uid], dtype="float32")
        first = loudest_start(audio, round(args.seconds * rate))
        return f"{int(first / rate / GRID) * GRID:.2f}"

    partners = draw_partners(uids, tables["labels"], draw)
    pairs = list(partners.items())
    draw.shuffle(pairs)
    lines = ["\t".join(COLUMNS.split())]
    for number, pair in enumerate(pairs[: args.pairs], 1):
        others = [draw_other(uid, uids, tables, draw) for uid in pair]
        fields = [f"pair{number:04d}"]
        for uid in (*pair, *others):
            fields += [uid, start(uid)]
        lines.append("\t".join([*fields, f"{args.seconds:g}"]))
    with write_whole(args.output) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{args.output}: {len(lines) - 1} pairs of {len(uids)} clips")


if __name__ == "__main__":
    with bad_input_exits():
        main()

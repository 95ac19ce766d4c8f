"""The committed table and lists: what makes scores on them mean something."""

import csv
import sys

import pytest
from places import DEBSOUNDS

from espnet2_caresep.bin.make_mixtures import read_pairs

sys.path.insert(0, str(DEBSOUNDS / "local"))
from corpus_table import read_clips

CLIPS = {clip.uid: clip for clip in read_clips()}
LISTS = [
    ("test_mixtures.tsv", "test", 205),
    ("valid_mixtures.tsv", "valid", 64),
    ("mini/test_mixtures.tsv", "test", 8),
    ("mini/valid_mixtures.tsv", "valid", 6),
]


def test_the_table_is_whole():
    assert len(CLIPS) == 915
    counts = {s: sum(c.split == s for c in CLIPS.values()) for s in ("train", "valid")}
    assert counts == {"train": 591, "valid": 117}
    assert len({clip.label for clip in CLIPS.values()}) == 21
    assert len({clip.fine for clip in CLIPS.values()}) == 34
    assert all(1 <= clip.seconds <= 10 for clip in CLIPS.values())
    assert list(CLIPS) == sorted(CLIPS, key=str.encode)
    for clip in CLIPS.values():
        assert not set(" \t/") & set(clip.uid + clip.label)
        assert not set(" \t") & set(clip.group)
        assert all(s.startswith(f"{clip.package}/") for s in clip.sources)


def test_no_group_crosses_splits():
    splits = {}
    for clip in CLIPS.values():
        splits.setdefault(clip.group, set()).add(clip.split)
    assert all(len(split) == 1 for split in splits.values())
    assert len(splits) == 702


def test_no_two_clips_of_different_splits_share_a_recording():
    used = {}
    for clip in CLIPS.values():
        if clip.kind != "render":  # all play the one sound bank
            for source in clip.sources:
                used.setdefault(source, set()).add(clip.split)
    assert [source for source, splits in used.items() if len(splits) > 1] == []


def test_every_label_can_be_learned_and_tested():
    for split in ("train", "valid", "test"):
        labels = {clip.label for clip in CLIPS.values() if clip.split == split}
        assert len(labels) == 21


@pytest.mark.parametrize("name, split, number", LISTS)
def test_pairs_share_no_label_and_stay_in_their_split(name, split, number):
    pairs = read_pairs(DEBSOUNDS / "local" / name)
    assert len({pair.pair for pair in pairs}) == len(pairs) == number
    for pair in pairs:
        clips = [CLIPS[uid] for uid in pair.uids()]
        assert {clip.split for clip in clips} == {split}
        assert clips[0].label != clips[1].label
        assert "insect_frog" not in {clip.label for clip in clips}
        assert pair.seconds == 2.55
        starts = (pair.start1, pair.start2, pair.other1_start, pair.other2_start)
        for clip, start in zip(clips, starts):
            assert 0 <= start <= max(0, clip.seconds - pair.seconds) + 0.02


@pytest.mark.parametrize("name, split, number", LISTS)
def test_the_other_query_is_the_nearest_that_the_split_has(name, split, number):
    labels = {"drum", "cymbal_bell", "plucked", "synth_fx", "typing"}
    packages = {"sonic-pi-samples", "bucklespring-data"}
    pool = [clip for clip in CLIPS.values() if clip.split == split]
    if name.startswith("mini"):
        pool = [c for c in pool if c.label in labels and c.package in packages]
    for pair in read_pairs(DEBSOUNDS / "local" / name):
        for uid, other_uid in (
            (pair.source1, pair.other1),
            (pair.source2, pair.other2),
        ):
            clip, other = CLIPS[uid], CLIPS[other_uid]
            assert other_uid != uid and other.label == clip.label
            fine = [c for c in pool if c.fine == clip.fine and c.uid != uid]
            strangers = [c for c in fine if c.group != clip.group]
            assert (other.fine == clip.fine) == bool(fine)
            assert not strangers or other.group != clip.group


def test_each_test_clip_is_each_source_once():
    pairs = read_pairs(DEBSOUNDS / "local/test_mixtures.tsv")
    expected = sorted(
        uid
        for uid, clip in CLIPS.items()
        if clip.split == "test" and clip.label != "insect_frog"
    )
    assert sorted(pair.source1 for pair in pairs) == expected
    assert sorted(pair.source2 for pair in pairs) == expected


def test_the_lists_come_from_their_program():
    import random

    from make_lists import draw_partners

    uids = [uid for uid, clip in CLIPS.items() if clip.split == "test"]
    uids = [uid for uid in uids if CLIPS[uid].label != "insect_frog"]
    labels = {uid: clip.label for uid, clip in CLIPS.items()}
    partners = draw_partners(uids, labels, random.Random("0 test"))
    with open(DEBSOUNDS / "local/test_mixtures.tsv", encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t")
        assert {row["source1"]: row["source2"] for row in rows} == partners


def test_a_pairing_exists_up_to_half_of_one_label():
    import random

    from make_lists import draw_partners

    uids = [f"u{n}" for n in range(10)]
    for seed in range(50):
        labels = {uid: "a" if n < 5 else f"b{n}" for n, uid in enumerate(uids)}
        partners = draw_partners(uids, labels, random.Random(seed))
        assert sorted(partners.values()) == uids
        assert all(labels[uid] != labels[other] for uid, other in partners.items())
    labels["u9"] = "a"
    with pytest.raises(ValueError, match="more than half"):
        draw_partners(uids, labels, random.Random(0))

"""The committed table and lists: what makes scores on them mean something."""

import random
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import AUDIO, DEBSOUNDS

from espnet2_caresep.bin import draw_pairs
from espnet2_caresep.data.files import write_table
from espnet2_caresep.data.pairs import (
    Catalogue,
    draw_partners,
    read_pairs,
    spread_over_labels,
    write_pairs,
)

sys.path.insert(0, str(DEBSOUNDS / "local"))
from corpus_table import read_clips

CLIPS = {clip.uid: clip for clip in read_clips()}
ELSEWHERE = read_clips(DEBSOUNDS / "local/debsounds_elsewhere.tsv")
EVERY_CLIP = CLIPS | {clip.uid: clip for clip in ELSEWHERE}
LISTS = [
    ("test_mixtures.tsv", "test", 205),
    ("valid_mixtures.tsv", "valid", 64),
    ("mini/test_mixtures.tsv", "test", 8),
    ("mini/valid_mixtures.tsv", "valid", 6),
    ("elsewhere_mixtures.tsv", "elsewhere", 128),
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
        clips = [EVERY_CLIP[uid] for uid in pair.uids()]
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
    pool = [clip for clip in EVERY_CLIP.values() if clip.split == split]
    if name.startswith("mini"):
        pool = [c for c in pool if c.label in labels and c.package in packages]
    for pair in read_pairs(DEBSOUNDS / "local" / name):
        for uid, other_uid in (
            (pair.source1, pair.other1),
            (pair.source2, pair.other2),
        ):
            clip, other = EVERY_CLIP[uid], EVERY_CLIP[other_uid]
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


def catalogue(split):
    """The clips of a split as the lists were drawn from them."""
    clips = [clip for clip in EVERY_CLIP.values() if clip.split == split]
    clips = [clip for clip in clips if clip.label != "insect_frog"]
    return Catalogue(
        {clip.uid: [clip.label] for clip in clips},
        {clip.uid: [clip.fine] for clip in clips},
        {clip.uid: clip.group for clip in clips},
    )


@pytest.mark.parametrize("split", ["test", "valid", "elsewhere"])
def test_the_lists_come_from_their_program(split):
    clips = catalogue(split)
    draw = random.Random(f"0 {split}")
    drawn = list(draw_partners(clips.uids, clips.clash, draw).items())
    draw.shuffle(drawn)
    pairs = read_pairs(DEBSOUNDS / f"local/{split}_mixtures.tsv")
    for pair, sources in zip(pairs, drawn):
        others = [clips.draw_other(uid, draw) for uid in sources]
        assert pair.uids() == (*sources, *others)


def test_a_list_is_written_as_it_was_read(tmp_path):
    path = DEBSOUNDS / "local/test_mixtures.tsv"
    write_pairs(tmp_path / "list.tsv", read_pairs(path))
    assert (tmp_path / "list.tsv").read_text() == path.read_text()


def test_a_pairing_exists_up_to_half_of_one_label():
    uids = [f"u{n}" for n in range(10)]
    for seed in range(50):
        labels = {uid: "a" if n < 5 else f"b{n}" for n, uid in enumerate(uids)}
        clips = Catalogue({uid: [label] for uid, label in labels.items()})
        partners = draw_partners(uids, clips.clash, random.Random(seed))
        assert sorted(partners.values()) == uids
        assert all(labels[uid] != labels[other] for uid, other in partners.items())
    clips = Catalogue({uid: [label] for uid, label in {**labels, "u9": "a"}.items()})
    with pytest.raises(ValueError, match="more than half"):
        draw_partners(uids, clips.clash, random.Random(0))


@given(
    st.dictionaries(
        st.integers(0, 99).map(str), st.sets(st.sampled_from("abcdef"), min_size=1)
    ),
    st.integers(0, 40),
    st.integers(0, 9),
)
def test_clips_are_drawn_label_by_label(labels, number, seed):
    chosen = spread_over_labels(labels, number, random.Random(seed))
    assert len(set(chosen)) == len(chosen) == min(number, len(labels))
    assert chosen == [uid for uid in labels if uid in chosen]
    names = set().union(*labels.values())
    if number >= len(names):
        assert set().union(*(labels[uid] for uid in chosen)) == names


def test_labels_that_contain_each_other_clash():
    labels = {"1": ["Dog"], "2": ["Animal"], "3": ["Cat", "Speech"], "4": ["Speech"]}
    clips = Catalogue(labels, above={"Dog": ["Animal"], "Cat": ["Animal"]})
    clashing = {a + b for a in labels for b in labels if a < b and clips.clash(a, b)}
    assert clashing == {"12", "23", "34"}
    assert all(clips.clash(uid, uid) for uid in labels)


@pytest.fixture
def draw(tmp_path, capsys):
    """Runs draw_pairs on lists of a few clips."""
    clips = {"a1": "a", "a2": "a b", "b1": "b", "c1": "c", "c2": "c", "c3": "c d"}
    write_table(tmp_path / "wav.scp", {uid: AUDIO / "misc_crow.flac" for uid in clips})
    write_table(tmp_path / "labels", clips)
    arguments = ["--data_dir", str(tmp_path), "--output", str(tmp_path / "list.tsv")]

    def draw(*options, status=0):
        if not status:
            draw_pairs.main([*arguments, *options])
            return read_pairs(tmp_path / "list.tsv")
        with pytest.raises(SystemExit) as error:
            draw_pairs.main([*arguments, *options])
        message = capsys.readouterr().err
        assert error.value.code == status and message.count("\n") == 1
        return message

    return draw


def test_pairs_of_a_data_directory(draw, tmp_path):
    pairs = draw("--seconds", "0.1")
    assert len(pairs) == 6 and pairs == draw("--seconds", "0.1")
    assert pairs != draw("--seconds", "0.1", "--seed", "1")
    for pair in pairs:
        assert (pair.source1[0] == "c") != (pair.source2[0] == "c")
        assert pair.start1 > 0  # where the crow is loudest
    assert draw("--pairs", "2")[0].start1 == 0  # longer than the clip
    assert len(draw("--pairs", "2")) == 2
    left = draw("--exclude", "d")
    assert "c3" not in {uid for pair in left for uid in pair.uids()}


def test_lists_that_give_no_pairs_are_one_line(draw, tmp_path):
    assert "more than half" in draw("--exclude", "b", status=2)
    assert "no two clips have a common label" in draw(
        "--exclude", "a", "b", "c", status=2
    )
    assert "gone: cannot be read" in draw("--above", str(tmp_path / "gone"), status=2)
    write_table(tmp_path / "utt2class", {"a1": "a"})
    assert "is in labels but not in every other list" in draw(status=2)

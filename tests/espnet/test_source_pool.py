import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import CLASSES

from espnet2_caresep.config import ConfigError
from espnet2_caresep.data.files import write_table
from espnet2_caresep.data.pairs import Catalogue
from espnet2_caresep.data.source_pool import SourcePool
from espnet2_caresep.data.strings import Strings


@pytest.fixture(scope="module")
def pool(corpus):
    return SourcePool(corpus / "train", CLASSES)


def write(folder, labels, **tables):
    folder.mkdir(exist_ok=True)
    write_table(folder / "wav.scp", {uid: f"{uid}.wav" for uid in labels})
    write_table(folder / "labels", labels)
    for name, table in tables.items():
        write_table(folder / name, table)
    return folder


@given(st.lists(st.binary(max_size=9)))
def test_strings_are_kept(items):
    strings = Strings(items)
    assert [strings[k] for k in range(len(strings))] == items


def test_clips_are_found_with_path_and_labels(pool, corpus):
    assert len(pool) == 14
    clip = pool.index("tone-13")
    assert pool.path(clip) == str(corpus / "train" / "tone-13.wav")
    assert pool.multi_hot(clip).tolist() == [1, 0, 1]
    assert clip in pool.clips(0) and clip in pool.clips(2)
    with pytest.raises(ConfigError, match="no clip tone-99"):
        pool.index("tone-99")


def test_draws_are_uniform_over_classes_or_over_clips(pool):
    rng = np.random.default_rng(0)
    drawn = [pool.draw(rng, "class") for _ in range(3000)]
    share = np.bincount([cls for _, cls in drawn], minlength=3) / 3000
    assert share == pytest.approx(1 / 3, abs=0.04)
    buzz = np.bincount([clip for clip, cls in drawn if cls == 0], minlength=14)
    assert buzz[pool.clips(0)] / buzz.sum() == pytest.approx(1 / 3, abs=0.06)

    clips = np.bincount([pool.draw(rng, "utterance")[0] for _ in range(7000)])
    assert clips / 7000 == pytest.approx(1 / 14, abs=0.015)


@pytest.mark.parametrize("balance", ["class", "utterance"])
def test_partners_share_no_label(pool, balance):
    rng = np.random.default_rng(0)
    for _ in range(500):
        clip, _ = pool.draw(rng, balance)
        partner, cls = pool.draw_partner(rng, [clip], balance)
        assert not set(pool.labels(clip)) & set(pool.labels(partner))
        assert cls in pool.labels(partner)


def test_the_only_possible_partner_is_found_and_none_is_an_error(tmp_path):
    labels = {f"a{k:04d}": "buzz" for k in range(3000)} | {"b": "hiss"}
    pool = SourcePool(write(tmp_path / "one", labels), CLASSES)
    rng = np.random.default_rng(0)
    found = pool.draw_partner(rng, [pool.index("a0000")], "utterance")
    assert found == (pool.index("b"), 1)

    labels = {"a": "buzz hiss", "b": "buzz", "c": "hiss"}
    pool = SourcePool(write(tmp_path / "none", labels), CLASSES)
    with pytest.raises(ConfigError, match="every clip shares a label with a,"):
        pool.draw_partner(rng, [pool.index("a")], "class")


def test_another_clip_of_the_class_comes_from_another_group(tmp_path):
    labels = {
        "a": "buzz",
        "b": "buzz",
        "c": "buzz",
        "d": "hiss",
        "e": "hiss",
        "f": "tone",
    }
    groups = {"a": "g", "b": "g", "c": "h", "d": "k", "e": "k", "f": "m"}
    pool = SourcePool(write(tmp_path, labels, utt2group=groups), CLASSES)
    rng = np.random.default_rng(0)

    def others(uid, cls):
        clip = pool.index(uid)
        found = {pool.draw_other(rng, clip, cls) for _ in range(20)}
        return {None if clip is None else pool.uids[clip].decode() for clip in found}

    assert others("a", 0) == {"c"}
    assert others("c", 0) == {"a", "b"}
    assert others("d", 1) == {"e"}  # the group has no alternative
    assert others("f", 2) == {None}


def test_another_clip_is_of_the_finer_class_first(tmp_path):
    """The order in which evaluation draws (``Catalogue.draw_other``)."""
    labels = {uid: "buzz" for uid in "abcf"} | {"d": "tone buzz", "e": "hiss"}
    finer = {
        "a": "bee",
        "b": "bee",
        "c": "saw",
        "d": "bell saw",
        "e": "gas",
        "f": "fly",
    }
    pool = SourcePool(write(tmp_path, labels, utt2class=finer), CLASSES)
    catalogue = Catalogue(
        {uid: names.split() for uid, names in labels.items()},
        {uid: names.split() for uid, names in finer.items()},
    )
    rng, draw = np.random.default_rng(0), random.Random(0)
    for uid, expected in [
        ("a", "b"),
        ("b", "a"),
        ("c", "d"),
        ("d", "c"),
        ("f", "abcd"),
    ]:
        clip = pool.index(uid)
        found = {pool.draw_other(rng, clip, 0) for _ in range(60)}
        assert {pool.uids[other].decode() for other in found} == set(expected)
        assert {catalogue.draw_other(uid, draw) for _ in range(60)} == set(expected)


def test_short_clips_are_left_out(tmp_path):
    labels = {"a": "buzz", "b": "buzz", "c": "hiss"}
    samples = {"a": 10, "b": 2000, "c": 2000}
    pool = SourcePool(write(tmp_path, labels, utt2num_samples=samples), CLASSES, 1600)
    assert [pool.uids[clip] for clip in pool.clips(0)] == [b"b"]


@pytest.mark.parametrize(
    "labels, message",
    [
        ({"a": "buzz", "b": "howl"}, "class 'howl' of b is not in the list"),
        ({"a": "buzz", "b": "buzz"}, "at least two classes"),
    ],
)
def test_unusable_directories_are_refused(tmp_path, labels, message):
    with pytest.raises(ConfigError, match=message):
        SourcePool(write(tmp_path, labels), CLASSES)


def test_missing_files_and_lines_are_named(tmp_path):
    with pytest.raises(ConfigError, match="no such file: .*wav.scp"):
        SourcePool(tmp_path, CLASSES)
    write(tmp_path, {"a": "buzz", "b": "hiss"})
    write_table(tmp_path / "labels", {"a": "buzz"})
    with pytest.raises(ConfigError, match="no line for b"):
        SourcePool(tmp_path, CLASSES)

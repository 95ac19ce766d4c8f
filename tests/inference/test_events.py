"""Frames over any length, and events from frames."""

from itertools import pairwise

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from espnet2_caresep.inference import CaRESeparator
from espnet2_caresep.inference.tags.events import Event, EventRule, find_events
from espnet2_caresep.inference.tags.frame_scores import FrameScores, score_frames

HOP = 0.32


@pytest.fixture(scope="module")
def separator(tiny_model):
    return CaRESeparator.from_pretrained(tiny_model, "cpu")


def _scores(column, hop=HOP, seconds=None):
    frames = np.asarray(column, np.float32).reshape(len(column), -1)
    labels = ["dog", "cat", "owl"][: frames.shape[1]]
    seconds = seconds or hop * len(frames)
    return FrameScores(labels, frames, frames.mean(0), hop, seconds)


def _spans(scores, **options):
    events = find_events(scores, EventRule(**options))
    return [(round(e.start, 9), round(e.end, 9)) for e in events]


def test_a_clip_has_the_tags_of_the_separator(separator, sound):
    for seconds in (0.04, 0.5, 1.2):
        clip = sound(1, seconds)
        scores, tags = score_frames(separator, clip, 32000), separator.tag(clip, 32000)
        assert np.allclose(scores.frames, tags.frames, atol=1e-5)
        assert np.allclose(scores.clip, tags.probabilities, atol=1e-5)
        assert scores.labels == tags.labels and scores.seconds == len(clip[0]) / 32000


@pytest.mark.parametrize("seconds", [1.28, 1.6, 3.01])
def test_frames_cover_any_length(separator, sound, seconds):
    scores = score_frames(separator, sound(1, seconds), 32000)
    assert len(scores.frames) == np.ceil(seconds / HOP - 1e-9)
    assert ((scores.frames > 0) & (scores.frames < 1)).all()


def test_overlapping_segments_are_averaged_by_their_place(separator, sound):
    # The tiny network's segment holds three whole frames of 10,240 samples, so four
    # frames are the segments 0..2 and 1..3: compared with a sum written out by hand.
    clip = sound(3, 1.28)
    tags = [separator.tag(clip[:, i : i + 30720], 32000) for i in (0, 10240)]
    first, second = (np.log(t.frames / (1 - t.frames)) for t in tags)
    expected = np.stack(
        [
            first[0],
            (2 * first[1] + 1 * second[0]) / 3,
            (1 * first[2] + 2 * second[1]) / 3,
            second[2],
        ]
    )
    scores = score_frames(separator, clip, 32000)
    assert np.allclose(scores.frames, 1 / (1 + np.exp(-expected)), atol=1e-5)
    assert np.allclose(
        scores.clip, np.maximum(tags[0].probabilities, tags[1].probabilities)
    )


def test_segments_of_one_frame(sound):
    import torch

    from espnet2_caresep.inference.checkpoint import Checkpoint
    from espnet2_caresep.inference.presence.share_rule import ShareRule
    from espnet2_caresep.network import CaRESep

    # A segment holds one whole frame, so that a tail of 10 samples is a segment, too.
    torch.manual_seed(0)
    tiny = {"embed_dim": 4, "depths": [1] * 4, "decoder_depths": [1] * 3}
    network = CaRESep(**tiny, segment_frames=64, num_classes=2, heads=[1] * 4).eval()
    checkpoint = Checkpoint(network, None, "f", "tiny", ShareRule(), {})
    separator = CaRESeparator(checkpoint, "cpu")
    clip = sound(1, 1.28)[:, : 2 * 10240 + 10]
    scores = score_frames(separator, clip, 32000)
    assert scores.frames.shape == (3, 2) and scores.labels == ["class 0", "class 1"]


def test_rate_and_channels_change_little(separator, sound, tmp_path):
    clip = sound(2, 2, 48000)
    soundfile.write(tmp_path / "c.wav", np.vstack([clip, clip]).T, 48000, "FLOAT")
    path = score_frames(separator, tmp_path / "c.wav")
    assert np.allclose(path.frames, score_frames(separator, clip, 48000).frames)
    assert path.seconds == 2


def test_nothing_is_heard_in_silence(separator, sound):
    loud = sound(1, 0.96)
    padded = np.concatenate([loud, np.zeros((1, 5 * 10240), np.float32)], -1)
    scores = score_frames(separator, padded, 32000)
    assert not scores.frames[3:].any() and scores.frames[:3].all()
    assert scores.clip.all()
    silent = score_frames(separator, np.zeros(40000, np.float32), 32000)
    assert not silent.frames.any() and not silent.clip.any()
    assert find_events(silent, EventRule()) == []


def test_tags_that_are_not_finite_are_refused(separator, sound):
    with pytest.raises(ValueError, match="audio: its tags are not finite"):
        score_frames(separator, 1e30 * sound(1), 32000)


def test_two_thresholds():
    column = [0.3, 0.6, 0.3, 0.2, 0.3, 0.3, 0.2]
    assert _spans(_scores(column)) == [(0, 0.96)]
    assert _spans(_scores(column), threshold=0.25) == [(0, 2.24)]
    assert _spans(_scores(column), threshold=0.7) == []
    (event,) = find_events(_scores(column), EventRule())
    assert (event.label, event.score) == ("dog", pytest.approx(0.6))


def test_gaps_close_and_short_events_go():
    column = [0.9, 0, 0.9, 0, 0, 0.9]
    joined = [(0, 0.96), (1.6, 1.92)]
    assert _spans(_scores(column)) == joined
    apart = [(0, 0.32), (0.64, 0.96), (1.6, 1.92)]
    assert _spans(_scores(column), max_gap=0) == apart
    assert _spans(_scores(column), min_duration=0.5) == joined[:1]
    # The last frame reaches beyond the audio; its event does not.
    assert _spans(_scores([0, 0.9], seconds=0.4), min_duration=0) == [(0.32, 0.4)]


def test_order_is_by_time_then_by_score():
    frames = [[0, 0.8, 0.9], [0.9, 0.8, 0.9]]
    events = find_events(_scores(frames), EventRule())
    assert [e.label for e in events] == ["owl", "cat", "dog"]


def test_bad_values_are_refused():
    nan = float("nan")
    for bad in (
        {"threshold": 0},
        {"threshold": 1.1},
        {"threshold": nan},
        {"top": 0},
        {"min_duration": nan},
        {"max_gap": -1},
    ):
        with pytest.raises(ValueError, match="must"):
            EventRule(**bad)


@given(
    arrays(np.float32, (20, 3), elements=st.floats(0, 1, width=32)),
    st.floats(0.05, 1),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_events_say_what_the_frames_say(frames, threshold, shortest, gap):
    scores = _scores(frames)
    events = find_events(scores, EventRule(threshold, None, shortest, gap))
    frames = frames.astype(np.float64)
    for event in events:
        assert isinstance(event, Event) and 0 <= event.start < event.end <= 6.4
        assert event.end - event.start >= shortest - 1e-3
        column = frames[:, scores.labels.index(event.label)]
        inside = column[round(event.start / HOP) : round(event.end / HOP)]
        assert inside.max() == event.score >= threshold
        assert min(inside[0], inside[-1]) >= threshold / 2
    for label, column in zip(scores.labels, frames.T):
        mine = [e for e in events if e.label == label]
        for one, two in pairwise(mine):
            assert two.start - one.end > min(gap, HOP) - 1e-3
        if shortest <= HOP:  # no frame at the threshold is left out
            for index in np.flatnonzero(column >= threshold):
                middle = (index + 0.5) * HOP
                assert any(e.start < middle < e.end for e in mine)

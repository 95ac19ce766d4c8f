"""Sizes of the smallest network that has all parts."""

SIZES = {
    "segment_frames": 256,
    "embed_dim": 8,
    "depths": (1, 1, 1, 1),
    "decoder_depths": (1, 1, 1),
    "heads": (1, 2, 2, 4),
    "num_classes": 5,
}

"""Learns SentencePiece units from transcripts: bpe.model and ESPnet's token list."""

from __future__ import annotations

import argparse
from pathlib import Path

import sentencepiece

from espnet2_caresep.data.command import bad_input_exits
from espnet2_caresep.data.files import read_table, write_whole


def main() -> None:
    """Writes both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--units", type=int, default=80)
    parser.add_argument("--output_dir", type=Path, required=True)
    args = parser.parse_args()
    args.output_dir.mkdir(parents=True, exist_ok=True)
    model = args.output_dir / "bpe.model"
    with model.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(read_table(args.text).values()),
            model_writer=file,
            vocab_size=args.units,
            hard_vocab_limit=False,
            model_type="unigram",
            character_coverage=1.0,
            minloglevel=1,
        )
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(model))
    names = [pieces.id_to_piece(n) for n in range(pieces.get_piece_size())]
    names = [name for name in names if name not in ("<unk>", "<s>", "</s>")]
    tokens = ["<blank>", "<unk>", *names, "<sos/eos>"]
    with write_whole(args.output_dir / "tokens.txt") as part:
        part.write_text("\n".join(tokens) + "\n", encoding="utf-8")


if __name__ == "__main__":
    with bad_input_exits():
        main()

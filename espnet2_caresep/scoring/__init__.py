"""Scores: SDR and mAP, results of a run, tables over runs, embeddings, WER."""

"""The page that presents a model on Hugging Face, made from what was measured."""

from __future__ import annotations

import re
from importlib.metadata import version

import yaml

from espnet2_caresep.scoring.evaluation import KINDS, MODEL, QUERIES
from espnet2_caresep.scoring.results import MAIN_SCORE, render

ABOUT = """\
A query-based sound separator: it pulls out of a recording what sounds like a short
example clip, and names what it hears. CaRE-SEP (Wang et al., "Consistent and Relevant:
Rethink the Query Embedding in General Sound Separation", ICASSP 2024), trained with
espnet2_caresep, a plugin for ESPnet.

It knows the {count} classes below best. ESPnet's own inference classes cannot load it,
as they have no query.

## Use

```python
from espnet2_caresep.inference import CaRESeparator

separator = CaRESeparator.from_pretrained("{repo}")
result = separator.separate("mix.wav", query="dog.wav")
result.target, result.residual, result.sample_rate
separator.tag("mix.wav").probabilities                  # of separator.labels
```

```
caresep separate mix.wav --query dog.wav -o dog_only.wav --model {repo}
```

Any sample rate, channel count and length; inside it works at {rate} Hz.

Classes: {labels}.

Licence: {licence}. {note}
"""
CONFIG = """\
## Training configuration

<details><summary>expand</summary>

```yaml
{config}```

</details>
"""


def model_card(
    repo: str, results: dict, config: dict, licence: str, note: str = ""
) -> str:
    """The README.md of a model repository; every figure comes from ``results``.

    Args:
        repo: ``user/name`` on Hugging Face.
        results: Content of the RESULTS.json of this model.
        config: Its training configuration.
        licence: Hugging Face's identifier of a licence, such as ``apache-2.0``.
        note: What else is to be said of rights, such as those of the training data.

    Returns:
        Markdown with Hugging Face's metadata in front.
    """
    metadata = {
        "library_name": "espnet",
        "pipeline_tag": "audio-to-audio",
        "license": licence,
        "tags": ["espnet", "audio", "audio-to-audio", "sound-separation", "caresep"],
        "model-index": [_index(repo, results)],
    }
    labels = config.get("labels") or []
    about = ABOUT.format(
        repo=repo,
        count=len(labels),
        labels=", ".join(labels),
        licence=licence,
        note=note,
        rate=(config.get("extractor_conf") or {}).get("sample_rate", 32000),
    )
    head = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)
    # The page of results becomes a section of this one.
    page = re.sub(r"^#", "##", render(results), flags=re.MULTILINE)
    text = CONFIG.format(config=yaml.safe_dump(config, sort_keys=False))
    title = f"# {repo.rpartition('/')[2]}"
    made = f"Made by espnet2_caresep {version('espnet2_caresep')}."
    return f"---\n{head}---\n{title}\n\n{about}\n{page}\n{text}\n{made}\n"


def _index(repo: str, results: dict) -> dict:
    """The figures in the form from which Hugging Face makes tables."""
    scores = results["systems"].get(MODEL, {})
    metrics = []
    for kind in KINDS:
        for query in QUERIES:
            key = f"{kind}_{query}/{MAIN_SCORE[kind]}"
            mean = scores.get(key, {}).get("mean")
            if isinstance(mean, (int, float)):
                name = f"{kind} SDR (dB), query: {query} clip, mean"
                metrics.append({"type": "sdr", "name": name, "value": mean})
    if results["tagging"]:
        value = results["tagging"]["map"]
        metrics.append({"type": "map", "name": "tagging mAP", "value": value})
    data = str(results["about"].get("data", "unknown"))
    return {
        "name": repo.rpartition("/")[2],
        "results": [
            {
                "task": {"type": "audio-to-audio", "name": "query-based separation"},
                "dataset": {"type": data, "name": data},
                "metrics": metrics,
            }
        ],
    }

"""Our classes under their names in ESPnet's tables; importing this module enters them.

The extractors become known to ESPnet's stock target speaker extraction task, the
query-bound separator to its enhancement and joint tasks, and the schedules to every
task. It happens at import because the processes of a multi-GPU training import the
module again and inherit nothing.
"""

from __future__ import annotations

import espnet
from espnet2.tasks import abs_task, asr, enh, enh_s2t, enh_tse
from espnet2.train.class_choices import ClassChoices
from espnet2.train.preprocessor import AbsPreprocessor

from espnet2_caresep.data.preprocessor import PairMixingPreprocessor
from espnet2_caresep.extractor import EXTRACTORS
from espnet2_caresep.frontend import ResamplingFrontend
from espnet2_caresep.separator import QueryBoundSeparator
from espnet2_caresep.training.schedulers import CaRESepLR, WarmupCosineLR

enh_tse.extractor_choices.classes.update(EXTRACTORS)
enh.separator_choices.classes["caresep"] = QueryBoundSeparator
# enh_s2t copies the table when it is imported, and shares that of the frontends
enh_s2t.enh_separator_choices.classes["caresep"] = QueryBoundSeparator
asr.frontend_choices.classes["resampling"] = ResamplingFrontend
espnet.TASKS["caresep"] = ("espnet2_caresep.inference", "CaRESeparator")
abs_task.scheduler_classes["caresep"] = CaRESepLR
abs_task.scheduler_classes["warmup_cosine"] = WarmupCosineLR

extractor_choices = ClassChoices(
    "extractor",
    classes=dict(EXTRACTORS),
    type_check=enh_tse.AbsExtractor,
    default="caresep",
)
preprocessor_choices = ClassChoices(
    "preprocessor",
    classes={"caresep": PairMixingPreprocessor},
    type_check=AbsPreprocessor,
    default="caresep",
)

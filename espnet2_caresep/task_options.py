"""The options of our training, and our defaults of ESPnet's."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet2.train.class_choices import ClassChoices
from espnet2.utils.get_default_kwargs import get_default_kwargs
from espnet2.utils.nested_dict_action import NestedDictAction
from espnet2.utils.types import str_or_none

from espnet2_caresep.espnet_model import MODES, ESPnetCaRESepModel
from espnet2_caresep.task_checks import GIVEN
from espnet2_caresep.training.losses import CaRESepLoss

# Stock inference classes look for an encoder first. They quote what they do not know,
# so this is what they answer to a configuration of ours.
NOT_STOCK = "none: this model needs espnet2_caresep; load it with its inference module"


def add_options(
    parser: argparse.ArgumentParser, class_choices_list: Sequence[ClassChoices]
) -> None:
    """Adds the options of the task to ESPnet's parser and sets defaults.

    Args:
        parser: What ESPnet has put its own options into.
        class_choices_list: Options that choose a class, each with its ``_conf``.
    """
    group = parser.add_argument_group("Task related")
    group.add_argument(
        "--labels",
        type=str_or_none,
        default=None,
        help="File with one class name a line; in a config file also the list. "
        "By default the names in preprocessor_conf.source_dir/labels",
    )
    group.add_argument(
        "--mode",
        default="sep",
        choices=MODES,
        help="Train separation, tagging of the anchors, or both",
    )
    group.add_argument(
        "--init",
        type=lambda x: str_or_none(x.lower()),
        default=None,
        choices=[
            "xavier_uniform",
            "xavier_normal",
            "kaiming_uniform",
            "kaiming_normal",
            None,
        ],
        help="The initialization method",
    )
    group.add_argument(
        "--model_conf",
        action=NestedDictAction,
        default={},
        help=f"Options of the training: {defaults(ESPnetCaRESepModel, 'model')}",
    )
    group.add_argument(
        "--loss_conf",
        action=NestedDictAction,
        default={},
        help=f"Options of the losses: {defaults(CaRESepLoss, 'loss')}",
    )
    group.add_argument("--encoder", default=NOT_STOCK, help=argparse.SUPPRESS)
    for class_choices in class_choices_list:
        class_choices.add_arguments(group)
    parser.set_defaults(
        # Segments have one length: batches need a size, not lengths.
        batch_type="unsorted",
        optim="adamw",
        optim_conf={"lr": 1e-3, "weight_decay": 5e-4},
        best_model_criterion=[
            ("valid", "mixture_sdr", "max"),
            ("valid", "mAP", "max"),
        ],
        # Tagging leaves the decoder without gradient, separation the tagging head.
        unused_parameters=True,
        num_att_plot=0,
    )


def defaults(function: type, option: str) -> dict:
    """The keys of ``<option>_conf`` with their defaults: arguments of its class."""
    values = get_default_kwargs(function)
    return {k: v for k, v in values.items() if k not in ("self", *GIVEN[option])}

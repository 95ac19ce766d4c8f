"""The ESPnet task: options, data names, and how everything is built from them.

Importing this module also makes our classes known to ESPnet (``registration.py``).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import ClassVar

import torch
from espnet2.iterators.abs_iter_factory import AbsIterFactory
from espnet2.tasks.enh_tse import TargetSpeakerExtractionTask
from espnet2.torch_utils.initialize import initialize
from espnet2.train.class_choices import ClassChoices
from espnet2.train.collate_fn import CommonCollateFn
from espnet2.utils.get_default_kwargs import get_default_kwargs

from espnet2_caresep.config import build, read_labels
from espnet2_caresep.data.epochs import EpochIterFactory
from espnet2_caresep.data.preprocessor import PairMixingPreprocessor
from espnet2_caresep.espnet_model import ESPnetCaRESepModel
from espnet2_caresep.network.base import AnchorEncoder
from espnet2_caresep.network.systems import SYSTEMS
from espnet2_caresep.registration import extractor_choices, preprocessor_choices
from espnet2_caresep.task_checks import GIVEN, prepare
from espnet2_caresep.task_options import add_options, defaults
from espnet2_caresep.training.init_param import check_init_param
from espnet2_caresep.training.losses import CaRESepLoss
from espnet2_caresep.training.trainer import CaRESepTrainer

WAVEFORMS = ("speech_mix", "speech_ref", "enroll_ref", "other_ref")


class CaRESepTask(TargetSpeakerExtractionTask):
    """Training of CaRE-SEP: ``python -m espnet2_caresep.bin.train``.

    Training data: the clips themselves as paths (``wav.scp,speech_ref1,text``), mixed
    by the preprocessor, or fixed mixtures. Validation data: fixed mixtures with names
    ``speech_mix``, ``speech_ref{1,2}``, ``enroll_ref{1,2}`` (sound), ``label{1,2}``
    (text, class names) and, where wanted, ``other_ref{1,2}`` (another clip of the
    class as query). One source (the names with 1) is enough.
    """

    class_choices_list: ClassVar[list[ClassChoices]] = [
        extractor_choices,
        preprocessor_choices,
    ]
    trainer = CaRESepTrainer

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Adds the options of this task and sets its defaults of ESPnet's options."""
        add_options(parser, cls.class_choices_list)

    @classmethod
    def get_default_config(cls) -> dict:
        """All options with their defaults, for --print_config."""
        config = super().get_default_config()
        for option, function in cls.configurable(config["extractor"]).items():
            name = option.removesuffix("_conf")
            conf = {**defaults(function, name), **config[option]}
            config[option] = {k: v for k, v in conf.items() if k not in GIVEN[name]}
        return config

    @classmethod
    def configurable(cls, extractor: str) -> dict[str, type]:
        """Which class takes the keys of which option, with this ``--extractor``."""
        return {
            "model_conf": ESPnetCaRESepModel,
            "loss_conf": CaRESepLoss,
            "extractor_conf": SYSTEMS[extractor],
            "preprocessor_conf": PairMixingPreprocessor,
        }

    @classmethod
    def main(
        cls,
        args: argparse.Namespace | None = None,
        cmd: Sequence[str] | None = None,
    ) -> None:
        """Trains, or collects statistics.

        Raises:
            ConfigError: If the options or the data they name cannot be used.
        """
        if args is None:
            args = cls.get_parser().parse_args(cmd)
        if not args.print_config:
            prepare(cls, args)
            spawns = args.ngpu > 1 and args.multiprocessing_distributed
            if args.init_param and spawns:
                # Here, since each process that is spawned would end in a traceback
                cls._check_init_params(args, cls.build_model(args))
        super().main(args=args)

    @classmethod
    def build_collate_fn(cls, args: argparse.Namespace, train: bool) -> CommonCollateFn:
        """Pads waveforms; label vectors are not sequences."""
        return CommonCollateFn(
            float_pad_value=0.0, int_pad_value=0, not_sequence=("label1", "label2")
        )

    @classmethod
    def build_preprocess_fn(
        cls, args: argparse.Namespace, train: bool
    ) -> PairMixingPreprocessor:
        """The preprocessor of this process."""
        distributed = torch.distributed.is_available()
        distributed = distributed and torch.distributed.is_initialized()
        network = _network_defaults(args)
        return build(
            "preprocessor_conf",
            preprocessor_choices.get_class(args.preprocessor),
            train=train,
            labels=args.labels,
            mode=args.mode,
            sample_rate=network["sample_rate"],
            max_samples=(network["segment_frames"] - 1) * network["hop_length"],
            seed=args.seed,
            rank=torch.distributed.get_rank() if distributed else 0,
            **args.preprocessor_conf,
        )

    @classmethod
    def build_iter_factory(
        cls, args, distributed_option, mode: str, kwargs: dict | None = None
    ) -> AbsIterFactory:
        """ESPnet's iterators, with the epoch told to the preprocessor."""
        factory = super().build_iter_factory(args, distributed_option, mode, kwargs)
        return EpochIterFactory(factory)

    @classmethod
    def build_iter_options(cls, args, distributed_option, mode: str):
        """ESPnet's iterator options; without shape files the data lists the keys."""
        options = super().build_iter_options(args, distributed_option, mode)
        if not options.shape_files and options.batch_type == "unsorted":
            options.shape_files = [options.data_path_and_name_and_type[0][0]]
        return options

    @classmethod
    def required_data_names(
        cls, train: bool = True, inference: bool = False
    ) -> tuple[str, ...]:
        """Names that must be there; what else a mode needs is checked before."""
        return ("speech_mix", "enroll_ref1") if inference else ()

    @classmethod
    def optional_data_names(
        cls, train: bool = True, inference: bool = False
    ) -> tuple[str, ...]:
        """Names that may be there."""
        names = ["speech_mix", "label1", "label2"]
        return tuple(names + [f"{name}{n}" for name in WAVEFORMS[1:] for n in (1, 2)])

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> ESPnetCaRESepModel:
        """The model that the options describe.

        Raises:
            ConfigError: If an option is out of range.
        """
        # ESPnet3 comes here without the checks of main()
        args.labels = read_labels(args.labels, None)
        network = _network_defaults(args)
        extractor = build(
            "extractor_conf",
            extractor_choices.get_class(args.extractor),
            input_dim=network["n_fft"] // 2 + 1,
            **{**args.extractor_conf, "num_classes": len(args.labels)},
        )
        model = build(
            "model_conf",
            ESPnetCaRESepModel,
            extractor=extractor,
            labels=args.labels,
            loss=build("loss_conf", CaRESepLoss, **args.loss_conf),
            mode=args.mode,
            **args.model_conf,
        )
        if args.init is not None:
            initialize(model, args.init)
        return model

    @classmethod
    def build_optimizers(
        cls, args: argparse.Namespace, model: torch.nn.Module
    ) -> list[torch.optim.Optimizer]:
        """ESPnet's optimizers.

        This is the one place between the making of a model and the loading of
        ``--init_param`` into it, so what the files cover is checked here.
        """
        cls._check_init_params(args, model)
        return super().build_optimizers(args, model)

    @staticmethod
    def _check_init_params(args: argparse.Namespace, model: torch.nn.Module) -> None:
        for init_param in args.init_param:
            check_init_param(init_param, model, args.ignore_init_mismatch)


def _network_defaults(args: argparse.Namespace) -> dict:
    """The network's arguments; a class may hand some on to those that it extends."""
    defaults = {}
    for base in reversed(SYSTEMS[args.extractor].__mro__):
        if issubclass(base, AnchorEncoder):
            defaults.update(get_default_kwargs(base))
    return {**defaults, **args.extractor_conf}

"""Trains CaRE-SEP with all of ESPnet's options.

    python -m espnet2_caresep.bin.train --config conf/train.yaml --output_dir exp/NAME \
        --train_data_path_and_name_and_type dump/raw/train/wav.scp,speech_ref1,text \
        --valid_data_path_and_name_and_type dump/raw/valid_mix/wav.scp,speech_mix,sound

``--collect_stats true`` writes the shapes of the data; ``--resume true`` goes on where
a killed training stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def get_parser() -> argparse.ArgumentParser:
    """The parser of all options."""
    from espnet2_caresep.task import CaRESepTask

    return CaRESepTask.get_parser()


def main(cmd: Sequence[str] | None = None) -> None:
    """Trains; a mistake of the user's ends in one line on stderr and exit status 2.

    Args:
        cmd: Arguments, by default those of the process.
    """
    import yaml

    from espnet2_caresep.config import ConfigError
    from espnet2_caresep.task import CaRESepTask

    try:
        CaRESepTask.main(cmd=cmd)
    except ConfigError as error:
        # From a data-loading process it comes with that process's traceback.
        message = str(error).splitlines()[-1].rpartition("ConfigError: ")[2]
    except yaml.YAMLError as error:
        message = "the configuration is not YAML: " + " ".join(str(error).split())
    else:
        return
    print(f"train: error: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()

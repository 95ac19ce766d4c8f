"""Two processes train one model (gloo, on CPU)."""

import multiprocessing
import os

import pytest
import torch

from espnet2_caresep.bin.train import main
from espnet2_caresep.data.preprocessor import PairMixingPreprocessor
from espnet2_caresep.task import CaRESepTask


def work(rank, command, folder):
    """One rank; what it logs and how it ends is left in files."""
    torch.set_num_threads(1)
    log = os.open(f"{folder}/log{rank}", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 2)
    options = {
        "ngpu": 0,
        "multiprocessing_distributed": False,
        "dist_backend": "gloo",
        "dist_world_size": 2,
        "dist_rank": rank,
        "dist_init_method": f"file://{folder}/meeting",
    }
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    drawn = []
    pair = PairMixingPreprocessor._pair

    def spy(self, uid, rng):
        example = pair(self, uid, rng)
        drawn.append(example["speech_mix"])
        return example

    PairMixingPreprocessor._pair = spy
    main(command)
    torch.save(drawn, f"{folder}/drawn{rank}.pth")


@pytest.mark.parametrize("mode", ["sep", "cls+sep"])
def test_two_processes_train_one_model(training, validation_scores, tmp_path, mode):
    # Forked, the processes need not import ESPnet again.
    context = multiprocessing.get_context("fork")
    output = tmp_path / "exp"
    command = training(output, mode=mode, max_epoch=2, num_iters_per_epoch=2)
    ranks = [
        context.Process(target=work, args=(rank, list(command), str(tmp_path)))
        for rank in (0, 1)
    ]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(120)
        if rank.is_alive():
            rank.kill()
    logs = [(tmp_path / f"log{rank}").read_text() for rank in (0, 1)]
    assert [rank.exitcode for rank in ranks] == [0, 0], logs[0][-2000:] + logs[1]

    # No example is drawn twice, and both ranks work.
    drawn = [torch.load(tmp_path / f"drawn{k}.pth", weights_only=False) for k in (0, 1)]
    assert min(map(len, drawn)) >= 4
    examples = [example.tobytes() for rank in drawn for example in rank]
    assert len(set(examples)) == len(examples)

    # The scores are those of the whole set: a single process finds the same.
    states = torch.load(output / "checkpoint.pth", weights_only=True)
    valid = states["reporter"]["stats"][2]["valid"]
    model, _ = CaRESepTask.build_model_from_file(
        output / "config.yaml", output / "2epoch.pth"
    )
    direct = validation_scores(model)
    assert ("mAP" in direct) == (mode == "cls+sep")
    assert direct == pytest.approx({name: valid[name] for name in direct}, abs=1e-3)

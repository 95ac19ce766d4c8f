"""Two processes train one model (gloo, on CPU)."""

import multiprocessing
import os
import signal

import pytest
import torch
from synthetic import NETWORK

from espnet2_caresep.bin.train import main
from espnet2_caresep.data.preprocessor import PairMixingPreprocessor
from espnet2_caresep.task import CaRESepTask


def work(rank, command, folder, prepare):
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
    prepare(rank)
    main(command)


def train_together(command, folder, prepare=lambda rank: None):
    """Runs both ranks to their end; returns exit codes and logs."""
    (folder / "meeting").unlink(missing_ok=True)
    # Forked, the processes need not import ESPnet again.
    context = multiprocessing.get_context("fork")
    ranks = [
        context.Process(target=work, args=(rank, list(command), str(folder), prepare))
        for rank in (0, 1)
    ]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(120)
        if rank.is_alive():
            rank.kill()
    logs = [(folder / f"log{rank}").read_text() for rank in (0, 1)]
    return [rank.exitcode for rank in ranks], logs[0][-2000:] + logs[1][-2000:]


def after_each_pair(action):
    """Calls ``action(example)`` whenever this process has drawn a pair."""
    pair = PairMixingPreprocessor._pair

    def spy(self, uid, rng):
        example = pair(self, uid, rng)
        action(example)
        return example

    PairMixingPreprocessor._pair = spy


@pytest.mark.parametrize("mode", ["sep", "cls+sep"])
def test_two_processes_train_one_model(training, validation_scores, tmp_path, mode):
    def prepare(rank):
        drawn = []

        def keep(example):
            drawn.append(example["speech_mix"])
            torch.save(drawn, tmp_path / f"drawn{rank}.pth")

        after_each_pair(keep)

    output = tmp_path / "exp"
    command = training(output, mode=mode, max_epoch=2, num_iters_per_epoch=2)
    codes, logs = train_together(command, tmp_path, prepare)
    assert codes == [0, 0], logs

    # No example is drawn twice, and both ranks work.
    drawn = [torch.load(tmp_path / f"drawn{k}.pth", weights_only=False) for k in (0, 1)]
    assert min(map(len, drawn)) >= 4
    examples = [example.tobytes() for rank in drawn for example in rank]
    assert len(set(examples)) == len(examples)

    # The scores are those of the whole set: a single process finds the same.
    valid = reported(output)[2]["valid"]
    model, _ = CaRESepTask.build_model_from_file(
        output / "config.yaml", output / "2epoch.pth"
    )
    direct = validation_scores(model)
    assert ("mAP" in direct) == (mode == "cls+sep")
    assert direct == pytest.approx({name: valid[name] for name in direct}, abs=1e-3)


def reported(output):
    """Statistics by epoch, as the checkpoint keeps them."""
    states = torch.load(output / "checkpoint.pth", weights_only=True)
    return states["reporter"]["stats"]


@pytest.fixture
def frozen_norms(monkeypatch):
    """BatchNorm that stays as it is: its statistics are each process's own."""
    norm = torch.nn.BatchNorm1d
    monkeypatch.setattr(norm, "train", lambda self, mode=True: norm.eval(self))
    monkeypatch.setattr(norm, "eval", lambda self: setattr(self, "training", False))


def test_two_processes_learn_what_one_learns_from_the_doubled_batch(
    training, frozen_norms, tmp_path
):
    # ESPnet's batch size is that of all ranks together: one item a rank.
    outputs = [tmp_path / name for name in ("one", "two")]
    for output in outputs:
        command = training(
            output,
            extractor_conf={**NETWORK, "drop_path": 0.0},
            batch_size=2,
            num_iters_per_epoch=None,
            max_epoch=3,
            optim="sgd",
            optim_conf={"lr": 0.05},
        )
        # Fixed mixtures, so that both trainings see the same.
        train = command.index("--train_data_path_and_name_and_type")
        del command[train : train + 2]
        fixed = [value for value in command if "valid_mix" in value]
        for value in fixed:
            if "other_" not in value:
                command += ["--train_data_path_and_name_and_type", value]
        if output.name == "one":
            main([*command, "--ngpu", "0"])
        else:
            codes, logs = train_together(command, tmp_path)
            assert codes == [0, 0], logs
    one, two = map(reported, outputs)
    losses = [
        [stats[epoch]["train"]["loss"] for epoch in (1, 2, 3)] for stats in (one, two)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert len({round(loss, 3) for loss in losses[0]}) == 3, "it learned something"
    states = [torch.load(output / "3epoch.pth") for output in outputs]
    for key, value in states[0].items():
        torch.testing.assert_close(states[1][key], value, rtol=1e-3, atol=1e-5, msg=key)


def test_a_training_whose_rank_was_killed_resumes(training, tmp_path):
    def prepare(rank):
        drawn = []

        def count(example):
            drawn.append(1)
            if rank == 1 and len(drawn) == 9:  # in the second epoch
                os.kill(os.getpid(), signal.SIGKILL)

        after_each_pair(count)

    output = tmp_path / "exp"
    command = training(output, max_epoch=3, num_iters_per_epoch=3)
    codes, logs = train_together(command, tmp_path, prepare)
    assert codes[1] == -signal.SIGKILL and codes[0] not in (0, None), logs
    assert set(reported(output)) == {1}
    codes, logs = train_together([*command, "--resume", "true"], tmp_path)
    assert codes == [0, 0], logs
    assert set(reported(output)) == {1, 2, 3}

import pytest
import torch

from espnet2_caresep.training.ema import WeightAverage


def make(decay=0.5, start_share=0.0):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(3, 2))
    optimizer = torch.optim.AdamW(model[0].parameters(), lr=0.1)
    return model, optimizer, WeightAverage([optimizer], decay, start_share)


def step(model, optimizer):
    optimizer.zero_grad()
    model[0](torch.ones(1, 3)).square().sum().backward()
    optimizer.step()
    return model[0].weight.detach().clone()


def test_the_average_is_the_recursion_by_hand():
    model, optimizer, average = make()
    wanted = model[0].weight.detach().clone()
    average.to_training()
    for count in range(30):
        decay = min(0.5, (1 + count) / (10 + count))
        weight = step(model, optimizer)
        wanted = decay * wanted + (1 - decay) * weight
    average.to_average()
    torch.testing.assert_close(model[0].weight, wanted)
    average.to_training()
    torch.testing.assert_close(model[0].weight, weight)


def test_the_start_is_mixed_in():
    plain, optimizer, average = make()
    mixed, other, blend = make(start_share=0.25)
    start = plain[0].weight.detach().clone()
    average.to_training(), blend.to_training()
    for epoch in range(3):
        for _ in range(4):
            assert torch.equal(step(plain, optimizer), step(mixed, other))
        average.to_average(), blend.to_average()
        expected = 0.25 * start + 0.75 * plain[0].weight
        torch.testing.assert_close(mixed[0].weight, expected)
        average.to_training(), blend.to_training()


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("start_share", [0.0, 0.25])
def test_a_checkpoint_holds_all(tmp_path, start_share, frozen):
    model, optimizer, average = make(start_share=start_share)
    model[0].bias.requires_grad_(not frozen)
    average.to_training()
    for _ in range(5):
        step(model, optimizer)
    average.to_average()
    states = {"m": model.state_dict(), "o": optimizer.state_dict()}
    torch.save(states, tmp_path / "checkpoint.pth")
    average.to_training()
    step(model, optimizer)
    average.to_average()

    states = torch.load(tmp_path / "checkpoint.pth", weights_only=True)
    again, optimizer, average = make(start_share=start_share)
    again[0].bias.requires_grad_(not frozen)
    again[0].weight.data += 1  # nothing of a resumed training is its start
    again.load_state_dict(states["m"])
    optimizer.load_state_dict(states["o"])
    average.to_training()
    step(again, optimizer)
    average.to_average()
    for key, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[key], value)

import pytest
import torch
from espnet2.enh.decoder.stft_decoder import STFTDecoder
from espnet2.enh.encoder.stft_encoder import STFTEncoder
from espnet2.enh.espnet_model_tse import ESPnetExtractionModel
from espnet2.enh.loss.criterions.time_domain import TimeDomainL1
from espnet2.enh.loss.wrappers.fixed_order import FixedOrderSolver
from espnet2.tasks import abs_task, enh_tse
from synthetic import NETWORK, SAMPLES

import espnet2_caresep.task  # noqa: F401  (registers the classes)
from espnet2_caresep.extractor import CaRESepExtractor


def stft(cls):
    return cls(n_fft=1024, win_length=1024, hop_length=320, default_fs=32000)


def test_importing_the_task_registers_extractor_and_schedules():
    assert enh_tse.extractor_choices.get_class("caresep") is CaRESepExtractor
    assert {"caresep", "warmup_cosine"} <= set(abs_task.scheduler_classes)


@pytest.mark.parametrize("share_encoder", [True, False])
def test_it_trains_in_the_stock_extraction_model(share_encoder):
    encoder = stft(STFTEncoder)
    extractor = enh_tse.extractor_choices.get_class("caresep")(
        encoder.output_dim, num_classes=3, **NETWORK
    )
    model = ESPnetExtractionModel(
        encoder=encoder,
        extractor=extractor,
        decoder=stft(STFTDecoder),
        loss_wrappers=[FixedOrderSolver(criterion=TimeDomainL1())],
        num_spk=2,
        share_encoder=share_encoder,
    )
    torch.manual_seed(0)
    batch = {
        f"{name}{n}": torch.randn(2, SAMPLES - 5)
        for name in ("speech_ref", "enroll_ref")
        for n in (1, 2)
    }
    batch["speech_mix"] = batch["speech_ref1"] + batch["speech_ref2"]
    batch["speech_mix_lengths"] = torch.tensor([SAMPLES - 5, SAMPLES // 2])
    loss, _, _ = model(**batch)
    loss.backward()
    assert torch.isfinite(loss)
    grads = [
        parameter.grad
        for name, parameter in extractor.named_parameters()
        if ".decoder." in name and parameter.grad is not None
    ]
    assert grads and any(grad.abs().max() > 0 for grad in grads)


def test_spectra_and_waveforms_give_the_same_target():
    torch.manual_seed(0)
    extractor = CaRESepExtractor(513, num_classes=3, **NETWORK).eval()
    for parameter in extractor.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    mixture, anchor = torch.randn(2, SAMPLES), torch.randn(2, SAMPLES)
    for audio in (
        mixture,
        anchor,
    ):  # the two STFTs treat sound at the edges differently
        audio[:, :1024] = audio[:, -1024:] = 0
    lengths = torch.full((2,), SAMPLES)
    encoder, decoder = stft(STFTEncoder), stft(STFTDecoder)
    target, _, others = extractor(
        *encoder(mixture, lengths), *encoder(anchor, lengths), suffix_tag="_spk1"
    )
    estimate, _ = decoder(target, lengths)
    network = extractor.network
    query = network.embed(anchor)
    assert torch.allclose(others["enroll_emb_spk1"], query, atol=1e-3)
    wanted = network.separate(mixture, query)
    assert (estimate - wanted).norm() < 1e-3 * wanted.norm()


def test_unfit_features_are_refused():
    with pytest.raises(ValueError, match="257 bins, the network needs 513"):
        CaRESepExtractor(257, **NETWORK)
    extractor = CaRESepExtractor(513, num_classes=3, **NETWORK)
    frames = torch.tensor([20])
    with pytest.raises(ValueError, match="complex spectra"):
        extractor(torch.randn(1, 20, 513), frames, torch.randn(1, 4000), frames)

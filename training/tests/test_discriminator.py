import torch

from rdpm_training.discriminator import Discriminator, decoder_losses, discriminator_loss


def test_discriminator_learns_to_tell_sharp_from_blurred_images() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(3)
    optimizer = torch.optim.AdamW(discriminator.parameters(), 2e-3)
    sharp = torch.randint(2, (16, 3, 16, 16)).float() * 2 - 1
    blurred = torch.nn.functional.avg_pool2d(sharp, 3, stride=1, padding=1)
    before = discriminator_loss(discriminator, blurred, sharp).item()
    for _ in range(60):
        optimizer.zero_grad()
        discriminator_loss(discriminator, blurred, sharp).backward()
        optimizer.step()
    assert discriminator_loss(discriminator, blurred, sharp).item() < 0.5 * before
    adversarial, feature = decoder_losses(discriminator, blurred, sharp)
    assert adversarial > decoder_losses(discriminator, sharp, sharp)[0]
    assert feature > 0.1 and decoder_losses(discriminator, sharp, sharp)[1] == 0


def test_only_the_decoder_losses_give_the_decoder_a_gradient() -> None:
    discriminator, decoded = Discriminator(1), torch.zeros(2, 1, 16, 16, requires_grad=True)
    images = torch.ones(2, 1, 16, 16)
    discriminator_loss(discriminator, decoded, images).backward()
    assert decoded.grad is None
    sum(decoder_losses(discriminator, decoded, images)).backward()
    assert decoded.grad is not None and decoded.grad.abs().sum() > 0

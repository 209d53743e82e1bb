"""Networks as if trained, and files of their weights, for tests."""

import torch

from vapipe.extract.weights.table import WeightFile


def weights(path, architecture):
    """A file as `find_weights` would give it."""
    return WeightFile("test", architecture, path, "0" * 64, path.stat().st_size)


def trained(build, **options):
    """A network with weights, slopes and statistics that are not those it starts with."""
    with torch.device("meta"):
        network = build(**options)
    network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.ndim > 1:
                tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5, generator=generator)
            elif name.endswith("num_batches_tracked"):
                tensor.zero_()
            elif name.endswith(("running_var", "weight")):
                tensor.uniform_(0.5, 1.0, generator=generator)
            else:
                tensor.normal_(0, 0.1, generator=generator)
    return network.eval()


def images(side):
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(5))

"""Trains a small PyTorch model of the heart data and writes it as TorchScript and as ONNX; run by Python with torch.

    python -m tests.formats.torch_models FOLDER

In FOLDER: ``model.pt`` and ``model.onnx`` give probabilities of shape (rows, 2), ``number.pt`` one number, and
``expected.npy`` is what the model itself answers, of shape (rows, 3): the two and the number. ``hostile.pt`` writes to
the file ``written`` beside it, ``weights.pt`` holds weights alone.
"""

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

import serinus

HEART_FILE = Path(serinus.__file__).parent / "examples" / "heart_disease" / "heart_cleveland.csv"


def train() -> tuple[Any, Any]:
    """Fit a network on the patients; gives it with a matrix of them, without missing values."""
    # Without pandas and scikit-learn, which take longer to import than the network to fit.
    table = np.nan_to_num(np.genfromtxt(HEART_FILE, delimiter=",", skip_header=1))
    features = torch.tensor(table[:, :-1], dtype=torch.float32)
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.BatchNorm1d(13), torch.nn.Linear(13, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
    target = torch.tensor(table[:, -1], dtype=torch.int64)
    for _ in range(60):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(net(features), target).backward()
        optimiser.step()
    return torch.nn.Sequential(net, torch.nn.Softmax(dim=1)).eval(), features


class Number(torch.nn.Module):  # type: ignore[misc]  # torch is not installed where types are checked
    """Gives the probability of the second class as one number for each row, in one column."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.net(X)[:, 1:]


class Hostile(torch.nn.Module):  # type: ignore[misc]  # likewise
    """Writes to a file."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        mapped = torch.from_file(self.path, shared=True, size=4)
        return X[:, :1] + mapped.fill_(7.0).sum()


def write(folder: Path) -> None:
    """Write all files."""
    net, features = train()
    torch.jit.trace(net, features).save(folder / "model.pt")
    torch.jit.trace(Number(net), features).save(folder / "number.pt")
    torch.jit.script(Hostile(str(folder / "written"))).save(folder / "hostile.pt")
    torch.save(net.state_dict(), folder / "weights.pt")
    axes = {"features": {0: "rows"}, "probabilities": {0: "rows"}}
    names = {"input_names": ["features"], "output_names": ["probabilities"], "dynamic_axes": axes}
    torch.onnx.export(net, (features[:1],), folder / "model.onnx", dynamo=False, **names)
    with torch.no_grad():
        chances = net(features).numpy()
    np.save(folder / "expected.npy", np.column_stack([chances, chances[:, 1]]))


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # torch would rather have its newer exporters
    write(Path(sys.argv[1]))

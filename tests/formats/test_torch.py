"""PyTorch models, in a Python that has torch: that of .peers/torch, beside the libraries of this one."""

import os
import subprocess
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests import server as servers
from tests.formats.samples import heart, rows_of
from tests.server import COMMAND, REPOSITORY, Server, serving

from serinus.core.errors import FormatRefused
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature
from serinus.formats import Formats, torchscript
from serinus.formats.packing import pack_file

TORCH = REPOSITORY / ".peers" / "torch" / "bin" / "python"
PATIENCE_S = 100.0
ANY_SIGNATURE = Signature((Feature("x", Dtype.FLOAT),), Output(OutputKind.NUMBER))


@pytest.fixture(scope="module", autouse=True)
def torch() -> None:
    if not any(TORCH.parents[1].glob("lib/python*/site-packages/torch")):
        if os.environ.get("CI"):
            pytest.fail("there is no torch: make .peers/torch/.lock")
        pytest.skip("torch is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that tests.formats.torch_models writes."""
    folder = tmp_path_factory.mktemp("torch")
    ran = in_torch("-m", "tests.formats.torch_models", str(folder))
    assert ran.returncode == 0, ran.stderr
    X, y = heart()
    X.fillna(0.0).assign(num=y).to_csv(folder / "train.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with torch, whose operator allows TorchScript."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(servers, "COMMAND", [str(TORCH), *COMMAND[1:]])
        patch.setattr(servers, "SOURCE", os.pathsep.join((sysconfig.get_path("purelib"), str(servers.SOURCE))))
        with serving(tmp_path_factory.mktemp("serving") / "home", SERINUS_ALLOW_TORCHSCRIPT="true") as server:
            yield server


def environment() -> dict[str, str]:
    """Give an environment in which torch's Python finds the libraries of this one, too."""
    path = (sysconfig.get_path("purelib"), str(servers.SOURCE), str(REPOSITORY))
    return servers.environment() | {"PYTHONPATH": os.pathsep.join(path), "NO_COLOR": "1"}


def in_torch(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(TORCH), *arguments], capture_output=True, text=True, check=False, env=environment(), timeout=PATIENCE_S
    )


def register(server: Server, name: str, path: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    data = ("--data", str(path.parent / "train.csv"), "--target", "num", "--url", server.url)
    return in_torch(*COMMAND[1:], "register", name, str(path), *data, *options)


def test_an_exported_network_is_served_as_onnx_without_torch(folder: Path) -> None:
    X, y = heart()
    X = X.fillna(0.0)

    package = pack_file(folder / "model.onnx", X.assign(num=y), target="num", class_names=["healthy", "ill"])

    raw = Formats().load(package.data, package.format, package.signature).predict(rows_of(X))
    expected = np.load(folder / "expected.npy")[:, :2]
    assert package.format == "onnx"
    assert package.signature.output.classes == (0, 1)
    assert (raw.values == expected.argmax(axis=1)).all()
    assert raw.probabilities == pytest.approx(expected, abs=1e-5)


def test_a_torchscript_network_answers_over_http_as_it_does_itself(server: Server, folder: Path) -> None:
    registered = register(server, "net", folder / "model.pt", "--allow-torchscript", "--class-names", "healthy,ill")
    assert registered.returncode == 0, registered.stderr

    with server.client() as client:
        assert client.versions("net")["versions"][0]["format"] == "torchscript"
        client.deploy("net", "net@1")
        patients = [row for _, row in heart()[0].fillna(0.0).head(20).iterrows()]
        answers = [client.predict("net", {str(name): row[name] for name in row.index}) for row in patients]

    expected = np.load(folder / "expected.npy")[:20, :2]
    assert [answer["prediction"] for answer in answers] == expected.argmax(axis=1).tolist()
    assert [answer["confidence"] for answer in answers] == pytest.approx(expected.max(axis=1), abs=1e-5)
    assert {answer["prediction_class"] for answer in answers} == {"healthy", "ill"}


def test_a_network_of_numbers_is_told_by_its_signature(server: Server, folder: Path) -> None:
    features = [{"name": name, "dtype": "float"} for name in heart()[0].columns]
    signature = folder / "number.json"
    signature.write_text(str({"features": features, "output": {"kind": "number"}}).replace("'", '"'))

    ran = in_torch(
        *COMMAND[1:],
        *("register", "risk", str(folder / "number.pt"), "--signature", str(signature)),
        *("--data", str(folder / "train.csv"), "--allow-torchscript", "--url", server.url),
    )

    assert ran.returncode == 0, ran.stderr
    with server.client() as client:
        assert client.versions("risk")["versions"][0]["signature"]["output"]["kind"] == OutputKind.NUMBER


def test_torchscript_is_not_loaded_before_somebody_allows_it(server: Server, folder: Path) -> None:
    (folder / "written").write_bytes(bytes(16))

    ran = register(server, "hostile", folder / "hostile.pt")

    assert ran.returncode == 2
    assert "SERINUS_ALLOW_TORCHSCRIPT" in ran.stderr
    assert (folder / "written").read_bytes() == bytes(16)


def test_what_torchscript_is_allowed_can_write_files(server: Server, folder: Path) -> None:
    (folder / "written").write_bytes(bytes(16))

    register(server, "hostile", folder / "hostile.pt", "--allow-torchscript")

    assert (folder / "written").read_bytes() != bytes(16)


def test_weights_without_a_network_are_refused_with_what_to_do(folder: Path) -> None:
    with pytest.raises(FormatRefused, match=r"torch\.jit\.trace"):
        pack_file(folder / "weights.pt", heart()[0])


@pytest.mark.parametrize("part", [0.3, 0.9, 0.999])
def test_a_network_that_is_cut_off_is_refused_before_torch_sees_it(folder: Path, part: float) -> None:
    data = (folder / "model.pt").read_bytes()

    with pytest.raises(FormatRefused, match="not a usable TorchScript model"):
        torchscript.load(data[: int(len(data) * part)], ANY_SIGNATURE)


def test_a_network_that_would_unpack_to_far_more_is_refused_before_torch_sees_it(folder: Path, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.pt"
    bomb.write_bytes((folder / "model.pt").read_bytes())
    with zipfile.ZipFile(bomb, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/code/more.py", bytes(2**26))

    with pytest.raises(FormatRefused, match="would unpack"):
        torchscript.load(bomb.read_bytes(), ANY_SIGNATURE)

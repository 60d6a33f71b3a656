"""Of which format a model file is, by what is in it; its name decides only where the content cannot."""

import io
import zipfile
from pathlib import PurePath

from serinus.core.errors import FormatRefused
from serinus.formats.torchscript import is_torchscript

EXTENSIONS = {
    ".skops": "skops",
    ".onnx": "onnx",
    ".ubj": "xgboost",
    ".pt": "torchscript",
    ".joblib": "joblib",
    ".pkl": "pickle",
    ".pickle": "pickle",
}
"""The format of a model file by its extension, where one extension has one format."""

_HEAD = 4096
_LENGTHS = (b"L", b"l", b"I", b"U", b"i")
_PICKLE = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
_COMPRESSED = (b"\x1f\x8b", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda", b"BZh", b"\xfd7zXZ", b"\x5d\x00\x00")
"""How gzip, zlib, bzip2, xz and lzma begin; joblib writes all of them."""

_ONNX_VERSIONS = {bytes([version]) for version in range(1, 32)}
_ONNX_TAGS = {b"\x12", b"\x1a", b"\x22", b"\x28", b"\x32", b"\x3a", b"\x42"}
"""Fields that may come second in ONNX's ModelProto: names, versions, texts, the graph, the operators' sets."""


def format_of(path: PurePath, data: bytes) -> str:
    """Tell the format of a file.

    Raises:
        FormatRefused: neither its content nor its name says it, or it is known to be of none that is served.
    """
    name = path.suffix.lower()
    found = _by_content(data, path.name) or EXTENSIONS.get(name)
    if found in {"pickle", "joblib"} and EXTENSIONS.get(name) in {"pickle", "joblib"}:
        found = EXTENSIONS[name]  # alike from outside
    if found is None:
        raise FormatRefused(
            f"{path.name} does not say of which model format it is.",
            field="format",
            remedy=f"Save the model as skops, ONNX, XGBoost's .ubj or .json, LightGBM's .txt or TorchScript; name the "
            f"file with one of {', '.join(EXTENSIONS)}, or give the format.",
        )
    return found


def _by_content(data: bytes, name: str) -> str | None:
    if data.startswith(b"PK\x03\x04"):
        return _zipped(data, name)
    if data.startswith((b"tree\n", b"tree\r\n")):
        return "lightgbm"
    if _is_xgboost(data):
        return "xgboost"
    if data.startswith((b"binf", b"bs64")):
        raise FormatRefused(
            f"{name} is in XGBoost's old binary format, which cannot be served.",
            field="format",
            remedy="Load it with the XGBoost that wrote it, and save it with save_model('model.ubj').",
        )
    if data.startswith(_PICKLE):
        return "pickle"
    if data.startswith(_COMPRESSED):
        return "joblib"
    return "onnx" if _is_onnx(data) else None


def _zipped(data: bytes, name: str) -> str | None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            inside = archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError):
        return None
    if "schema.json" in inside:
        return "skops"
    if is_torchscript(data):
        return "torchscript"
    if any(member.endswith(("data.pkl", "archive_format")) for member in inside):
        raise FormatRefused(
            f"{name} holds PyTorch weights or an exported program, not a TorchScript module.",
            field="format",
            remedy="Write the whole model with torch.jit.trace(model.eval(), example).save('model.pt'), or with "
            "torch.onnx.export.",
        )
    return None


def _is_xgboost(data: bytes) -> bool:
    if data.lstrip()[:1] != b"{":
        return False
    head = data[:_HEAD]
    in_ubjson = data[1:2] in _LENGTHS and (b"learner" in head or b"Config" in head)
    return in_ubjson or b'"learner"' in head or b'"learner"' in data[-_HEAD:]


def _is_onnx(data: bytes) -> bool:
    """Whether it begins as ONNX's ModelProto: field 1, the version of its format, then a field that it may have."""
    return data[:1] == b"\x08" and data[1:2] in _ONNX_VERSIONS and data[2:3] in _ONNX_TAGS

"""The Lua scripts that change a board; Redis runs each as one step."""

from dataclasses import dataclass
from hashlib import sha1
from importlib import resources


@dataclass(frozen=True, slots=True)
class Script:
    """A script and the digest by which Redis knows it."""

    text: str

    @property
    def digest(self) -> str:
        """SHA-1 in hexadecimal, as Redis names its scripts."""
        return sha1(self.text.encode(), usedforsecurity=False).hexdigest()


def _read(name: str) -> Script:
    folder = resources.files(__package__) / "lua"
    parts = ((folder / f"{part}.lua").read_text(encoding="utf-8") for part in ("common", name))
    return Script("\n".join(parts))


REPLACE = _read("replace")
RENEW = _read("renew")
BEAT = _read("beat")
BEHIND = _read("behind")
LEAVE = _read("leave")
REPORT = _read("report")

"""Takes the pictures of the README from a running demo: python -m tests.dashboard.screenshots [FOLDER]."""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page
from tests.dashboard.apps import PAGES
from tests.dashboard.browser import chromium, overflow, window_of
from tests.dashboard.conftest import dashboard_of
from tests.server import REPOSITORY, eventually

from serinus.client import DocumentClient
from serinus.examples.heart_disease import story
from serinus.examples.heart_disease.models import features_of, patients, train
from serinus.examples.heart_disease.server import Server
from serinus.examples.heart_disease.story import DEPLOYMENT
from serinus.examples.heart_disease.traffic import Traffic

FOLDER = REPOSITORY / "docs" / "images"
WIDTH, HEIGHT = 1280, 800
COLOURS = 128
LARGEST = 150_000
"""Bytes that a picture may have."""
SEEN_S = 45.0
"""Seconds of traffic on the charts of the live page."""
BAD_SHARE = 2.0
"""The share in percent of the version that fails: with more it is gone before there is much to see."""
SHOWN = {"model_comparison": f"&rollout={DEPLOYMENT}:1"}
"""What else stands in a page's address: the comparison shows the version that failed."""


def main(folder: Path) -> int:
    """Take all pictures; gives how many are too large or too wide."""
    folder.mkdir(parents=True, exist_ok=True)
    wrong = 0
    with (
        released() as url,
        tempfile.TemporaryDirectory() as logs,
        chromium() as browser,
        dashboard_of(url, Path(logs) / "log") as dashboard,
        window_of(browser, width=WIDTH, height=HEIGHT) as window,
    ):
        page = window.new_page()
        for name in PAGES:
            page.goto(dashboard.page(name, DEPLOYMENT) + SHOWN.get(name, ""))
            taken = _picture(page, folder / f"{name}.png", seconds=SEEN_S if name == PAGES[0] else 8.0)
            sys.stdout.write(f"{taken}: {taken.stat().st_size / 1000:.0f} kB\n")
            wrong += taken.stat().st_size > LARGEST or overflow(page) > 0
    return wrong


@contextmanager
def released() -> Iterator[str]:
    """Tell the demo's story up to a good version that waits for a person's word; gives the server's address."""
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder) / "home", Path(folder) / "log") as server:
        url = server.url()
        with DocumentClient(url, actor="ada") as client:
            versions = story.register(client, train())
            story.deploy(client, versions[0])
            with Traffic(url, DEPLOYMENT, features_of(patients())):
                time.sleep(2)
                client.start(DEPLOYMENT, int(versions[1]["version"]), BAD_SHARE, reason="the best accuracy")
                assert eventually(lambda: client.deployment(DEPLOYMENT)["status"] == "stable", every_s=0.2)
                client.start(DEPLOYMENT, int(versions[2]["version"]), plan=story.WATCHED, reason="the first one, tuned")
                yield url


def _picture(page: Page, path: Path, *, seconds: float) -> Path:
    page.get_by_role("heading", level=1).wait_for()
    page.wait_for_timeout(seconds * 1000)
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": WIDTH, "height": max(HEIGHT, int(height))})
    page.wait_for_timeout(2000)
    page.screenshot(path=path)
    with Image.open(path) as taken:
        taken.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    return path


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))

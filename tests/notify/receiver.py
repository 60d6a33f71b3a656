"""A real HTTP server that receives what notifiers post, and answers as a test says."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec


@dataclass(frozen=True)
class Post:
    """A request that was received; the names of its headers are in small letters."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


@dataclass(frozen=True)
class Reply:
    """What to answer: after ``delay_s``, or never where ``hangs_up``; a body of ``claims`` bytes never comes."""

    status: int = 204
    headers: tuple[tuple[str, str], ...] = ()
    delay_s: float = 0.0
    hangs_up: bool = False
    claims: int = 0


OK = Reply()


@dataclass
class Receiver:
    """Keeps what it gets; ``answers`` says how, by the request."""

    posts: list[Post] = field(default_factory=list)
    answers: Callable[[Post], Reply] = lambda _: OK
    url: str = ""

    def kinds(self) -> list[str]:
        """Name the kinds of the events that came, in the order in which they did."""
        return [post.json["type"].removeprefix("io.serinus.") for post in self.posts]

    def ids(self) -> list[str]:
        """Give the ids of the events that came, likewise."""
        return [post.headers["webhook-id"] for post in self.posts]

    def reply(self, post: Post) -> Reply:
        """Keep a post, and say what to answer."""
        self.posts.append(post)
        return self.answers(post)


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """Run a receiver until the block ends."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = receiver.reply(Post(self.path, headers, body))
            time.sleep(reply.delay_s)
            if reply.hangs_up:
                return
            self.send_response(reply.status)
            for name, value in reply.headers:
                self.send_header(name, value)
            self.send_header("content-length", str(reply.claims))
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

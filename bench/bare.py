"""The limit: the same HTTP server and the same model, and nothing else."""

import socket
import sys
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

from serinus.core.signature import Signature
from serinus.formats import Formats


def main(artifact: str, signature: str, port: int) -> None:
    """Answer every POST with the model's prediction for the sent features."""
    data = Path(artifact).read_bytes()
    taken = Signature.decoded(msgspec.json.decode(signature))
    model = Formats().load(data, "skops", taken)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        features = msgspec.json.decode((await receive())["body"])["features"]
        raw = model.predict([[features[name] for name in taken.names]])
        body = msgspec.json.encode({"prediction": raw.values.tolist()[0]})
        length = str(len(body)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    with socket.create_server(("127.0.0.1", port)) as listener:
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off")
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))

"""The limit of an ASGI server: uvicorn with its fast parts, and an application that is one function."""

import sys
from typing import Any

import msgspec
import numpy as np
import uvicorn
from bench.serving.bare_http import Prediction, decode, encode
from bench.serving.predictor import load


def main(port: int, model: str) -> None:
    """Serve one row at a time."""
    predict = load(model)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        row = msgspec.structs.astuple(decode(body).features)
        answer = encode(Prediction(int(predict(np.array([row]))[0])))
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    options: dict[str, Any] = {"log_config": None, "access_log": False, "lifespan": "off"}
    uvicorn.run(app, host="127.0.0.1", port=port, loop="uvloop", http="httptools", **options)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])

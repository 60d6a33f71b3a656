"""MLServer: its own runtime for scikit-learn, a custom one for ONNX. One process: more of them would share one core."""

import json
import shutil
import sys
from pathlib import Path

from bench.serving.peers import exec_beside
from bench.serving.predictor import load
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, NumpyRequestCodec
from mlserver.types import InferenceRequest, InferenceResponse


class OnnxModel(MLModel):
    """The model as ONNX, for which MLServer has no runtime."""

    async def load(self) -> bool:
        assert self.settings.parameters is not None
        self.predict_ = load(str(self.settings.parameters.uri))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = self.decode_request(payload, default_codec=NumpyRequestCodec)
        classes = NumpyCodec.encode_output("predict", self.predict_(rows))
        return InferenceResponse(model_name=self.name, outputs=[classes])


def main(**more: float) -> None:
    """Lay a model repository, with more settings of the model, and become the server."""
    port, model, folder = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    own = "bench.serving.peers.mlserver.OnnxModel"
    implementation = own if model.suffix == ".onnx" else "mlserver_sklearn.SKLearnModel"
    held = folder / f"model{model.suffix}"
    shutil.copy(model, held)
    model_settings = {"name": "heart", "implementation": implementation, "parameters": {"uri": str(held)}} | more
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": port + 1,
        "metrics_port": port + 2,
        "parallel_workers": 0,
        "debug": False,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model_settings))
    exec_beside(["mlserver", "start", str(folder)])


if __name__ == "__main__":
    main()

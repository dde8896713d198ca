"""Labels pictures with classifier.onnx, which `mocoop export RUN --out FOLDER --tower` wrote.

It needs onnxruntime, numpy and Pillow, and no torch:

    python label.py picture.jpg other.png
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def open_session(file: Path, threads: int = 0) -> onnxruntime.InferenceSession:
    """Returns a classifier, ready to run.

    Args:
        file: classifier.onnx.
        threads: how many threads it uses; 0 is one per core.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def read_picture(file: Path) -> np.ndarray:
    """Returns a picture of 8 bits per channel as RGB, uint8 (height, width, 3).

    The camera's orientation is applied, and transparent parts are shown on white, as in training.

    Raises:
        ValueError: for more than 8 bits per channel, whose brightest value is not known here.
        OSError: for a file that cannot be read.
    """
    stored = Image.open(file)
    if stored.mode.startswith("I") or stored.mode == "F":
        raise ValueError(f"{file} has more than 8 bits per channel: convert it to 8 first")
    image = ImageOps.exif_transpose(stored)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        image = Image.alpha_composite(white, layer)
    return np.asarray(image.convert("RGB"))


def label(session: onnxruntime.InferenceSession, picture: np.ndarray) -> dict[str, Any]:
    """Returns a picture's label, the probabilities by class, and the chosen experts' weights.

    Args:
        session: the classifier.
        picture: RGB, uint8 (height, width, 3), of any size.
    """
    stored = session.get_modelmeta().custom_metadata_map
    class_names, experts = (json.loads(stored[key]) for key in ("class_names", "experts"))
    outputs = ["label", "probabilities", "experts", "weights"]
    index, probabilities, chosen, weights = (
        values[0] for values in session.run(outputs, {"pictures": picture[None]})
    )
    times = Counter(class_names)
    told = [  # classes of the same name, as in ImageNet, have their number behind it
        f"{name} ({number})" if times[name] > 1 else name
        for number, name in enumerate(class_names)
    ]
    return {
        "label": told[index],
        "probabilities": dict(zip(told, map(float, probabilities), strict=True)),
        "experts": {experts[number]: float(weights[number]) for number in chosen},
    }


if __name__ == "__main__":
    opened = open_session(Path(__file__).with_name("classifier.onnx"))
    for name in sys.argv[1:]:
        print(json.dumps({"image": name} | label(opened, read_picture(Path(name)))))

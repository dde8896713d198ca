"""Measures learning rates of pFedMoAP's gate on validation images; not a test.

python -m tests.measure_gate --rates 0.05 0.2 1 5

The clients' test images are the data set's validation images here, so that nothing is chosen on
test images. Prints the mean accuracy of the clients over the last rounds, as
`mocoop federated-table` counts it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from statistics import mean

from mocoop.datasets import load_dataset
from mocoop.federated.comparison import last_accuracy
from mocoop.federated.federation import Federation
from mocoop.federated.settings import FederatedConfig

CLIENTS = {"pathological": 10, "dirichlet": 10, "domain": 9}


def measure(config: FederatedConfig) -> float:
    """Returns the accuracy of a federation on validation images, in percent."""
    data = load_dataset(config.data)
    tested = replace(data, splits=data.splits | {"test": data.items("val")})
    return last_accuracy(list(Federation(config, dataset=tested).run()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rates", type=float, nargs="+", default=[0.05, 0.2, 1.0, 5.0])
    parser.add_argument("--partitions", nargs="+", default=list(CLIENTS), choices=list(CLIENTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    asked = parser.parse_args()
    for rate in asked.rates:
        for kind in asked.partitions:
            base = FederatedConfig(strategy="pfedmoap", partition=kind, clients=CLIENTS[kind])
            found = [measure(replace(base, seed=seed, gate_rate=rate)) for seed in asked.seeds]
            print(f"gate rate {rate}, {kind}: {mean(found):.1f} %", flush=True)


if __name__ == "__main__":
    main()

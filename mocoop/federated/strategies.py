"""What clients train, and which of it leaves them: one record per way to train together."""

from __future__ import annotations

from dataclasses import dataclass

from mocoop.errors import choose_from


@dataclass(frozen=True)
class Strategy:
    """A way in which clients train together."""

    key: str
    label: str
    description: str
    method: str
    """The method whose model and recipe every client has."""
    shared: tuple[str, ...] = ()
    """Beginnings of the names of parameters that travel and are averaged; others are private."""
    foreign: bool = False
    """Whether a client also receives other clients' prompts."""

    def travels(self, name: str) -> bool:
        """Returns whether a parameter leaves its client."""
        return name.startswith(self.shared) if self.shared else False


PROMPTS = ("prompts.", "correction")
_RECORDS = (
    Strategy(
        "local", "Alone", "Every client trains a prompt of its own; nothing travels.", "coop"
    ),
    Strategy(
        "fedavg",
        "FedAvg of one prompt",
        "All clients train one prompt, and the server averages what they learned (FedAvg).",
        "coop",
        PROMPTS,
    ),
    Strategy(
        "pfedmoap",
        "pFedMoAP",
        "All clients train one prompt, and the server averages what they learned (FedAvg). Each "
        "client also uses the prompts of the clients nearest to it; its own small network, the "
        "attention gate, mixes them.",
        "coop",
        PROMPTS,
        foreign=True,
    ),
    Strategy(
        "mocoop-local",
        "MoCoOp, alone",
        "Every client trains a mixture of its own; nothing travels.",
        "mocoop",
    ),
    Strategy(
        "mocoop",
        "MoCoOp, own router",
        "All clients train the same experts, and the server averages them. Each client has a "
        "router of its own, which never leaves it.",
        "mocoop",
        PROMPTS,
    ),
    Strategy(
        "mocoop-average",
        "MoCoOp, shared router",
        "All clients train the same experts and the same router.",
        "mocoop",
        (*PROMPTS, "gate."),
    ),
)
STRATEGIES = {record.key: record for record in _RECORDS}
"""Key → strategy, in the order of tables."""


def find_strategy(key: str) -> Strategy:
    """Returns the strategy with a key.

    Raises:
        UserError: if there is none.
    """
    if key not in STRATEGIES:
        raise choose_from("strategy", key, tuple(STRATEGIES))
    return STRATEGIES[key]

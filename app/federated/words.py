"""The texts of the page Federated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from app.common.words import signed
from mocoop.federated.comparison import LAST
from mocoop.federated.settings import FederatedConfig
from mocoop.federated.strategies import find_strategy

TITLE = "Federated"
CAPTION = (
    "Clients, such as hospitals, keep their pictures and train prompts together. Only the learned "
    "numbers of the prompts travel to a server and back."
)
FEDERATION = "Federation"
NONE_HERE = "There is no federation yet. Start one below."
NONE_TO_SEE = "There is no federation to look at."
NOT_READABLE = "This federation cannot be read."
AT_ITS_START = (
    "Your federation is shown here as soon as its pictures are shared out. Until then you see "
    "another one."
)

# What a federation is, in numbers.
CLIENTS, ROUNDS = "Clients", "Rounds"
BEFORE_TRAINING, NOW = "Before training", "After the last round"
NOW_HELP = "Mean accuracy of the clients, each on its own test pictures among all classes."
SENT = "Sent by a client in a round"
SENT_HELP = "Numbers of 4 bytes. A picture never leaves its client."
NOTHING_TRAVELS = "nothing"
EPSILON = "Privacy: ε so far"


def epsilon_help(delta: float) -> str:
    """Returns what ε means, for the δ of the federation's settings."""
    return (
        "Differential privacy of all images of a client against the server and the other clients: "
        f"the smaller, the less what was sent says about them. For δ = {delta:g}, of the client "
        "that was asked most often."
    )


# Who has what.
WHO_HAS_WHAT = "Who has which pictures"
BY = "Count by"
CLASSES, STYLES = "class", "style"
PART = "Pictures"
PARTS = {"train": "training", "test": "test"}
HOLDINGS_HOVER = "%{y} has %{z} pictures of %{x}<extra></extra>"
HOLDINGS_ALT = "How many pictures of each class or style every client has"
KINDS = {
    "pathological": "own classes",
    "dirichlet": "unequal shares of the classes",
    "domain": "own style",
}
EXPLAINED = {
    "pathological": "Every client has classes that no other client has.",
    "dirichlet": "Every class is spread over the clients in unequal shares.",
    "domain": "Every client has pictures of one style.",
}

# Accuracy by round.
BY_ROUND = "Accuracy by round"
ROUND, CLIENT, MEAN = "round", "client", "mean of the clients"
MARK, NO_CLIENT = "Mark a client", "none"
PERCENT_RIGHT = "test pictures, % right"
LINE_HOVER = "round %{x}: %{y:.1f} %<extra>%{fullData.name}</extra>"
ROUNDS_ALT = "Accuracy of every client and their mean by round"
LEFT_OUT = "Updates that were not used"
WHY = "why"

# Whose prompts.
PROMPTS_OF_OTHERS = "Whose prompts each client used"
TAKEN_HOVER = "%{y} used the prompt of %{x} in %{z} rounds<extra></extra>"
TAKEN_ALT = "In how many rounds each client used the prompt of each other client"
HOW_TAKEN = (
    "Rows are clients, columns are the clients whose prompts they received; the number is in how "
    "many rounds. A client gets the prompts nearest to its own. In the first round there are none."
)
SAME_FOR_ALL = "In this federation all clients get the same average, and no prompts of others."
NOTHING_COMES = "In this federation every client trains alone, and gets nothing from others."

# The gain.
GAIN_TITLE = "Gain over training alone"
BY_ITSELF, TOGETHER, GAIN = "alone", "together", "gain, points"
GAIN_HOVER = "%{y}: %{customdata[0]:.1f} % alone, %{customdata[1]:.1f} % together<extra></extra>"
GAIN_ALT = "Gain of every client over training alone, in points"
THIS_IS_ALONE = "In this federation nothing travels: it is what others are compared with."
NO_PAIR = (
    "To see the gain, train the same clients alone: a federation with the strategy *Alone* and "
    "otherwise the same settings."
)
TRAIN_ALONE = "Train the same clients alone"
NOT_FINISHED = "The gain is shown when all rounds are done."

# Starting one.
START_TITLE = "Start a federation"
DATA, STRATEGY, PARTITION = "Data set", "Strategy", "Who has what"
BETA = "Concentration (β)"
BETA_HELP = (
    "How equal the shares are (β of a Dirichlet distribution). A smaller value makes them more "
    "unequal."
)
SHOTS, SEED = "Images per class", "Seed"
SHOTS_HELP = "Training pictures of a class, of all clients together."
EPOCHS = "Epochs in a round"
ALSO_ALONE = "Also train the same clients alone, to see the gain"
START = "Start federation"
COMMAND = "The same in a terminal"
CANCEL, GO_ON, STOPPING = "Stop", "Go on", "Stopping …"
STATES = {"queued": "waiting", "running": "training"}
DONE_BEFORE = "A federation with these settings is finished: it is shown at the top of the page."


# Settings that only some federations differ in: how the label of each tells its own.
_DIFFERENCES = {
    "rounds": "{} rounds",
    "local_epochs": "{} epochs a round",
    "shots": "{} images per class",
    "beta": "β {:g}",
    "participation": "share {:g} takes part",
    "foreign": "{} prompts of others",
    "own_weight": "λ {:g}",
    "learning_rate": "learning rate {:g}",
    "gate_rate": "gate rate {:g}",
    "most_change": "change up to {:g}",
    "clip": "clip {:g}",
    "noise": "noise {:g}",
    "delta": "δ {:g}",
    "backbone": "{}",
}


def labels(configs: Mapping[str, FederatedConfig]) -> dict[str, str]:
    """Returns the name of each federation's folder → its label in the menu; all labels differ.

    The label is its main settings. Those that are the same in several federations are followed by
    the settings in which these differ and, if that is not enough, by the folder's name.
    """
    alike: dict[str, list[str]] = {}
    for name, config in configs.items():
        alike.setdefault(_label(config), []).append(name)
    found = {}
    for label, names in alike.items():
        several = [configs[name] for name in names]
        differ = [key for key in _DIFFERENCES if len({getattr(one, key) for one in several}) > 1]
        for name, config in zip(names, several, strict=True):
            values = [_DIFFERENCES[key].format(_short(getattr(config, key))) for key in differ]
            found[name] = " · ".join([label, *values])
    counts = Counter(found.values())
    return {
        name: found[name] if counts[found[name]] == 1 else f"{found[name]} · {name}"
        for name in configs
    }


def _label(config: FederatedConfig) -> str:
    """Returns a federation's main settings in one line."""
    return (
        f"{find_strategy(config.strategy).label} · {config.data.rpartition('/')[2]} · "
        f"{KINDS[config.partition]} · {config.clients} clients · seed {config.seed}"
    )


def _short(value: object) -> object:
    """Returns a setting's value; of a path, which is on the server, only the last part."""
    return value.rpartition("/")[2] if isinstance(value, str) else value


def number_of_bytes(floats: float) -> str:
    """Returns how much a client sends, in kB."""
    return f"{floats * 4 / 1000:,.0f} kB" if floats else NOTHING_TRAVELS


def gain_in_words(gain: float, better: int, clients: int, rounds: int) -> str:
    """Returns the mean gain and how many clients gained.

    Args:
        gain: the mean over clients, in points.
        better: clients with a positive gain.
        clients: all clients.
        rounds: of the federation.
    """
    if rounds == 1:
        averaged = "After the only round."
    elif rounds <= LAST:
        averaged = f"Means of all {rounds} rounds."
    else:
        averaged = f"Means of the last {LAST} rounds."
    return (
        f"On average {signed(gain)} points over training alone; {better} of {clients} clients are "
        f"better together. {averaged}"
    )


def progress(name: str, state: str, done: int, rounds: int) -> str:
    """Returns what a federation that is not finished does."""
    after = f", round {done} of {rounds} done" if rounds else ""
    return f"{name}: {STATES.get(state, state)}{after}"


def in_progress(text: str, more: int) -> str:
    """Returns the line below the start button: what a federation does, and how many more do.

    Args:
        text: from `progress`.
        more: number of the other active federations.
    """
    others = f" · {more} more" if more else ""
    return f"{text}{others}. The progress is shown at the top of this page."


def stopped(name: str, message: str) -> str:
    """Returns that a federation stopped, and why."""
    return f"{name} stopped: {message}"


def damaged(name: str, why: str) -> str:
    """Returns that a federation is not shown, and why."""
    return f"{name} is not shown: {why}"


def no_such(name: str) -> str:
    """Returns that the federation of a link does not exist."""
    return f"There is no federation {name!r}. Another one is shown."

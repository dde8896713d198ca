"""Every method's way from image features to probabilities, and how a run's is opened."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from mocoop.classifiers.base import Classifier, Routed
from mocoop.classifiers.linear_probe import LinearProbe, linear_logits
from mocoop.classifiers.tip_adapter import TipAdapter, tip_logits
from mocoop.clip.backbone import Backbone, choose_device, load_backbone
from mocoop.clip.image_layer_norms import with_norms
from mocoop.clip.text_tower import TextTower
from mocoop.errors import UserError
from mocoop.model.mixture import PromptMixture, build_model, mix
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.runs.run import Run, RunSetup, load_gate
from mocoop.training.loop import predict

ONE = ("prompt",)  # the one expert of methods without a mixture


@dataclass(frozen=True)
class MixtureClassifier(Classifier):
    """Fixed text features and a router: one small product each, no text tower."""

    soft: Tensor = field(repr=False)  # (experts, classes, dim), L2-normalised
    gate: nn.Linear | None = field(repr=False)
    logit_scale: float
    num_chosen: int

    def only(self, labels: Sequence[int]) -> MixtureClassifier:
        """Returns a classifier among some of the classes."""
        return replace(self, class_names=self.named(labels), soft=self.soft[:, list(labels)])

    @torch.no_grad()
    def classify(self, image_features: Tensor, expert: int | None = None) -> Routed:
        """Returns routing and probabilities; `expert` gives all the weight to that one."""
        mixture = mix(image_features, self.soft, self.gate, self.logit_scale, self.num_chosen)
        weights, logits = mixture.weights, mixture.logits
        if expert is not None:
            weights = torch.zeros_like(weights)
            weights[:, expert] = 1.0
            logits = mixture.expert_logits[:, expert]
        return Routed(
            self.class_names,
            self.experts,
            mixture.scores,
            weights,
            mixture.expert_logits.softmax(dim=-1),
            logits.softmax(dim=-1),
        )


@dataclass(frozen=True)
class SingleClassifier(Classifier):
    """A classifier without experts: what it says is what its one `prompt` says."""

    @abstractmethod
    def logits(self, image_features: Tensor) -> Tensor:
        """Returns (batch, classes) of normalised image features (batch, dim)."""

    @torch.no_grad()
    def classify(self, image_features: Tensor, expert: int | None = None) -> Routed:
        """Returns probabilities; there is no routing to choose."""
        probabilities = self.logits(image_features).softmax(dim=-1)
        scores = image_features.new_zeros(len(image_features), 1)
        return Routed(
            self.class_names,
            self.experts,
            scores,
            torch.ones_like(scores),
            probabilities[:, None],
            probabilities,
        )


@dataclass(frozen=True)
class ConditionalClassifier(SingleClassifier):
    """A prompt that changes with every image, and so needs the text tower for each."""

    model: PromptMixture = field(repr=False)
    tower: TextTower = field(repr=False)

    def only(self, labels: Sequence[int]) -> ConditionalClassifier:
        """Returns a classifier among some of the classes."""
        return replace(self, class_names=self.named(labels))

    def logits(self, image_features: Tensor) -> Tensor:
        """Returns (batch, classes) of normalised image features (batch, dim)."""
        classes = ClassTokens.of(self.tower, self.class_names)
        device = self.tower.positional_embedding.device
        found = predict(self.model, self.tower, classes, image_features.to(device))
        return found.logits.to(image_features.device)


@dataclass(frozen=True)
class ProbeClassifier(SingleClassifier):
    """A linear probe; classes it was not trained on have no weights."""

    probe: LinearProbe = field(repr=False)

    def only(self, labels: Sequence[int]) -> ProbeClassifier:
        """Returns a classifier among some of the trained classes.

        Raises:
            UserError: for a class that the probe was not trained on.
        """
        if max(labels) >= len(self.probe.weight):
            raise UserError(
                f"A linear probe knows only the {len(self.probe.weight)} classes it was trained "
                "on, and there are no others to ask it about. Use a method with text features."
            )
        kept = list(labels)
        chosen = replace(self.probe, weight=self.probe.weight[kept], bias=self.probe.bias[kept])
        return replace(self, class_names=self.named(labels), probe=chosen)

    def logits(self, image_features: Tensor) -> Tensor:
        """Returns (batch, classes) of normalised image features (batch, dim)."""
        # Probabilities of a strongly regularised probe differ by less than fp32 can tell.
        probe = self.probe
        return linear_logits(image_features.double(), probe.weight.double(), probe.bias.double())


@dataclass(frozen=True)
class TipClassifier(SingleClassifier):
    """Tip-Adapter: the untrained prompt and a cache of the training images."""

    adapter: TipAdapter = field(repr=False)
    text: Tensor = field(repr=False)  # (classes, dim), the untrained prompt's features
    logit_scale: float

    def only(self, labels: Sequence[int]) -> TipClassifier:
        """Returns a classifier among some of the classes; the cache votes for those alone."""
        kept = list(labels)
        adapter = replace(self.adapter, values=self.adapter.values[:, kept])
        return replace(self, class_names=self.named(labels), adapter=adapter, text=self.text[kept])

    def logits(self, image_features: Tensor) -> Tensor:
        """Returns (batch, classes) of normalised image features (batch, dim)."""
        cache = self.adapter
        return tip_logits(
            image_features,
            self.text,
            self.logit_scale,
            cache.keys,
            cache.values,
            cache.alpha,
            cache.beta,
        )


def open_classifier(
    run: Run, epoch: int | None = None, loaded: Backbone | None = None
) -> Classifier:
    """Returns the classifier of a finished run, after training or after a saved epoch.

    Runs of before the router was kept by epoch show earlier text features with its last state.

    Args:
        run: the run.
        epoch: one of the epochs that it kept; the last if None.
        loaded: the run's backbone, where it is loaded already.

    Raises:
        UserError: for a run that is not finished, or incomplete, or kept no such epoch.
    """
    run.require_finished()
    setup = run.setup()
    names, method = setup.class_names, setup.config.method
    if method == "linear-probe":
        return ProbeClassifier(names, ONE, LinearProbe.from_tensors(run.weights()))
    if method in ("tip-adapter", "tip-adapter-f"):
        weights = run.weights()
        adapter = TipAdapter.from_tensors(weights)
        return TipClassifier(names, ONE, adapter, weights["text"], setup.logit_scale)
    if setup.config.conditional:
        backbone = run_backbone(run, loaded)
        model = restore_model(setup, run.weights(), backbone)
        return ConditionalClassifier(names, ONE, model, backbone.text)
    features = run.features()
    if epoch is not None and epoch not in features.soft:
        raise UserError(f"Run {run.path} kept no epoch {epoch}, only {list(features.soft)}.")
    return MixtureClassifier(
        names,
        setup.experts,
        features.last if epoch is None else features.soft[epoch],
        load_gate(run.weights() if epoch is None else features.gates.get(epoch, run.weights())),
        setup.logit_scale,
        setup.config.num_chosen,
    )


def run_backbone(run: Run, loaded: Backbone | None = None) -> Backbone:
    """Returns the CLIP that a run sees images with: its backbone, with the run's LayerNorms.

    Args:
        run: a finished run.
        loaded: the run's backbone, where it is loaded already.

    Raises:
        UserError: if the weights are no longer those that the run was trained with.
    """
    setup = run.setup()
    backbone = loaded or load_backbone(setup.config.backbone, choose_device("auto"))
    setup.check_backbone(backbone.fingerprint)
    return with_norms(backbone, run.weights()) if setup.config.tune_layer_norms else backbone


def restore_model(
    setup: RunSetup, weights: Mapping[str, Tensor], backbone: Backbone
) -> PromptMixture:
    """Returns the trained model of a run, for other class names than those it was saved with.

    Raises:
        UserError: for weights that do not fit the run's settings.
    """
    generator = torch.Generator().manual_seed(setup.config.seed)
    model = build_model(
        setup.config, backbone, setup.groups, generator, num_classes=setup.trained_classes
    )
    try:
        model.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise UserError(
            f"The run's weights do not fit its settings ({' '.join(str(error).split())[:200]}). "
            "Train it again."
        ) from error
    return model.eval().requires_grad_(False)

"""A method of the library beside its plain reference, on the same tiny CLIP and images."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import nn

from mocoop.clip.backbone import Backbone
from mocoop.config import TrainConfig
from mocoop.methods import METHODS
from mocoop.model.build import build_model
from mocoop.model.hard_prompts import HardText, group_prototypes, hard_features
from mocoop.model.mixture import PromptMixture
from mocoop.presets import preset
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.training.data import TrainingData
from mocoop.training.image_sources import CachedImages
from mocoop.training.optimizer import PromptOptimizer
from mocoop.training.step_losses import step_losses
from tests.support import reference_methods as plain
from tests.support.reference_training import PlainImageTower, PlainSGD

NAMES = ("cat", "fleur de lis", "old house", "itap of a")
NUM_SEEN = 3
GROUPS = {
    "photo": ("a photo of a {}.", "itap of a {}.", "a blurry photo of the {}."),
    "art": ("art of the {}", "a {} in oil, on wood."),
    "sketch": ("{} drawn by hand.",),
}
TEMPLATES = {"prompt": ("a photo of a {}.", "art of the {}", "{} drawn by hand.")}


@dataclass
class Pair:
    """The library's model and the reference, which start from the same numbers."""

    config: TrainConfig
    backbone: Backbone
    model: PromptMixture
    stepper: PromptOptimizer
    data: TrainingData
    plain: plain.PlainCoOp
    images: PlainImageTower
    sgd: PlainSGD

    def losses(self, pictures, labels):
        """Returns the library's losses of a batch of pictures."""
        features = self.model.image_features(self.backbone.model.visual, pictures)
        classes = ClassTokens.from_names(self.backbone.text.tokens, self.data.class_names)
        tower = self.backbone.text
        return step_losses(self.model, tower, classes, features, labels, self.data, self.config)[0]

    def plain_losses(self, pictures, labels):
        """Returns the reference's losses of the same batch."""
        return self.plain.losses(self.images.features(pictures), labels)

    def plain_gradients(self, losses):
        """Returns the reference's gradients by name, those of the LayerNorms included."""
        found = self.plain.gradients(losses)
        if self.images.learnt:
            values = torch.autograd.grad(losses["total"], list(self.images.learnt.values()))
            found |= dict(zip(self.images.learnt, values, strict=True))
        return found

    def learnt(self):
        """Returns (name, the library's parameter, the reference's) of everything learnt."""
        return [
            (name, value, self.sgd.learnt[plain_name(name)])
            for name, value in self.model.named_parameters()
            if value.requires_grad
        ]


def plain_name(name):
    """Returns what the reference calls a parameter of the library's."""
    name = name.removeprefix("prompts.").removeprefix("norms.values.").replace("/", ".")
    return name.replace("shift.squeeze", "meta.0").replace("shift.expand", "meta.2")


def settings(method, **changes):
    """Returns a preset with groups of few templates and a training of few steps."""
    groups = GROUPS if METHODS[method].is_mixture else TEMPLATES
    usual = {
        "groups": groups,
        "epochs": 4,
        "warmup_epochs": 1,
        "warmup_rate": 1e-2,
        "learning_rate": 0.1,
    }
    return replace(preset(method), **(usual | changes))


def make_pair(config, backbone):
    """Returns the library's model for some settings, and its reference."""
    names = NAMES if config.text_classes == "all" else NAMES[:NUM_SEEN]
    model, data = product(config, backbone, names, NUM_SEEN)
    reference = make_plain(config, backbone, model, names)
    images = PlainImageTower(backbone.model.visual, config.tune_layer_norms)
    learnt = reference.learnt | images.learnt
    share = dict.fromkeys(reference.learnt, 1.0)
    share |= {name: config.gate_rate for name in share if name.startswith("gate.")}
    share |= dict.fromkeys(images.learnt, config.layer_norm_rate)
    sgd = PlainSGD(learnt, share, config.momentum, config.weight_decay, config.clip_norm)
    stepper = PromptOptimizer(model, config)
    return Pair(config, backbone, model, stepper, data, reference, images, sgd)


def product(config, backbone, names, num_seen):
    """Returns the library's untrained model for some settings with groups, and its data.

    The data hold the hard prompts, and no images.
    """
    generator = torch.Generator().manual_seed(config.seed)
    model = build_model(config, backbone, config.groups, generator, num_seen)
    hard = hard_features(backbone.text, config.groups, names)
    text = HardText.from_features(
        tuple(hard), group_prototypes(hard), config.text_target == "templates"
    )
    none, labels = CachedImages(torch.zeros(0, 1, backbone.text.dim)), torch.zeros(0)
    return model, TrainingData(none, labels, none, labels, names, num_seen, text)


def make_plain(config, backbone, model, names):
    """Returns the reference; what is drawn at random is copied from the model."""
    clip, tokenizer = backbone.model, backbone.tokenizer
    prompts = [
        plain_prompt(config, clip, tokenizer, model, index, templates[0])
        for index, templates in enumerate(config.groups.values())
    ]
    parts = (clip, tokenizer, names, prompts[0], NUM_SEEN)
    first = next(iter(config.groups.values()))
    text_scale = clip.logit_scale.exp() if config.text_scale == "logit" else 1.0
    if config.conditional:
        return plain.PlainCoCoOp(*parts, meta=meta_net(model.shift))
    if config.anchor_weight > 0:
        return plain.PlainKgCoOp(*parts, template=first[0], weight=config.anchor_weight)
    if config.align_gradient:
        share, temperature = config.align_weight, config.align_temperature
        return plain.PlainProGrad(*parts, template=first[0], share=share, temperature=temperature)
    if len(config.groups) > 1:
        gate = nn.Linear(*reversed(model.gate.weight.shape))
        gate.load_state_dict(model.gate.state_dict())
        return plain.PlainMixture(
            clip, tokenizer, names, prompts, NUM_SEEN, groups=list(config.groups.values()),
            gate=gate, num_chosen=config.num_chosen, text_weight=config.text_weight,
            text_scale=text_scale, gate_weight=config.gate_weight, gate_target=config.gate_target,
        )  # fmt: skip
    if config.text_weight > 0:
        return plain.PlainLasp(
            *parts, templates=first, weight=config.text_weight, text_scale=text_scale,
            over_soft=config.text_softmax == "soft",
        )  # fmt: skip
    return plain.PlainCoOp(*parts)


def plain_prompt(config, clip, tokenizer, model, index, template):
    """Returns the context that one expert starts from."""
    words = lambda text: plain.word_tokens(clip, tokenizer, text)
    own = NUM_SEEN if config.class_context else None
    if config.context_init == "template":
        left, right = template.split("{}")
        return plain.PlainPrompt(words(left), words(right), words(""), config.learn_after, own)
    if config.context_init == "words":
        context = words(config.context_words)
    else:
        blocks = (model.prompts.before[index].detach(), model.prompts.after[index].detach())
        context = torch.cat([block[0] if own else block for block in blocks])
    places = {"front": 0, "middle": len(context) // 2, "end": len(context)}
    half = places[config.name_position]
    return plain.PlainPrompt(context[:half], context[half:], words("."), True, own)


def meta_net(shift):
    """Returns CoCoOp's meta-net with the first weights of the library's."""
    layers = {"0": shift.squeeze, "2": shift.expand}
    state = {f"{i}.{k}": v for i, one in layers.items() for k, v in one.state_dict().items()}
    return plain.plain_meta_net(shift.squeeze.in_features, shift.expand.out_features, state)


def batch_of(number, size=5):
    """Returns seeded pictures (size, 3, 32, 32) and labels of the seen classes."""
    generator = torch.Generator().manual_seed(100 + number)
    pictures = torch.randn(size, 3, 32, 32, generator=generator)
    return pictures, (torch.arange(size) + number) % NUM_SEEN


def features_of(count, dim=16, seed=0):
    """Returns seeded normalised image features (count, dim)."""
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, dim, generator=generator), dim=-1)

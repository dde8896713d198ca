"""The settings of a run: a frozen dataclass with checks."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from mocoop.config_checks import check_settings
from mocoop.errors import UserError
from mocoop.methods import MENU
from mocoop.setting_types import (
    Aggregation,
    Augment,
    ClassesChoice,
    ConsistencyMean,
    ConsistencyTemplates,
    ContextInit,
    GateTarget,
    Insertion,
    LengthImages,
    NamePosition,
    NumExperts,
    Optimizer,
    Precision,
    RouterInput,
    Schedule,
    ScheduleBy,
    Search,
    TextClasses,
    TextScale,
    TextSoftmax,
    TextTarget,
    TextTemplates,
    Validation,
    Warmup,
    WarmupGroups,
)
from mocoop.shots import Shots
from mocoop.templates import Groups, as_groups

GIVEN = "images-given-to-fit"
"""The name of a data set whose images were passed to `fit`; no other data set has this name."""


def _method_help() -> str:
    """Returns the help text of --method: methods that learn prompts, then the others."""
    prompts = [f"`{key}`" for key, method in MENU.items() if method.learns_prompts]
    others = [f"`{key}`" for key, method in MENU.items() if not method.learns_prompts]
    return (
        f"The method, a preset of the settings below: {', '.join(prompts)}. Methods with `-ln` "
        "also train the image tower's LayerNorms, as published. Methods without prompt learning: "
        f"{', '.join(others)}."
    )


DEMO = "demo"
"""Name of the small CLIP that comes with the project."""


@dataclass(frozen=True)
class TrainConfig:
    """All settings of a run; they are saved with it and are enough to repeat it."""

    data: str = "albums"
    """A built-in set (`things`, `details`, `albums`, `halves`, `faces`, `digits`, `pictographs`;
    with `-easy` after it, such as `albums-easy`, in the easy setting); a benchmark set in
    MOCOOP_DATA or ./data, such as `imagenet`, `dtd` or `eurosat` (`mocoop data list` shows all
    of them); or the path of a folder of images: `class_name/*.jpg`, or the folders `train/`,
    `val/` and `test/` with such folders inside."""
    method: Annotated[str, tyro.conf.arg(help=_method_help())] = "mocoop"
    """The method, a preset of the settings below: a key of `mocoop.methods.METHODS`."""
    backbone: str = DEMO
    """The CLIP: `demo`, an open_clip `NAME/TAG` such as `ViT-B-16-quickgelu/openai`, a file of
    OpenAI's, `NAME/FILE` with weights of open_clip's, a folder with a configuration (of open_clip
    or Hugging Face) and weights, or `hf-hub:OWNER/NAME`."""
    shots: Shots = 16
    """Training images per class, or `all`. A class with fewer images has all of them."""
    validation: Validation = "few"
    """Validation images: a `few`, at most 4 of each class as in CoOp; `all` of them; or for
    `train`: they join the training images, and there are none."""
    seed: int = 1
    """Seed of the few-shot images, the batches, the views and the initial weights."""
    classes: ClassesChoice = "all"
    """Train on all classes, or only on the base half (base-to-new protocol)."""

    style: str = ""
    """Train only on images of this style (domain generalisation); empty for all styles."""

    groups: Annotated[Groups | None, tyro.conf.Suppress] = None
    """Semantic groups of templates, one expert each; None uses the data set's groups."""
    context_init: ContextInit = "template"
    """Initial context: each group's first `template`, `words`, or `random` tokens."""
    context_words: str = "a photo of a"
    """With context_init `words`: the words before the class name."""
    context_tokens: int = 16
    """M: with context_init `random`, the number of tokens, with standard deviation 0.02."""
    name_position: NamePosition = "end"
    """Position of the class name in a context of words or random tokens; the full stop stays
    last."""
    class_context: bool = False
    """Every class has its own context (CoOp's CSC), instead of one for all classes."""
    learned_tokens: int = 0
    """Number of tokens before the name that are learned, the first ones; the rest stay as they
    are (MaPLe). 0 learns all of them."""
    learn_context: bool = True
    """Learn the context's tokens; if not, they stay as they are (VPT)."""
    text_depth: int = 1
    """J: number of the text tower's first blocks with learned tokens of their own; 1 learns only
    the context. In later blocks they replace the outputs of the tokens before the name."""
    text_insertion: Insertion = "replace"
    """Tokens of the text tower's blocks `replace` the outputs of the tokens before the name, or
    every block, the first one too, has them only as `keys` and values (DPL), beside the
    context."""
    text_prompts: int = 4
    """With text_insertion keys: number of learned tokens per block; in a search, the largest
    one."""
    text_lengths: tuple[int, ...] = ()
    """With text_insertion keys: the number of learned tokens of each of the text_depth blocks, 0
    for a block without any; by default text_prompts in each."""
    conditional: bool = False
    """A small network computes a vector from the image and adds it to the context (CoCoOp); in a
    mixture to that of every expert that the router chooses for the image."""
    condition_from: int = 0
    """With conditional: the first block of the text tower whose learned tokens the vector is added
    to. 0: to the context, and to the tokens of all later blocks."""
    zero_shift: bool = False
    """With conditional: the network starts with a vector of zeros for every image, so that the
    untrained prompts do not depend on it."""
    shift_per_expert: bool = False
    """With conditional: every expert has a network of its own, instead of one for all."""
    learn_after: bool = True
    """Also learn the tokens after the class name; otherwise they stay the template's."""
    correction: bool = True
    """Learn one correction vector that is added to all text features (from LASP)."""
    num_chosen: int = 2
    """K: the number of experts that the router chooses for each image."""
    num_experts: NumExperts = "groups"
    """One expert for each of the `groups`; or `auto`: short trainings before the training merge,
    leave out and split experts, by their accuracy on the validation images."""

    text_weight: float = 5.0
    """Weight of the text-supervision loss, which keeps experts close to their group."""
    text_scale: TextScale = "logit"
    """Inverse temperature of the text loss: `one` (as the authors) or CLIP's `logit` scale."""
    text_classes: TextClasses = "seen"
    """Class names in the text loss: those `seen` in training, or `all`, including new ones."""
    text_target: TextTarget = "prototype"
    """Targets of the text loss: each group's mean `prototype`, or all its `templates`."""
    text_templates: TextTemplates = "own"
    """With text_target `templates` and a single prompt: the data set's `own` templates, or the
    35 `fixed` ones of LASP's code, whatever the data set is."""
    text_softmax: TextSoftmax = "hard"
    """Softmax of the text loss: over the `hard` prompts of all classes for each soft one, or over
    the `soft` ones for each hard one, as in LASP's code."""
    text_noise: float = 0.0
    """Standard deviation of noise on the targets of the text loss, in half of the steps (LASP's
    code: 0.05)."""
    anchor_weight: float = 0.0
    """Weight of 1 - cos between soft features and the first template's (KgCoOp)."""
    text_consistency: float = 0.0
    """Weight of the mean absolute difference between soft text features and frozen ones, the mean
    over templates (PromptSRC). It holds for 512 dimensions; for another number, weight / dim
    stays the same."""
    image_consistency: float = 0.0
    """Weight of the mean absolute difference between the image's feature and that of the frozen
    image tower for the same view (PromptSRC), for 512 dimensions as text_consistency."""
    logit_consistency: float = 0.0
    """Weight of the divergence from the frozen CLIP's prediction, per image and class
    (PromptSRC)."""
    consistency_templates: ConsistencyTemplates = "own"
    """Templates of the frozen text features: the data set's `own`, or the first 60 of the 80
    `imagenet` templates (PromptSRC's code)."""
    consistency_mean: ConsistencyMean = "raw"
    """Frozen text features are the mean of the templates' `raw` features (PromptSRC's code), or of
    those scaled to `unit` length."""
    align_gradient: bool = False
    """Remove the part of the gradient that contradicts the untrained prompt (ProGrad)."""
    align_weight: float = 1.0
    """ProGrad's lambda: the share of that part that is removed."""
    align_temperature: float = 1.0
    """ProGrad's T: the temperature of the predictions whose divergence gives its direction."""
    gate_weight: float = 1.0
    """Weight of the gating loss, with which the router learns from the hard prompts."""
    gate_target: GateTarget = "hard"
    """Target of the router: scores of the `hard` prompts with 10 added to the K best (the paper);
    the same scores `scaled` by the logit scale, with nothing added; or scores of the `soft`
    prompts with 10 added."""

    epochs: int = 12
    """Number of passes over the few-shot images; with steps_per_shot, of equal parts of the
    training."""
    steps_per_shot: int = 0
    """Train for this many steps per image of a class, whatever the number of images is
    (CLIP-LoRA); 0: epochs are passes over the images."""
    batch_size: int = 128
    """Images per step; the cost of the text side does not depend on it."""
    drop_last: bool = False
    """Leave out an epoch's last batch if it is not full, as CoOp's code does. If there are fewer
    images than batch_size, they are one batch."""
    optimizer: Optimizer = "sgd"
    """`sgd`, or `adamw` with betas 0.9 and 0.999. (tip-adapter-f has AdamW of its own.)"""
    learning_rate: float = 0.5
    """Peak learning rate of SGD (of AdamW for tip-adapter-f, of Adam for taskres)."""
    gate_rate: float = 20.0
    """Learning rate of the router, as a multiple of the prompts' rate."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: float = 5e-4
    """Weight decay, on all learned parameters."""
    schedule: Schedule = "cosine"
    """Learning rate after the warm-up: `cosine` towards `final_rate`, or `constant`."""
    schedule_by: ScheduleBy = "epoch"
    """Change the learning rate once an `epoch`, or with every `step`."""
    final_rate: float = 0.0
    """Learning rate at which the cosine ends."""
    warmup_epochs: int = 1
    """Number of first epochs with a smaller learning rate."""
    warmup: Warmup = "constant"
    """Warm-up: a `constant` small rate, or `linear` from it to the peak rate."""
    warmup_rate: float = 1e-5
    """Learning rate of the warm-up epochs (of the first one if linear)."""
    warmup_groups: WarmupGroups = "scaled"
    """Warm-up of router and LayerNorms: `scaled` by their multiples, or the `same` rate for all
    parameters, as in CoOp's code."""
    clip_norm: float = 1.0
    """Largest norm of the gradient; 0 turns clipping off."""
    precision: Precision = "fp32"
    """Number format inside the towers: fp32, autocast to bf16, or autocast to fp16 with scaled
    gradients. `auto` chooses a fast one for the device, and the run records the choice. Losses
    and learned parameters are always fp32."""

    aggregation: Aggregation = "none"
    """Learned parameters of the finished run: those after the last epoch (`none`), or the weighted
    mean over all epochs, with `gaussian` weights that sum to 1 (PromptSRC)."""
    aggregation_mean: float = 15.0
    """With aggregation gaussian: mu, the epoch with the largest weight."""
    aggregation_std: float = 1.0
    """With aggregation gaussian: sigma, the standard deviation of the weights, in epochs."""

    image_cache: bool = True
    """Compute image features once and cache them; needs a frozen image tower."""
    views: int = 1
    """Cached views per training image: 1 is the centre crop; further views are random crops,
    partly mirrored, drawn once."""
    augment: Augment = "none"
    """Without the cache: `crops` draws a random crop, mirrored or not, in every epoch."""
    tune_layer_norms: bool = False
    """Without the cache: also train `ln_1` and `ln_2` of the image tower's blocks."""
    layer_norm_rate: float = 0.1
    """Learning rate of these LayerNorms, as a multiple of the prompts' rate."""
    vision_depth: int = 0
    """Number of the image tower's first blocks with learned tokens (deep visual prompts); 0: the
    image tower has none."""
    vision_prompts: int = 4
    """With vision_depth: number of learned tokens per block; in a search of lengths, the largest
    one."""
    vision_lengths: tuple[int, ...] = ()
    """With vision_insertion keys: the number of learned tokens of each of the vision_depth
    blocks, 0 for a block without any; by default vision_prompts in each."""
    length_epochs: int = 0
    """Epochs of a search before the training, which chooses the number of tokens of every block
    (DPL); 0: there is none. It chooses for the towers whose tokens are only keys and values, and
    whose lengths are not given."""
    length_images: LengthImages = "validation"
    """With length_epochs: the weights of the lengths learn from the `validation` images, or from
    half of the few-shot training images (`train`), from which the tokens of the search do not
    learn then."""
    length_rate: float = 0.0035
    """With length_epochs: Adam's learning rate of the weights of the lengths."""
    length_batch: int = 16
    """With length_epochs: images per step for the weights of the lengths, drawn at random."""
    expert_vision_depth: int = 0
    """An experiment: number of the image tower's last blocks in which each expert of a mixture has
    vision_prompts learned tokens of its own. They run only for the experts that the router chooses
    for the image. Needs router_input frozen; 0: the image tower is the same for all experts."""
    vision_insertion: Insertion = "replace"
    """Tokens of later blocks `replace` the outputs of those before, or every block has them only
    as `keys` and values."""
    coupling: bool = False
    """Compute the image tower's tokens from the text tower's, with a linear layer per block
    (MaPLe)."""
    vision_rate: float = 1.0
    """Learning rate of the image tower's tokens, as a multiple of the prompts' rate."""
    router_input: RouterInput = "tuned"
    """Image feature that the router sees if the image tower has learned tokens: the `tuned` one,
    or that of the `frozen` tower."""
    lora_rank: int = 0
    """Rank of learned updates of the attention of both towers (LoRA), on the queries, keys and
    values of every block; 0: there are none. Needs the image cache turned off."""
    lora_alpha: float = 1.0
    """With lora_rank r: the updates are multiplied by this number / sqrt(r)."""
    lora_dropout: float = 0.25
    """With lora_rank: share of the updates' inputs that is set to zero in training."""
    key_views: int = 0
    """Tip-Adapter and LP++: random crops whose mean feature stands for an image; 0 takes the
    centre crop. With crops, tip-adapter-f also trains on a new one of each in every epoch."""
    search: Search = "own"
    """Values tried for Tip-Adapter's α and β, the linear probe's C, or LP++'s first weight of the
    text: as the authors' `published` code, or our `own` (a coarser grid; a C nearer to 1 where
    several are equal; several first weights instead of one)."""
    residual_ratio: float = 0.5
    """TaskRes: the factor of the learned vectors beside the text features. CLIP-Adapter: the share
    of the adapted image feature, from 0 to 1."""
    save_every: int = 3
    """Epochs between two saved copies of the soft text features (first and last always)."""
    deterministic: bool = False
    """Use only operations that give the same bits every time on a GPU too. It costs time (a
    training step takes longer) and memory; an operation without such a form stops the run. On a
    CPU, results are the same without it as long as the number of threads is the same."""
    device: str = "auto"
    """The torch device: `auto` (a GPU if there is one), `cpu`, `cuda` ..."""

    def __post_init__(self) -> None:
        if self.groups is not None:
            object.__setattr__(self, "groups", as_groups(self.groups))
        check_settings(self)

    def check_num_chosen(self, num_experts: int) -> None:
        """Raises UserError if `num_chosen` is larger than the number of experts."""
        if self.num_chosen > num_experts:
            raise UserError(
                f"num_chosen is {self.num_chosen}, but there are only {num_experts} experts "
                f"(one per group of templates). Choose 1 to {num_experts}, or add groups."
            )

    def groups_differ(self) -> bool:
        """Returns whether the settings have more than one group of templates."""
        return self.groups is not None and len(self.groups) > 1

    @property
    def text_keys(self) -> tuple[int, ...]:
        """The number of learned keys and values of the text tower's first blocks; () without any.

        Where the numbers are searched for, these are the largest ones.
        """
        if self.text_insertion != "keys":
            return ()
        return self.text_lengths or (self.text_prompts,) * self.text_depth

    @property
    def vision_keys(self) -> tuple[int, ...]:
        """As `text_keys`, of the image tower."""
        if self.vision_insertion != "keys":
            return ()
        return self.vision_lengths or (self.vision_prompts,) * self.vision_depth

    @property
    def searches_text(self) -> bool:
        """Whether a search chooses the number of tokens of the text tower's blocks."""
        return self._searches and self.text_insertion == "keys" and not self.text_lengths

    @property
    def searches_images(self) -> bool:
        """Whether a search chooses the number of tokens of the image tower's blocks."""
        return self._searches and bool(self.vision_keys) and not self.vision_lengths

    @property
    def searches_lengths(self) -> bool:
        """Whether a search precedes the training."""
        return self.searches_text or self.searches_images

    @property
    def _searches(self) -> bool:
        return self.length_epochs > 0 and self.epochs > 0

    @property
    def tunes_images(self) -> bool:
        """Whether the image tower learns: then image features change in every step."""
        tokens = self.vision_depth > 0 or self.expert_vision_depth > 0
        return self.tune_layer_norms or tokens or self.lora_rank > 0

    @property
    def compares_images(self) -> bool:
        """Whether a loss compares the image features with the frozen image tower's."""
        return self.image_consistency > 0 or self.logit_consistency > 0

    @property
    def compares_texts(self) -> bool:
        """Whether a loss needs the frozen text features, the mean over templates."""
        return self.text_consistency > 0 or self.logit_consistency > 0

    def to_dict(self) -> dict[str, Any]:
        """Returns the settings as plain values for JSON."""
        return dataclasses.asdict(self)

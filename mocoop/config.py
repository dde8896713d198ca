"""The settings of a run: a frozen dataclass with checks."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import tyro

from mocoop.errors import UserError, choose_from
from mocoop.method_record import FEATURE_ADAPTER
from mocoop.methods import MENU, find_method
from mocoop.shots import ALL_SHOTS, Shots
from mocoop.templates import Groups, as_groups

ClassesChoice = Literal["all", "base"]
Validation = Literal["few", "all", "train"]
ContextInit = Literal["template", "words", "random"]
NamePosition = Literal["end", "middle", "front"]
TextScale = Literal["one", "logit"]
TextClasses = Literal["seen", "all"]
TextTarget = Literal["prototype", "templates"]
TextTemplates = Literal["own", "fixed"]
TextSoftmax = Literal["hard", "soft"]
GateTarget = Literal["hard", "scaled", "soft"]
Augment = Literal["none", "crops"]
Optimizer = Literal["sgd", "adamw"]
Schedule = Literal["cosine", "constant"]
ScheduleBy = Literal["epoch", "step"]
Warmup = Literal["constant", "linear"]
WarmupGroups = Literal["scaled", "same"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Search = Literal["own", "published"]
Insertion = Literal["replace", "keys"]
LengthImages = Literal["validation", "train"]
RouterInput = Literal["tuned", "frozen"]
NumExperts = Literal["groups", "auto"]
ConsistencyTemplates = Literal["own", "imagenet"]
ConsistencyMean = Literal["raw", "unit"]
Aggregation = Literal["none", "gaussian"]


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
    backbone: str = "demo"
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
        method = find_method(self.method)
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in get_args(choices):
                raise choose_from(name, getattr(self, name), get_args(choices))
        if self.shots != ALL_SHOTS and self.shots < 1:
            raise UserError(f"shots must be at least 1, or all; got {self.shots}.")
        for name in _AT_LEAST_ONE:
            self._at_least(name, 1)
        for name in (*_NON_NEGATIVE, *_COUNTS):
            self._at_least(name, 0)
        if self.epochs > 0 and not method.learns_in_epochs:
            raise UserError(
                f"{self.method} is not trained in epochs: epochs must be 0; got {self.epochs}. "
                "To train a prompt, use a method such as coop."
            )
        if method.classifier == FEATURE_ADAPTER and self.residual_ratio > 1:
            raise UserError(
                f"residual_ratio is the share of the adapted feature with {self.method}: expected "
                f"0 to 1, got {self.residual_ratio:g}."
            )
        for name in _POSITIVE:
            if not 0 < getattr(self, name) < float("inf"):
                raise UserError(f"{name} must be greater than 0; got {getattr(self, name)}.")
        if self.aggregation != "none" and not method.learns_prompts:
            raise UserError(
                f"aggregation averages learned prompts over the epochs, but {self.method} learns "
                "none. Use aggregation none, or a method such as coop."
            )
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed must be from 0 to 4294967295; got {self.seed}.")
        if self.groups is not None:
            object.__setattr__(self, "groups", as_groups(self.groups))
            self.check_num_chosen(len(self.groups))
        self._check_image_side()
        self._check_context()
        self._check_lengths()
        self._check_steps()

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

    def _check_image_side(self) -> None:
        """Raises UserError for settings that would make cached image features wrong."""
        live = [
            name
            for name, used in (
                ("tune_layer_norms", self.tune_layer_norms),
                ("vision_depth", self.vision_depth > 0),
                ("expert_vision_depth", self.expert_vision_depth > 0),
                ("lora_rank", self.lora_rank > 0),
                ("augment crops", self.augment != "none"),
            )
            if used
        ]
        if self.image_cache and live:
            raise UserError(
                f"{live[0]} changes the image features in every step, so they cannot be cached: "
                "turn image_cache off, or use cached views instead of random crops."
            )
        if self.image_consistency > 0 and not self.tunes_images:
            raise UserError(
                "image_consistency keeps the image tower's features close to the frozen ones, but "
                "nothing is learned in the image tower. Set it to 0, or give the tower learned "
                "tokens (vision_depth)."
            )
        if self.coupling and (self.vision_depth != self.text_depth or self.groups_differ()):
            raise UserError(
                f"With coupling the image tower's tokens are computed from those of one prompt, "
                f"block by block, but text_depth is {self.text_depth} and vision_depth "
                f"{self.vision_depth}. Give both the same depth, and one group of templates."
            )
        if self.expert_vision_depth:
            self._check_expert_tokens()
        if not self.image_cache and self.views > 1:
            raise UserError(
                f"views is {self.views}, but views are cached features and image_cache is off. "
                "Use augment crops, or turn the cache on."
            )

    def _check_expert_tokens(self) -> None:
        """Raises UserError for settings that do not go with tokens of each expert."""
        if not find_method(self.method).is_mixture or self.router_input != "frozen":
            raise UserError(
                "expert_vision_depth gives the experts of a mixture tokens of their own, which a "
                "router chooses by the frozen image tower's feature. Use it with a mixture such "
                "as mocoop-v and router_input frozen, or set it to 0."
            )
        if self.compares_images or self.conditional or self.align_gradient or self.coupling:
            raise UserError(
                "With expert_vision_depth an image has a feature for each of its experts. Use it "
                "without image_consistency, logit_consistency, conditional, align_gradient and "
                "coupling."
            )

    def _check_context(self) -> None:
        """Raises UserError for combinations of context settings that have no meaning."""
        if self.class_context and self.classes == "base":
            raise UserError(
                "With class_context every class learns its own context, so that new classes have "
                "none. Train on all classes, or turn class_context off."
            )
        if self.text_depth > 1 and self.class_context and self.text_insertion == "replace":
            raise UserError(
                "Learned tokens in later blocks of the text tower (text_depth) are the same for "
                "all classes: turn class_context off."
            )
        if self.conditional and (self.class_context or self.align_gradient):
            raise UserError(
                "A conditional context changes with every image, and is the same for all classes. "
                "Use it without class_context and align_gradient."
            )
        if self.conditional and self.condition_from >= self.text_depth:
            raise UserError(
                f"condition_from is {self.condition_from}, but the text tower has learned tokens "
                f"only in its first blocks, 0 to {self.text_depth - 1} (text_depth is "
                f"{self.text_depth}). Choose an earlier block, or a larger text_depth."
            )
        if self.context_init == "random" and self.name_position == "middle":
            self._at_least("context_tokens", 2)
        if self.text_templates == "fixed" and self.context_init == "template":
            raise UserError(
                "With text_templates fixed the templates are only compared with; none of them is "
                "the prompt's start. Choose context_init words or random."
            )

    def _check_lengths(self) -> None:
        """Raises UserError for lengths, or a search of them, that do not fit the blocks."""
        for side in ("text", "vision"):
            lengths = getattr(self, f"{side}_lengths")
            depth, insertion = getattr(self, f"{side}_depth"), getattr(self, f"{side}_insertion")
            if not lengths:
                continue
            if insertion != "keys" or len(lengths) != depth or min(lengths) < 0:
                raise UserError(
                    f"{side}_lengths gives the number of tokens, 0 or more, of each of the "
                    f"{side}_depth blocks, with {side}_insertion keys. Got {len(lengths)} lengths "
                    f"({', '.join(map(str, lengths))}), {side}_depth {depth} and {side}_insertion "
                    f"{insertion}."
                )
        keys = self.text_insertion == "keys"
        if self.coupling and (keys or self.vision_lengths):
            raise UserError(
                "With coupling every block has the same number of tokens, which replace the "
                "outputs of others in the text tower: leave text_insertion at replace, and "
                "vision_lengths empty."
            )
        if keys and (self.lora_rank > 0 or (self.conditional and self.condition_from > 0)):
            raise UserError(
                "Learned keys and values of the text tower (text_insertion keys) go neither with "
                "low-rank updates (lora_rank) nor with a vector that is added to the tokens of "
                "later blocks (condition_from)."
            )
        if self.searches_lengths and (self.lora_rank > 0 or self.aggregation != "none"):
            raise UserError(
                "A search of lengths (length_epochs) goes neither with low-rank updates "
                "(lora_rank) nor with aggregation. Set lora_rank to 0 and aggregation to none, or "
                "give the lengths (vision_lengths, text_lengths)."
            )
        if self.searches_lengths and self.expert_vision_depth:
            raise UserError(
                "A search of lengths (length_epochs) knows no tokens of each expert "
                "(expert_vision_depth). Set one of them to 0, or give the lengths "
                "(vision_lengths, text_lengths)."
            )
        if self.length_epochs > 0 and not (keys or self.vision_keys):
            raise UserError(
                "length_epochs searches for the number of tokens that are only keys and values, "
                "but no block has such tokens. Set it to 0, or text_insertion or vision_insertion "
                "to keys."
            )

    def _check_steps(self) -> None:
        """Raises UserError for numbers of steps, rates or shares that have no meaning."""
        if not 0 <= self.lora_dropout < 1:
            raise UserError(
                f"lora_dropout must be from 0 to less than 1; got {self.lora_dropout}."
            )
        if 0 < self.steps_per_shot < self.epochs:
            raise UserError(
                f"steps_per_shot is {self.steps_per_shot}, which cannot be divided into "
                f"{self.epochs} epochs of at least one step. Choose fewer epochs, or more steps."
            )
        if self.schedule_by == "step" and self.warmup_epochs > 0:
            raise UserError(
                "With schedule_by step the learning rate falls from the first step on, without a "
                f"warm-up: set warmup_epochs to 0; got {self.warmup_epochs}."
            )

    def _at_least(self, name: str, least: int) -> None:
        """Raises UserError unless a setting is a finite number and at least `least`."""
        value = getattr(self, name)
        if not least <= value < float("inf"):
            raise UserError(f"{name} must be at least {least}; got {value}.")


_CHOICES: dict[str, Any] = {
    "classes": ClassesChoice,
    "validation": Validation,
    "context_init": ContextInit,
    "name_position": NamePosition,
    "text_scale": TextScale,
    "text_classes": TextClasses,
    "text_target": TextTarget,
    "text_templates": TextTemplates,
    "text_softmax": TextSoftmax,
    "gate_target": GateTarget,
    "optimizer": Optimizer,
    "schedule": Schedule,
    "schedule_by": ScheduleBy,
    "warmup": Warmup,
    "warmup_groups": WarmupGroups,
    "precision": Precision,
    "augment": Augment,
    "search": Search,
    "vision_insertion": Insertion,
    "text_insertion": Insertion,
    "length_images": LengthImages,
    "router_input": RouterInput,
    "num_experts": NumExperts,
    "consistency_templates": ConsistencyTemplates,
    "consistency_mean": ConsistencyMean,
    "aggregation": Aggregation,
}
_AT_LEAST_ONE = (
    "num_chosen", "batch_size", "views", "save_every", "context_tokens", "text_depth",
    "vision_prompts", "text_prompts", "length_batch",
)  # fmt: skip
_POSITIVE = ("align_temperature", "aggregation_std")
_COUNTS = (
    "epochs", "steps_per_shot", "warmup_epochs", "key_views", "learned_tokens", "vision_depth",
    "expert_vision_depth", "lora_rank", "condition_from", "length_epochs",
)  # fmt: skip
_NON_NEGATIVE = (
    "text_weight", "text_noise", "anchor_weight", "text_consistency", "image_consistency",
    "logit_consistency", "aggregation_mean", "align_weight", "gate_weight", "learning_rate",
    "gate_rate", "layer_norm_rate", "vision_rate", "momentum", "weight_decay", "warmup_rate",
    "final_rate", "clip_norm", "residual_ratio", "lora_alpha", "length_rate",
)  # fmt: skip

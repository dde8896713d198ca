"""The published recipes, setting by setting, with their sources; `mocoop.published` compares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mocoop.method_record import Paper
from mocoop.methods import (
    CLIP_LORA,
    COCOOP,
    COOP,
    DPL,
    KGCOOP,
    LASP,
    MAPLE,
    MOCOOP,
    PROGRAD,
    PROMPTSRC,
    VPT,
)
from mocoop.methods_on_features import CLIP, CLIP_ADAPTER, LP, TASKRES, TIP_ADAPTER

SAME = "the same"


@dataclass(frozen=True)
class Published:
    """One setting of a published recipe."""

    setting: str
    """A setting of `TrainConfig`, or a few words for what is none."""
    value: Any
    """Its published value; in words if it is none of ours."""
    ours: str = ""
    """What ours does, in words; empty if the setting's value says it."""
    source: str = ""
    """Where it is published; empty for the method's own code."""
    except_on: str = ""
    """Where the published value is another one, and which."""
    in_epochs: bool = False
    """Whether it only concerns methods that are trained in epochs."""


_DASSL = "Dassl, on which its code is built"
_COCOOP = "CoCoOp's code"
_COOP_COMMAND = "CoOp's command for ImageNet, which its README names"
# What all programs have that are built on Dassl.
_SGD = (
    Published("momentum", 0.9, source=_DASSL),
    Published("weight_decay", 5e-4, source=_DASSL),
    Published("schedule", "cosine"),
    Published("warmup", "constant"),
    Published("warmup_rate", 1e-5),
    Published("warmup_groups", "same", source=_DASSL),
    Published("drop_last", True, source=_DASSL),
    Published("tested epoch", "the last", SAME, _DASSL),
)
_CROPS = (
    Published("augment", "crops"),
    Published("crops", "8 to 100 % of the picture, bicubic, flip", SAME),
)
_WORDS = (
    Published("context_words", "a photo of a"),
    Published("name_position", "end"),
)
_PLAIN = "the data set's plain template"
_FP16 = Published(
    "precision", "fp16 in the towers", "auto: bf16 where it is fast, fp16 on other GPUs, else fp32"
)
_AMP = Published(
    "precision", "autocast to fp16", "auto: bf16 where it is fast, fp16 on other GPUs, else fp32"
)
_NO_CLIPPING = Published("clip_norm", 0.0)
_MAPLE = "MaPLe's code"
_TOKENS = Published("first value of learned tokens", "normal, standard deviation 0.02", SAME)
_TOWERS = (
    Published("context_init", "words"),
    *_WORDS,
    Published("batch_size", 4),
    Published("epochs", 5),
    Published("warmup_epochs", 1),
    _NO_CLIPPING,
    *_SGD,
    *_CROPS,
    _FP16,
    _TOKENS,
)

PUBLISHED: dict[Paper, tuple[Published, ...]] = {
    COOP: (
        Published("context_init", "words", source=_COCOOP),
        *_WORDS,
        Published(
            "few-shot: context",
            "16 random tokens, the name at the end",
            SAME,
            "COOP.md of its code",
        ),
        Published(
            "few-shot: epochs",
            "50 with 1 shot, 100 with 2 and 4, 200 with 8 and 16; ImageNet 50",
            SAME,
            "COOP.md of its code",
        ),
        Published(
            "few-shot: random crops", "in every epoch", SAME, "CoOp, section 4.1, and its code"
        ),
        Published("learning_rate", 0.002),
        Published("epochs", 50, source=_COCOOP),
        Published("batch_size", 32),
        Published("warmup_epochs", 1),
        _NO_CLIPPING,
        *_SGD,
        *_CROPS,
        _FP16,
        Published(
            "name before learned tokens",
            "cut out of the whole sentence's tokens",
            "tokenised alone (differs for names that end in punctuation)",
        ),
    ),
    COCOOP: (
        Published("context_init", "words"),
        *_WORDS,
        Published("conditional", True),
        Published("meta-net", "dim, dim / 16, width, with a ReLU", SAME),
        Published("learning_rate", 0.002),
        Published("epochs", 10),
        Published("warmup_epochs", 1),
        Published("batch_size", 1),
        _NO_CLIPPING,
        *_SGD,
        *_CROPS,
        _FP16,
    ),
    PROGRAD: (
        Published(
            "context",
            "16 tokens: zeros, then the words of the data set's template",
            "the 4 tokens of “a photo of a”",
        ),
        Published("name_position", "end"),
        Published("align_gradient", True),
        Published("align_weight", 1.0, except_on="0.8 on three sets with 8 and 16 shots"),
        Published("align_temperature", 1.0),
        Published(
            "gradient that opposes by rounding only", "projected", "kept (before the first change)"
        ),
        Published(
            "template of the zero-shot prediction",
            "its own, as “a type of pet, a photo of a {}.”",
            _PLAIN,
        ),
        Published("learning_rate", 0.002),
        Published("epochs", 100),
        Published("warmup_epochs", 1),
        Published("batch_size", 32),
        _NO_CLIPPING,
        *_SGD,
        *_CROPS,
        _FP16,
    ),
    KGCOOP: (
        Published("context_init", "words"),
        *_WORDS,
        Published("anchor_weight", 8.0),
        Published("anchor", "1 − cos; the paper writes the squared distance", "1 − cos"),
        Published(
            "template of the anchor",
            f"{_PLAIN}; on DTD “a photo of a {{}}, a type of texture.”",
            _PLAIN,
        ),
        Published("learning_rate", 0.002),
        Published("epochs", 100),
        Published("warmup_epochs", 1),
        Published("batch_size", 128),
        _NO_CLIPPING,
        *_SGD,
        *_CROPS,
        _FP16,
    ),
    LASP: (
        Published("context_init", "words"),
        *_WORDS,
        Published("correction", True),
        Published("text_weight", 5.0, except_on="10 on three sets"),
        Published("text_target", "templates"),
        Published("text_templates", "fixed"),
        Published("text_softmax", "soft"),
        Published("text_scale", "logit"),
        Published("text_noise", 0.05),
        Published("text_classes", "all"),
        Published(
            "all names: the other classes",
            "wrong answers in the classification loss too",
            "in the text loss alone",
        ),
        Published("tune_layer_norms", True),
        Published("layer_norm_rate", 0.1),
        Published("learning_rate", 0.032, except_on="0.002 on Food101"),
        Published("epochs", 25, except_on="10, 50 or 300 on five sets"),
        Published("batch_size", 32, except_on="1 on Food101"),
        Published("warmup_epochs", 3, except_on="1, 5 or 7 on five sets"),
        Published("clip_norm", 1.0),
        *_SGD,
        *_CROPS,
        _AMP,
    ),
    PROMPTSRC: (
        Published("context_init", "words"),
        *_WORDS,
        Published("vision_prompts", 4),
        Published("vision_depth", 9, except_on="3 in runs from ImageNet to other sets"),
        Published("text_depth", 9, except_on="3 in runs from ImageNet to other sets"),
        Published("vision_insertion", "replace"),
        Published("text_consistency", 25.0),
        Published("image_consistency", 10.0),
        Published("logit_consistency", 1.0),
        Published(
            "weights of texts and images",
            "of a mean over 512 dimensions",
            "the same there; weight / dimensions is kept for other CLIPs",
        ),
        Published("divergence of the logits", "divided by images and by classes", SAME),
        Published("consistency_templates", "imagenet"),
        Published("consistency_mean", "raw"),
        Published("frozen image feature", "of the same random crop", SAME),
        Published("aggregation", "gaussian"),
        Published(
            "what is aggregated",
            "the whole model, frozen weights too, in fp16",
            "the learned tokens, in fp32",
        ),
        Published("aggregation_mean", 15.0, except_on="6 in runs from ImageNet to other sets"),
        Published("aggregation_std", 1.0, except_on="10 in runs from ImageNet to other sets"),
        Published(
            "few-shot: epochs, aggregation",
            "50; mean 30 and deviation 30 on ImageNet, Caltech101, Pets, Food101, UCF101 and "
            "SUN397, 45 and 5 on the others",
            SAME,
        ),
        Published("learning_rate", 0.0025),
        Published("epochs", 20),
        Published("warmup_epochs", 1),
        Published("batch_size", 4),
        _TOKENS,
        _NO_CLIPPING,
        *_SGD,
        *_CROPS,
        Published(
            "precision",
            "fp16 in the towers, and for the context itself",
            "learned tokens fp32; auto: bf16 where it is fast, fp16 on other GPUs, else fp32",
        ),
    ),
    MOCOOP: (
        Published("groups of templates", "of each data set", SAME),
        Published(
            "full stop after the prompt",
            "in the hard prompts, not in the trained ones",
            "in both, and learned",
        ),
        Published("tokens of a template", "counted as words", "counted by the tokenizer"),
        Published("order of the classes", "that of a Python set", "by label"),
        Published("num_chosen", 2),
        Published("num_experts", "groups", source="none; choosing experts is ours"),
        Published("correction", True),
        Published("text_weight", 5.0),
        Published("text_target", "prototype"),
        Published("text_scale", "one"),
        Published("text_classes", "all", source="its base-to-new runs"),
        Published("gate_weight", 1.0),
        Published("gate_target", "hard"),
        Published("gate_rate", 1.0),
        Published("tune_layer_norms", True),
        Published("layer_norm_rate", 0.1),
        Published("vision_depth", 0, source="none; the paper names vision prompts as future work"),
        Published("expert_vision_depth", 0, source="none; tokens of each expert are ours"),
        Published("router_input", "tuned", source="its code: the feature that is classified"),
        Published("conditional", False, source="none; prompts that see the image are ours"),
        Published("image_consistency", 0.0, source="none of PromptSRC's losses"),
        Published("logit_consistency", 0.0, source="none of PromptSRC's losses"),
        Published("learning_rate", 0.032),
        Published("epochs", 50, except_on="10, 25 or 300 in other configurations"),
        Published("batch_size", 32),
        Published("warmup_epochs", 5),
        Published("clip_norm", 1.0),
        *_SGD,
        *_CROPS,
        _AMP,
    ),
    VPT: (
        Published("vision_prompts", 8, source=_MAPLE),
        Published("vision_depth", 12, source=_MAPLE),
        Published("vision_insertion", "replace", source=_MAPLE),
        Published("learning_rate", 0.0025, source=_MAPLE),
        *_TOWERS,
    ),
    MAPLE: (
        Published("learned_tokens", 2),
        Published("vision_prompts", 2),
        Published("vision_insertion", "replace"),
        Published("text_depth", "9 (IVLP 12)", SAME),
        Published("vision_depth", "9 (IVLP 12)", SAME),
        Published("layers from text to image tokens (MaPLe)", "the deep ones start alike", SAME),
        Published("learning_rate", 0.0035, except_on="0.0026 for runs on other data sets"),
        *_TOWERS,
    ),
    DPL: (
        Published("context_init", "words"),
        *_WORDS,
        Published("vision_insertion", "keys"),
        Published("text_insertion", "keys"),
        Published("vision_depth", 12),
        Published("text_depth", 12),
        Published("vision_prompts", 6, except_on="4 as its program's default"),
        Published("text_prompts", 6, except_on="4 as its program's default"),
        Published("length_epochs", 80),
        Published("length_rate", 0.0035),
        Published("Adam of the weights", "betas 0.5 and 0.999, no decay", SAME),
        Published("first weights", "normal, standard deviation 0.001", "the same, from the seed"),
        Published("length_images", "validation"),
        Published("length_batch", 16),
        Published(
            "which validation images",
            "the same first 16 in every step",
            "a new random batch in every step",
        ),
        Published(
            "first value of the search's tokens",
            "normal in the image tower, uniform from 0 to 1 in the text tower",
            "normal, standard deviation 0.02, as in the training",
        ),
        Published(
            "chosen numbers of tokens",
            "saved under the names of the other tower",
            "each tower has its own",
        ),
        Published("distillation from the frozen CLIP", "multiplied by 0", "none"),
        Published("epochs", 40),
        Published("warmup_epochs", 1),
        Published("learning_rate", 0.0035),
        Published("batch_size", 4),
        _TOKENS,
        _NO_CLIPPING,
        *_SGD,
        *_CROPS,
        Published(
            "precision", "fp32", "auto: bf16 where it is fast, fp16 on other GPUs, else fp32"
        ),
    ),
    CLIP_LORA: (
        Published("template", "the data set's own", SAME),
        Published("lora_rank", 2),
        Published("lora_alpha", 1.0),
        Published("scale of the updates", "alpha / √rank", SAME),
        Published("lora_dropout", 0.25),
        Published("updated weights", "queries, keys and values, all blocks, both towers", SAME),
        Published("first values", "A as a linear layer's weights, B zero", SAME),
        Published("optimizer", "adamw"),
        Published("learning_rate", 2e-4),
        Published("schedule", "cosine"),
        Published("schedule_by", "step"),
        Published("final_rate", 1e-6),
        Published("weight_decay", 1e-2),
        Published("warmup_epochs", 0),
        Published("batch_size", 32),
        Published("steps_per_shot", 500),
        Published("epochs", "none: one row of passes over the images", "20 equal parts"),
        Published("drop_last", False),
        _NO_CLIPPING,
        *_CROPS,
        Published("tested epoch", "the last", SAME),
        _AMP,
    ),
    TIP_ADAPTER: (
        Published("search", "published"),
        Published("values of α and β tried", "20 × 200, up to the data set's largest", SAME),
        Published("first α and β", "of each data set", SAME),
        Published(
            "images on which they are chosen",
            "all validation images",
            "at most four of each class (`validation all` takes all)",
        ),
        Published("key_views", 10),
        Published("crops", "50 to 100 % of the picture, bicubic, flip", SAME),
        Published("mean over crops", "of the features", "of the normalised features"),
        Published("factor of the zero-shot logits", "100", "CLIP's own, 100 for OpenAI's"),
        Published("text on ImageNet", "mean over 7 templates", _PLAIN),
        Published("epochs", "20 (EuroSAT 100)", SAME, in_epochs=True),
        Published("learning_rate", 0.001, in_epochs=True),
        Published("batch_size", 256, in_epochs=True),
        Published("optimiser", "AdamW, eps 1e-4, cosine over all steps", SAME, in_epochs=True),
        Published("crops in training", "a new one in every epoch", SAME, in_epochs=True),
        Published("tested epoch", "the best one on the test images", "the last", in_epochs=True),
    ),
    TASKRES: (
        Published("residual_ratio", 0.5, SAME, except_on="1 on Flowers"),
        Published("text feature", "mean over templates before normalising", SAME),
        Published("text on ImageNet", "mean over 7 + 1 templates", _PLAIN),
        Published(
            "enhanced base",
            "a second variant first tunes the text projection",
            "not there: the regular base",
        ),
        Published("optimiser", "Adam", SAME),
        Published("learning_rate", 0.002, SAME, except_on="0.0002 on ImageNet"),
        Published("epochs", 200, except_on="100 with 1, 2 and 4 shots"),
        Published("batch_size", 256),
        Published("warmup_epochs", 1),
        _NO_CLIPPING,
        *(row for row in _SGD if row.setting != "momentum"),
        *_CROPS,
        _FP16,
    ),
    CLIP_ADAPTER: (
        Published("residual_ratio", 0.2, source="its code; the paper tunes it for each data set"),
        Published("network", "dim, dim / 4, dim; a ReLU after both layers, no bias", SAME),
        Published("image features", "as the tower gives them", "L2-normalised: the same result"),
        Published("optimiser", "SGD", SAME, _COOP_COMMAND),
        Published("learning_rate", 0.002, source=_COOP_COMMAND),
        Published("epochs", "50 on ImageNet", "the same; 200 elsewhere", _COOP_COMMAND),
        Published("batch_size", 32, source=_COOP_COMMAND),
        Published("warmup_epochs", 1, source=_COOP_COMMAND),
        _NO_CLIPPING,
        *_SGD,
        *_CROPS,
        Published("precision", "fp32", "auto in the image tower; fp32 in the network"),
    ),
    LP: (
        Published("search", "published"),
        Published("first weight of the text", "250 × the mean cosine of the classes", SAME),
        Published("first weights of the layer", "each class's sum of image features", SAME),
        Published("first biases of the layer", "small random numbers", "0"),
        Published("step of the layer", "4 N / λ, momentum 0.9, on all images", SAME),
        Published("step of the text's weights", "N / (4 max Σ cos²), every tenth step", SAME),
        Published(
            "gradient of the text's weights",
            "summed over all steps so far, because it is never set to zero",
            "that of the step",
        ),
        Published("steps", "300; the best on validation images, the last of equal ones", SAME),
        Published("validation images", "as many as shots", "at most four of each class"),
        Published("key_views", 1),
        Published("crops", "50 to 100 % of the picture, bicubic, flip", SAME),
        Published("text on ImageNet", "mean over 7 templates", _PLAIN),
    ),
    CLIP: (
        Published("search", "published", source="CoOp's code"),
        Published("first C", "10⁶, 10⁴, …, 10⁻⁶; the largest of the best", SAME, "CoOp's code"),
        Published("steps", "8 halvings of two decades; the last end", SAME, "CoOp's code"),
        Published("validation images", "as many as shots, at most 4", SAME, "CoOp's code"),
        Published("drawn images", "by numpy", "the few-shot images of all methods", "CoOp's code"),
        Published("features", "as the tower gives them", "L2-normalised", "CoOp's code"),
        Published(
            "solver",
            "lbfgs, at most 1,000 steps, tolerance 1e-4",
            "lbfgs, at most 1,000 steps, tolerance relative to the first gradient",
            "CoOp's code",
        ),
    ),
}
"""Paper → its recipe, in the order of the tables."""

"""All methods, one record each, for protocols, pages, presets, tables and documents.

A new method that is a preset of the prompt model only needs a new record here.
"""

from __future__ import annotations

from mocoop import recipes
from mocoop.errors import choose_from
from mocoop.method_record import (
    BOTH_TOWERS,
    FAMILIES,
    NO_PROMPT,
    ONE_PROMPT,
    TEMPLATES,
    Method,
    Paper,
    Recipe,
)
from mocoop.methods_of_mixtures import MIXTURES
from mocoop.methods_on_features import CLIP, ON_FEATURES

COOP = Paper("Learning to Prompt for Vision-Language Models", "2109.01134")
COCOOP = Paper("Conditional Prompt Learning for Vision-Language Models", "2203.05557")
PROGRAD = Paper("Prompt-aligned Gradient for Prompt Tuning", "2205.14865")
KGCOOP = Paper(
    "Visual-Language Prompt Tuning with Knowledge-guided Context Optimization", "2303.13283"
)
LASP = Paper(
    "LASP: Text-to-Text Optimization for Language-Aware Soft Prompting of Vision & Language "
    "Models",
    "2210.01115",
)
VPT = Paper("Visual Prompt Tuning", "2203.12119")
MAPLE = Paper("MaPLe: Multi-modal Prompt Learning", "2210.03117")
PROMPTSRC = Paper(
    "Self-regulating Prompts: Foundational Model Adaptation without Forgetting", "2307.06948"
)
DPL = Paper("Differentiable Prompt Learning for Vision Language Models", "2501.00457")
CLIP_LORA = Paper("Low-Rank Few-Shot Adaptation of Vision-Language Models", "2405.18541")

_RECORDS = (
    Method(
        "zero-shot",
        "Zero-shot",
        NO_PROMPT,
        "No training: the plain prompt and the frozen CLIP.",
        "The baseline that every training should beat.",
        CLIP,
        "#8b94a3",
        recipes.UNTRAINED,
        learns="nothing",
        needs_images=False,
    ),
    Method(
        "ensemble",
        "Ensemble",
        NO_PROMPT,
        "No training: the mean of all hard templates' features, instead of one prompt.",
        "Shows what good templates achieve without training.",
        CLIP,
        "#5c6470",
        recipes.UNTRAINED,
        classifier=TEMPLATES,
        learns="nothing",
        needs_images=False,
        starts_from="the mean of all templates",
    ),
    *ON_FEATURES,
    Method(
        "coop",
        "CoOp",
        ONE_PROMPT,
        "One learned prompt for all images, without regularisation.",
        "The classic baseline; shows how prompts overfit.",
        COOP,
        "#c74f6b",
        recipes.COOP,
        recipes.DEMO | {"learning_rate": 0.2},
        Recipe(recipes.WORDS | recipes.SGD, "CoOp, arXiv 2109.01134"),
        few_shot=recipes.COOP_FEW_SHOT,
    ),
    Method(
        "cocoop",
        "CoCoOp",
        ONE_PROMPT,
        "One learned prompt, to which every image adds a small vector.",
        "Made for classes not seen in training; slow, because each image has its own texts.",
        COCOOP,
        "#d06bb0",
        recipes.COOP | {"conditional": True},
        {"learning_rate": 0.05, "batch_size": 8, "epochs": 10},
        Recipe(
            recipes.WORDS | recipes.SGD | {"batch_size": 1, "epochs": 10},
            "CoCoOp, arXiv 2203.05557",
        ),
        answers="Its prompt changes a little with every image.",
    ),
    Method(
        "prograd",
        "ProGrad",
        ONE_PROMPT,
        "One learned prompt; steps leave out gradients that contradict the plain prompt.",
        "Shows that forgetting can be reduced without another loss.",
        PROGRAD,
        "#b58a2b",
        recipes.COOP | {"align_gradient": True},
        recipes.DEMO | {"learning_rate": 0.5},
        Recipe(recipes.WORDS | recipes.SGD | {"epochs": 100}, "ProGrad, arXiv 2205.14865"),
    ),
    Method(
        "kgcoop",
        "KgCoOp",
        ONE_PROMPT,
        "One learned prompt that a loss keeps close to the plain prompt.",
        "The simplest remedy for overfitting: one weight to tune.",
        KGCOOP,
        "#7d8f35",
        recipes.COOP | {"anchor_weight": 8.0},
        recipes.DEMO | {"learning_rate": 0.2, "anchor_weight": 1.0},
        Recipe(
            recipes.WORDS | recipes.SGD | {"batch_size": 128, "epochs": 100},
            "KgCoOp, arXiv 2303.13283",
        ),
    ),
    Method(
        "lasp",
        "LASP",
        ONE_PROMPT,
        "One learned prompt with a text loss: it must also classify all hard templates.",
        "The method most similar to the mixture: shows what several experts add.",
        LASP,
        "#e07b39",
        recipes.LASP,
        recipes.DEMO | {"learning_rate": 0.2, "text_weight": 0.2},
        Recipe(recipes.LASP_CODE, recipes.OF_LASP),
    ),
    Method(
        "lasp-v",
        "LASP-V",
        ONE_PROMPT,
        "LASP, whose text loss also uses the names of classes without training images.",
        "For training on half of the classes if the names of the others are known.",
        LASP,
        "#a3624a",
        recipes.LASP | recipes.ALL_NAMES,
        recipes.DEMO | {"learning_rate": 0.2, "text_weight": 0.2},
        Recipe(recipes.LASP_CODE, recipes.OF_LASP),
    ),
    Method(
        "lasp-ln",
        "LASP + LayerNorms",
        ONE_PROMPT,
        "LASP, which also trains the LayerNorms of CLIP's image tower.",
        "The published recipe of LASP; much slower than LASP.",
        LASP,
        "#e07b39",
        recipes.LASP | recipes.TUNED,
        {"learning_rate": 0.2, "text_weight": 0.2, "layer_norm_rate": 0.03},
        Recipe(recipes.LASP_CODE | recipes.LIVE, recipes.OF_LASP),
    ),
    Method(
        "lasp-v-ln",
        "LASP-V + LayerNorms",
        ONE_PROMPT,
        "LASP-V, which also trains the LayerNorms of CLIP's image tower.",
        "The published recipe of LASP-V; much slower than LASP-V.",
        LASP,
        "#a3624a",
        recipes.LASP | recipes.ALL_NAMES | recipes.TUNED,
        {"learning_rate": 0.2, "text_weight": 0.2, "layer_norm_rate": 0.03},
        Recipe(recipes.LASP_CODE | recipes.LIVE, recipes.OF_LASP),
    ),
    Method(
        "vpt",
        "VPT",
        BOTH_TOWERS,
        "Learned tokens in the blocks of the image tower; the text stays the plain prompt.",
        "Shows what learned tokens in the image tower do alone.",
        VPT,
        "#7a8f9e",
        recipes.COOP | recipes.SEES | {"learn_context": False},
        {"learning_rate": 0.2} | recipes.TOWERS_DEMO,
        Recipe(
            recipes.WORDS
            | recipes.TOWERS
            | {"vision_prompts": 8, "vision_depth": 12, "learning_rate": 0.0025},
            recipes.OF_VPT,
        ),
    ),
    Method(
        "ivlp",
        "IVLP",
        BOTH_TOWERS,
        "Learned tokens in the blocks of both towers, which know nothing of each other.",
        "The plain form of prompts in both towers: compare MaPLe and PromptSRC with it.",
        MAPLE,
        "#5f7f6b",
        recipes.COOP | recipes.SEES,
        {"learning_rate": 0.2, "text_depth": 3} | recipes.TOWERS_DEMO,
        Recipe(
            recipes.WORDS
            | recipes.TOWERS
            | {"learned_tokens": 2, "vision_prompts": 2, "learning_rate": 0.0035}
            | {"vision_depth": 12, "text_depth": 12},
            recipes.OF_MAPLE,
        ),
    ),
    Method(
        "maple",
        "MaPLe",
        BOTH_TOWERS,
        "Learned tokens in the blocks of both towers; those of the image tower are computed from "
        "those of the text tower.",
        "Shows what it means that both towers change together.",
        MAPLE,
        "#a06a8c",
        recipes.COOP | recipes.SEES | {"coupling": True, "learned_tokens": 2, "vision_prompts": 2},
        {"learning_rate": 0.2, "text_depth": 3} | recipes.TOWERS_DEMO,
        Recipe(
            recipes.WORDS
            | recipes.TOWERS
            | {"vision_depth": 9, "text_depth": 9, "learning_rate": 0.0035},
            recipes.OF_MAPLE,
        ),
    ),
    Method(
        "promptsrc",
        "PromptSRC",
        BOTH_TOWERS,
        "IVLP, whose features and predictions three losses keep close to the frozen CLIP's; the "
        "learned tokens are a weighted mean over the epochs.",
        "Shows how much of what prompts in both towers forget can be kept.",
        PROMPTSRC,
        "#b0623f",
        recipes.COOP | recipes.SEES | recipes.CONSISTENT | {"aggregation": "gaussian"},
        {"learning_rate": 0.2, "text_depth": 3, "aggregation_mean": 7.5} | recipes.TOWERS_DEMO,
        Recipe(
            recipes.WORDS
            | recipes.TOWERS
            | {"vision_depth": 9, "text_depth": 9, "learning_rate": 0.0025, "epochs": 20}
            | {"aggregation_mean": 15.0, "aggregation_std": 1.0}
            | {"consistency_templates": "imagenet"},
            recipes.OF_PROMPTSRC,
        ),
        few_shot=recipes.PROMPTSRC_FEW_SHOT,
    ),
    Method(
        "dpl",
        "DPL",
        BOTH_TOWERS,
        "Learned tokens in the blocks of both towers, to which all others attend; a search on "
        "validation images chooses their number in every block first.",
        "Shows which blocks of CLIP profit from learned tokens, and how many each needs.",
        DPL,
        "#4f8a5b",
        recipes.COOP | recipes.SEES | recipes.KEYS,
        recipes.KEYS_DEMO,
        Recipe(recipes.WORDS | recipes.TOWERS | recipes.DPL, recipes.OF_DPL),
        needs_validation=True,
        chooses="the number of learned tokens in each block of both towers",
    ),
    Method(
        "clip-lora",
        "CLIP-LoRA",
        BOTH_TOWERS,
        "The plain prompt; the attention of both towers learns small (low-rank) changes of its "
        "weights.",
        "Shows what changing CLIP itself does: strong on trained classes, weaker on new ones.",
        CLIP_LORA,
        "#6d7b3a",
        recipes.COOP | recipes.SEES | recipes.LORA,
        recipes.LORA_DEMO,
        Recipe(recipes.LIVE | recipes.LORA_CODE, recipes.OF_LORA),
        starts_from="“{template}”",
    ),
    *MIXTURES,
)
METHODS = {record.key: record for record in _RECORDS}
"""Key → method, in the order of result tables."""
MENU = {
    record.key: record
    for record in sorted(_RECORDS, key=lambda record: FAMILIES.index(record.family))
}
"""The same methods in the order of menus, by family."""


def find_method(key: str) -> Method:
    """Returns the method with a key.

    Raises:
        UserError: for an unknown key.
    """
    if key not in METHODS:
        raise choose_from("method", key, tuple(METHODS))
    return METHODS[key]

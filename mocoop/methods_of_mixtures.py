"""MoCoOp and the mixtures that go beyond it, one record each."""

from __future__ import annotations

from mocoop import recipes
from mocoop.method_record import MIXTURE, Method, Paper, Recipe

MOCOOP = Paper("Mixture of Prompt Learning for Vision Language Models", "2409.12011")

MIXTURES = (
    Method(
        "mocoop",
        "MoCoOp",
        MIXTURE,
        "Several learned prompts, one per group of templates; a router picks some for each image.",
        "For data in which no single prompt suits all images; shows what a router does.",
        MOCOOP,
        "#3b82c4",
        {},
        recipes.DEMO | {"learning_rate": 0.2},
        published=Recipe(recipes.MIXTURE, recipes.OF_MOCOOP),
    ),
    Method(
        "mocoop-all",
        "MoCoOp, all names",
        MIXTURE,
        "MoCoOp, whose text loss also uses the names of classes without training images.",
        "For training on half of the classes if the names of the others are known; compare it "
        "with LASP-V.",
        MOCOOP,
        "#5b62c9",
        recipes.ALL_NAMES,
        recipes.DEMO | {"learning_rate": 0.2},
        published=Recipe(recipes.MIXTURE, recipes.OF_MOCOOP),
    ),
    Method(
        "mocoop-ln",
        "MoCoOp + LayerNorms",
        MIXTURE,
        "MoCoOp, which also trains the LayerNorms of CLIP's image tower.",
        "The paper's full recipe without names of other classes; much slower, because every step "
        "encodes the images again.",
        MOCOOP,
        "#3b82c4",
        recipes.TUNED,
        {"learning_rate": 0.2, "layer_norm_rate": 0.01},
        Recipe(recipes.MIXTURE | recipes.LIVE, recipes.OF_MOCOOP),
    ),
    Method(
        "mocoop-all-ln",
        "MoCoOp + LayerNorms, all names",
        MIXTURE,
        "MoCoOp, all names, which also trains the LayerNorms of CLIP's image tower.",
        "The recipe of the authors' base-to-new runs; compare it with LASP-V + LayerNorms.",
        MOCOOP,
        "#5b62c9",
        recipes.ALL_NAMES | recipes.TUNED,
        {"learning_rate": 0.2, "layer_norm_rate": 0.01},
        Recipe(recipes.MIXTURE | recipes.LIVE, recipes.OF_MOCOOP),
    ),
    Method(
        "mocoop-v",
        "MoCoOp + vision prompts",
        MIXTURE,
        "MoCoOp, which also learns tokens in the blocks of the image tower, the same for all "
        "experts; the router sees the frozen image tower.",
        "Shows whether several text prompts still help once the image tower has prompts too.",
        MOCOOP,
        "#2f8fb5",
        recipes.MIXTURE_SEES,
        {"learning_rate": 0.2, "vision_rate": 0.25} | recipes.TOWERS_DEMO,
        published=Recipe(
            recipes.MIXTURE | recipes.LIVE | {"vision_depth": 9}, recipes.OF_MOCOOP_V
        ),
    ),
    Method(
        "mocoop-src",
        "MoCoOp + vision prompts, consistent",
        MIXTURE,
        "MoCoOp + vision prompts, whose image features and predictions two losses of PromptSRC "
        "keep close to the frozen CLIP's.",
        "For new classes: compare it with PromptSRC, and with MoCoOp + vision prompts.",
        MOCOOP,
        "#24708f",
        recipes.MIXTURE_SEES | {"image_consistency": 10.0, "logit_consistency": 1.0},
        {"learning_rate": 0.2, "vision_rate": 0.25} | recipes.TOWERS_DEMO,
        published=Recipe(
            recipes.MIXTURE | recipes.LIVE | {"vision_depth": 9}, recipes.OF_MOCOOP_V
        ),
    ),
    Method(
        "mocoop-cond",
        "MoCoOp, conditional",
        MIXTURE,
        "MoCoOp, in which every image adds a small vector to the prompts of its experts.",
        "Shows what prompts that see the image add to several prompts; slow, because each image "
        "has its own texts.",
        MOCOOP,
        "#7a4fc0",
        recipes.SHIFTED,
        {"learning_rate": 0.05, "batch_size": 32, "epochs": 10},
        published=Recipe(recipes.MIXTURE, recipes.OF_MOCOOP_COND),
    ),
)
"""In the order of result tables."""

"""The records of methods without learned prompts that are fitted on cached image features."""

from __future__ import annotations

from mocoop import recipes
from mocoop.method_record import (
    BLENDED_PROBE,
    FEATURE_ADAPTER,
    IMAGE_CACHE,
    LINEAR_PROBE,
    NO_PROMPT,
    TASK_RESIDUAL,
    Method,
    Paper,
    Recipe,
)

CLIP = Paper("Learning Transferable Visual Models From Natural Language Supervision", "2103.00020")
TIP_ADAPTER = Paper(
    "Tip-Adapter: Training-free Adaption of CLIP for Few-shot Classification", "2207.09519"
)
TASKRES = Paper("Task Residual for Tuning Vision-Language Models", "2211.10277")
CLIP_ADAPTER = Paper(
    "CLIP-Adapter: Better Vision-Language Models with Feature Adapters", "2110.04544"
)
LP = Paper("LP++: A Surprisingly Strong Linear Probe for Few-Shot CLIP", "2404.02285")
_PLAIN_AND_IMAGES = "“{template}” and training images"

ON_FEATURES = (
    Method(
        "linear-probe",
        "Linear probe",
        NO_PROMPT,
        "Logistic regression on image features; the class names are not used.",
        "Shows what images alone achieve; it cannot predict a class without training images.",
        CLIP,
        "#4aa564",
        recipes.UNTRAINED,
        published=Recipe({"search": "published"}, recipes.OF_COOP),
        classifier=LINEAR_PROBE,
        learns="at once",
        needs_validation=True,
        chooses="C",
        knows="trained classes",
        answers="A linear probe classifies the image features directly, without any text.",
        starts_from="no words: weights on image features",
        fitted_with=("search",),
        seconds_per_image=7e-3,
    ),
    Method(
        "tip-adapter",
        "Tip-Adapter",
        NO_PROMPT,
        "The plain prompt; similar training images add votes for their classes.",
        "Takes no time: shows what the images add without any training.",
        TIP_ADAPTER,
        "#2fa5a0",
        recipes.UNTRAINED,
        published=Recipe(recipes.TIP, recipes.OF_TIP),
        classifier=IMAGE_CACHE,
        learns="nothing",
        chooses="α and β",
        knows="classes of its data set",
        answers="Every image is compared with the plain prompt and the training images.",
        starts_from=_PLAIN_AND_IMAGES,
        fitted_with=("search", "key_views"),
        seconds_per_image=3e-4,
    ),
    Method(
        "tip-adapter-f",
        "Tip-Adapter-F",
        NO_PROMPT,
        "Tip-Adapter, whose stored image features are then trained.",
        "A fast alternative to prompt learning if there are many images per class.",
        TIP_ADAPTER,
        "#8a6fc9",
        recipes.COOP,
        recipes.ADAMW,
        Recipe(recipes.TIP | recipes.ADAMW, recipes.OF_TIP, {"eurosat": {"epochs": 100}}),
        classifier=IMAGE_CACHE,
        chooses="α and β",
        knows="classes of its data set",
        answers="Every image is compared with the plain prompt and a trained cache.",
        starts_from=_PLAIN_AND_IMAGES,
        fitted_with=("search", "key_views"),
        seconds_per_image=5e-4,
    ),
    Method(
        "taskres",
        "TaskRes",
        NO_PROMPT,
        "One learned vector per class, added to the text features of the plain prompt.",
        "The smallest change of the text side; it cannot predict a class without training images.",
        TASKRES,
        "#6b8e9f",
        recipes.COOP,
        recipes.DEMO | {"learning_rate": 0.2},
        Recipe(
            recipes.TASKRES,
            recipes.OF_TASKRES,
            {"imagenet": {"learning_rate": 2e-4}, "oxford_flowers": {"residual_ratio": 1.0}},
        ),
        few_shot=recipes.TASKRES_FEW_SHOT,
        classifier=TASK_RESIDUAL,
        knows="trained classes",
        answers="Every image is compared with the plain prompt's features and what was added.",
        starts_from="“{template}” and a zero vector per class",
        fitted_with=("residual_ratio", "views"),
        seconds_per_image=1e-3,
    ),
    Method(
        "clip-adapter",
        "CLIP-Adapter",
        NO_PROMPT,
        "A small network learns a change of the image features; the plain prompt stays.",
        "The smallest change of the image side; it also works for classes without training "
        "images.",
        CLIP_ADAPTER,
        "#9a7bb0",
        recipes.COOP | {"residual_ratio": 0.2},
        recipes.DEMO | {"learning_rate": 0.2, "residual_ratio": 0.35},
        Recipe(
            recipes.SGD | {"epochs": 200},
            recipes.OF_CLIP_ADAPTER,
            {"imagenet": {"epochs": 50}},
        ),
        classifier=FEATURE_ADAPTER,
        answers="Every image's feature is adapted and compared with the plain prompt.",
        starts_from="“{template}” and a network with random weights",
        fitted_with=("residual_ratio", "views"),
        seconds_per_image=1e-3,
    ),
    Method(
        "lp++",
        "LP++",
        NO_PROMPT,
        "A linear probe to which the plain prompt is added, with a learned weight per class.",
        "A linear probe that starts from what CLIP knows; it cannot predict a class without "
        "training images.",
        LP,
        "#2e8b57",
        recipes.UNTRAINED,
        published=Recipe(recipes.LP, recipes.OF_LP),
        classifier=BLENDED_PROBE,
        learns="at once",
        chooses="step and first text weight",
        knows="trained classes",
        answers="A linear probe and the plain prompt score every image together.",
        starts_from="“{template}” and the sums of each class's image features",
        fitted_with=("search", "key_views"),
        seconds_per_image=3e-3,
    ),
)
"""In the order of result tables."""

"""Published recipes of the methods that work on image features, setting by setting."""

from __future__ import annotations

from mocoop.method_record import Paper
from mocoop.methods_on_features import (
    CLIP,
    CLIP_ADAPTER,
    LP,
    TASKRES,
    TIP_ADAPTER,
)
from mocoop.published_record import (
    COOP_COMMAND,
    CROPS,
    FP16,
    NO_CLIPPING,
    PLAIN,
    SAME,
    SGD,
    Published,
)

ON_FEATURES: dict[Paper, tuple[Published, ...]] = {
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
        Published("text on ImageNet", "mean over 7 templates", PLAIN),
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
        Published("text on ImageNet", "mean over 7 + 1 templates", PLAIN),
        Published(
            "enhanced base",
            "a second variant first tunes the text projection",
            "not there: the regular base",
        ),
        Published("optimiser", "Adam", SAME),
        Published("learning_rate", 0.002, SAME, except_on="0.0002 on ImageNet"),
        Published("epochs", 200),
        Published("few-shot: epochs", "100 with 1, 2 and 4 shots, 200 with 8 and 16", SAME),
        Published("batch_size", 256),
        Published("warmup_epochs", 1),
        NO_CLIPPING,
        *(row for row in SGD if row.setting != "momentum"),
        *CROPS,
        FP16,
    ),
    CLIP_ADAPTER: (
        Published("residual_ratio", 0.2, source="its code; the paper tunes it for each data set"),
        Published("network", "dim, dim / 4, dim; a ReLU after both layers, no bias", SAME),
        Published("image features", "as the tower gives them", "L2-normalised: the same result"),
        Published("optimiser", "SGD", SAME, COOP_COMMAND),
        Published("learning_rate", 0.002, source=COOP_COMMAND),
        Published("epochs", "50 on ImageNet", "the same; 200 elsewhere", COOP_COMMAND),
        Published("batch_size", 32, source=COOP_COMMAND),
        Published("warmup_epochs", 1, source=COOP_COMMAND),
        NO_CLIPPING,
        *SGD,
        *CROPS,
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
        Published("text on ImageNet", "mean over 7 templates", PLAIN),
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

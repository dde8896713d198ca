"""Settings that methods share, and the published recipes; `mocoop.methods` puts them together."""

from __future__ import annotations

from typing import Any

from mocoop.method_record import FewShotRecipe

# CoOp: one context "a photo of a", the name at the end, no text loss.
COOP: dict[str, Any] = {
    "learn_after": False,
    "correction": False,
    "num_chosen": 1,
    "text_weight": 0.0,
    "gate_weight": 0.0,
    "gate_rate": 1.0,
}
# LASP: one prompt with a text loss on every hard template.
LASP = COOP | {"correction": True, "text_weight": 5.0, "text_target": "templates"}
ALL_NAMES = {"text_classes": "all"}
TUNED = {"image_cache": False, "tune_layer_norms": True}
SEES = {"image_cache": False}  # the image tower learns, so that its features change
UNTRAINED = COOP | {"epochs": 0}
# The demo CLIP's recipes were chosen on validation images (docs/results.md). Methods that tune the
# image tower have fewer epochs, because each one encodes the images again.
DEMO = {"epochs": 30}

# Published recipes. All come from programs built on Dassl: every parameter has the same rate in
# the warm-up, and a last batch that is not full is left out. The mixture's rates do not work for
# the small CLIP: with 0.032 for prompts and router, the router sends all images to one expert.
DASSL = {"drop_last": True, "warmup_groups": "same"}
SGD = {"batch_size": 32, "learning_rate": 0.002, "clip_norm": 0.0, "epochs": 50} | DASSL
MIXTURE = {
    "text_scale": "one",
    "epochs": 50,
    "batch_size": 32,
    "learning_rate": 0.032,
    "gate_rate": 1.0,
    "warmup_epochs": 5,
} | DASSL
# The published single prompts start from "a photo of a", whatever the set's own template is.
WORDS = {"context_init": "words"}
LIVE = {"augment": "crops"}
OF_COOP = "CoOp, arXiv 2109.01134"
OF_MOCOOP = "MoCoOp, arXiv 2409.12011"
# The recipe of LASP's code for five of ten data sets; docs/methods.md has those of the others.
LASP_CODE = (
    WORDS
    | {
        "text_templates": "fixed",
        "text_softmax": "soft",
        "text_noise": 0.05,
        "epochs": 25,
        "batch_size": 32,
        "learning_rate": 0.032,
        "warmup_epochs": 3,
    }
    | DASSL
)
OF_LASP = "LASP's code, arXiv 2210.01115"
# CoOp's few-shot experiments have their own recipe (COOP.md in its code, and section 4.1).
COOP_FEW_SHOT = FewShotRecipe(
    {
        "context_init": "random",
        "context_tokens": 16,
        "name_position": "end",
        "image_cache": False,
        "augment": "crops",
    },
    epochs={1: 50, 2: 100, 4: 100, 8: 200, 16: 200},
    fixed={"imagenet": 50},
    source=OF_COOP,
)
# MaPLe's and PromptSRC's programs: batches of 4, random crops, tokens in both towers.
TOWERS = SGD | LIVE | {"batch_size": 4, "epochs": 5}
TOWERS_DEMO = {"vision_depth": 3, "epochs": 10, "batch_size": 32}
OF_VPT = "VPT in MaPLe's comparison, arXiv 2210.03117"
OF_MAPLE = "MaPLe, arXiv 2210.03117"
OF_PROMPTSRC = "PromptSRC, arXiv 2307.06948"
# PromptSRC's three losses; the weights of the first two hold for 512 dimensions.
CONSISTENT = {"text_consistency": 25.0, "image_consistency": 10.0, "logit_consistency": 1.0}
# PromptSRC's few-shot experiments: the epochs' weights are wide on six sets, narrow on five.
_WIDE = {"aggregation_mean": 30.0, "aggregation_std": 30.0}
PROMPTSRC_FEW_SHOT = FewShotRecipe(
    {"aggregation_mean": 45.0, "aggregation_std": 5.0},
    epochs={16: 50},
    fixed={},
    source=OF_PROMPTSRC,
    by_data=dict.fromkeys(
        ("imagenet", "caltech101", "oxford_pets", "food101", "ucf101", "sun397"), _WIDE
    ),
)
# DPL: tokens that are only keys and values, in all blocks; a search of their number comes first.
KEYS = {"learn_context": False, "vision_insertion": "keys", "text_insertion": "keys"}
DPL = {
    "vision_depth": 12,
    "text_depth": 12,
    "vision_prompts": 6,
    "text_prompts": 6,
    "length_epochs": 80,
    "learning_rate": 0.0035,
    "epochs": 40,
}
KEYS_DEMO = {
    "vision_depth": 6,
    "text_depth": 3,
    "length_epochs": 5,
    "length_rate": 0.05,
    "learning_rate": 0.05,
    "epochs": 10,
    "batch_size": 32,
}
OF_DPL = "DPL, arXiv 2501.00457"
# A mixture with learned tokens in the image tower is ours: MoCoOp's paper names it as a next step.
# The router sees the frozen tower, so that its targets, of frozen texts, fit what it sees.
MIXTURE_SEES = SEES | {"router_input": "frozen", "vision_rate": 0.1}
OF_MOCOOP_V = "ours: MoCoOp's recipe (arXiv 2409.12011) with tokens in the image tower"
# CLIP-LoRA: nothing but low-rank updates is learned; AdamW, whose rate falls with every step.
LORA = {
    "learn_context": False,
    "lora_rank": 2,
    "optimizer": "adamw",
    "schedule_by": "step",
    "final_rate": 1e-6,
    "warmup_epochs": 0,
    "weight_decay": 1e-2,
    "clip_norm": 0.0,
}
LORA_DEMO = {"learning_rate": 1e-2, "epochs": 10, "batch_size": 32}
LORA_CODE = {"learning_rate": 2e-4, "steps_per_shot": 500, "epochs": 20, "batch_size": 32}
OF_LORA = "CLIP-LoRA, arXiv 2405.18541"
# A mixture whose contexts the image changes is ours. The vector starts at zero, so that a training
# starts from the mixture without it.
SHIFTED = {"conditional": True, "zero_shift": True}
OF_MOCOOP_COND = "ours: MoCoOp's recipe (arXiv 2409.12011) with contexts that the image changes"
OF_TIP = "Tip-Adapter, arXiv 2207.09519"
TIP = {"search": "published", "key_views": 10}
OF_TASKRES = "TaskRes, arXiv 2211.10277"
TASKRES = {"batch_size": 256, "learning_rate": 2e-3, "epochs": 200, "clip_norm": 0.0} | DASSL
TASKRES_FEW_SHOT = FewShotRecipe(
    {}, epochs={4: 100, 16: 200}, fixed={}, source=f"{OF_TASKRES}, and its code"
)
OF_CLIP_ADAPTER = "CLIP-Adapter, arXiv 2110.04544"
OF_LP = "LP++, arXiv 2404.02285"
LP = {"search": "published", "key_views": 1}
ADAMW = {"epochs": 20, "learning_rate": 1e-3, "batch_size": 256}

"""The texts of the Train page's form: the settings, their values and what they mean."""

from __future__ import annotations

# The first settings.
TRAIN_ON = "Train on"
TRAIN_ON_CHOICES = {"all": "All classes", "base": "Base classes"}
TRAIN_ON_HELP = (
    "Base classes: the method trains only on the first half of the classes. It is then also "
    "tested on the new classes, the other half, which it has never seen."
)
SHOTS = "Images per class"
SEED = "Seed"
SEED_HELP = "Number that starts the random generator. Another seed draws other training images."
METHOD = "Method"
WHICH_METHOD = "What is each method for?"
METHOD_COLUMNS = ("Method", "What it does", "What it is for")

# Templates.
TEMPLATES_CAPTION = (
    "Each row becomes one expert. Its prompt starts from the first template. All templates of the "
    "row, separated by `|`, keep the prompt close to their meaning. `{}` stands for the class "
    "name, and `\\|` for a `|` inside a template."
)
RESET = "Reset the table"
START = "Start the prompt from a sentence"
START_HELP = "Any sentence, with {} where the class name goes. Empty: the usual start."

# The button.
TEST_IT, START_TRAINING, ADD_TO_QUEUE = "Test it", "Start training", "Add to the queue"

# The published recipe.
IS_PUBLISHED = "Is this the published recipe?"
DIFFERENT_COLUMNS = ("Setting", "Published", "Ours", "Source")
THE_SAME = "**The same in both**"
SAME_COLUMNS = ("Setting", "Value", "Source")

# The less common settings.
CLIP = "CLIP"
MORE = "More settings"
TRAINING, FITTING, PROMPT, ROUTER = "Training", "Fitting", "Prompt", "Router"
CLOSE_TO_PLAIN = "Staying close to the plain prompt"
CLOSE_TO_HARD = "Staying close to the hard prompts"
CLOSE_TO_FROZEN = "Staying close to the frozen CLIP"
AGGREGATION = "Weighted mean over the epochs"
STYLE, EVERY_STYLE = "Train on images of", "every style"
STYLE_HELP = (
    "Training images of one style only. The test then shows how well the method works on styles "
    "it has never seen (domain generalisation)."
)
LABELS = {
    "epochs": "Epochs",
    "learning_rate": "Learning rate",
    "batch_size": "Images per step",
    "views": "Views per image",
    "layer_norm_rate": "LayerNorm rate",
    "vision_depth": "Blocks of the image tower",
    "vision_prompts": "Image tokens per block",
    "vision_rate": "Image tokens' rate",
    "expert_vision_depth": "Last blocks, for each expert",
    "text_depth": "Blocks of the text tower",
    "text_prompts": "Text tokens per block",
    "length_epochs": "Epochs of the search",
    "length_rate": "Search's rate",
    "length_batch": "Search's images per step",
    "length_images": "The search learns from",
    "learned_tokens": "Learned words",
    "lora_rank": "Rank of the changes",
    "lora_alpha": "Strength of the changes",
    "lora_dropout": "Dropout of the changes",
    "steps_per_shot": "Steps per image of a class",
    "precision": "Precision",
    "augment": "Random crops",
    "search": "Values tried",
    "key_views": "Crops per stored image",
    "residual_ratio": "Share of what is learned",
    "context_init": "Starts from",
    "context_words": "Words",
    "context_tokens": "Tokens",
    "name_position": "Class name",
    "class_context": "A separate prompt for every class",
    "num_chosen": "Experts per image",
    "num_experts": "Number of experts",
    "gate_rate": "Router's rate",
    "gate_weight": "Gating loss weight",
    "gate_target": "Router learns from",
    "condition_from": "The image counts from block",
    "shift_per_expert": "A network for every expert",
    "align_weight": "λ",
    "align_temperature": "Temperature",
    "anchor_weight": "Anchor weight",
    "text_weight": "Text weight",
    "text_classes": "Names in text loss",
    "text_scale": "Text loss scale",
    "text_target": "Compared with",
    "text_templates": "Templates",
    "text_softmax": "Softmax over",
    "text_noise": "Noise",
    "text_consistency": "Closeness of texts",
    "image_consistency": "Closeness of images",
    "logit_consistency": "Closeness of predictions",
    "consistency_templates": "Frozen CLIP's templates",
    "consistency_mean": "Mean over templates",
    "aggregation_mean": "Epoch with most weight",
    "aggregation_std": "Spread in epochs",
}
"""Setting → its label."""
COUPLED_TOKENS = (
    "The first words of the prompt that are learned. The image tower has as many tokens in each "
    "of its blocks: they are computed from these."
)
HELP = {
    "views": "1 is the image itself. More views add random crops and mirrored images.",
    "layer_norm_rate": "Learning rate of the LayerNorms, as a multiple of the prompts' rate.",
    "vision_depth": "The first blocks of CLIP's image tower that get learned tokens.",
    "vision_prompts": "Learned tokens beside the image's patches in each of these blocks.",
    "vision_rate": "Learning rate of the image tokens, as a multiple of the prompts' rate.",
    "expert_vision_depth": "An experiment: the last blocks of CLIP's image tower in which each "
    "expert has learned tokens of its own. They run once for each expert that is chosen for the "
    "image. 0 leaves them as they are.",
    "text_depth": "The first blocks of CLIP's text tower that get learned tokens. 1 learns only "
    "the words of the prompt.",
    "text_prompts": "Learned tokens in each of these blocks, to which all other tokens attend. "
    "With a search, the most that it may choose.",
    "length_epochs": "Passes over the training images before the training, in which each block's "
    "number of learned tokens is chosen.",
    "length_rate": "Adam's learning rate of the weights of 0, 1, 2 … tokens in a block. The "
    "number with the largest weight is chosen.",
    "length_batch": "Images per step from which these weights learn, drawn at random.",
    "length_images": "These weights learn from images from which the tokens of the search do not "
    "learn: validation images, or half of the training images.",
    "lora_rank": "LoRA's r. With a higher rank each weight matrix can change in more ways, and "
    "overfits more easily.",
    "lora_alpha": "LoRA's α: the changes are multiplied by α / √r.",
    "lora_dropout": "Share of the changes' inputs that is set to zero in training.",
    "steps_per_shot": "All epochs together have this many steps for each training image of a "
    "class.",
    "learned_tokens": "The first words of the prompt that are learned. 0 learns all of them.",
    "precision": "Number format inside CLIP's encoders. fp16 is faster on a GPU; bf16 is faster "
    "on a GPU and on processors with AMX. `auto` uses bf16 there and fp32 elsewhere.",
    "augment": "Crops and mirrors every image at random, anew in every epoch.",
    "residual_ratio": "TaskRes: how strongly the learned vectors count beside the text features. "
    "CLIP-Adapter: the share of the adapted image feature, from 0 to 1.",
    "key_views": "An image is the mean of this number of random crops. 0 is the image itself.",
    "context_words": "The words before the class name.",
    "context_tokens": "CoOp's M: the number of learned tokens.",
    "class_context": "CoOp's CSC. It needs images of every class, so train on all classes.",
    "num_chosen": "K: how many experts the router picks for each image.",
    "num_experts": "Short trainings first merge, leave out and split experts, as long as this is "
    "good on the validation images. It takes up to five times as long.",
    "gate_rate": "Learning rate of the router, as a multiple of the prompts' rate.",
    "gate_weight": "Weight of the loss that teaches the router which templates suit an image.",
    "gate_target": "The scores that the router imitates: those of the hard prompts with 10 added "
    "to the K best (as in the paper), those of the hard prompts times CLIP's own scale, or those "
    "of the soft prompts with 10 added to the K best.",
    "condition_from": "The first block of CLIP's text tower whose learned tokens change with the "
    "image. 0: the words of the prompt, and the tokens of all later blocks. It must be smaller "
    "than the number of blocks with learned tokens.",
    "shift_per_expert": "A small network computes the vector that an image adds to the prompts. "
    "Every expert can have its own, instead of one for all.",
    "align_weight": "How much is removed of the part of the gradient that contradicts the plain "
    "prompt. 1 removes all of it. With 0 this is CoOp.",
    "align_temperature": "Temperature of the predictions whose difference gives the plain "
    "prompt's direction.",
    "anchor_weight": "KgCoOp's λ: how strongly the prompt is kept close to the hard prompt. With "
    "0 this is CoOp.",
    "text_weight": "Weight of the loss that asks each soft prompt to be most similar to the hard "
    "prompts of its own class.",
    "text_classes": "Only matters if you train on half of the classes.",
    "text_scale": "Inverse temperature of the loss. With 1, as in the authors' code, the loss "
    "constrains the prompts only weakly.",
    "text_softmax": "Each soft prompt chooses among the hard prompts of all classes, or each hard "
    "prompt chooses among the soft ones.",
    "text_noise": "Standard deviation of noise on the hard prompts' features, in half of the "
    "steps. LASP's code has 0.05.",
    "text_consistency": "PromptSRC: how strongly the soft prompts' features are kept close to "
    "those of the templates.",
    "image_consistency": "PromptSRC: how strongly an image's feature is kept close to that of "
    "the frozen image encoder.",
    "logit_consistency": "PromptSRC: how strongly the predictions are kept close to the frozen "
    "CLIP's.",
    "aggregation_mean": "PromptSRC's μ. The finished prompts are a mean over all epochs; this one "
    "has the largest weight.",
    "aggregation_std": "PromptSRC's σ: how many epochs around it count.",
}
"""Setting → what it means."""
CONTEXTS = {"template": "plain prompt", "words": "other words", "random": "random tokens"}
NUMBERS_OF_EXPERTS = {"groups": "one per group", "auto": "chosen by short trainings"}
POSITIONS = {"end": "at the end", "middle": "in the middle", "front": "in front"}
TEXT_CLASSES = {"seen": "trained classes", "all": "all classes"}
TEXT_SCALES = {"logit": "CLIP's own", "one": "1 (as the authors)"}
TEXT_TEMPLATES = {"own": "the data set's", "fixed": "LASP's 35"}
TEXT_SOFTMAX = {"hard": "hard prompts", "soft": "soft prompts (LASP's code)"}
CONSISTENCY_TEMPLATES = {"own": "the data set's", "imagenet": "60 for ImageNet (PromptSRC)"}
CONSISTENCY_MEANS = {"raw": "of raw features (PromptSRC)", "unit": "of features of length 1"}
TEXT_TARGETS = {"prototype": "mean of a group", "templates": "every template"}
GATE_TARGETS = {"hard": "hard, +10", "scaled": "hard, scaled", "soft": "soft, +10"}
SEARCHES = {"own": "our own", "published": "as published"}
LENGTH_IMAGES = {
    "validation": "validation images",
    "train": "half of the training images",
}
PRECISIONS = {
    "auto": "auto: the fastest here",
    "fp32": "fp32 (exact)",
    "bf16": "bf16",
    "fp16": "fp16",
}


def no_groups(method: str, start: str) -> str:
    """Returns that a method has no groups of templates, and what it starts from."""
    return f"{method} has no groups of templates. It starts from {start}"


def hard_templates(templates: tuple[str, ...]) -> str:
    """Returns the hard templates that a method uses."""
    return f"It uses these hard templates: {' · '.join(templates)}"


def size(classes: int, experts: int | None, images: int | None) -> str:
    """Returns the size of a training.

    Args:
        classes: number of classes.
        experts: number of learned prompts; None if the method learns none.
        images: number of images; None to leave it out.
    """
    parts = [f"{classes} classes"]
    if experts is not None:
        parts.append("1 prompt" if experts == 1 else f"{experts} experts")
    if images is not None:
        parts.append(f"{images:,} images")
    return ", ".join(parts)


def your_sentence(sentence: str) -> str:
    """Returns that a training starts from a typed sentence."""
    return f"Starts from your sentence: {sentence}"


def trains_as_published(method: str) -> str:
    """Returns how far a method's recipe is the published one, as Markdown."""
    return (
        f"With every CLIP except the built-in one, **{method}** trains as published, except for "
        "the settings in the table's column *Ours*. The built-in CLIP is far smaller. It has its "
        "own recipe, which was chosen on validation images."
    )


def values_of(chosen: str) -> str:
    """Returns which values of a method's numbers are compared."""
    return (
        f"The values of {chosen} that are compared on validation images: our own, or those of "
        "the authors' code."
    )

"""The texts of the Routing page, but for its tabs "Many pictures" and "Type a prompt"."""

from __future__ import annotations

from app.common.words import NO_CLEAR_DIFFERENCE, escape_markdown
from app.ui.words import with_style
from mocoop.evaluation.picture_content import FLAT, NOISE
from mocoop.evaluation.routing_value import RoutingValue

TITLE = "Routing"
CAPTION = (
    "For every image, the router chooses a few experts and mixes the predictions of their prompts."
)
WHAT_FOR = "which experts it chooses for every test image"

# The tabs. A run without a router has RIGHTS instead of EXPERTS, COUNTS and VALUE.
IMAGES, EXPERTS, COUNTS = "Test images", "Expert by expert", "Experts by class"
VALUE, TRY, TYPE = "Does the router help?", "Try a picture", "Type a prompt"
MANY, RIGHTS = "Many pictures", "Accuracy by class"
RENAMED = {
    "Who gets what": COUNTS,
    "Does it matter?": VALUE,
    "What it gets right": RIGHTS,
}
"""Earlier name of a tab → its name; links may hold the earlier one."""

# While something is computed.
COUNTING = "Counting the test images …"
TESTING_CHOICES = "Testing other choices of experts …"

# The overview.
CLASSES = "Classes"
CLASS_CHOICES = {"all": "all classes", "base": "base classes", "new": "new classes"}
CLASSES_HELP = "Only these classes can be predicted."
ACCURACY = "Accuracy"
MATCH_STYLES = "Experts match styles"
MATCH_STYLES_HELP = (
    "NMI, the normalised mutual information of the first-choice expert and the picture's style: 0 "
    "means that they are independent. 1 means that one determines the other."
)
ZERO_SHOT_HELP = "Zero-shot is one hand-written prompt without any training."
WHICH_CHOSEN = "**Which experts are chosen?** Full colour: first choice · faint: also chosen"
WHICH_CHOSEN_ALT = "Share of the test images for which each expert is chosen"

# Test images.
NO_TEST_IMAGES = "The run's data set has no test images. You can try pictures of your own."
NO_MATCH = "No image matches these filters. Remove one of them."
CHOSEN_EXPERT, TRUE_STYLE, TRUE_CLASS = "Chosen expert", "True style", "True class"
PREDICTION, ORDER, ANY = "Prediction", "Order", "any"

# One image in a dialog.
CHANGE_PICTURE = "Change this picture"
ONE_EXPERT = "Use one expert alone (none chosen: the mixture predicts)"
CLASSES_ALT = "Most probable classes of the image"
PREFERENCE_ALT = "The router's preference for every expert on this image"
WITHOUT_VECTOR = (
    "In this run the image changes the prompts of its chosen experts. An expert that was not "
    "chosen answers by its prompt as it is without any image."
)
EACH_ALONE = "What each expert predicts alone"
RAW_SCORE, PREFERENCE = "raw score", "preference"
WEIGHT, PROBABILITY = "weight", "probability"

# Expert by expert.
EXPERT = "Expert"
NONE = "None."
ROWS = {
    "certain": ("Most certain", "this expert is the first choice, with the largest weights"),
    "ambiguous": (
        "Most ambiguous",
        "this expert was chosen, but the router is uncertain between experts",
    ),
    "wrong": (
        "Wrong",
        "this expert is the first choice, but the prediction is wrong; the most confident "
        "mistakes come first",
    ),
}

# Class by class.
MACRO_F1, MEAN_OF_CLASSES, TOP_5 = "Macro-F1", "mean of classes", "top-5"
CLASS_NUMBERS_HELP = (
    "Macro-F1 and the mean of the classes' accuracies give every class the same weight, however "
    "many images it has. F1 also counts the images that are wrongly predicted to be of a class. "
    "Top-5: the true class is among the five most probable ones (with more than five classes)."
)
CONFUSION = "**Confusion**: rows are true classes, columns are predicted classes, mistakes are red"
CONFUSION_ALT = "How many images of each true class are predicted to be of each class"
NO_MISTAKES = "**Mistakes**: none, every prediction is right"
MISTAKES_ALT = "The most frequent mistakes"
RIGHT = "right"

# Does the router help?
VALUE_ALT = "Accuracy with the router, without one, and with a perfect choice of experts"

# Nearest training images.
NEAREST = "**Nearest training images**"
NEAREST_HELP = (
    "The training images of this run whose CLIP features have the largest cosine similarity to "
    "the feature of this picture. 1 means the same direction."
)

# Try a picture.
PICTURE = "Picture"
TEST_IMAGE, MY_FILES, CAMERA = "A test image", "My files", "Camera"
WHICH_TO_CHANGE = "Picture to change"
TAKE_PHOTO = "Take a photo"
GROUND = "Colour behind transparent parts"
SLIDERS = {
    "blur": "Blur",
    "pixelate": "Pixelate",
    "darken": "Darken",
    "grey": "Remove colour",
    "sketch": "Sketch",
}
RESET = "Reset"
CHANGED_ALT = "The changed picture"
BEFORE, NOW = "before", "now"
MOVED_ALT = "The router's preference for every expert before and after the change"
NO_CONTENT = {
    FLAT: "This picture is of one colour. It shows nothing that could be recognised.",
    NOISE: "This picture looks like pure noise. It shows nothing that could be recognised.",
}
UNLIKE = (
    "This picture is unlike the training images of this run, so its probabilities say little. It "
    "is farther from the nearest training image than 95 % of the training images are from theirs."
)
PICTURE_CLASSES_ALT = "Most probable classes of the picture"


def trained_only(method: str) -> str:
    """Returns that a method predicts only the classes that it was trained on."""
    return f"{method} can only predict the classes it was trained on. Only their images are shown."


def nmi_value(nmi: float) -> str:
    """Returns a normalised mutual information as a number on its scale."""
    return f"{nmi:.2f} of 1"


def nmi_in_words(nmi: float | None) -> str:
    """Returns the meaning of a normalised mutual information of experts and styles."""
    if nmi is None:
        return "how experts and styles are related cannot be measured here"
    if nmi < 0.1:
        return "the experts do not follow the styles"
    if nmi < 0.3:
        return "the experts follow the styles a little"
    if nmi < 0.6:
        return "the experts clearly follow the styles"
    return "the experts follow the styles closely"


def styles(own: float, alone: float) -> str:
    """Returns how often the first choice is the expert that is used most for the image's style.

    Args:
        own: this share, in percent.
        alone: the share if styles had no influence, in percent.
    """
    return (
        f"For {own:.0f} % of the images the first choice is the expert used most for their "
        f"style; experts can share a style. If styles had no influence, it would be {alone:.0f} %."
    )


def how_many_wrong(images: int, wrong: int, zero_shot: float | None, guessing: float) -> str:
    """Returns the number of test images and of mistakes, and accuracies to compare with.

    Args:
        images: number of test images.
        wrong: number of wrong predictions.
        zero_shot: accuracy of zero-shot in percent, if it is known.
        guessing: accuracy of random guessing in percent.
    """
    others = "" if zero_shot is None else f"zero-shot {zero_shot:.1f} %, "
    return (
        f"{images:,} test images, {wrong:,} of them wrong. For comparison: {others}random "
        f"guessing {guessing:.1f} %."
    )


def no_router(method: str | None, how_it_answers: str) -> str:
    """Returns that a method has no router, or a mixture (None) one expert; and how it predicts."""
    why = f"{method} has no router" if method else "This run has one expert"
    other = "a MoCoOp run" if method else "a run with several groups"
    return (
        f"{why}, so there is no routing to show. {how_it_answers} Its predictions are below. "
        f"Choose {other} to see several experts."
    )


def images_shown(shown: int, total: int) -> str:
    """Returns how many of the test images pass the filters."""
    return f"{shown:,} of {total:,} images"


def true_class(name: str, style: str | None) -> str:
    """Returns the true class of an image and its style, as Markdown."""
    of_style = f", style: {escape_markdown(style)}" if style else ""
    return f"True class: **{escape_markdown(name)}**{of_style}"


def predicts(method: str | None, expert: str | None, predicted: str, truth: str) -> str:
    """Returns who predicts which class, and whether this is right, as Markdown.

    Args:
        method: the method's name if it has no router, else None.
        expert: the expert that predicts alone; None for the mixture.
        predicted: the predicted class.
        truth: the true class.
    """
    who = "The mixture"
    if expert is not None:
        who = f"Expert {escape_markdown(repr(expert))} alone"
    verdict = "right" if predicted == truth else "wrong"
    return f"{method or who} predicts **{escape_markdown(predicted)}**: {verdict}."


def started_from(start: str) -> str:
    """Returns what an expert started from, as Markdown."""
    return escape_markdown(f"It started from {start}.")


def expert_row(kind: str, images: int) -> str:
    """Returns the title of a row of an expert's images."""
    title, meaning = ROWS[kind]
    return f"**{title}**: {meaning} ({images:,} images)"


def most_mistakes(shown: int, total: int) -> str:
    """Returns the title of the most frequent mistakes."""
    return (
        f"**Mistakes**: the {shown} most frequent of {total:,} kinds, true class → predicted class"
    )


def experts_by(called: str) -> str:
    """Returns the title of the counts of experts by class or style."""
    return f"**Experts by {called}**: number of images with the expert as first choice"


def experts_by_alt(called: str) -> str:
    """Returns what the counts of experts show, for screen readers."""
    return f"How many images of each {called} have each expert as first choice"


def accuracy_by(called: str) -> str:
    """Returns the title of the accuracies by class or style."""
    return f"**Accuracy by {called}**, lowest first"


def accuracy_by_alt(called: str) -> str:
    """Returns what the accuracies show, for screen readers."""
    return f"Accuracy on the images of each {called}, in percent"


def as_table(called: str) -> str:
    """Returns the title of the table of accuracies."""
    return f"As a table, with the most frequent mistake of each {called}"


def ways_to_choose(value: RoutingValue) -> list[tuple[str, float, str]]:
    """Returns name, accuracy and meaning of each way to choose the experts."""
    return [
        ("the router", value.router, "what this run does"),
        ("all experts equally", value.uniform, "the mean of all experts, without a router"),
        ("a random expert", value.random, "expected if one expert is drawn for every image"),
        (
            "the best single expert",
            value.best_single,
            f"{value.best_expert!r} for every image, chosen on the {value.chosen_on} images",
        ),
        (
            "perfect choice",
            value.oracle,
            "at least one expert is right: an upper bound that uses the true classes",
        ),
    ]


def value_of_routing(value: RoutingValue) -> str:
    """Returns whether the router beats the best choice without one, with the sampling error.

    The error is known for the better of all experts equally and the best single expert. A random
    expert is named too where it is better than both.
    """
    rivals = {"all experts equally": value.uniform, "the best single expert": value.best_single}
    best = max(rivals, key=rivals.__getitem__)
    text = f"The router is {_points(value.gain)} than {best}"
    least, more = value.gain, ""
    if value.random > rivals[best]:
        least = value.router - value.random
        more = f" Than a random expert, the best of the other bars, it is {_points(least)}."
    margin = 2 * value.gain_error
    if abs(least) <= margin:
        return f"{text}: **{NO_CLEAR_DIFFERENCE}** on these images (±{margin:.1f}).{more}"
    verdict = "it helps here" if least > 0 else "it does not help here"
    return f"{text} (±{margin:.1f}): **{verdict}**.{more}"


def _points(difference: float) -> str:
    return f"{abs(difference):.1f} points {'better' if difference >= 0 else 'worse'}"


def tested_on(choice: str, classes: int) -> str:
    """Returns on which classes these numbers were measured."""
    return (
        f"Measured on the test images of {CLASS_CHOICES[choice]} ({classes}), and only these can "
        "be predicted. On other classes, as in the lessons, the numbers differ."
    )


def always_one_of(classes: int) -> str:
    """Returns that a run always names one of its classes, whatever a picture shows."""
    return (
        f"The answer is always one of the {classes} classes, whatever the picture shows. The "
        "probabilities only compare these classes with each other."
    )


def near(class_name: str, style: str | None, cosine: float) -> str:
    """Returns the lines below a near training image, as Markdown."""
    return f"{escape_markdown(with_style(class_name, style))}  \ncosine {cosine:.2f}"


def training_image(class_name: str, style: str | None) -> str:
    """Returns what a training image shows, for screen readers."""
    return f"{class_name}, {style or 'a training image'}"


def uploader(most: int) -> str:
    """Returns the label of the box for files."""
    return f"Up to {most} pictures in any common format"


def too_many(count: int, most: int) -> str:
    """Returns that only some of the uploaded files are shown."""
    return f"You uploaded {count} files. Only the first {most} are shown."


def too_large(most: int) -> str:
    """Returns that an uploaded file has more megabytes than allowed."""
    return f"A file has more than {most} MB. Make it smaller first."

"""What the small CLIP of scenes is trained with: pure functions of logits."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

NOBODY = -1


def name_given_role_loss(logits: Tensor, things: Tensor) -> Tensor:
    """Returns the mean cross-entropy of the name in each role that a picture fills.

    Args:
        logits: (pictures, roles, names).
        things: the true names, NOBODY where a role is empty; (pictures, roles).
    """
    return F.cross_entropy(logits.flatten(0, 1), things.flatten(), ignore_index=NOBODY)


def name_and_role_loss(logits: Tensor, things: Tensor) -> Tensor:
    """Returns the cross-entropy of all true pairs of role and name, among all pairs.

    Args:
        logits: (pictures, roles, names).
        things: the true names, NOBODY where a role is empty; (pictures, roles).
    """
    there = things != NOBODY  # (pictures, roles)
    logs = logits.flatten(1).log_softmax(dim=1).view_as(logits)
    true = logs.gather(2, things.clamp_min(0)[..., None])[..., 0]  # (pictures, roles)
    return -((true * there).sum(dim=1) / there.sum(dim=1)).mean()


def any_name_loss(logits: Tensor, things: Tensor) -> Tensor:
    """Returns the cross-entropy of all names that are there in any role.

    Args:
        logits: of a template that leaves the role open, (pictures, names).
        things: the true names, NOBODY where a role is empty; (pictures, roles).
    """
    there = things != NOBODY  # (pictures, roles)
    true = logits.log_softmax(dim=1).gather(1, things.clamp_min(0))  # (pictures, roles)
    return -((true * there).sum(dim=1) / there.sum(dim=1)).mean()


def patch_loss(logits: Tensor, things: Tensor, patches: Tensor) -> Tensor:
    """Returns the mean cross-entropy of the role and name that patches show, among all pairs.

    Args:
        logits: of the patches that show a thing, (shown, roles, names).
        things: the true names, NOBODY where a role is empty; (pictures, roles).
        patches: the role in each patch, NOBODY where none is; (pictures, patches).
    """
    pictures, places = (patches != NOBODY).nonzero(as_tuple=True)
    roles = patches[pictures, places]
    pairs = roles * logits.shape[2] + things[pictures, roles]
    return F.cross_entropy(logits.flatten(1), pairs)


def style_loss(logits: Tensor, styles: Tensor) -> Tensor:
    """Returns the cross-entropy of the style; zero without pictures.

    Args:
        logits: of a name that is there in the words of every style, (pictures, styles).
        styles: (pictures,).
    """
    return F.cross_entropy(logits, styles, reduction="sum") / max(1, len(styles))


def matching_loss(logits: Tensor, matches: Tensor) -> Tensor:
    """Returns CLIP's symmetric loss where a picture may match several captions.

    Args:
        logits: scaled similarities, (pictures, captions).
        matches: 1 where the caption is true of the picture, else 0; (pictures, captions), with
            at least one match in each row and column.
    """
    by_picture = matches / matches.sum(dim=1, keepdim=True)
    by_caption = matches / matches.sum(dim=0, keepdim=True)
    picture_loss = -(by_picture * logits.log_softmax(dim=1)).sum(dim=1).mean()
    caption_loss = -(by_caption * logits.log_softmax(dim=0)).sum(dim=0).mean()
    return (picture_loss + caption_loss) / 2

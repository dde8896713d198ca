"""Counts the tokens that class names share when they begin alike, and what that saves; not a test.

    python -m tests.measure_names split_zhou_StanfordCars.json classnames.txt ... [--time]

A file is one of CoOp's splits, or a text with a class name in each line. The counts are rows of
the encoder for one expert that starts from "a photo of a {}.". With --time it also runs forward
and backward of six experts in a random text tower of ViT-B/16, with and without sharing by turns,
and prints the ratio of the medians of processor seconds.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from unittest.mock import patch

import open_clip
import torch

from mocoop.clip.text_tower import TextTower
from mocoop.markdown import markdown_table
from mocoop.prompt_encoder import prompt_trees
from mocoop.prompt_encoder.layout import ClassTokens, PromptBatch, soft_tokens
from mocoop.prompt_encoder.tokens import TokenTable

TEMPLATE = "a photo of a {}."
EXPERTS = 6
ROUNDS = 3


def names_in(path: Path) -> list[str]:
    """Returns the class names in a file, by label or by line."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".json":
        return [line.strip() for line in text.splitlines() if line.strip()]
    by_label = {label: name for part in json.loads(text).values() for _, label, name in part}
    return [by_label[label].replace("_", " ") for label in sorted(by_label)]


def prompts_of(table: TokenTable, names: list[str], experts: int) -> PromptBatch:
    """Returns prompts whose contexts are learned, with the full stop frozen."""
    before, after = soft_tokens(table, TEMPLATE)
    befores = [before.clone().requires_grad_() for _ in range(experts)]
    classes = ClassTokens.from_names(table, names)
    endings = (".",) * experts
    return PromptBatch.build(table, classes, befores, [after] * experts, endings=endings)


def rows_of(prompts: PromptBatch, share: bool) -> int:
    """Returns the number of rows of all prompts in one chunk."""
    return sum(chunk.rows for chunk in prompts.layout.chunks(10**9, share=share))


def seconds(tower: TextTower, names: list[str], share: bool) -> float:
    """Returns the processor seconds of one forward and backward pass."""
    with patch.object(prompt_trees, "LEAST_SAVED", 0.1 if share else 1.0):
        prompts = prompts_of(tower.tokens, names, EXPERTS)
        prompts.layout.chunks(tower.chunk_rows)  # laid out once in a training
        started = time.process_time()
        tower.encode_prompts(prompts).sum().backward()
        return time.process_time() - started


def main() -> None:
    """Prints a table with a line for each file."""
    timed = "--time" in sys.argv
    model = open_clip.create_model("ViT-B-16-quickgelu") if timed else None
    tokenizer = open_clip.SimpleTokenizer()
    embedding = torch.nn.Embedding(len(tokenizer.encoder), 8)
    table = TokenTable(tokenizer, embedding, 77)
    lines = []
    for file in map(Path, (name for name in sys.argv[1:] if name != "--time")):
        names = names_in(file)
        prompts = prompts_of(table, names, 1)
        apart, shared = rows_of(prompts, share=False), rows_of(prompts, share=True)
        line = [file.stem, str(len(names)), str(apart), str(shared), f"{1 - shared / apart:.0%}"]
        if model is not None:
            tower = TextTower.from_model(model, tokenizer)
            taken: dict[bool, list[float]] = {True: [], False: []}
            for share in (True, False) * (ROUNDS + 1):
                taken[share].append(seconds(tower, names, share))
            medians = {share: statistics.median(own[1:]) for share, own in taken.items()}
            line.append(f"{medians[False] / medians[True]:.2f}")
        lines.append(line)
    heads = ["names", "classes", "tokens apart", "shared", "saved", *["times faster"] * timed]
    print(markdown_table(heads, lines, "l" + "r" * (len(heads) - 1)))


if __name__ == "__main__":
    main()

"""The mixture of prompts: soft and hard prompts, router, mixed logits and losses."""

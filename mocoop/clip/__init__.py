"""One frozen open_clip model: its towers, tokenizer, transform, device and number format."""

"""Speed and memory of one training step, compared with a plain implementation."""

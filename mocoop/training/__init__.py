"""From settings to a finished run: data, training loop, optimizer, snapshots, baselines."""

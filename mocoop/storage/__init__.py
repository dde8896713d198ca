"""Safe reading and writing: atomic files, archives, images, shards, and worker processes."""

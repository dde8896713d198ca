"""Bytes on disk, safely: whole files, archives, pictures, shards, worker processes."""

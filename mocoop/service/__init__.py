"""A service that answers pictures over HTTP with a finished run."""

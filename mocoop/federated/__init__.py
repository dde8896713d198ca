"""Federated mixtures: clients that keep their images train prompts together."""

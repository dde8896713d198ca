"""What the page Federated shows."""

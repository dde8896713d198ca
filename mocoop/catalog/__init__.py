"""Which data sets this machine has: find, download, check, upload and show them."""

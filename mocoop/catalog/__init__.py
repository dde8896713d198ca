"""Which data sets this machine has: found, downloaded, checked, uploaded, shown."""

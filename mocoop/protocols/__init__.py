"""Many runs with one purpose: plans, their runner, ablations, tuning, overfitting lab."""

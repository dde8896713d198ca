"""Templates that write and group themselves: candidates, checks, groups, and what was asked."""

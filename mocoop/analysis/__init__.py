"""Analysis of learned prompts: drift, maps, neighbours, interaction, proposed groups."""

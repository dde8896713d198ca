"""Analysis of learnt prompts: drift, maps, neighbours, interaction, proposed groups."""

"""What prompts have learnt: drift, maps, neighbours, interaction, proposed groups."""

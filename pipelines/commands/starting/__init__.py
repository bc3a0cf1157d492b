"""The commands that start runs for a team, by span or by event, and the one that looks before."""

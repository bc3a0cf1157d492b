"""The commands of a team's `mainspring.yaml`: what it would change, making it so, and promoting a model."""

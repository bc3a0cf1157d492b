"""Deployment: publishing versions, serving them at a target, and asking a target what it serves."""

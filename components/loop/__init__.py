"""Steps that take what several components know: run in one pod what would otherwise take a pod for each.

Stands on the components; only pipelines import this. It has no image of its own.
"""

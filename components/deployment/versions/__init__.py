"""Published versions: where they lie, how one is published, which may go, and which were taken back.

Imports nothing else of deployment; both kinds of target import this.
"""

"""The target `local://<name>`: model servers behind a front, on loopback.

Imports `versions` and the rules that both kinds of target share; the commands import this.
"""

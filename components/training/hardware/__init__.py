"""What a training runs on: the devices of this machine, and its role among several.

Imports nothing else of training; everything above may import it.
"""

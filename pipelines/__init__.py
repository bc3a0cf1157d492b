"""Compiled pipelines, the command line, and the engines that run pipelines on one machine."""

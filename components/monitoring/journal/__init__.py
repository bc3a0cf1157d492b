"""What is kept between windows: findings, statistics, predictions and decisions.

Imports nothing else of monitoring; `judging` and the commands import this.
"""

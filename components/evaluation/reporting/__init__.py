"""The pages and files that tell the verdict: the report, the JSON, the model card, the ML Test Score.

Imports the evaluation and what is below it; `evaluate_model` imports this.
"""

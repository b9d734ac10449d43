"""The ready pipelines, one module each: `pipeline` is what `extract run pipelines/NAME.py` runs."""

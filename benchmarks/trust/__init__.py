"""How far the tables can be trusted: one zero-shot call, instructor and ours, on labelled data and one local model."""

"""The pydantic models of the ready pipelines, one module per kind of document."""

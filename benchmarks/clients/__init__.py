"""The clients that are compared. Each module has `run(job)`, which makes the table of a job's source in `job.out`."""

"""Who does independent pieces of work, and the loop over them: processes, a Dask cluster, an executor."""

"""Where a pipeline runs: in processes here, or in containers."""

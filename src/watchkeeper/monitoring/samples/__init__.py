"""The sample store: what was scraped, in memory for the rules and on disk for everything else."""

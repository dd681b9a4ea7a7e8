"""What runs jobs: processes, presets, rate grids, progress, the directory of a run, and its resumption."""

"""What the benchmarks of the server share: a made-up shop, a real server filled with it, CPU and memory from outside, DuckDB."""

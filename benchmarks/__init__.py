"""What a task costs, how fast jobs are enqueued and how full the slots are; `python -m benchmarks` measures it all."""

"""Work on recorded data: training, replay, evaluation, the demo and the benchmarks."""

"""Published benchmarks, run again with the product: a command and a number each."""

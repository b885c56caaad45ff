"""What Tallyboard costs, measured: `make bench`, or `python -m benchmarks NAME`. Results go to docs/performance.md."""

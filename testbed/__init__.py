"""What tests, drills, benchmarks and the demo share: worlds of their own on a real stack, an oracle, a workload."""

"""A simulation of a fleet of workers that KEDA scales: see docs/scaling.md."""

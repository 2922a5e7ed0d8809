"""Evaluation of the method: everything that `docs/results/fashion-mnist.md` shows.

The stages `ablate`, `sweep`, `fidelity` and `pictures` (one module each) write JSON reports and skip work that already
has one. `report` makes tables and plots from the reports. `plan` reads the TOML file that says what to run.
"""

"""What the method is worth: everything that `docs/results/fashion-mnist.md` shows.

One module a stage (`ablate`, `sweep`, `fidelity`, `pictures`), all of which leave JSON reports and do only what has
none yet, and `report`, which makes tables and plots of those. `plan` reads the one TOML file that says what to run.
"""

"""What disturbs a run: faults, changes of validators, restored databases."""

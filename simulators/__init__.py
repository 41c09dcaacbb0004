"""Makes and plays data: machines with labelled faults, recordings at a chosen rate."""

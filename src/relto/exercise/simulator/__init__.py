"""The simulator: nodes, network, disks and clocks from one seed, under the very code that runs in production."""

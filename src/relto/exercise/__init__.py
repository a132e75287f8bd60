"""Input for the demo and the simulator: real public samples under ``data``, and invented traffic from a seed.

Everything that ``scenario`` writes says that it is an exercise: names begin with ``EXERCISE``, MMSIs lie in one block
(``voyage.MMSI_BLOCK``), features carry ``"exercise": true``, addresses and domains are those kept for documentation.
"""

"""Relto: nations share what they know by agreement.

The way of a record through the package, in order of import (a part imports only from parts above it):

    errors bounds clock strict labels item     values
    agreements trust                           what was signed, what was earned
    release                                    decides and renders; the heart
    envelope log                               proves
    formats picture exchange                   bytes to items and back; the joint picture; between nodes
    -- pure above; clock, disk, network below --
    keyring store feeds peers node api web exercise cli
"""

__version__ = "0.1.0"

"""The heart: what may go to whom, in which view, and why. There is no read path around it.

``world``: what is in force. ``classes``: what matters about an item. ``decide``: the decision, by Cedar. ``explain``:
the same clauses read plainly, step by step. ``render``: the bytes in one view (shapes: ``record``, ``table``, ``stix``,
``misp``). ``check``: the naive second look at them before they may leave.
"""

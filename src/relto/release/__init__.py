"""The heart: what may go to whom, in which view, and why. There is no read path around it.

``world`` is what is in force, ``classes`` what matters about an item, ``decide`` the decision, ``explain`` the reasons,
``render`` the bytes in one view, ``check`` the naive second look at them, ``release`` (in ``renditions``) all of it at once.
"""

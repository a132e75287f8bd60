"""The joint picture, from records of whatever origin and view. Pure."""

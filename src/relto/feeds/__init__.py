"""Where bytes come from. What they mean is said in ``formats``."""

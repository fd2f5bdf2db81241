"""Where tokens live between uses, and how far their renewal is exclusive."""

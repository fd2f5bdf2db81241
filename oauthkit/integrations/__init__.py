"""What fits oauthkit into a framework: one module or package for each, which knows no other."""

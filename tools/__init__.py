"""Programs for developers: they make documents from the code."""

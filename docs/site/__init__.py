"""`make docs`: the documentation as a site; reference pages that are made from the code."""

"""One picture and several methods in a row of columns: shared by pages."""

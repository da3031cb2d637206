"""The report of an evaluation: what it holds, its pictures, and the page they are shown on."""

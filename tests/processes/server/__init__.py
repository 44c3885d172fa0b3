"""A server to be killed: a manager in a process of its own, told what to do by lines on its standard input."""

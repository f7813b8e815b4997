"""`fleet doctor`: what can be looked at on this machine, each with a deadline and the exact remedy; it judges no message."""

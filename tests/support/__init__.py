"""What tests stand on: virtual time, simulated roads, real hosts; must never be imported by fleet or channels."""

"""The tier with real agent programs: `./bin/test ide`; never part of another tier, never goes to a real model."""

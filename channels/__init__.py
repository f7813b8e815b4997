"""The roads: one module each; never a module that knows another road or anything above fleet.core.

To add a road:
1. write channels/NAME.py with a class that has `name`, `traits` and the five verbs of fleet.core.channel.Channel;
2. give it a module-level `build(settings, earlier)` that returns one; `settings` is the table [channel.NAME] and what
   its module docstring asks the daemon for;
3. carry opaque bytes, raise Unreachable, Barred or Faulty, judge nothing, keep no secret in a reason;
4. give it a real world in tests/channels/test_NAME.py, as tests/channels/contract.py says;
5. add its tables to config/fleet.toml;
6. put NAME into `order`.
"""

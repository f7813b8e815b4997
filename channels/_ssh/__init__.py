"""What the roads over SSH share: logins kept warm, pinned host keys, keys only; never a password, never a stranger's host.

login.py says where to and as whom, warm.py is a session of paramiko, program.py the system's `ssh` where the user's own
configuration asks for a proxy, lines.py keeps one line per peer, sftp.py puts files through one.
"""

from channels._ssh.line import Done, Job, Line
from channels._ssh.lines import Lines
from channels._ssh.login import Login, login_of, user_config
from channels._ssh.program import known_hosts, tunnel_argv
from channels._ssh.sftp import Depot, Refused
from channels._ssh.words import said

__all__ = [
    "Depot", "Done", "Job", "Line", "Lines", "Login", "Refused", "known_hosts", "login_of", "said", "tunnel_argv",
    "user_config",
]  # fmt: skip

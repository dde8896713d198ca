"""The names of everything that the pages keep in session state and in the address.

What is in the address is restored by a link; what must survive a restart is on disk.
"""

RUN = "run"  # name of the run that is looked at; also in the address
CLASSES = "classes"  # all, base or new; also in the address
QUERY = "query-params"  # the widgets' `bind`, which keeps a value in the address

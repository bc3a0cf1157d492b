"""Of all tests: Ctrl-C reaches what they start, even where they themselves run in the background of a shell."""

import signal

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # What a shell does to background jobs, and they to theirs.
    signal.signal(signal.SIGINT, signal.default_int_handler)

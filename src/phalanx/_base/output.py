"""What a task's output is: lines of a stream, or a log record."""

STDOUT, STDERR, RECORD = range(3)

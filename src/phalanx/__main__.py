"""``python -m phalanx`` is the command `phalanx`."""

from phalanx._cli import main

if __name__ == "__main__":  # workers started by spawn import this module too
    main()
